"""The timeline of a rollout: the new model's share of the traffic and, under it, what was compared at each step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from ..axes import Scale, lane
from .intervals import Estimate, wilson

COLORS = {"challenger": "var(--accent)", "champion": "var(--muted)"}
STYLE = """
.timeline { margin: 1.2rem 0 2rem; } .timeline h3 { font-size: .95rem; margin: 1.1rem 0 0; }
.timeline h3 + p { margin: 0; } .axis { color: var(--soft); font-size: .85rem; margin: 0; }
.finding { font-size: .85rem; font-weight: 600; border-radius: 1rem; padding: .1rem .6rem; margin-left: .4rem;
  white-space: nowrap; }
.finding.good { color: #14633a; background: #e2f3e9; } .finding.bad { color: #fff; background: var(--harm); }
.finding.none { color: var(--soft); background: var(--pale); }
.timeline .nowhere { display: none; }
.timeline .inside { fill: #fff; }
.timeline .good { fill: #14633a; font-weight: 600; } .timeline .bad { fill: var(--harm); font-weight: 700; }
.share { fill: var(--accent); } .rest { fill: var(--muted); fill-opacity: .28; } .band { fill: #eef2f6; stroke: #fff; }
.harm { fill: var(--harm); fill-opacity: .13; } .harm-line { stroke: var(--harm); stroke-width: 2; }
.failed { fill: var(--ink); fill-opacity: .55; }
@media (max-width: 58rem) { .timeline .on-widest { display: none; } }
@media (max-width: 40rem) { .timeline .on-wide { display: none; } }
@media print { .timeline svg { break-inside: avoid; } .timeline h3, .timeline .axis { break-after: avoid; } }
"""

UNITS = (("h", 3600), ("min", 60))  # Of long times, with their seconds.
_CONFIDENCE_LEVEL = 0.95
_TALL, _MIDDLING, _LOW = 110, 84, 22  # Pixels.
_WITH_AFTERWARDS = 1.12  # Room for what holds after the last step.
# What a text's class says of the pages on which it fits, and how many pixels wide a lane is on the narrowest of them.
_LEAST_WIDTHS = {"on-any": 270, "on-wide": 550, "on-widest": 810}
_HARMS = {
    "errors": "failed requests",
    "quality": "fewer right answers",
    "latency": "slower answers",
    "no_evidence": "too few answers",
    "drill_missed": "drill, no harm seen",
}


@dataclass(frozen=True)
class Moment:
    """A step of the rollout, and from when to when it was, in seconds since the first step began."""

    step: Mapping[str, Any]
    start: float
    end: float

    @property
    def middle(self) -> float:
        """Where the step's evidence is drawn."""
        return (self.start + self.end) / 2


def model_names(rollout: Mapping[str, Any]) -> dict[str, str]:
    """What to call the two models after what became of them."""
    return {
        "challenger": "new model",
        "champion": "old model" if rollout["outcome"] == "promoted" else "model in service",
    }


def moments(steps: Sequence[Mapping[str, Any]]) -> list[Moment]:
    """Places steps in time.

    Where starts are noted in whole seconds, an overlap with the step before, or a gap below a second, is rounding.
    """
    placed: list[Moment] = []
    for step in steps:
        origin, began = (datetime.fromisoformat(time) for time in (steps[0]["started"], step["started"]))
        start, earliest = (began - origin).total_seconds(), placed[-1].end if placed else 0.0
        whole = not (origin.microsecond or began.microsecond)
        start = earliest if start < earliest or (whole and start < earliest + 1) else start
        placed.append(Moment(step, start, start + step["seconds"]))
    return placed


def harm_of(placed: Sequence[Moment]) -> Moment | None:
    """The step after which the model was taken back; None if there is none."""
    return next((moment for moment in placed if moment.step["decision"] == "roll_back"), None)


def timeline(rollout: Mapping[str, Any], placed: Sequence[Moment]) -> str:
    """Lanes over one axis of time: the share, the decisions, then what was compared."""
    chart = _Chart(rollout, placed, _time(placed[-1].end))
    lanes = [_share_lane, _decision_lane, _accuracy_lane, _latency_lane, _errors_lane]
    return f'<div class="timeline">{"".join(draw(chart) for draw in lanes)}</div>'


@dataclass(frozen=True)
class _Chart:
    """What all lanes are drawn of."""

    rollout: Mapping[str, Any]
    placed: Sequence[Moment]
    time: Scale

    def rectangle(self, kind: str, start: float, end: float, top: float, bottom: float) -> str:
        """A rectangle of a class, from one moment to another."""
        width = 100 * (self.time.share(end) - self.time.share(start))
        return (
            f'<rect class="{kind}" x="{self.time.place(start)}" y="{top:.1f}" width="{width:.2f}%" '
            f'height="{bottom - top:.1f}"/>'
        )

    def backdrop(self, height: int) -> list[str]:
        """The steps as bands, the one that did harm in the colour of harm and with a line at its end."""
        bottom = Scale(0, 1, []).pixels(0, height)
        harm = harm_of(self.placed)
        bands = [
            self.rectangle("harm" if moment is harm else "band", moment.start, moment.end, 0, bottom)
            for moment in self.placed
        ]
        if harm is not None:
            x = self.time.place(harm.end)
            bands.append(f'<line class="harm-line" x1="{x}" x2="{x}" y1="0" y2="{bottom:.1f}"/>')
        return bands

    def fits(self, moment: Moment, pixels: int) -> str:
        """The class of a text of this length in a step: from which width of the page on it is shown."""
        share = self.time.share(moment.end) - self.time.share(moment.start)
        return next((kind for kind, least in _LEAST_WIDTHS.items() if share * least >= pixels), "nowhere")


def _time(end: float) -> Scale:
    """Seconds, with room for what holds after the last step, and ticks in the unit that fits."""
    unit, size = next((unit for unit in UNITS if end >= 3 * unit[1]), ("s", 1))
    ticks = Scale.around(0, end / size, 4, lambda time: f"{time:g} {unit}").ticks
    return Scale(0, (end or 1) * _WITH_AFTERWARDS, [(time * size, name) for time, name in ticks if time * size <= end])


def _share_lane(chart: _Chart) -> str:
    upright = Scale(0, 100, [(0, "0 %"), (50, "50 %"), (100, "100 %")])
    ends = [*(moment.start for moment in chart.placed[1:]), chart.placed[-1].end]
    spans = [(moment.start, end, moment.step["percent"]) for moment, end in zip(chart.placed, ends, strict=True)]
    after = chart.rollout["split_after"].get(chart.rollout["challenger"], 0)
    parts = [_areas(chart, *span, upright) for span in spans]
    parts.append(f'<g opacity=".55">{_areas(chart, chart.placed[-1].end, chart.time.high, after, upright)}</g>')
    parts += [_share_text(chart, moment, upright) for moment in chart.placed]
    parts.append(_harm_text(chart))
    label = "Share of the new model: " + ", ".join(f"{share:g} % from {start:.1f} s" for start, _, share in spans)
    return f"<h3>Share of the traffic that the new model had</h3>{lane(label, chart.time, upright, _TALL, parts)}"


def _areas(chart: _Chart, start: float, end: float, share: float, upright: Scale) -> str:
    """The new model's share and, above it, the rest, if anything else serves."""
    top, middle, bottom = (upright.pixels(percent, _TALL) for percent in (100, share, 0))
    new = chart.rectangle("share", start, end, middle, bottom) if share else ""
    old = chart.rectangle("rest", start, end, top, middle) if share < 100 and chart.rollout["split_before"] else ""
    return new + old


def _share_text(chart: _Chart, moment: Moment, upright: Scale) -> str:
    """The share in words, above the area or, where there is no room, at its foot."""
    percent, top = moment.step["percent"], upright.pixels(moment.step["percent"], _TALL)
    kind, y = ("inside", _TALL) if percent > 70 else ("ink", top - 6)
    return (
        f'<text class="{kind} {chart.fits(moment, 34)}" x="{chart.time.place(moment.middle)}" y="{y:.1f}" '
        f'text-anchor="middle" font-weight="600">{percent} %</text>'
    )


def _harm_text(chart: _Chart) -> str:
    """The moment of harm, as a line with its reason and what followed; nothing if there was none."""
    if (harm := harm_of(chart.placed)) is None:
        return ""
    x, bottom = chart.time.place(harm.end), Scale(0, 1, []).pixels(0, _TALL)
    return (
        f'<line class="harm-line" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>'
        f'<text class="bad over" x="{x}" dx="-8" y="28" text-anchor="end">✗ taken back: '
        f"{escape(harm_in_words(chart.rollout))}</text>"
        f'<text class="bad over" x="{x}" dx="7" y="{bottom - 6}">0 %</text>'
    )


def _decision_lane(chart: _Chart) -> str:
    parts = []
    for moment in chart.placed:
        kind, sign, words = decision_of(moment.step)
        parts.append(
            f'<text class="{kind} {chart.fits(moment, 14)}" x="{chart.time.place(moment.middle)}" y="18" '
            f'text-anchor="middle">{sign}<tspan class="{chart.fits(moment, 84)}"> {words}</tspan></text>'
        )
    label = "Decisions: " + ", ".join(
        f"{decision_of(each.step)[2]} at {each.step['percent']} %" for each in chart.placed
    )
    marks = [*chart.backdrop(_LOW), *parts]
    return f"<h3>What was decided after each step</h3>{lane(label, chart.time, Scale(0, 1, []), _LOW, marks)}"


def decision_of(step: Mapping[str, Any]) -> tuple[str, str, str]:
    """Class, sign and words of what came of a step."""
    if step["decision"] == "roll_back":
        return "bad", "✗", "taken back"
    if not step["percent"]:
        return "soft", "–", "before"
    return "good", "✓", "stays" if step["percent"] == 100 else "went on"


def _accuracy_lane(chart: _Chart) -> str:
    note = f"Share of the labelled rows. The bar is the {100 * _CONFIDENCE_LEVEL:g} % confidence interval."
    drawn = _estimates(chart, "Right answers", accuracy_of, lambda share: f"{100 * share:.3g} %")
    return _heading(chart, "quality", "Right answers", note if drawn else "No row with a label was answered.") + drawn


def _latency_lane(chart: _Chart) -> str:
    note = "The dot: 95 % of the answers came within this time. The bar begins where half of them had come."
    drawn = _estimates(chart, "Time to an answer", _latency_of, milliseconds, lowest=0)
    return _heading(chart, "latency", "Time to an answer", note if drawn else "No request was answered.") + drawn


def accuracy_of(arm: Mapping[str, Any]) -> Estimate | None:
    """A model's accuracy at a step with its interval; None without labelled rows."""
    return wilson(arm["correct"], arm["labelled"], _CONFIDENCE_LEVEL) if arm["labelled"] else None


def _latency_of(arm: Mapping[str, Any]) -> Estimate | None:
    middle, slow = arm["latency_p50_ms"], arm["latency_p95_ms"]
    return None if middle is None or slow is None else Estimate(slow, middle, slow)


def milliseconds(time: float) -> str:
    """A waiting time in the unit that fits."""
    return f"{time:.0f} ms" if time < 999.5 else f"{time / 1000:,.3g} s"


def _estimates(
    chart: _Chart,
    title: str,
    measure: Callable[[Mapping[str, Any]], Estimate | None],
    name: Callable[[float], str],
    lowest: float | None = None,
) -> str:
    """A lane with what was measured of both models at each step; empty if nothing was."""
    measured = [(moment, model, measure(moment.step[model])) for moment in chart.placed for model in COLORS]
    found = [(moment, model, estimate) for moment, model, estimate in measured if estimate is not None]
    if not found:
        return ""
    low = min(estimate.low for _, _, estimate in found) if lowest is None else lowest
    upright = Scale.around(low, max(estimate.high for _, _, estimate in found), 3, name)
    dots = [_dot(chart, moment, model, estimate, upright, name) for moment, model, estimate in found]
    names = model_names(chart.rollout)
    told = [f"{names[model]} {name(estimate.value)} at {moment.step['percent']} %" for moment, model, estimate in found]
    return lane(f"{title}: {', '.join(told)}", chart.time, upright, _MIDDLING, [*chart.backdrop(_MIDDLING), *dots])


def _dot(
    chart: _Chart, moment: Moment, model: str, estimate: Estimate, upright: Scale, name: Callable[[float], str]
) -> str:
    """An estimate with its bar: the new model's right of the step's middle, the other's left of it."""
    side, anchor = (1, "start") if model == "challenger" else (-1, "end")
    x = chart.time.place(moment.middle)
    y, low, high = (upright.pixels(value, _MIDDLING) for value in (estimate.value, estimate.low, estimate.high))
    return (
        f'<g transform="translate({7 * side} 0)"><line x1="{x}" x2="{x}" y1="{low:.1f}" y2="{high:.1f}" '
        f'stroke="{COLORS[model]}" stroke-width="6" stroke-opacity=".45"/><circle cx="{x}" cy="{y:.1f}" r="4.5" '
        f'fill="{COLORS[model]}"/><text class="ink over {chart.fits(moment, 110)}" x="{x}" dx="{8 * side}" '
        f'y="{y + 4:.1f}" text-anchor="{anchor}">{escape(name(estimate.value))}</text></g>'
    )


def _errors_lane(chart: _Chart) -> str:
    rates = [moment.step["errors"] / max(1, moment.step["requests"]) for moment in chart.placed]
    upright = Scale.around(0, max(0.05, *rates), 2, lambda rate: f"{100 * rate:.3g} %")
    height = _MIDDLING if any(rates) else _LOW
    parts = chart.backdrop(height)
    for moment, rate in zip(chart.placed, rates, strict=True):
        top, bottom = upright.pixels(rate, height), upright.pixels(0, height)
        kind, y = ("ink over", top - 5) if top > 24 else ("inside", top + 16)
        parts.append(
            chart.rectangle("failed", moment.start, moment.end, top, bottom)
            + f'<text class="{kind} {chart.fits(moment, 60)}" x="{chart.time.place(moment.middle)}" y="{y:.1f}" '
            f'text-anchor="middle">{failed(moment.step)}</text>'
        )
    label = "Failed requests: " + ", ".join(f"{failed(each.step)} at {each.step['percent']} %" for each in chart.placed)
    note = "Of both models together: a failed request does not say which of them failed it."
    title = "time since the first request of the rollout"
    return _heading(chart, "errors", "Failed requests", note) + lane(
        label, chart.time, upright, height, parts, x_title=title
    )


def failed(step: Mapping[str, Any]) -> str:
    """How many requests of a step failed, of how many."""
    return f"{step['errors']:,} of {step['requests']:,}"


def _heading(chart: _Chart, test: str, title: str, note: str) -> str:
    kind, finding = _finding(chart, test)
    return f'<h3>{title} <span class="finding {kind}">{finding}</span></h3><p class="axis">{note}</p>'


def _finding(chart: _Chart, test: str) -> tuple[str, str]:
    """What a test has found in the whole rollout: class and words."""
    if (harm := harm_of(chart.placed)) is not None and chart.rollout["reason"]["code"] == test:
        return "bad", f"✗ harm found at {harm.step['percent']} %"
    if any(moment.step["p_values"].get(test) is not None for moment in chart.placed):
        return "good", "✓ no harm found"
    return "none", "not compared"


def harm_in_words(rollout: Mapping[str, Any]) -> str:
    """Why the new model was taken back."""
    return _HARMS.get(rollout["reason"]["code"], rollout["reason"]["code"])
