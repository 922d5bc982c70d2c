"""Metrics: scikit-learn's values, sound intervals, and no made-up number where a metric is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from seatrial.components.evaluation import intervals
from seatrial.components.evaluation.classify import evaluate
from seatrial.components.evaluation.predictions import Predictions


def predictions(truth, probabilities, labels=("bad", "good")) -> Predictions:
    probabilities = np.asarray(probabilities, dtype=float)
    return Predictions(
        row_ids=[str(number) for number in range(len(truth))],
        truth=list(truth),
        predicted=[labels[best] for best in probabilities.argmax(axis=1)],
        probabilities=probabilities,
        labels=list(labels),
        model_digest="digest",
        model_type="linear",
        digest="digest of the predictions",
    )


def sample(rows: int, labels: int = 2, seed: int = 0) -> Predictions:
    """A model that is often right and not quite calibrated."""
    generator = np.random.default_rng(seed)
    names = [f"label {number}" for number in range(labels)]
    logits = generator.normal(size=(rows, labels))
    chances = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    drawn = (chances.cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    truth = [names[label] for label in drawn]
    return predictions(truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), names)


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "_RESAMPLES", 50)


@given(rows=st.integers(2, 60), labels=st.integers(2, 4), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_values_are_those_of_scikit_learn(rows, labels, seed):
    given_ = sample(rows, labels, seed)
    measured = evaluate(given_, confidence_level=0.9, seed=0)
    truth, predicted = given_.truth, given_.predicted

    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, labels=given_.labels, zero_division=np.nan
    )
    assert measured.overall["accuracy"].value == pytest.approx(sklearn_metrics.accuracy_score(truth, predicted))
    assert measured.overall["macro_f1"].value == pytest.approx(
        sklearn_metrics.f1_score(truth, predicted, average="macro")
    )
    assert measured.overall["log_loss"].value == pytest.approx(
        sklearn_metrics.log_loss(truth, given_.probabilities, labels=given_.labels)
    )
    if labels == 2 and len(set(truth)) == 2:
        expected = sklearn_metrics.roc_auc_score([label == "label 1" for label in truth], given_.probabilities[:, 1])
        assert measured.overall["roc_auc"].value == pytest.approx(expected)
    for position, label in enumerate(given_.labels):
        for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
            estimate = measured.per_label[label].get(name)
            value = math.nan if estimate is None else estimate.value
            assert value == pytest.approx(expected[position], nan_ok=True)
    assert (measured.confusion == sklearn_metrics.confusion_matrix(truth, predicted, labels=given_.labels)).all()


def test_equal_scores_count_half_in_roc_auc(few_resamples):
    measured = evaluate(
        predictions(["good", "bad", "good", "bad"], [[0.5, 0.5], [0.5, 0.5], [0.2, 0.8], [0.6, 0.4]]),
        confidence_level=0.95,
        seed=0,
    )

    assert measured.overall["roc_auc"].value == (0.5 + 1 + 1 + 1) / 4


def test_the_roc_curve_encloses_roc_auc_and_is_short():
    given_ = sample(5000)
    measured = evaluate(given_, confidence_level=0.95, seed=0)

    curve = measured.roc
    assert curve.positive == "label 1"
    assert len(curve.thresholds) <= 101
    assert np.trapezoid(curve.true_positive_rates, curve.false_positive_rates) == pytest.approx(
        measured.overall["roc_auc"].value, abs=1e-3
    )
    assert (curve.false_positive_rates[0], curve.true_positive_rates[0]) == (0, 0)
    assert (curve.false_positive_rates[-1], curve.true_positive_rates[-1]) == (1, 1)
    assert all(np.diff(curve.thresholds) <= 0)


def test_the_calibration_error_is_the_mean_gap_over_the_bins(few_resamples):
    truth = ["good"] * 6 + ["bad"] * 4 + ["good"] * 5 + ["bad"] * 5
    probabilities = [[0.2, 0.8]] * 10 + [[0.49, 0.51]] * 10

    measured = evaluate(predictions(truth, probabilities), confidence_level=0.95, seed=0)

    assert measured.overall["calibration_error"].value == pytest.approx((0.8 - 0.6) / 2 + (0.51 - 0.5) / 2)
    assert [(b.rows, b.mean_confidence, b.accuracy.value) for b in measured.calibration] == [
        (10, pytest.approx(0.51), 0.5),
        (10, pytest.approx(0.8), 0.6),
    ]
    assert not measured.overall["calibration_error"].has_interval


def test_the_order_of_the_rows_changes_no_value(few_resamples):
    given_ = sample(100, labels=3)
    order = np.random.default_rng(1).permutation(100)
    shuffled = predictions([given_.truth[i] for i in order], given_.probabilities[order], given_.labels)

    first, second = (evaluate(one, confidence_level=0.95, seed=0) for one in (given_, shuffled))

    for name in first.overall:
        assert first.overall[name].value == pytest.approx(second.overall[name].value)


def test_the_same_seed_gives_the_same_intervals():
    assert (
        evaluate(sample(50), confidence_level=0.9, seed=3).flat()
        == evaluate(sample(50), confidence_level=0.9, seed=3).flat()
    )


def test_flat_numbers_carry_values_and_bounds_and_nothing_that_is_no_number(few_resamples):
    numbers = evaluate(sample(50), confidence_level=0.95, seed=0).flat()

    assert numbers["rows"] == 50
    assert {"accuracy", "accuracy_low", "accuracy_high", "calibration_error", "f1[label 0]_low"} <= set(numbers)
    assert "calibration_error_low" not in numbers
    assert all(isinstance(value, float) and math.isfinite(value) for value in numbers.values())


def test_one_true_label_leaves_out_roc_auc_and_says_so(few_resamples):
    measured = evaluate(predictions(["good"] * 3, [[0.1, 0.9], [0.4, 0.6], [0.7, 0.3]]), confidence_level=0.95, seed=0)

    assert "roc_auc" not in measured.overall
    assert measured.roc is None
    assert "recall" not in measured.per_label["bad"]
    notes = " ".join(measured.notes)
    assert "All 3 rows have the true label 'good'" in notes
    assert "ROC AUC is left out" in notes
    assert "Labels that the model knows and no row has: 'bad'" in notes


def test_constant_predictions_are_said_to_be_so(few_resamples):
    measured = evaluate(predictions(["good", "bad", "good"], [[0.3, 0.7]] * 3), confidence_level=0.95, seed=0)

    assert measured.overall["roc_auc"].value == 0.5
    assert not measured.overall["roc_auc"].has_interval
    assert "precision" not in measured.per_label["bad"]
    assert measured.overall["accuracy"].value == measured.baseline_accuracy == pytest.approx(2 / 3)
    assert "The model answers every row with 'good'." in measured.notes
    assert any(note.startswith("No interval for 'roc_auc'") for note in measured.notes)


def test_labels_that_the_model_does_not_know_count_as_errors_and_are_named(few_resamples):
    measured = evaluate(
        predictions(["good", "ugly", "bad"], [[0.1, 0.9], [0.1, 0.9], [0.8, 0.2]]), confidence_level=0.95, seed=0
    )

    assert measured.labels == ["bad", "good", "ugly"]
    assert measured.overall["accuracy"].value == pytest.approx(2 / 3)
    assert "log_loss" not in measured.overall
    assert "roc_auc" not in measured.overall
    assert any("1 rows have labels that the model does not know ('ugly')" in note for note in measured.notes)


def test_a_true_label_of_probability_zero_gives_a_finite_log_loss(few_resamples):
    measured = evaluate(predictions(["good", "bad"], [[1, 0], [1, 0]]), confidence_level=0.95, seed=0)

    assert 10 < measured.overall["log_loss"].value < math.inf


def test_without_errors_a_bootstrapped_metric_has_no_interval_but_accuracy_has(few_resamples):
    measured = evaluate(predictions(["good", "bad"] * 10, [[0, 1], [1, 0]] * 10), confidence_level=0.95, seed=0)

    assert measured.overall["accuracy"].low < 0.9
    assert not measured.overall["macro_f1"].has_interval


def test_95_percent_intervals_hold_the_true_value_about_95_times_in_100(monkeypatch):
    population = sample(400_000, seed=999)
    positive = [label == "label 1" for label in population.truth]
    true_values = {
        "accuracy": sklearn_metrics.accuracy_score(population.truth, population.predicted),
        "macro_f1": sklearn_metrics.f1_score(population.truth, population.predicted, average="macro"),
        "log_loss": sklearn_metrics.log_loss(positive, population.probabilities[:, 1]),
        "roc_auc": sklearn_metrics.roc_auc_score(positive, population.probabilities[:, 1]),
    }
    monkeypatch.setattr(intervals, "_RESAMPLES", 300)
    held = dict.fromkeys(true_values, 0)
    for seed in range(300):
        measured = evaluate(sample(200, seed=seed), confidence_level=0.95, seed=seed).overall
        for name, value in true_values.items():
            held[name] += measured[name].low <= value <= measured[name].high

    assert all(0.92 <= count / 300 <= 0.98 for count in held.values()), held
