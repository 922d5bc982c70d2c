"""Charts over a common horizontal axis: round ticks, and lanes that are drawn one under the other at any width.

A lane is an SVG without a view box, as in `page.py`: across it positions are percentages, downwards they are pixels,
and text keeps its size. Only a polyline has a view box of its own, which stretches with the lane; its stroke does not.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
.lane { margin-left: 3.3rem; width: calc(100% - 4.2rem); }
.lane .over { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }
"""
_TOP = 10  # Room for half a line of text above the highest tick.
_STRETCHED_WIDTH = 1000


@dataclass(frozen=True)
class Scale:
    """From where to where an axis reaches, and its ticks: value and name."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def around(cls, low: float, high: float, most: int, name: Callable[[float], str]) -> "Scale":
        """A scale that begins and ends with a round tick and holds the values from `low` to `high`."""
        ticks = round_ticks(low, high, most)
        return cls(ticks[0], ticks[-1], [(tick, name(tick)) for tick in ticks])

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0

    def place(self, value: float) -> str:
        """The same, as SVG and CSS have it."""
        return f"{100 * self.share(value):.2f}%"

    def pixels(self, value: float, height: float) -> float:
        """How many pixels below the top of a lane of this height a value lies."""
        return _TOP + height * (1 - self.share(value))


def round_ticks(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that enclose two numbers, in `most` + 1 intervals or fewer."""
    size, extent = max(abs(low), abs(high)), high - low
    if extent <= 1e-6 * size:  # Too close to tell their ticks apart.
        extent = size or 1.0
    power = 10 ** math.floor(math.log10(extent / most))
    step = next(times * power for times in (1, 2, 5, 10) if times * power * most >= extent * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def lane(label: str, x: Scale, y: Scale, height: int, marks: Iterable[str], *, x_title: str = "") -> str:
    """A lane with a line for each tick of `y`, and under it, if it has a title, the axis `x`.

    Args:
        label: What it shows, for who cannot see it.
        x: The scale across.
        y: The scale upwards.
        height: Pixels from the lowest to the highest value.
        marks: Markup of what is drawn on it; `x.place` and `y.pixels` say where.
        x_title: What the horizontal axis counts; empty where another lane carries the axis.
    """
    lines = []
    for tick, name in y.ticks:
        top = y.pixels(tick, height)
        lines.append(
            f'<line x1="0" x2="100%" y1="{top:.1f}" y2="{top:.1f}" stroke="var(--line)"/>'
            f'<text x="-8" y="{top + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        )
    bottom = height + _TOP
    axis = _horizontal_axis(x, bottom, x_title) if x_title else ""
    return (
        f'<svg class="lane" height="{bottom + (42 if x_title else 8)}" role="img" aria-label="{escape(label)}">'
        f"{''.join(lines)}{''.join(marks)}{axis}</svg>"
    )


def _horizontal_axis(x: Scale, bottom: float, title: str) -> str:
    names = "".join(
        f'<line x1="{x.place(tick)}" x2="{x.place(tick)}" y1="{bottom}" y2="{bottom + 4}" stroke="var(--soft)"/>'
        f'<text x="{x.place(tick)}" y="{bottom + 18}" text-anchor="middle">{escape(name)}</text>'
        for tick, name in x.ticks
    )
    return f'{names}<text x="50%" y="{bottom + 36}" text-anchor="middle">{escape(title)}</text>'


def polyline(points: Iterable[tuple[float, float]], x: Scale, y: Scale, height: int, color: str) -> str:
    """A line through points, for a lane of the same scales and height."""
    places = " ".join(
        f"{_STRETCHED_WIDTH * x.share(across):.2f},{height * (1 - y.share(up)):.2f}" for across, up in points
    )
    return (
        f'<svg y="{_TOP}" width="100%" height="{height}" viewBox="0 0 {_STRETCHED_WIDTH} {height}" '
        f'preserveAspectRatio="none"><polyline points="{places}" fill="none" stroke="{color}" stroke-width="2" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/></svg>'
    )
