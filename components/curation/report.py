"""What curation did to a table, as one HTML page."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from difflib import SequenceMatcher
from html import escape
from itertools import pairwise

from ..page import Html, bars, cards, facts, legend, page, shortened, table
from .prepare import Edits
from .select_rows import OPERATIONS
from .summary import Cluster, Example, Summary
from .text_rules import TextRules

LABELS_SHOWN = 20
LINES_SHOWN = 10
_CONTEXT_WORDS = 12
_COMPARED_WORDS = 1_000  # Of each example: comparing word by word takes quadratic time.
_COMPARED_CHARACTERS = 20_000
_COLORS = {"before": "var(--muted)", "after, train and test together": "var(--accent)"}
_EDITS = {
    "boilerplate": "Lines that many texts share, taken out",
    "redacted_email": "E-mail addresses redacted",
    "redacted_phone": "Phone numbers redacted",
    "redacted_card": "Payment cards redacted",
    "redacted_iban": "Bank accounts (IBAN) redacted",
    "redacted_name": "Names redacted",
    "redacted_address": "Addresses redacted",
}
_STYLE = """
mark { background: #ffe3a3; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .2rem 1.4rem; padding-bottom: .8rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; break-inside: avoid; margin-bottom: .8rem; }
.pair p { grid-column: 1 / -1; margin: 0; max-width: none; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
"""


def render(counts: Mapping[str, int], summary: Summary, edits: Edits, rules: TextRules) -> str:
    """Renders the report of one curation.

    Args:
        counts: What `curate` counted.
        summary: Figures and examples.
        edits: What was changed in the texts.
        rules: What the table was curated by.
    """
    numbers = {
        "rows in": counts["rows_in"],
        "removed": counts["rows_in"] - counts["rows_out"],
        "train rows": counts["train_rows"],
        "test rows": counts["test_rows"],
    }
    columns = f"Texts of the column {rules.text_column!r}" + (
        f", labels of {rules.label_column!r}" if rules.label_column else ", no labels"
    )
    sections = [
        f'<h1>Curation report</h1><p class="soft">{escape(columns)}</p>'
        + cards((name, f"{value:,}") for name, value in numbers.items()),
        "<h2>Removed rows by reason</h2>"
        + bars({title: [counts[operation]] for operation, title in OPERATIONS.items() if counts[operation]})
        + _nothing_else(counts)
        + f"<p>{counts['relabelled_duplicates']:,} of the removed duplicates and leaks had another label than the row "
        "that they repeat.</p>",
        _edits(counts, edits),
        "<h2>Labels before and after</h2>" + _label_table(summary) if rules.label_column else "",
        "<h2>Lengths of the texts before and after</h2>" + _length_chart(*summary.lengths),
        _clusters(summary.clusters, counts),
        "<h2>Examples of removed rows</h2>" + _examples(summary.examples),
        "<h2>Rules</h2>" + facts({name: repr(value) for name, value in asdict(rules).items()}),
    ]
    return page("Curation report", sections, _STYLE)


def _nothing_else(counts: Mapping[str, int]) -> str:
    idle = [title for operation, title in OPERATIONS.items() if not counts[operation]]
    return f'<p class="soft">No row: {escape("; ".join(idle).lower())}.</p>' if idle else ""


def _edits(counts: Mapping[str, int], edits: Edits) -> str:
    rows = {title: [counts[name]] for name, title in _EDITS.items() if name in counts}
    if not rows:
        return ""
    lines = [[shortened(line, 120), f"{texts:,}"] for line, texts in list(edits.lines.items())[:LINES_SHOWN]]
    more = len(edits.lines) - len(lines)
    return (
        "<h2>Changed texts</h2><p>Rows that stayed but were changed, beyond cleaning; the output edits names each."
        f"</p>{bars(rows)}"
        + (table(["Line taken for boilerplate", "Texts"], lines, numbers={1}) if lines else "")
        + (f'<p class="soft">{more:,} rarer lines are not shown.</p>' if more else "")
    )


def _label_table(summary: Summary) -> str:
    columns = summary.labels
    frequent = [label for label, _ in columns[0].most_common(LABELS_SHOWN)]
    rows = [[str(label), *(_share(column[label], column.total()) for column in columns)] for label in frequent]
    more = len(columns[0]) - len(frequent)
    note = f'<p class="soft">{more:,} rarer labels are not shown.</p>' if more else ""
    return table(["Label", "Before", "Train", "Test"], rows) + note


def _share(count: int, total: int) -> Html:
    share = f"{count / total:.1%}"
    bar = f'<rect width="{share}" height="4" fill="var(--accent)"/>'
    return Html(f'{count:,} ({share})<svg height="4" role="presentation">{bar}</svg>')


def _length_chart(before: Counter[int], after: Counter[int]) -> str:
    starts = _bin_starts(min(before), max(before))
    histograms = zip(_histogram(before, starts), _histogram(after, starts), strict=True)
    names = [f"{start:,} to {end - 1:,} characters" for start, end in pairwise(starts)]
    names.append(f"{starts[-1]:,} characters or more")
    counts = dict(zip(names, histograms, strict=True))
    return legend(_COLORS) + bars(counts, list(_COLORS.values()))


def _bin_starts(shortest: int, longest: int) -> list[int]:
    """Of 0, 1, 2, 5, 10, 20, 50 … those from the last that is at most the shortest text up to the longest."""
    starts = [0] + [digit * 10**power for power in range(len(str(longest))) for digit in (1, 2, 5)]
    return starts[bisect_right(starts, shortest) - 1 : bisect_right(starts, longest)]


def _histogram(lengths: Counter[int], starts: list[int]) -> list[int]:
    counts: Counter[int] = Counter()
    for length, rows in lengths.items():
        counts[bisect_right(starts, length) - 1] += rows
    return [counts[place] for place in range(len(starts))]


def _clusters(clusters: list[Cluster], counts: Mapping[str, int]) -> str:
    if not clusters:
        return ""
    parts = [
        f"<h2>The largest clusters of near duplicates</h2><p>{counts['clusters']:,} kept texts have near duplicates in "
        "train, which went. Each is shown beside some of them; words that differ are marked.</p>"
    ]
    for cluster in clusters:
        parts.append(f'<div class="pair"><p><b>{cluster.texts:,} texts</b></p>')
        for row_id, text in cluster.removed[:2]:
            parts.append(_cells({row_id: text, cluster.row_id: cluster.text}))
        parts.append("</div>")
    return "".join(parts)


def _examples(examples: list[Example]) -> str:
    if not examples:
        return "<p>No row was removed.</p>"
    note = "First the removed row, then the row that it repeats, if any; words that differ are marked."
    pairs = []
    for example in examples:
        title = f"<p><b>{escape(OPERATIONS[example.operation])}:</b> {escape(example.reason)}</p>"
        texts = {example.row_id: example.text}
        if example.related_row_id and example.related_text is not None:
            texts[example.related_row_id] = example.related_text
        pairs.append(f'<div class="pair">{title}{_cells(texts)}</div>')
    return f'<p class="soft">{note}</p>{"".join(pairs)}'


def _cells(texts: dict[str, str]) -> str:
    """One or two texts by the id of their row, side by side."""
    shown = list(texts.values())
    cells = zip(texts, side_by_side(shown[0], shown[-1]), strict=False)
    return "".join(f'<div><span class="soft">{escape(row)}</span><br>{text}</div>' for row, text in cells)


def side_by_side(first: str, second: str) -> tuple[str, str]:
    """Two texts as HTML, with the words that differ marked and long runs of shared words cut short."""
    words = tuple(text[:_COMPARED_CHARACTERS].split()[:_COMPARED_WORDS] for text in (first, second))
    cells: tuple[list[str], list[str]] = ([], [])
    for operation, *bounds in SequenceMatcher(None, words[0], words[1], autojunk=False).get_opcodes():
        for cell, side, start, end in zip(cells, words, bounds[::2], bounds[1::2], strict=True):
            excerpt = _excerpt(side[start:end])
            cell.append(excerpt if operation == "equal" or not excerpt else f"<mark>{excerpt}</mark>")
    return " ".join(cells[0]), " ".join(cells[1])


def _excerpt(words: list[str]) -> str:
    if len(words) > 2 * _CONTEXT_WORDS:
        words = [*words[:_CONTEXT_WORDS], "…", *words[-_CONTEXT_WORDS:]]
    return escape(" ".join(word if len(word) <= 60 else word[:60] + "…" for word in words))
