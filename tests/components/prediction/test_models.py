"""Model folders: what is loaded predicts, and a folder whose parts do not fit together is refused."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from seatrial.components.artifacts import write_folder
from seatrial.components.prediction.models import LinearClassifier, load_model, save_model
from seatrial.components.runtime import InputError


def rewrite(folder, *, config=None, vocabulary=None, tensors=None, files=None):
    """Writes the folder again with a manifest that is in order, but other contents."""
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "_MANIFEST.json"}
    if config is not None:
        contents["config.json"] = json.dumps(config).encode()
    if vocabulary is not None:
        contents["vocabulary.json"] = json.dumps(vocabulary).encode()
    contents |= files or {}
    changed = load_file(folder / "model.safetensors") | (tensors or {})
    with write_folder(folder, kind="model", metadata={}) as empty:
        for name, content in contents.items():
            if content is not None:
                (empty / name).write_bytes(content)
        if tensors is not None:
            save_file(
                {name: tensor for name, tensor in changed.items() if tensor is not None}, empty / "model.safetensors"
            )


def test_a_linear_model_predicts_the_softmax_of_its_scores(linear_model):
    model = load_model(linear_model)

    probabilities = model.predict_probabilities(["a fine day", "awful", "neither"])

    sigmoid = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(probabilities, [[1 - sigmoid, sigmoid], [sigmoid, 1 - sigmoid], [0.5, 0.5]])
    assert (model.labels, model.model_type) == (["bad", "good"], "linear")


def test_a_majority_class_model_answers_every_text_alike(majority_model):
    model = load_model(majority_model)

    assert model.predict_probabilities(["a", "b"]).tolist() == [[0.25, 0.75], [0.25, 0.75]]
    assert model.model_type == "majority_class"


def test_tensors_come_back_as_they_were_however_they_lie_in_memory(tmp_path):
    coefficients = np.asfortranarray([[1.0, 2.0], [3.0, 4.0]])
    save_model(
        tmp_path / "m",
        model_type="linear",
        labels=["a", "b"],
        tensors={
            "inverse_document_frequencies": np.arange(1.0, 5.0)[::2],
            "coefficients": coefficients,
            "intercepts": np.zeros(2),
        },
        vocabulary={"fine": 0, "awful": 1},
        metadata={},
    )

    model = load_model(tmp_path / "m")

    assert (model.coefficients == coefficients).all()
    assert model.inverse_document_frequencies.tolist() == [1.0, 3.0]


def test_no_texts_have_no_probabilities(linear_model, majority_model):
    assert load_model(linear_model).predict_probabilities([]).shape == (0, 2)
    assert load_model(majority_model).predict_probabilities([]).shape == (0, 2)


TEXTS = st.lists(st.lists(st.sampled_from(["fine", "awful", "other"])).map(" ".join), min_size=1, max_size=6)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_texts_probabilities_do_not_depend_on_its_neighbours(texts, labels, seed):
    generator = np.random.default_rng(seed)
    model = LinearClassifier(
        labels=[str(number) for number in range(labels)],
        digest="",
        vocabulary={"fine": 0, "awful": 1, "fine awful": 2},
        inverse_document_frequencies=generator.uniform(1, 5, 3),
        coefficients=generator.normal(0, 100, (labels, 3)),
        intercepts=generator.normal(0, 100, labels),
    )

    together = model.predict_probabilities(texts)

    assert (together >= 0).all()
    np.testing.assert_allclose(together.sum(axis=1), 1)
    for row, text in zip(together, texts, strict=True):
        assert (model.predict_probabilities([text])[0] == row).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": {"model_type": "pickle", "labels": ["a"]}},
            "model_type is 'pickle'; expected 'linear' or 'majority",
        ),
        ({"config": {"labels": ["a"]}}, "model_type is None"),
        ({"config": {"model_type": ["linear"], "labels": ["a"]}}, r"model_type is \['linear'\]"),
        ({"config": {"model_type": "linear", "labels": []}}, "labels is not a list of one or more distinct strings"),
        ({"config": {"model_type": "linear", "labels": ["a", "a"]}}, "labels is not a list"),
        ({"config": {"model_type": "linear", "labels": ["a", 1]}}, "labels is not a list"),
        ({"config": {"model_type": "linear", "labels": ["a", "b", "c"]}}, "the rest of the model needs .*3, 2"),
        ({"config": ["linear"]}, "holds a JSON list; expected an object"),
        ({"files": {"config.json": b"{"}}, "is no JSON document"),
        ({"files": {"config.json": b"[" * 100_000}}, "is no JSON document"),
        ({"files": {"config.json": None}}, "has no .*config.json"),
        ({"files": {"vocabulary.json": None}}, "has no .*vocabulary.json"),
        ({"vocabulary": {}}, "does not map one or more terms to whole numbers"),
        ({"vocabulary": {"awful": 0, "fine": True}}, "does not map"),
        ({"vocabulary": {"awful": 0, "fine": 2}}, "are not 0 to 1, each once"),
        ({"vocabulary": {"awful": 0, "fine": -1}}, "are not 0 to 1, each once"),
        ({"vocabulary": {"awful": 0, "fine": 0}}, "are not 0 to 1, each once"),
        ({"vocabulary": {"awful": 0, "fine": 1, "more": 2}}, "the rest of the model needs"),
        ({"tensors": {"coefficients": np.zeros((2, 2), np.float32)}}, "float32.*the rest of the model needs"),
        ({"tensors": {"coefficients": np.zeros((2, 3))}}, "the rest of the model needs"),
        ({"tensors": {"intercepts": None}}, "the rest of the model needs"),
        ({"tensors": {"extra": np.zeros(1)}}, "the rest of the model needs"),
        ({"tensors": {"intercepts": np.array([0.0, np.nan])}}, "intercepts has values that are no numbers or beyond"),
        ({"tensors": {"intercepts": np.array([0.0, 1e300])}}, "intercepts has values"),
        ({"tensors": {"inverse_document_frequencies": np.array([0.0, 1.0])}}, "are not all above 0"),
        ({"files": {"model.safetensors": b"\x80\x04K\x01."}}, "cannot be read as safetensors"),
        ({"files": {"model.safetensors": b"\xff" * 64}}, "cannot be read as safetensors"),
        ({"files": {"model.safetensors": None}}, "has no .*model.safetensors"),
    ],
)
def test_a_folder_whose_parts_do_not_fit_together_is_refused(linear_model, changes, message):
    rewrite(linear_model, **changes)

    with pytest.raises(InputError, match=message):
        load_model(linear_model)


@pytest.mark.parametrize("frequencies", [[0.5, 0.4], [-0.5, 1.5], [np.nan, 1.0]])
def test_frequencies_that_are_no_shares_are_refused(majority_model, frequencies):
    rewrite(majority_model, tensors={"frequencies": np.array(frequencies)})

    with pytest.raises(InputError, match="frequencies"):
        load_model(majority_model)


def test_a_model_that_is_too_large_is_refused_before_it_is_read(linear_model, monkeypatch):
    monkeypatch.setattr("seatrial.components.prediction.models.LARGEST_FOLDER_BYTES", 100)

    with pytest.raises(InputError, match="at most 100 are loaded"):
        load_model(linear_model)


def test_a_file_that_the_manifest_does_not_list_is_not_loaded(linear_model):
    content = (linear_model / "vocabulary.json").read_bytes()
    rewrite(linear_model, files={"vocabulary.json": None})
    (linear_model / "vocabulary.json").write_bytes(content)

    with pytest.raises(InputError, match="manifest .* has no vocabulary.json"):
        load_model(linear_model)


def test_a_model_is_hashed_once_when_written_and_once_when_loaded(tmp_path, majority_model, hashed):
    load_model(majority_model)

    assert sorted(hashed) == ["config.json", "model.safetensors"]


def test_a_file_that_was_changed_later_is_refused(linear_model):
    (linear_model / "vocabulary.json").write_text('{"fine": 0, "awful": 1}')

    with pytest.raises(InputError, match="is not what was written"):
        load_model(linear_model)


def test_a_transformer_that_is_too_large_is_refused_before_it_is_read(transformer_model, monkeypatch):
    monkeypatch.setattr("seatrial.components.prediction.models.LARGEST_FOLDER_BYTES", 100)

    with pytest.raises(InputError, match="at most 100 are loaded"):
        load_model(transformer_model)


def test_a_transformer_is_hashed_once_when_loaded(transformer_model, hashed):
    load_model(transformer_model)

    assert sorted(hashed) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def test_a_transformers_file_that_was_changed_later_is_refused(transformer_model, tmp_path):
    shutil.copytree(transformer_model, tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_text("{}")

    with pytest.raises(InputError, match="tokenizer.json is not what was written"):
        load_model(tmp_path / "m")


def test_serving_a_linear_model_needs_neither_scikit_learn_nor_scipy_nor_torch(linear_model):
    program = (
        "import sys; from seatrial.components.prediction.server import answer, load_model;"
        f'answer(load_model({str(linear_model)!r}), b\'{{"instances": ["fine"]}}\');'
        "heavy = {'sklearn', 'scipy', 'pandas', 'kfp', 'torch', 'transformers'};"
        "print({name.split('.')[0] for name in sys.modules} & heavy)"
    )

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
