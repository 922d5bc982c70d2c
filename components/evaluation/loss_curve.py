"""The loss curve in a run's report: read from the model's metadata, checked, drawn and explained."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..axes import Scale, lane, polyline
from ..runtime import InputError

MOST_POINTS = 200
_HEIGHT = 190
_COLOR = "var(--accent)"
_ADVICE = "Pass the model as its training component wrote it."


@dataclass(frozen=True)
class LossCurve:
    """How a training went.

    Attributes:
        points: Rows seen, and the mean training loss (nats) over the rows since the point before.
        labels: How many labels the model tells apart; None if unknown.
        rows_per_second: Speed of the training; None if unknown.
        epochs: How often it went over its rows; None if unknown.
        training_rows: How many rows it had; None if unknown.
    """

    points: Sequence[tuple[float, float]]
    labels: int | None = None
    epochs: float | None = None
    training_rows: float | None = None


def loss_curve_of(metadata: Mapping[str, Any]) -> LossCurve | None:
    """The loss curve in the metadata of a model artifact; None if it has none.

    Raises:
        InputError: If there is one that is no list of at most `MOST_POINTS` pairs of numbers with growing rows, or a
            number beside it is none.
    """
    points = metadata.get("loss_curve")
    if points is None or points == []:
        return None
    labels = metadata.get("labels")
    return LossCurve(
        _checked_points(points),
        labels=len(labels) if isinstance(labels, list) else None,
        epochs=_optional_number(metadata.get("parameters", {}), "epochs"),
        training_rows=_optional_number(metadata, "training_rows"),
    )


def _checked_points(points: object) -> list[tuple[float, float]]:
    if not isinstance(points, list):
        raise InputError(f"The model has the loss_curve {repr(points)[:200]}; expected a list. {_ADVICE}")
    if len(points) > MOST_POINTS:
        raise InputError(
            f"The model's loss_curve has {len(points):,} points; expected {MOST_POINTS} at most. {_ADVICE}"
        )
    for position, point in enumerate(points):
        if not (isinstance(point, list | tuple) and len(point) == 2 and all(map(_is_amount, point))):
            raise InputError(
                f"The model's loss_curve[{position}] is {repr(point)[:200]}; expected a pair [rows_seen, "
                f"training_loss] of numbers of 0 or more. {_ADVICE}"
            )
        if position and point[0] <= points[position - 1][0]:
            raise InputError(
                f"The model's loss_curve[{position}] has seen {point[0]:,.10g} rows, the point before it "
                f"{points[position - 1][0]:,.10g}; expected more. {_ADVICE}"
            )
    return [(rows, loss) for rows, loss in points]


def _optional_number(metadata: Mapping[str, Any], name: str) -> float | None:
    value = metadata.get(name)
    if value is not None and not _is_amount(value):
        raise InputError(
            f"The model has the {name!r} {repr(value)[:200]}; expected a number of 0 or more, or none. {_ADVICE}"
        )
    return value


def _is_amount(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]


def loss_section(curve: LossCurve | None) -> str:
    """The section of the page; nothing without a curve."""
    if curve is None:
        return ""
    first, last = curve.points[0][1], curve.points[-1][1]
    trend = (
        "It fell while the model learned from its rows, as it should. A curve that still falls steeply at its end says "
        "that longer training may help; one that is flat, that it would not."
        if last < first
        else "The loss ended higher than it began: this training did not go as it should."
    )
    return (
        f"<h2>How did the training go?</h2><p>{_story(curve)}</p>{_chart(curve)}"
        "<p class='soft'>The loss is the mean of −ln(probability that the model gave to the right label): 0 would be "
        f"perfect.{_cost_of_guessing(curve)} {trend} It is measured on the rows that the model learns from; how good "
        "the model is on rows that it has never seen stands above.</p>"
    )


def _story(curve: LossCurve) -> str:
    (_, first), (rows, last) = curve.points[0], curve.points[-1]
    passes = ""
    if curve.epochs is not None and curve.training_rows is not None:
        passes = f", {curve.epochs:g} {'pass' if curve.epochs == 1 else 'passes'} over {curve.training_rows:,.0f} rows"
    return f"The training loss went from {first:.3f} to {last:.3f} nats in {rows:,.0f} rows{passes}."


def _cost_of_guessing(curve: LossCurve) -> str:
    if not curve.labels or curve.labels < 2:
        return ""
    return f" Guessing evenly among {curve.labels:,} labels would cost {math.log(curve.labels):.3f}."


def _chart(curve: LossCurve) -> str:
    most_rows, highest = curve.points[-1][0], max(loss for _, loss in curve.points)
    upright = Scale.around(0, highest, 4, lambda loss: f"{loss:g}")
    ticks = [(rows, name) for rows, name in Scale.around(0, most_rows, 4, lambda rows: f"{rows:,.10g}").ticks]
    across = Scale(0, most_rows, [tick for tick in ticks if tick[0] <= most_rows])
    marks = [polyline(curve.points, across, upright, _HEIGHT, _COLOR)]
    ends = {curve.points[0]: "start", curve.points[-1]: "end"}
    marks += [
        _end(across.place(rows), upright.pixels(loss, _HEIGHT), f"{loss:.3f}", anchor)
        for (rows, loss), anchor in ends.items()
    ]
    label = f"Training loss from {curve.points[0][1]:.3f} to {curve.points[-1][1]:.3f} nats"
    chart = lane(label, across, upright, _HEIGHT, marks, x_title="rows seen in training")
    return f"<p class='axis'>loss, in nats</p>{chart}"


def _end(x: str, y: float, text: str, anchor: str) -> str:
    return (
        f'<circle cx="{x}" cy="{y:.1f}" r="4" fill="{_COLOR}"/><text class="ink over" x="{x}" y="{y - 10:.1f}" '
        f'text-anchor="{anchor}" font-weight="600">{text}</text>'
    )
