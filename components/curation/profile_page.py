"""The profile of a table as one HTML page: what is worth a look first, then every column with its plots."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..axes import STYLE, Scale, lane
from ..page import Html, bars, cards, facts, page, shortened, table

_HEIGHT = 110
_LONGEST_NAME = 60
_STYLE = (
    STYLE
    + """
.column { border-top: 1px solid var(--line); padding-top: 1rem; margin: 1.6rem 0; break-inside: avoid; }
.column h2 { overflow-wrap: anywhere; } .note { border-left: 4px solid #e0a800; padding-left: .8rem; }
.column .facts { align-self: start; } .column .facts td:first-child { width: 11rem; }
@media (min-width: 56rem) {
  .sides { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 2rem; }
  .sides .bars { grid-template-columns: minmax(6rem, 13rem) 1fr max-content; }
}
a { color: inherit; text-decoration-color: var(--line); }
"""
)
_FACTS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "mean": "mean",
    "standard_deviation": "standard deviation",
    "zeros": "zeros",
    "nan": "NaN",
    "infinite": "infinite",
    "shortest": "shortest length",
    "longest": "longest length",
    "mean_length": "mean length",
    "empty": "empty",
    "padded": "white space at an end",
    "numeric": "read as numbers",
    "earliest": "earliest",
    "latest": "latest",
    "true": "true",
}
_NOTED_IF_ANY = ("nan", "infinite", "empty", "padded", "numeric")


def profile_page(profile: Mapping[str, Any]) -> str:
    """Renders the page.

    Args:
        profile: What `profile` returned.
    """
    columns, rows = profile["columns"], profile["rows"]
    problems = [(name, problem["text"]) for name, entry in columns.items() for problem in entry["problems"]]
    numbers = {"rows": rows, "columns": len(columns), "worth a look": len(problems)}
    anchors = {name: f"column-{place}" for place, name in enumerate(columns)}
    sections = [
        "<h1>Table profile</h1>" + cards((name, f"{value:,}") for name, value in numbers.items()),
        "<h2>Worth a look</h2>" + _problem_table(problems, anchors),
        "<h2>Columns</h2>" + _overview(columns, rows, anchors),
        "".join(_column(name, entry, rows, anchors[name]) for name, entry in columns.items()),
    ]
    return page("Table profile", sections, _STYLE)


def _problem_table(problems: Sequence[tuple[str, str]], anchors: Mapping[str, str]) -> str:
    if not problems:
        return "<p>Nothing: no column is constant, nearly unique or mostly null, none mixes numbers with texts.</p>"
    return table(["Column", "What"], [(_link(name, anchors), text) for name, text in problems])


def _link(name: str, anchors: Mapping[str, str]) -> Html:
    return Html(f'<a href="#{anchors[name]}">{escape(shortened(name, _LONGEST_NAME))}</a>')


def _overview(columns: Mapping[str, Any], rows: int, anchors: Mapping[str, str]) -> str:
    lines = [
        (
            _link(name, anchors),
            shortened(entry["type"], 40),
            f"{entry['nulls'] / rows:.1%}",
            "–" if entry["distinct"] is None else f"{entry['distinct']:,}",
            _summary(entry),
        )
        for name, entry in columns.items()
    ]
    return table(["Column", "Type", "Null", "Different", "Values"], lines, numbers=(2, 3))


def _summary(entry: Mapping[str, Any]) -> str:
    statistics = entry["statistics"]
    if statistics.get("minimum") is not None:
        return f"{_number(statistics['minimum'])} to {_number(statistics['maximum'])}"
    if statistics.get("earliest") is not None:
        return f"{statistics['earliest'][:10]} to {statistics['latest'][:10]}"
    names = [
        shortened(str(name), 24) or "''" for name, count in entry["frequent"][:3] if count > 1 or entry["distinct"] < 4
    ]
    if names:
        return ", ".join(names)
    if statistics.get("longest") is not None:
        return f"{statistics['shortest']:,} to {statistics['longest']:,} characters"
    return "–"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.6g}"


def _column(name: str, entry: Mapping[str, Any], rows: int, anchor: str) -> str:
    notes = "".join(f'<p class="note">{escape(problem["text"])}</p>' for problem in entry["problems"])
    values: dict[str, object] = {"type": entry["type"], "null": f"{entry['nulls']:,} ({entry['nulls'] / rows:.1%})"}
    if entry["distinct"] is not None:
        filled = rows - entry["nulls"]
        values["different"] = f"{entry['distinct']:,} ({entry['distinct'] / max(1, filled):.1%} of the values)"
    for key, title in _FACTS.items():
        value = entry["statistics"].get(key)
        if value is not None and (value or key not in _NOTED_IF_ANY):
            values[title] = value if isinstance(value, str) and key in ("earliest", "latest") else _number(value)
    if quantiles := entry["statistics"].get("quantiles"):
        values["quantiles"] = ", ".join(
            f"{float(share):.0%}: {_number(value)}" for share, value in quantiles.items() if value is not None
        )
    sides = f'<div class="sides">{facts(values)}<div>{_charts(name, entry)}</div></div>'
    heading = f"<h2>{escape(name) or '(a column without a name)'}</h2>"
    return f'<div class="column" id="{anchor}">{heading}{notes}{sides}</div>'


def _charts(name: str, entry: Mapping[str, Any]) -> str:
    charts = []
    repeated = [(value, count) for value, count in entry["frequent"] if count > 1]
    if entry["kind"] in ("string", "boolean") and repeated:
        # Values may look alike once they are cut, and a mapping would lose one: a comment tells them apart.
        counts: dict[str, list[int]] = {
            Html(f"{escape(_shown(value))}<!--{place}-->"): [count] for place, (value, count) in enumerate(repeated)
        }
        charts.append(f'<p class="soft">The most frequent values</p>{bars(counts)}')
    if entry["histogram"] and not (entry["kind"] == "string" and len(entry["histogram"]["counts"]) == 1):
        title = "length in characters" if entry["kind"] == "string" else shortened(name, _LONGEST_NAME)
        charts.append(_histogram(entry["histogram"], title, entry["kind"] in ("string", "integer")))
    return "".join(charts)


def _shown(value: str) -> str:
    return shortened(value, 40) if value.strip() else repr(value)


def _histogram(histogram: Mapping[str, Any], title: str, is_whole: bool) -> str:
    """Bars upwards, one a bin; all bins are of one width."""
    edges, counts = histogram["edges"], histogram["counts"]
    bins = len(counts)
    upright = Scale.around(0, max(counts), 3, _short)
    across = Scale(0, bins, _ticks(edges, is_whole))
    marks = []
    for place, count in enumerate(counts):
        top = upright.pixels(count, _HEIGHT)
        left, width = 100 * (place + 0.04) / bins, 92 / bins
        marks.append(
            f'<rect x="{left:.2f}%" y="{top:.1f}" width="{width:.2f}%" height="{upright.pixels(0, _HEIGHT) - top:.1f}" '
            f'fill="var(--accent)"><title>{count:,} rows</title></rect>'
        )
    return '<p class="soft">rows</p>' + lane(f"Histogram of {title}", across, upright, _HEIGHT, marks, x_title=title)


def _ticks(edges: Sequence[Any], is_whole: bool) -> list[tuple[float, str]]:
    """Up to five names under the bins: in the middle of those that hold one number each, else at edges."""
    bins = len(edges) - 1
    step = max(1, -(-bins // 4))
    if is_whole and edges[1] - edges[0] == 1:
        return [(place + 0.5, _short(edges[place])) for place in range(0, bins, step)]
    if edges[0] == edges[-1]:
        return [(bins / 2, _tick_name(edges[0]))]
    return [(place, _tick_name(edges[place])) for place in range(0, bins + 1, step)]


def _tick_name(edge: Any) -> str:
    return edge if isinstance(edge, str) else _short(edge)


def _short(number: float) -> str:
    """A number of few characters: 1.2M for 1,200,000."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(number) < 1e12 and (abs(number) >= 10_000 or number % 1000 == 0):
            return f"{number / size:.4g}{unit}"
    return f"{number:.4g}"
