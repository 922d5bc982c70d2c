"""Metrics of a text classifier on rows whose truth is known, with confidence intervals where sound ones are known."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Estimate, bootstrap, wilson
from .predictions import Predictions

CALIBRATION_BINS = 15
_ROC_POINTS = 100
_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose most probable label has a probability in one of 15 ranges of equal width."""

    rows: int
    mean_confidence: float
    accuracy: Estimate


@dataclass(frozen=True)
class RocCurve:
    """Rates at thresholds on the probability of `positive`, from the highest threshold down."""

    positive: str
    false_positive_rates: list[float]
    true_positive_rates: list[float]
    thresholds: list[float]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured.

    Attributes:
        rows: How many rows.
        labels: The model's labels, then those that only the truth has.
        overall: `accuracy`, `macro_f1`, `log_loss` (nats), `roc_auc`, `calibration_error`: those that are defined.
        per_label: Label → `precision`, `recall`, `f1`: those that are defined.
        baseline_accuracy: What answering every row with the most frequent true label would reach.
        confusion: Counts, shape (labels, labels): true label × predicted label.
        calibration: The bins that have rows.
        roc: None where it is undefined.
        notes: What a reader must know: what was left out and why.
    """

    rows: int
    labels: list[str]
    overall: dict[str, Estimate]
    per_label: dict[str, dict[str, Estimate]]
    baseline_accuracy: float
    confusion: np.ndarray
    calibration: list[CalibrationBin]
    roc: RocCurve | None
    notes: list[str]

    def flat(self) -> dict[str, float]:
        """All numbers by name, for a metrics artifact: `accuracy`, `accuracy_low`, `accuracy_high`, `f1[LABEL]`, …."""
        estimates = dict(self.overall)
        for label, metrics in self.per_label.items():
            estimates |= {f"{name}[{label}]": estimate for name, estimate in metrics.items()}
        numbers = {"rows": float(self.rows), "baseline_accuracy": self.baseline_accuracy}
        for name, estimate in estimates.items():
            numbers[name] = estimate.value
            if estimate.has_interval:
                numbers |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return numbers


def evaluate(predictions: Predictions, *, confidence_level: float, seed: int) -> Evaluation:
    """Measures how good predictions are.

    Accuracy, precision and recall are proportions with Wilson intervals. Macro F1 (mean over the labels that occur, in
    truth or prediction), the F1 of each label and log loss have percentile bootstrap intervals, ROC AUC too, stratified
    by the true label. The calibration error (expected calibration error of the most probable label in 15 bins of equal
    width; Guo et al. 2017) has no interval: it is biased upwards in samples, and more so in resamples.

    Args:
        predictions: One model's predictions.
        confidence_level: Of all intervals, from 0.5 to 0.9999.
        seed: Seed of the bootstrap.
    """
    labels = [*predictions.labels, *sorted(set(predictions.truth) - set(predictions.labels))]
    code = {label: position for position, label in enumerate(labels)}
    truth = np.array([code[label] for label in predictions.truth])
    predicted = np.array([code[label] for label in predictions.predicted])
    unknown = len(labels) - len(predictions.labels)  # labels that the model gives no probability
    probabilities = np.pad(predictions.probabilities, [(0, 0), (0, unknown)])
    correct = truth == predicted
    confusion = np.bincount(truth * len(labels) + predicted, minlength=len(labels) ** 2).reshape(len(labels), -1)

    overall = {"accuracy": wilson(int(correct.sum()), len(truth), confidence_level)}
    f1, overall["macro_f1"], log_loss = _f1_and_log_loss(truth, predicted, probabilities, confidence_level, seed)
    if not unknown:
        overall["log_loss"] = log_loss
    binary = not unknown and len(labels) == 2 and len(set(predictions.truth)) == 2
    if binary:
        overall["roc_auc"] = _roc_auc(truth == 1, probabilities[:, 1], confidence_level, seed)
    calibration = _calibration(probabilities.max(axis=1), correct, confidence_level)
    overall["calibration_error"] = Estimate(
        sum(b.rows * abs(b.mean_confidence - b.accuracy.value) for b in calibration) / len(truth)
    )
    return Evaluation(
        rows=len(truth),
        labels=labels,
        overall=overall,
        per_label={
            label: _label_metrics(confusion, position, f1.get(position), confidence_level)
            for position, label in enumerate(labels)
        },
        baseline_accuracy=confusion.sum(axis=1).max() / len(truth),
        confusion=confusion,
        calibration=calibration,
        roc=_roc_curve(truth == 1, probabilities[:, 1], labels[1]) if binary else None,
        notes=_notes(predictions, labels, overall),
    )


def _label_metrics(
    confusion: np.ndarray, position: int, f1: Estimate | None, confidence_level: float
) -> dict[str, Estimate]:
    right = int(confusion[position, position])
    metrics = {}
    if answered := int(confusion[:, position].sum()):
        metrics["precision"] = wilson(right, answered, confidence_level)
    if support := int(confusion[position].sum()):
        metrics["recall"] = wilson(right, support, confidence_level)
    if f1 is not None:
        metrics["f1"] = f1
    return metrics


def _f1_and_log_loss(
    truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, confidence_level: float, seed: int
) -> tuple[dict[int, Estimate], Estimate, Estimate]:
    """F1 of each label that occurs, by its position; their mean; the log loss."""
    occurring = np.union1d(truth, predicted)
    true_rows, predicted_rows = (codes[:, None] == occurring for codes in (truth, predicted))
    right = (true_rows & predicted_rows).astype(np.float64)
    occurrences = true_rows.astype(np.float64) + predicted_rows
    losses = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _SMALLEST_PROBABILITY))

    def statistics(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a resample may lack a label
            f1 = 2 * (weights @ right) / (weights @ occurrences)
        return np.column_stack([f1, np.nanmean(f1, axis=1), weights @ losses / len(truth)])

    *f1, macro_f1, log_loss = bootstrap(statistics, [len(truth)], confidence_level=confidence_level, seed=seed)
    return dict(zip(occurring.tolist(), f1, strict=True)), macro_f1, log_loss


def _roc_auc(positive: np.ndarray, scores: np.ndarray, confidence_level: float, seed: int) -> Estimate:
    """Probability that a positive row scores higher than a negative one, equal scores counting half."""
    positives, negatives = scores[positive], np.sort(scores[~positive])
    below, not_above = (np.searchsorted(negatives, positives, side=side) for side in ("left", "right"))

    def statistics(weights: np.ndarray) -> np.ndarray:
        won = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(weights[:, len(positives) :], axis=1, out=won[:, 1:])
        wins = (weights[:, : len(positives)] * (won[:, below] + won[:, not_above]) / 2).sum(axis=1)
        return (wins / (len(positives) * len(negatives)))[:, None]

    strata = [len(positives), len(negatives)]
    return bootstrap(statistics, strata, confidence_level=confidence_level, seed=seed)[0]


def _roc_curve(positive: np.ndarray, scores: np.ndarray, label: str) -> RocCurve:
    """At most 100 points: artifact metadata is limited in size."""
    order = np.argsort(-scores, kind="stable")
    last_of_each_score = np.flatnonzero(np.diff(scores[order], append=-1.0))
    keep = last_of_each_score[np.unique(np.linspace(0, len(last_of_each_score) - 1, _ROC_POINTS).round().astype(int))]
    true_positives, false_positives = np.cumsum(positive[order])[keep], np.cumsum(~positive[order])[keep]
    return RocCurve(
        positive=label,
        false_positive_rates=[0.0, *(false_positives / (~positive).sum()).tolist()],
        true_positive_rates=[0.0, *(true_positives / positive.sum()).tolist()],
        thresholds=[1.0, *scores[order][keep].tolist()],
    )


def _calibration(confidences: np.ndarray, correct: np.ndarray, confidence_level: float) -> list[CalibrationBin]:
    bins = np.minimum((confidences * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        CalibrationBin(
            rows=int(inside.sum()),
            mean_confidence=float(confidences[inside].mean()),
            accuracy=wilson(int(correct[inside].sum()), int(inside.sum()), confidence_level),
        )
        for inside in (bins == position for position in np.unique(bins))
    ]


def _notes(predictions: Predictions, labels: list[str], overall: dict[str, Estimate]) -> list[str]:
    notes = []
    occurring = Counter(predictions.truth)
    if len(occurring) == 1:
        notes.append(
            f"All {len(predictions.truth):,} rows have the true label {predictions.truth[0]!r}: nothing here says how "
            "the model does on other labels."
        )
    if unknown := labels[len(predictions.labels) :]:
        rows = sum(occurring[label] for label in unknown)
        notes.append(
            f"{rows:,} rows have labels that the model does not know ({_listed(unknown)}). They count as errors; log "
            "loss is left out, as the model gives them no probability."
        )
    if unseen := [label for label in predictions.labels if label not in occurring]:
        notes.append(f"Labels that the model knows and no row has: {_listed(unseen)}. Their recall is left out.")
    if len(set(predictions.predicted)) == 1:
        notes.append(f"The model answers every row with {predictions.predicted[0]!r}.")
    if "roc_auc" not in overall:
        notes.append(
            "ROC AUC is left out: it is defined for two labels that the model knows and that both occur in the truth."
        )
    if without := [
        name for name in ("macro_f1", "log_loss", "roc_auc") if name in overall and not overall[name].has_interval
    ]:
        notes.append(
            f"No interval for {_listed(without)}: all resamples of these rows give the same value, which says nothing "
            "of rows that are not here."
        )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
