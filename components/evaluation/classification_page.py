"""The evaluation of a classifier as one HTML page."""

from html import escape

from ..page import Html, Measured, confusion_matrix, figure, interval_chart, most_frequent, page, shortened, table
from .classify import CALIBRATION_BINS, Evaluation, RocCurve
from .intervals import Estimate

EXPLANATIONS = {
    "accuracy": ("Accuracy", "share of rows with the right label", "Wilson"),
    "macro_f1": ("Macro F1", "mean over the labels of the balance of precision and recall", "bootstrap"),
    "roc_auc": ("ROC AUC", "chance that a row of one label scores above a row of the other", "bootstrap"),
    "log_loss": ("Log loss", "mean of −ln(probability given to the true label), in nats; 0 is perfect", "bootstrap"),
    "calibration_error": ("Calibration error", "mean gap of stated probability and share right; 0 is perfect", "none"),
}
_STYLE = """
.charts { display: flex; flex-wrap: wrap; gap: 2.6rem; } .charts > div { max-width: 100%; }
.note { background: #fff7e0; border-left: 4px solid #e0a800; padding: .5rem .8rem; max-width: none; }
"""


def classification_page(evaluation: Evaluation, *, title: str, subtitle: str, confidence_level: float) -> str:
    """Renders the page.

    Args:
        evaluation: What was measured.
        title: Heading of the page.
        subtitle: Which model, as text.
        confidence_level: Of the intervals in the evaluation.
    """
    accuracy = evaluation.overall["accuracy"]
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in evaluation.notes)
    head = (
        f'<h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p>'
        f"<p>The model gives the right label to <b>{_percent(accuracy)}</b> of {evaluation.rows:,} rows. Answering "
        f"every row with the most frequent label would reach {100 * evaluation.baseline_accuracy:.1f} %. Square "
        f"brackets hold {100 * confidence_level:g} % confidence intervals: of many such samples, this share of "
        f"intervals holds the true value.</p>{notes}"
    )
    charts = {
        "Confusion": confusion_matrix(evaluation.labels, evaluation.confusion.tolist()),
        "Calibration": _calibration(evaluation),
    }
    if evaluation.roc is not None:
        charts["ROC curve"] = _roc(evaluation.roc)
    drawn = "".join(f"<div><h2>{name}</h2>{chart}</div>" for name, chart in charts.items())
    sections = [
        head,
        f"<h2>Metrics</h2>{_overall_table(evaluation)}",
        f"<h2>Labels</h2>{_label_table(evaluation)}",
        f"<h2>Intervals</h2>{_intervals(evaluation)}",
        f'<div class="charts">{drawn}</div>',
    ]
    return page(title, sections, _STYLE)


def _percent(estimate: Estimate) -> str:
    interval = "" if not estimate.has_interval else f" [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
    return f"{100 * estimate.value:.1f} %{interval}"


def _breakable(estimate: Estimate | str) -> Html:
    """The estimate for a table's cell, which a narrow screen may break before the interval but not inside."""
    return Html(" ".join(f"<span>{part}</span>" for part in str(estimate).split(" ", maxsplit=1)))


def _overall_table(evaluation: Evaluation) -> str:
    rows = [
        (name, _breakable(evaluation.overall[key]), meaning, interval)
        for key, (name, meaning, interval) in EXPLANATIONS.items()
        if key in evaluation.overall
    ]
    return table(["Metric", "Value", "What it is", "Interval"], rows, numbers=(1,))


def _label_table(evaluation: Evaluation) -> str:
    rows = [
        (
            label,
            f"{int(evaluation.confusion[position].sum()):,}",
            *(_breakable(evaluation.per_label[label].get(name, "–")) for name in ("precision", "recall", "f1")),
        )
        for position, label in enumerate(evaluation.labels)
    ]
    return table(["Label", "Rows", "Precision", "Recall", "F1"], rows, numbers=range(1, 5)) + (
        '<p class="soft">Precision: of the rows given this label, the share that has it. Recall: of the rows that have '
        "it, the share given it.</p>"
    )


def _intervals(evaluation: Evaluation) -> str:
    """Estimates that are shares, of the model and of its most frequent labels."""
    estimates = [
        (EXPLANATIONS[name][0], estimate)
        for name, estimate in evaluation.overall.items()
        if name in ("accuracy", "macro_f1", "roc_auc")
    ]
    for label in (evaluation.labels[position] for position in most_frequent(evaluation.confusion.tolist())):
        estimates += [(f"{name.capitalize()}: {label}", value) for name, value in evaluation.per_label[label].items()]
    lines = [
        Measured(shortened(name, 30), str(found), found.value, (found.low, found.high) if found.has_interval else None)
        for name, found in estimates
    ]
    baseline = evaluation.baseline_accuracy
    lines.insert(1, Measured("Accuracy of the most frequent label", f"{baseline:.3f}", baseline, color="var(--muted)"))
    return interval_chart("Metrics with intervals", lines, [(fifth / 5, f"{fifth / 5:g}") for fifth in range(6)])


def _calibration(evaluation: Evaluation) -> str:
    parts = _unit_square("stated probability", "share right")
    most = max(calibration_bin.rows for calibration_bin in evaluation.calibration)
    for calibration_bin in evaluation.calibration:
        x, accuracy = _x(calibration_bin.mean_confidence), calibration_bin.accuracy
        height = 40 * calibration_bin.rows / most
        width = 270 / CALIBRATION_BINS - 3
        parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{_y(0) - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
            'fill="var(--line)"/>'
        )
        tip = f"{calibration_bin.rows:,} rows: stated {calibration_bin.mean_confidence:.3f}, right {accuracy}"
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(accuracy.low):.1f}" y2="{_y(accuracy.high):.1f}" '
            'stroke="var(--accent)" stroke-opacity=".5" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{_y(accuracy.value):.1f}" r="4" fill="var(--accent)">'
            f"<title>{tip}</title></circle>"
        )
    caption = "On the diagonal, stated probabilities come true. Bars: how many rows."
    return figure(330, 335, "Calibration", parts, caption)


def _roc(curve: RocCurve) -> str:
    points = " ".join(
        f"{_x(false):.1f},{_y(true):.1f}"
        for false, true in zip(curve.false_positive_rates, curve.true_positive_rates, strict=True)
    )
    parts = _unit_square("false positive rate", "true positive rate")
    parts.append(f'<polyline points="{points}" fill="none" stroke="var(--accent)" stroke-width="2"/>')
    caption = f"By the probability of {curve.positive!r}; the diagonal is chance."
    return figure(330, 335, "ROC curve", parts, caption)


def _x(share: float) -> float:
    return 45 + 270 * share


def _y(share: float) -> float:
    return 280 - 270 * share


def _unit_square(x_label: str, y_label: str) -> list[str]:
    ticks = "".join(
        f'<text x="{_x(tick)}" y="297" text-anchor="middle">{tick:g}</text>'
        f'<text x="38" y="{_y(tick) + 4}" text-anchor="end">{tick:g}</text>'
        for tick in (0, 0.5, 1)
    )
    return [
        f'<rect x="{_x(0)}" y="{_y(1)}" width="270" height="270" fill="none" stroke="var(--line)"/>{ticks}'
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="var(--soft)" stroke-dasharray="4 4"/>'
        f'<text x="{_x(0.5)}" y="318" text-anchor="middle">{x_label}</text>'
        f'<text transform="translate(14 {_y(0.5)}) rotate(-90)" text-anchor="middle">{y_label}</text>'
    ]
