"""Fine-tuning: it learns, the same rows and seed give the same model, and what cannot be trained with is refused."""

import itertools
import json
import math
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from seatrial.components.artifacts import MANIFEST_NAME, file_sha256, read_manifest, write_table
from seatrial.components.evaluation.loss_curve import loss_curve_of
from seatrial.components.prediction import transformer
from seatrial.components.prediction.models import load_model
from seatrial.components.prediction.server import FILE_NAMES
from seatrial.components.runtime import InputError
from seatrial.components.training.finetune import LossCurve, Settings, _rate, finetune, plan_steps

QUICK = Settings(epochs=0.2, learning_rate=1e-3)
POSITIONS = 32


def write_examples(path, texts, labels):
    write_table(path, pyarrow.table({"text": texts, "label": labels}), metadata={})
    return path


def reviews(rows: int, seed: int = 0, labels: tuple[str, ...] = ("bad", "good")) -> tuple[list[str], list[str]]:
    """Texts of words that say nothing, of many lengths, and one that tells the label."""
    generator = np.random.default_rng(seed)
    telling = dict(zip(labels, ["awful", "fine", "so", "and"], strict=False))
    truth = generator.choice(labels, rows).tolist()
    return [
        " ".join([*generator.choice(["tea", "cup", "with", "milk"], generator.integers(1, 9)), telling[label]])
        for label in truth
    ], truth


@pytest.fixture
def examples(tmp_path):
    return write_examples(tmp_path / "train", *reviews(200))


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("labels", [("bad", "good"), ("a", "b", "c", "d")])
def test_it_learns_what_tells_the_labels_apart(tmp_path, pretrained, labels):
    train = write_examples(tmp_path / "train", *reviews(200, labels=labels))

    finetune(train, pretrained, tmp_path / "model", Settings(epochs=15, learning_rate=2e-2, batch_size=32))

    unseen, truth = reviews(100, seed=1, labels=labels)
    model = load_model(tmp_path / "model")
    predicted = [model.labels[best] for best in model.predict_probabilities(unseen).argmax(axis=1)]
    assert model.labels == list(labels)
    assert np.mean(np.array(predicted) == truth) > 0.9


def test_metrics_and_manifest_say_what_was_trained_on_what(tmp_path, pretrained, examples):
    manifest, metrics = finetune(examples, pretrained, tmp_path / "model", Settings(epochs=2, batch_size=10))

    points = manifest.metadata["loss_curve"]
    assert metrics == {
        "rows": 200,
        "labels": 2,
        "steps": 40,
        "training_loss": pytest.approx(np.mean([loss for _, loss in points[-4:]])),
        "rows_per_second": metrics["rows_per_second"],
    }
    assert metrics["rows_per_second"] > 0
    assert manifest == read_manifest(tmp_path / "model", kind="model")
    assert manifest.metadata == {
        "labels": ["bad", "good"],
        "model_type": "transformer",
        "training_rows": 200,
        "training_digest": read_manifest(examples, kind="table").digest,
        "pretrained_sha256": file_sha256(pretrained / "model.safetensors"),
        "precision": "bfloat16" if transformer.has_bfloat16() else "float32",
        "loss_curve": points,
    }


def test_the_same_rows_and_seed_give_the_same_model_wherever_the_pretrained_one_lies(tmp_path, pretrained, examples):
    shutil.copytree(pretrained, tmp_path / "elsewhere")

    def digest(folder, seed):
        return finetune(examples, folder, tmp_path / "model", Settings(epochs=0.2, seed=seed))[0].digest

    first = digest(pretrained, 3)
    assert digest(tmp_path / "elsewhere", 3) == first
    assert digest(pretrained, 4) != first


@pytest.mark.parametrize(("epochs", "batch_size", "points"), [(0.001, 16, 1), (1, 16, 13), (2, 2, 100), (2.5, 3, 84)])
def test_the_loss_curve_has_100_points_at_most_and_ends_with_the_last_row(
    tmp_path, pretrained, examples, epochs, batch_size, points
):
    manifest, _ = finetune(examples, pretrained, tmp_path / "model", Settings(epochs=epochs, batch_size=batch_size))

    rows = [rows for rows, _ in manifest.metadata["loss_curve"]]
    assert len(rows) == points
    assert all(before < after for before, after in itertools.pairwise(rows))
    assert rows[-1] == max(1, round(epochs * 200))
    assert loss_curve_of(manifest.metadata) is not None


def test_the_loss_starts_where_guessing_is_and_falls(transformer_model):
    losses = [loss for _, loss in read_manifest(transformer_model, kind="model").metadata["loss_curve"]]

    assert losses[0] == pytest.approx(math.log(2), abs=0.1)
    assert losses[-1] < losses[0] / 4


STEPS = st.lists(st.integers(0, 40), min_size=1, max_size=60)


@given(STEPS, st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**63 - 1))
def test_each_epoch_sees_every_row_once(lengths, batch_size, epochs, seed):
    steps = plan_steps(lengths, Settings(epochs=epochs, batch_size=batch_size, seed=seed))

    seen = [row for step in steps for row in step]
    for start in range(0, len(seen), len(lengths)):
        assert sorted(seen[start : start + len(lengths)]) == list(range(len(lengths)))
    assert len(seen) == epochs * len(lengths)
    assert all(1 <= len(step) <= batch_size for step in steps)
    assert steps == plan_steps(lengths, Settings(epochs=epochs, batch_size=batch_size, seed=seed))


@given(STEPS, st.integers(1, 9), st.floats(0.001, 3))
def test_a_fraction_of_an_epoch_sees_a_fraction_of_the_rows_none_of_them_twice(lengths, batch_size, epochs):
    steps = plan_steps(lengths, Settings(epochs=epochs, batch_size=batch_size))

    seen = [row for step in steps for row in step]
    whole = len(seen) // len(lengths) * len(lengths)
    assert len(seen) == max(1, round(epochs * len(lengths)))
    assert len(set(seen[whole:])) == len(seen) - whole
    assert set(seen) <= set(range(len(lengths)))


@given(st.permutations(range(60)), st.integers(1, 9))
def test_the_rows_of_a_step_are_those_of_similar_length(lengths, batch_size):
    steps = plan_steps(lengths, Settings(batch_size=batch_size))

    # 60 rows with the lengths 0, 1, 2, …: steps that share no range of lengths have the rows next to each other.
    if 50 * batch_size >= len(lengths):
        assert all(max(lengths[r] for r in step) - min(lengths[r] for r in step) == len(step) - 1 for step in steps)


def test_the_order_of_the_steps_does_not_follow_the_lengths_and_another_seed_gives_another():
    lengths = list(range(1000))
    steps = plan_steps(lengths, Settings(batch_size=10))

    shortest = [min(step) for step in steps]
    assert shortest != sorted(shortest)
    assert steps != plan_steps(lengths, Settings(batch_size=10, seed=1))


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 64)), min_size=1, max_size=250), st.integers(1, 9))
def test_a_point_of_the_curve_is_the_mean_over_its_rows(steps, steps_per_point):
    curve = LossCurve(steps_per_point)
    for number, (loss, rows) in enumerate(steps, start=1):
        curve.add(loss, rows, last=number == len(steps))

    stretches = [steps[start : start + steps_per_point] for start in range(0, len(steps), steps_per_point)]
    assert len(curve.points) == len(stretches)
    seen = 0
    for (rows, mean), stretch in zip(curve.points, stretches, strict=True):
        seen += sum(count for _, count in stretch)
        assert rows == seen
        assert mean == pytest.approx(sum(loss * count for loss, count in stretch) / sum(count for _, count in stretch))


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_training_and_says_after_how_many_rows(loss):
    curve = LossCurve(1)
    curve.add(1.0, 16, last=False)

    with pytest.raises(InputError, match=f"diverged: after 16 rows the loss is {loss}. Pass a smaller learning_rate"):
        curve.add(loss, 16, last=False)


@given(st.integers(1, 2000))
def test_the_learning_rate_rises_for_a_tenth_of_the_steps_to_the_highest_and_never_above(steps):
    rates = [_rate(step, steps) for step in range(steps)]

    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) > 0.8
    assert top <= max(1, steps / 10)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a number from 0.001 to 1000"),
        ({"epochs": 1001.0}, "epochs is 1001.0"),
        ({"epochs": math.nan}, "epochs is nan"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number from 1e-08 to 1"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"batch_size": 0}, "batch_size is 0; expected a number from 1 to 4096"),
        ({"batch_size": 4097}, "batch_size is 4097"),
        ({"maximum_tokens": 1}, "maximum_tokens is 1; expected a number from 2 to 100000"),
        ({"maximum_tokens": 100_001}, "maximum_tokens is 100001"),
        ({"seed": -1}, "seed is -1; expected a number from 0 to"),
        ({"seed": 2**63}, f"seed is {2**63}"),
    ],
)
def test_a_parameter_out_of_range_is_refused(tmp_path, pretrained, examples, changes, message):
    with pytest.raises(InputError, match=message):
        finetune(examples, pretrained, tmp_path / "model", Settings(**changes))

    assert not (tmp_path / "model").exists()


def test_the_largest_seed_is_one(tmp_path, pretrained, examples):
    assert finetune(examples, pretrained, tmp_path / "model", Settings(epochs=0.1, seed=2**63 - 1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["tea"]}, "has no column 'label'"),
        ({"text": pyarrow.array([], "string"), "label": pyarrow.array([], "string")}, "has no rows"),
        ({"text": ["tea", None], "label": ["a", "b"]}, "Column 'text' .* has 1 nulls in 2 rows"),
        ({"text": ["tea", "cup"], "label": ["a", "a"]}, "All 2 training rows have the label 'a'; .* two or more"),
    ],
)
def test_a_table_that_nothing_can_be_learnt_from_is_refused(tmp_path, pretrained, columns, message):
    write_table(tmp_path / "train", pyarrow.table(columns), metadata={})

    with pytest.raises(InputError, match=message):
        finetune(tmp_path / "train", pretrained, tmp_path / "model", QUICK)

    assert not (tmp_path / "model").exists()


def test_labels_are_any_texts(tmp_path, pretrained):
    labels = ["", " ", "日本", "a/b", "__class__", "null", "🍵", "1", "10", "2", "LABEL_0", '"']
    train = write_examples(tmp_path / "train", ["tea"] * len(labels), labels)

    finetune(train, pretrained, tmp_path / "model", Settings())

    assert load_model(tmp_path / "model").labels == sorted(labels)


def test_empty_and_very_long_texts_and_unknown_characters_are_rows_like_others(tmp_path, pretrained):
    texts = ["", "tea " * 20_000, "🍵🫖", "\0\n\t ", "x" * 100_000, "fine"]
    train = write_examples(tmp_path / "train", texts, ["a", "b"] * 3)

    _, metrics = finetune(train, pretrained, tmp_path / "model", Settings())

    assert metrics["rows"] == 6


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pretrained_folder_that_lacks_a_file_is_refused(tmp_path, pretrained, examples, altered, missing):
    with pytest.raises(InputError, match=f"has no {missing}. Pass the folder of a Hugging Face model in safetensors"):
        finetune(examples, altered(pretrained, files={missing: None}), tmp_path / "model", QUICK)

    assert not (tmp_path / "model").exists()


def test_a_pretrained_folder_that_is_not_there_is_refused(tmp_path, examples):
    with pytest.raises(InputError, match="no-such-folder has no config.json, model.safetensors, tokenizer.json"):
        finetune(examples, tmp_path / "no-such-folder", tmp_path / "model", QUICK)


class Trap:
    """Pickled, it creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("beside", [True, False], ids=["beside safetensors", "alone"])
def test_a_pickle_is_never_read(tmp_path, pretrained, examples, altered, beside):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    pickles = dict.fromkeys(("pytorch_model.bin", "training_args.bin", "model.pt", "optimizer.pt"), trap)
    folder = altered(pretrained, files=pickles | ({} if beside else {"model.safetensors": None}))

    if beside:
        finetune(examples, folder, tmp_path / "model", QUICK)
    else:
        with pytest.raises(InputError, match="has no model.safetensors"):
            finetune(examples, folder, tmp_path / "model", QUICK)

    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap).close()
    assert (tmp_path / "sprung").exists()  # the trap works


@pytest.mark.parametrize("model_type", ["bert", "reviewer"], ids=["of a known type", "of a type of its own"])
def test_the_code_of_a_folder_is_never_run(tmp_path, pretrained, examples, altered, model_type):
    code = f"open({str(tmp_path / 'sprung')!r}, 'w')\nfrom transformers import *\n"
    kinds = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    folder = altered(
        pretrained,
        config={"model_type": model_type, "auto_map": {kind: f"trap.{kind}" for kind in kinds}},
        tokenizer={
            "auto_map": {"AutoTokenizer": ["trap.AutoTokenizer", "trap.AutoTokenizer"]},
            "tokenizer_class": "Reviewer",
        },
        files={"trap.py": code.encode(), "__init__.py": code.encode(), "tokenization_trap.py": code.encode()},
    )

    if model_type == "bert":
        finetune(examples, folder, tmp_path / "model", QUICK)
    else:
        with pytest.raises(InputError, match="cannot be loaded"):
            finetune(examples, folder, tmp_path / "model", QUICK)

    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 3},
        {"hidden_size": 32},
        {"intermediate_size": 64},
        {"vocab_size": 30},
        {"max_position_embeddings": 64},
    ],
    ids=str,
)
def test_weights_of_another_network_are_refused(tmp_path, pretrained, examples, altered, config):
    with pytest.raises(InputError, match="weights that its config.json|cannot be loaded"):
        finetune(examples, altered(pretrained, config=config), tmp_path / "model", QUICK)

    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"num_attention_heads": 3},
        {"num_attention_heads": 0},
        {"hidden_size": "16"},
        {"hidden_act": "no-such-function"},
        {"model_type": "no-such-type"},
        {"model_type": None, "architectures": None},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    ],
    ids=str,
)
def test_a_configuration_that_no_network_can_be_built_from_is_refused(tmp_path, pretrained, examples, altered, config):
    with pytest.raises(InputError, match="cannot be loaded"):
        finetune(examples, altered(pretrained, config=config), tmp_path / "model", QUICK)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_corrupt_file_is_refused(tmp_path, pretrained, examples, altered, name, content):
    with pytest.raises(InputError, match="cannot be loaded"):
        finetune(examples, altered(pretrained, files={name: content}), tmp_path / "model", QUICK)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_a_file_that_was_not_copied_to_the_end_is_refused(tmp_path, pretrained, examples, altered, name):
    folder = altered(pretrained, files={name: (pretrained / name).read_bytes()[:-50]})

    with pytest.raises(InputError, match="cannot be loaded"):
        finetune(examples, folder, tmp_path / "model", QUICK)


def test_pretrained_weights_that_are_no_numbers_are_refused_even_where_no_text_uses_them(
    tmp_path, pretrained, examples, altered
):
    words = weights(pretrained)["embeddings.word_embeddings.weight"].copy()
    words[4] = math.nan  # [MASK]

    with pytest.raises(InputError, match="no numbers"):
        folder = altered(pretrained, tensors={"embeddings.word_embeddings.weight": words})
        finetune(examples, folder, tmp_path / "model", QUICK)

    assert not (tmp_path / "model").exists()


def test_a_tokenizer_without_padding_token_is_refused(tmp_path, pretrained, examples, altered):
    with pytest.raises(InputError, match="has no padding token"):
        finetune(examples, altered(pretrained, tokenizer={"pad_token": None}), tmp_path / "model", QUICK)


def test_a_tokenizer_of_another_network_is_refused(tmp_path, pretrained, examples, altered):
    tokenizer = json.loads((pretrained / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["teapot"] = 15
    folder = altered(pretrained, files={"tokenizer.json": json.dumps(tokenizer).encode()})

    with pytest.raises(InputError, match="16 .* 15|15 .* 16"):
        finetune(examples, folder, tmp_path / "model", QUICK)


@pytest.mark.parametrize("length", [-1, 0, "long", [32]])
def test_a_tokenizer_that_cuts_at_no_sensible_length_is_refused(tmp_path, pretrained, examples, altered, length):
    with pytest.raises(InputError, match="model_max_length"):
        finetune(
            examples,
            altered(pretrained, tokenizer={"model_max_length": length}),
            tmp_path / "model",
            Settings(epochs=0.2),
        )


def test_a_manifest_that_does_not_fit_is_refused(tmp_path, pretrained, transformer_model, examples):
    changed = tmp_path / "changed"
    shutil.copytree(transformer_model, changed)
    shutil.copy(pretrained / "model.safetensors", changed)

    with pytest.raises(InputError, match="model.safetensors is not what was written"):
        finetune(examples, changed, tmp_path / "model", QUICK)
    with pytest.raises(InputError, match="is a table folder .* expected a model"):
        finetune(examples, examples, tmp_path / "model", QUICK)


BARELY = Settings(epochs=0.01, learning_rate=1e-8)


def head(folder):
    return weights(folder)["classifier.weight"]


def test_with_the_same_labels_the_training_goes_on(tmp_path, transformer_model, examples):
    finetune(examples, transformer_model, tmp_path / "model", BARELY)

    np.testing.assert_allclose(head(tmp_path / "model"), head(transformer_model), atol=1e-5)
    assert (
        load_model(tmp_path / "model").predict_probabilities(["so fine", "so awful"]).argmax(axis=1) == [1, 0]
    ).all()


@pytest.mark.parametrize("labels", [["no", "yes"], ["bad", "fair", "good"], ["bad", "great"]], ids=str)
def test_other_labels_get_a_new_head(tmp_path, transformer_model, labels):
    train = write_examples(tmp_path / "train", ["tea"] * 6, (labels * 3)[:6])

    finetune(train, transformer_model, tmp_path / "model", BARELY)

    assert load_model(tmp_path / "model").labels == labels
    assert head(tmp_path / "model").shape == (len(labels), 16)
    if len(labels) == 2:
        assert not np.allclose(head(tmp_path / "model"), head(transformer_model), atol=1e-3)
    np.testing.assert_allclose(
        weights(tmp_path / "model")["bert.encoder.layer.0.output.dense.weight"],
        weights(transformer_model)["bert.encoder.layer.0.output.dense.weight"],
        atol=1e-5,
    )


def test_a_label_at_another_position_does_not_get_the_weights_of_the_one_that_was_there(
    tmp_path, transformer_model, examples, altered
):
    swapped = altered(
        transformer_model, config={"id2label": {"0": "good", "1": "bad"}, "label2id": {"good": 0, "bad": 1}}
    )
    before = load_model(swapped)

    finetune(examples, swapped, tmp_path / "model", BARELY)

    after = load_model(tmp_path / "model")
    text = ["so fine"]
    said = before.labels[before.predict_probabilities(text).argmax()]
    says = after.labels[after.predict_probabilities(text).argmax()]
    has_new_head = after.predict_probabilities(text).max() < 0.6  # undecided
    assert said == "bad"
    assert says == said or has_new_head


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_what_the_pretrained_model_was_for_does_not_matter(tmp_path, pretrained, examples, altered, problem):
    folder = altered(pretrained, config={"problem_type": problem})

    manifest, _ = finetune(examples, folder, tmp_path / "model", QUICK)

    assert manifest.metadata["loss_curve"][0][1] == pytest.approx(math.log(2), abs=0.1)


def test_weights_in_half_precision_are_trained_in_full(tmp_path, pretrained, examples, altered):
    halves = {name: tensor.astype(np.float16) for name, tensor in weights(pretrained).items()}
    folder = altered(pretrained, tensors=halves, config={"dtype": "float16"})

    finetune(examples, folder, tmp_path / "model", QUICK)

    assert {str(tensor.dtype) for tensor in weights(tmp_path / "model").values()} == {"float32"}


def test_texts_are_cut_in_training_and_from_then_on(tmp_path, pretrained):
    # [CLS], two words and [SEP]: the word that tells the label is the third.
    train = write_examples(tmp_path / "train", ["tea cup fine", "tea cup awful"] * 50, ["good", "bad"] * 50)
    settings = {"epochs": 10, "learning_rate": 1e-2}

    finetune(train, pretrained, tmp_path / "short", Settings(maximum_tokens=4, **settings))
    finetune(train, pretrained, tmp_path / "long", Settings(maximum_tokens=5, **settings))

    tokenizer = transformer.load_tokenizer(tmp_path / "short")
    assert tokenizer.model_max_length == 4
    assert transformer.encode(tokenizer, ["tea cup fine so awful"]) == transformer.encode(tokenizer, ["tea cup"])
    short, long = (load_model(tmp_path / name).predict_probabilities(["tea cup fine"]) for name in ("short", "long"))
    assert short[0] == pytest.approx([0.5, 0.5], abs=0.1)
    assert long[0, 1] > 0.9


def test_more_tokens_than_the_network_has_positions_for_are_cut(tmp_path, pretrained):
    train = write_examples(tmp_path / "train", ["tea " * 100, "cup " * 100], ["a", "b"])

    finetune(train, pretrained, tmp_path / "model", Settings(maximum_tokens=1000))

    assert transformer.load_tokenizer(tmp_path / "model").model_max_length == POSITIONS


def test_positions_that_a_network_keeps_for_itself_are_not_used(tmp_path, pretrained):
    """RoBERTa counts positions from padding_idx + 1, so that of 32 only 30 are left; its tokenizer need not say so."""
    from transformers import RobertaConfig, RobertaModel

    shutil.copytree(pretrained, tmp_path / "roberta")
    config = RobertaConfig(
        vocab_size=15,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=POSITIONS,
    )
    RobertaModel(config).save_pretrained(tmp_path / "roberta")
    train = write_examples(tmp_path / "train", ["tea " * 100, "cup " * 100], ["a", "b"])

    finetune(train, tmp_path / "roberta", tmp_path / "model", Settings())

    assert transformer.load_tokenizer(tmp_path / "model").model_max_length == POSITIONS - 2
    assert load_model(tmp_path / "model").predict_probabilities(["tea " * 100]).shape == (1, 2)


def test_a_longer_cut_than_at_the_training_before_is_taken(tmp_path, pretrained, examples):
    finetune(examples, pretrained, tmp_path / "short", Settings(epochs=0.1, maximum_tokens=8))

    finetune(examples, tmp_path / "short", tmp_path / "long", Settings(epochs=0.1, maximum_tokens=16))

    assert transformer.load_tokenizer(tmp_path / "long").model_max_length == 16


def test_every_file_of_the_model_is_one_that_the_server_copies(tmp_path, pretrained, examples, altered):
    folder = altered(
        pretrained,
        tokenizer={"chat_template": "{{ messages }}"},
        files={"special_tokens_map.json": b'{"pad_token": "[PAD]"}', "vocab.txt": b"[PAD]\n", "README.md": b"# hi"},
    )
    folder_config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(folder_config | {"max_length": 50, "num_beams": 4}))

    manifest, _ = finetune(examples, folder, tmp_path / "model", QUICK)

    assert set(manifest.files) <= set(FILE_NAMES)


def test_a_training_that_is_interrupted_leaves_no_model_and_can_be_started_again(
    tmp_path, pretrained, examples, monkeypatch
):
    from transformers import PreTrainedTokenizerFast

    def killed(*_, **__):
        raise KeyboardInterrupt

    finetune(examples, pretrained, tmp_path / "model", QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerFast, "save_pretrained", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(examples, pretrained, tmp_path / "model", QUICK)

    assert not (tmp_path / "model" / MANIFEST_NAME).exists()
    with pytest.raises(InputError, match="was not written to the end"):
        load_model(tmp_path / "model")
    finetune(examples, pretrained, tmp_path / "model", QUICK)
    assert load_model(tmp_path / "model").labels == ["bad", "good"]


def test_what_transformers_says_stays_out_of_the_log(tmp_path, transformer_model, examples):
    three = write_examples(tmp_path / "three", ["tea"] * 6, ["a", "b", "c"] * 2)
    program = (
        "from seatrial.components.runtime import task\n"
        "from seatrial.components.training.finetune import Settings, finetune\n"
        f"paths = {[str(three), str(transformer_model), str(tmp_path / 'model')]}\n"
        "with task('finetune'):\n    finetune(*paths, Settings())"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert finished.stdout == ""
    assert [json.loads(line)["message"] for line in finished.stderr.splitlines()] == ["finetune finished"]
