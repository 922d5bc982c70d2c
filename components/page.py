"""Self-contained HTML pages: skeleton, style, tables, bars, intervals and the confusion matrix of every report.

No script, nothing from the network; what is not `Html` is escaped. Bars and intervals are SVG without a view box:
positions are percentages and text keeps its size, so they read the same on a wide screen, on a telephone and on paper.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

LARGEST_MATRIX = 12
_STYLE = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dde3e9; --pale: #f4f7fa; --accent: #1f6fb2; --muted: #8391a0; }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: .4rem 0 .8rem; } h2 { font-size: 1.15rem; margin: 0 0 .5rem; }
section { margin: 2.6rem 0; } p { margin: .3rem 0 .7rem; max-width: 46rem; } .soft { color: var(--soft); }
p, li, h1, figcaption, .bars span { overflow-wrap: anywhere; } ul { margin: .3rem 0 .9rem; padding-left: 1.2rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.cards div { background: var(--pale); border-radius: .5rem; padding: .7rem .9rem; line-height: 1.35; }
.cards b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
.number + td:not(.number), .number + th:not(.number) { padding-left: .6rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding-left: .6rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
.facts { width: 100%; } .facts td { overflow-wrap: anywhere; }
.facts td:first-child { color: var(--soft); width: 15rem; }
svg { display: block; width: 100%; overflow: visible; }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft); } svg .ink { fill: var(--ink); }
figure { display: table; margin: 0; } figure svg { width: auto; }
figcaption { display: table-caption; caption-side: bottom; color: var(--soft); }
.bars { display: grid; grid-template-columns: minmax(9rem, 22rem) 1fr max-content; gap: .35rem .9rem;
  align-items: center; margin-bottom: .7rem; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: .15em; margin: 0 .35em 0 1em; }
.key:first-child { margin-left: 0; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; padding: 0 .9rem; } h1 { font-size: 1.4rem; } .cards { grid-template-columns: 1fr 1fr; }
  table { font-size: .9rem; } th, td { padding-right: .3rem; } .number { padding-left: .2rem; white-space: normal; }
  .number span { white-space: nowrap; } .number span + span { font-size: .75rem; }
  .bars { grid-template-columns: 1fr max-content; }
  .bars span:nth-child(3n + 1) { grid-column: 1 / 3; margin-top: .4rem; }
  .facts td { display: block; border: 0; padding: 0; }
  .facts td:last-child { border-bottom: 1px solid var(--line); padding-bottom: .4rem; margin-bottom: .3rem; }
}
@media print {
  :root { font-size: 13px; } svg text { font-size: 11px; }
  body { margin: 0; max-width: none; font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section { margin: 1.4rem 0; } .cards, .bars > *, figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .wide { overflow: visible; } figure, figcaption { display: block; } figure svg { max-width: 100%; height: auto; }
}
"""


class Html(str):
    """Text that is markup already."""


@dataclass(frozen=True)
class Measured:
    """One line of an interval chart.

    Attributes:
        name: What was measured.
        text: The value and its interval, as they are to be read.
        value: Where the dot is, on the chart's scale.
        interval: From where to where the bar reaches; None for no bar.
        color: Of dot and bar, as in CSS.
    """

    name: str
    text: str
    value: float
    interval: tuple[float, float] | None = None
    color: str = "var(--accent)"


def page(title: str, sections: Iterable[str], style: str = "") -> str:
    """A whole page.

    Args:
        title: Of the window; text.
        sections: Markup; empty ones are left out.
        style: Rules that only this page needs.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head><body>\n"
        + "\n".join(f"<section>{section}</section>" for section in sections if section)
        + "\n</body></html>\n"
    )


def cards(numbers: Iterable[tuple[str, str]]) -> str:
    """The numbers that matter most, large: name and value of each."""
    items = "".join(f"<div><b>{_html(value)}</b>{_html(name)}</div>" for name, value in numbers)
    return f'<div class="cards">{items}</div>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """A table that scrolls by itself where it is too wide; `numbers` are the positions of right-aligned columns."""

    def line(tag: str, cells: Sequence[str]) -> str:
        kinds = [' class="number"' if place in numbers else "" for place in range(len(cells))]
        return "".join(f"<{tag}{kind}>{_html(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    body = "".join(f"<tr>{line('td', row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table><tr>{line("th", headings)}</tr>\n{body}</table></div>'


def facts(values: Mapping[str, object]) -> str:
    """Names and values, one under the other on a narrow screen."""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in values.items())
    return f'<table class="facts">{rows}</table>'


def legend(colors: Mapping[str, str]) -> str:
    """What the colours stand for: name → colour."""
    keys = (f'<span class="key" style="background:{color}"></span>{_html(name)}' for name, color in colors.items())
    return f'<p class="soft">{"".join(keys)}</p>'


def bars(counts: Mapping[str, Sequence[int]], colors: Sequence[str] = ("var(--accent)",)) -> str:
    """Bars from the left, for each name one of each colour; the largest count fills the width."""
    largest = max((count for row in counts.values() for count in row), default=0) or 1
    height = 16 // len(colors)
    lines = []
    for name, row in counts.items():
        shapes = "".join(
            f'<rect y="{place * height}" width="{100 * count / largest:.2f}%" height="{height}" fill="{color}"/>'
            for place, (count, color) in enumerate(zip(row, colors, strict=True))
        )
        numbers = " → ".join(f"{count:,}" for count in row)
        lines.append(
            f'<span>{_html(name)}</span><svg height="16" role="presentation">{shapes}</svg>'
            f'<span class="number">{numbers}</span>'
        )
    return f'<div class="bars">{"".join(lines)}</div>'


def interval_chart(label: str, lines: Sequence[Measured], ticks: Sequence[tuple[float, str]]) -> str:
    """Measured values as dots, their intervals as bars, on one scale from the first tick to the last."""
    low, high = ticks[0][0], ticks[-1][0]

    def place(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}%"

    parts = []
    for position, line in enumerate(lines):
        top = 44 * position
        y = top + 28
        parts.append(
            f'<text x="0" y="{top + 13}"><tspan class="ink" font-weight="600">{_html(line.name)}</tspan> '
            f'{_html(line.text)}</text><line x1="0" x2="100%" y1="{y}" y2="{y}" stroke="var(--line)"/>'
        )
        parts += [
            f'<line x1="{place(tick)}" x2="{place(tick)}" y1="{y - 5}" y2="{y + 5}" stroke="var(--line)"/>'
            for tick, _ in ticks
        ]
        if line.interval:
            start, end = map(place, line.interval)
            parts.append(
                f'<line x1="{start}" x2="{end}" y1="{y}" y2="{y}" stroke="{line.color}" stroke-width="8" '
                'stroke-opacity=".45"/>'
            )
        parts.append(f'<circle cx="{place(line.value)}" cy="{y}" r="5" fill="{line.color}"/>')
    bottom = 44 * len(lines)
    anchors = ["start", *["middle"] * (len(ticks) - 2), "end"]
    parts += [
        f'<text x="{place(tick)}" y="{bottom + 13}" text-anchor="{anchor}">{_html(name)}</text>'
        for (tick, name), anchor in zip(ticks, anchors, strict=True)
    ]
    return f'<svg height="{bottom + 20}" role="img" aria-label="{_html(label)}">{"".join(parts)}</svg>'


def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """How often rows of a label (outer) were given a label (inner), of the most frequent labels."""
    shown = most_frequent(counts)
    names = [shortened(labels[position], 20) for position in shown]
    cell, longest = (72 if len(shown) <= 4 else 48), 8 * max(map(len, names))
    upright = longest <= cell
    left, top, size = longest + 16, 44 if upright else longest + 32, cell * len(shown)
    turn, anchor = ("", "middle") if upright else (" rotate(-90)", "start")
    parts = [f'<text x="{left + size / 2:g}" y="13" text-anchor="middle">predicted</text>']
    for row, true in enumerate(shown):
        middle = cell * (row + 0.5)
        parts.append(
            f'<text class="ink" x="{left - 8}" y="{top + middle + 4:g}" text-anchor="end">{_html(names[row])}</text>'
            f'<text class="ink" transform="translate({left + middle:g} {top - 8}){turn}" text-anchor="{anchor}">'
            f"{_html(names[row])}</text>"
        )
        for column, predicted in enumerate(shown):
            share = counts[true][predicted] / max(1, sum(counts[true]))
            x, y = left + cell * column, top + cell * row
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="var(--accent)" '
                f'fill-opacity="{share:.3f}" stroke="var(--line)"/><text x="{x + cell / 2:g}" '
                f'y="{y + cell / 2 + 4:g}" text-anchor="middle" style="fill:{"#fff" if share > 0.6 else "var(--ink)"}">'
                f"{counts[true][predicted]:,}</text>"
            )
    left_out = len(labels) - len(shown)
    caption = "Rows are true labels, columns the answers; the shade is the share of the row." + (
        f" The {len(shown)} most frequent labels; {left_out:,} others are left out." if left_out else ""
    )
    return figure(max(left + size + 2, 280), top + size + 6, "Confusion matrix", parts, caption)


def most_frequent(counts: Sequence[Sequence[int]]) -> list[int]:
    """Positions of at most `LARGEST_MATRIX` labels of a confusion matrix, in their usual order."""
    occurrences = [sum(row) + sum(column) for row, column in zip(counts, zip(*counts, strict=True), strict=True)]
    return sorted(sorted(range(len(counts)), key=lambda label: -occurrences[label])[:LARGEST_MATRIX])


def figure(width: float, height: float, label: str, parts: Iterable[str], caption: str) -> str:
    """An SVG of fixed size, on paper no wider than the page, with a caption no wider than itself."""
    return (
        f'<div class="wide"><figure><svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{_html(label)}">{"".join(parts)}</svg><figcaption>{_html(caption)}</figcaption>'
        "</figure></div>"
    )


def shortened(name: str, longest: int) -> str:
    """The name, cut with an ellipsis to at most so many characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _html(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)
