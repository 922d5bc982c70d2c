"""Transformers predict every text in its place, and a folder whose parts do not fit together is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from seatrial.components.prediction import transformer
from seatrial.components.prediction.models import load_model
from seatrial.components.prediction.server import answer
from seatrial.components.prediction.transformer import by_length, load_network, load_tokenizer, pad
from seatrial.components.runtime import InputError

TEXTS = ["so fine", "awful", "tea with milk and sugar again fine", "", "🍵", "awful " * 5000, "x" * 100_000, "fine"]


def test_it_predicts_what_it_was_trained_for(transformer_model):
    model = load_model(transformer_model)

    probabilities = model.predict_probabilities(["so fine", "so awful"])

    assert (model.labels, model.model_type) == (["bad", "good"], "transformer")
    assert [model.labels[best] for best in probabilities.argmax(axis=1)] == ["good", "bad"]
    assert probabilities.dtype == np.float64


def test_its_digest_is_that_of_the_folder(transformer_model):
    manifest = json.loads((transformer_model / "_MANIFEST.json").read_text())

    assert load_model(transformer_model).digest == manifest["digest"]


@pytest.fixture
def in_float32(monkeypatch):
    """Has networks compute in float32, whose rounding errors are small enough for exact comparisons."""
    monkeypatch.setattr(transformer, "has_bfloat16", lambda: False)


def test_predictions_keep_the_order_and_do_not_depend_on_the_neighbours_but_for_rounding(in_float32, transformer_model):
    model = load_model(transformer_model)
    texts = TEXTS * 9  # several batches

    together = model.predict_probabilities(texts)

    alone = np.concatenate([model.predict_probabilities([text]) for text in TEXTS] * 9)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(model.predict_probabilities(texts[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)
    assert np.isfinite(together).all()
    assert together[0, 1] > 0.9 > 0.1 > together[1, 1]


def test_the_same_texts_get_the_same_probabilities(transformer_model):
    first, second = (load_model(transformer_model).predict_probabilities(TEXTS) for _ in range(2))

    assert (first == second).all()


@pytest.mark.parametrize(("bfloat16", "tolerance"), [(False, 1e-5), (True, 0.02)])
def test_it_predicts_what_the_library_itself_does(transformer_model, monkeypatch, bfloat16, tolerance):
    from transformers import pipeline

    classifier = pipeline("text-classification", model=str(transformer_model), top_k=None, device="cpu")
    texts = ["so fine", "awful tea", "cup with milk"]
    expected = [{score["label"]: score["score"] for score in scores} for scores in classifier(texts)]

    monkeypatch.setattr(transformer, "has_bfloat16", lambda: bfloat16)
    probabilities = load_model(transformer_model).predict_probabilities(texts)

    np.testing.assert_allclose(probabilities, [[scores["bad"], scores["good"]] for scores in expected], atol=tolerance)


def test_no_texts_have_no_probabilities(transformer_model):
    assert load_model(transformer_model).predict_probabilities([]).shape == (0, 2)


def test_only_the_first_tokens_of_a_long_text_count(transformer_model):
    model = load_model(transformer_model)

    cut, whole = model.predict_probabilities(["fine " + "tea " * 29, "fine " + "tea " * 29 + "awful " * 100])

    np.testing.assert_allclose(cut, whole, atol=1e-6)


def test_a_long_text_is_cut_although_the_tokenizer_names_no_length(transformer_model, altered):
    model = load_model(altered(transformer_model, tokenizer={"model_max_length": 10**30}))

    assert model.predict_probabilities(["tea " * 10_000]).shape == (1, 2)


def test_a_text_without_a_token_has_probabilities(transformer_model, altered):
    """A tokenizer need not put a token before and after a text."""
    tokenizer = json.loads((transformer_model / "tokenizer.json").read_text()) | {"post_processor": None}
    model = load_model(altered(transformer_model, files={"tokenizer.json": json.dumps(tokenizer).encode()}))

    alone, together = model.predict_probabilities([""]), model.predict_probabilities(["", "tea fine", " "])

    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[[0, 2]], [alone[0]] * 2, atol=1e-5)


def test_tokens_that_a_text_spells_out_do_not_break_it(transformer_model):
    probabilities = load_model(transformer_model).predict_probabilities(["[PAD] [CLS] [SEP] [MASK]", "[PAD]"])

    assert np.isfinite(probabilities).all()


def test_a_request_with_half_a_character_is_explained(transformer_model, linear_model):
    """JSON can spell halves of surrogate pairs, which no encoding of text can hold."""
    for folder in (transformer_model, linear_model):
        with pytest.raises(InputError, match=r"instances\[1\] .* surrogate"):
            answer(load_model(folder), b'{"instances": ["fine", "\\ud83c"]}')
        assert answer(load_model(folder), b'{"instances": ["\\ud83c\\udf75"]}')["predictions"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_folder_that_lacks_a_file_is_refused(transformer_model, altered, name):
    with pytest.raises(InputError, match=f"has no {name}|lists? no {name}"):
        load_model(altered(transformer_model, files={name: None}))


def test_a_file_that_the_manifest_does_not_list_is_not_loaded(transformer_model, altered):
    folder = altered(transformer_model, files={"tokenizer_config.json": None})
    (folder / "tokenizer_config.json").write_bytes((transformer_model / "tokenizer_config.json").read_bytes())

    with pytest.raises(InputError, match="manifest .* has no tokenizer_config.json"):
        load_model(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(transformer_model, altered, value):
    bias = np.array([0, value], dtype=np.float32)

    with pytest.raises(InputError, match="weights that are no numbers"):
        load_model(altered(transformer_model, tensors={"classifier.bias": bias}))


@pytest.mark.parametrize("name", ["classifier.weight", "bert.embeddings.word_embeddings.weight"])
def test_a_folder_that_lacks_weights_is_refused(transformer_model, altered, name):
    with pytest.raises(InputError, match=f"lacks the weights .*{name}|cannot be loaded"):
        load_model(altered(transformer_model, tensors={name: None}))


def test_a_pretrained_model_without_a_head_is_no_classifier(pretrained, altered, tmp_path):
    from seatrial.components.artifacts import write_folder

    with write_folder(tmp_path / "m", kind="model", metadata={}) as folder:
        for path in pretrained.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())

    with pytest.raises(InputError, match=r"lacks the weights classifier.bias, classifier.weight"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_weights_of_another_shape_are_refused(transformer_model, altered, shape):
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(altered(transformer_model, tensors={"classifier.bias": np.zeros(shape, dtype=np.float32)}))


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "bad", "1": "bad"},
        {"0": "bad", "5": "good"},
        {"0": "bad", "1": 3},
        {"0": "bad", "1": [3]},
        {"0": "bad", "x": "good"},
        {"0": "bad"},
        {},
        [],
        ["bad", "good"],
        "bad good",
    ],
    ids=str,
)
def test_labels_that_are_none_are_refused(transformer_model, altered, labels):
    with pytest.raises(InputError, match="labels|cannot be loaded"):
        load_model(altered(transformer_model, config={"id2label": labels}))


def test_a_tokenizer_of_another_network_is_refused(transformer_model, altered):
    tokenizer = json.loads((transformer_model / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["tea"] = 99

    with pytest.raises(InputError, match="has 100 tokens, the network 15"):
        load_model(altered(transformer_model, files={"tokenizer.json": json.dumps(tokenizer).encode()}))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no-such-type"},
        {"num_attention_heads": 0},
        {"hidden_size": 32},
        {"num_hidden_layers": 3},
        {"architectures": None},
    ],
    ids=str,
)
def test_a_configuration_of_another_network_is_refused(transformer_model, altered, config):
    with pytest.raises(InputError):
        load_model(altered(transformer_model, config=config))


@pytest.mark.parametrize("config", [{"return_dict": False}, {"attn_implementation": "flash_attention_2"}], ids=str)
def test_a_configuration_that_only_says_how_to_compute_changes_nothing(transformer_model, altered, config):
    model = load_model(altered(transformer_model, config=config))

    expected = load_model(transformer_model).predict_probabilities(TEXTS)
    assert (model.predict_probabilities(TEXTS) == expected).all()


def test_the_code_of_a_folder_is_never_run(transformer_model, altered, tmp_path):
    code = f"open({str(tmp_path / 'sprung')!r}, 'w')\n".encode()
    folder = altered(
        transformer_model,
        config={"auto_map": {"AutoConfig": "trap.C", "AutoModelForSequenceClassification": "trap.M"}},
        tokenizer={"auto_map": {"AutoTokenizer": ["trap.T", "trap.T"]}},
        files={"trap.py": code},
    )

    assert load_model(folder).labels == ["bad", "good"]
    assert not (tmp_path / "sprung").exists()


def test_a_loaded_network_does_not_drop_out_and_computes_in_full_precision(transformer_model, altered):
    halves = {
        name: tensor.astype(np.float16) for name, tensor in load_file(transformer_model / "model.safetensors").items()
    }
    network, missing = load_network(altered(transformer_model, tensors=halves, config={"dtype": "float16"}))

    assert missing == set()
    assert not any(module.training for module in network.modules())
    assert {str(weights.dtype) for weights in network.parameters()} == {"torch.float32"}


def test_the_tokenizer_of_a_folder_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(InputError, match="no-such-folder has no config.json"):
        load_tokenizer(tmp_path / "no-such-folder")


@given(st.lists(st.integers(0, 100)), st.integers(1, 9))
def test_batches_hold_each_position_once_the_short_ones_first(lengths, rows_per_batch):
    batches = list(by_length(lengths, rows_per_batch))

    order = [position for batch in batches for position in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[position] for position in order] == sorted(lengths)
    assert all(len(batch) == rows_per_batch for batch in batches[:-1])
    assert all(0 < len(batch) <= rows_per_batch for batch in batches)


def test_short_rows_are_filled_up_and_what_fills_them_is_masked():
    batch = pad([[5], [7, 8, 9]], 0)

    assert batch["input_ids"].tolist() == [[5, 0, 0], [7, 8, 9]]
    assert batch["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]
