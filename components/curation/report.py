"""What curation did to a table, as one HTML page."""

from bisect import bisect_right
from collections import Counter
from dataclasses import asdict
from difflib import SequenceMatcher
from html import escape
from itertools import pairwise

import pyarrow

from ..page import Html, bars, cards, facts, legend, page, table
from .clean import clean
from .curate import OPERATIONS, Curated, Rules

EXAMPLES_OF_EACH = 3
LABELS_SHOWN = 20
_CONTEXT_WORDS = 12
_COMPARED_WORDS = 1_000  # Of each example: comparing word by word takes quadratic time.
_COLORS = {"before, as written": "var(--muted)", "after, train and test together": "var(--accent)"}
_STYLE = """
mark { background: #ffe3a3; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .2rem 1.4rem; padding-bottom: .8rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; break-inside: avoid; margin-bottom: .8rem; }
.pair p { grid-column: 1 / -1; margin: 0; max-width: none; }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr; } }
"""


def render(source: pyarrow.Table, curated: Curated, rules: Rules) -> str:
    """Renders the report of one curation.

    Args:
        source: The table that was curated.
        curated: The result.
        rules: What it was curated by.
    """
    counts = curated.counts
    numbers = {
        "rows in": counts["rows_in"],
        "removed": counts["rows_in"] - counts["rows_out"],
        "train rows": counts["train_rows"],
        "test rows": counts["test_rows"],
    }
    columns = f"Texts of the column {rules.text_column!r}, labels of {rules.label_column!r}"
    written = [len(text or "") for text in source[rules.text_column].to_pylist()]
    kept = [len(text) for part in (curated.train, curated.test) for text in part["text"].to_pylist()]
    sections = [
        f'<h1>Curation report</h1><p class="soft">{escape(columns)}</p>'
        + cards((name, f"{value:,}") for name, value in numbers.items()),
        "<h2>Removed rows by reason</h2>"
        + bars({title: [counts[operation]] for operation, title in OPERATIONS.items()})
        + f"<p>{counts['relabelled_duplicates']:,} of the removed duplicates and leaks had another label than the row "
        "that they repeat.</p>",
        "<h2>Labels before and after</h2>"
        + _label_table(source[rules.label_column].cast(pyarrow.string()).to_pylist(), curated),
        "<h2>Lengths of the texts before and after</h2>" + _length_chart(written, kept),
        "<h2>Examples of removed rows</h2>" + _examples(source, curated.ledger, rules),
        "<h2>Rules</h2>" + facts({name: repr(value) for name, value in asdict(rules).items()}),
    ]
    return page("Curation report", sections, _STYLE)


def _label_table(labels: list[str], curated: Curated) -> str:
    columns = [Counter(labels)] + [Counter(table["label"].to_pylist()) for table in (curated.train, curated.test)]
    frequent = [label for label, _ in columns[0].most_common(LABELS_SHOWN)]
    rows = [[label, *(_share(column[label], column.total()) for column in columns)] for label in frequent]
    more = len(columns[0]) - len(frequent)
    note = f'<p class="soft">{more:,} rarer labels are not shown.</p>' if more else ""
    return table(["Label", "Before", "Train", "Test"], rows) + note


def _share(count: int, total: int) -> Html:
    share = f"{count / total:.1%}"
    bar = f'<rect width="{share}" height="4" fill="var(--accent)"/>'
    return Html(f'{count:,} ({share})<svg height="4" role="presentation">{bar}</svg>')


def _length_chart(before: list[int], after: list[int]) -> str:
    starts = _bin_starts(min(before + after), max(before + after))
    histograms = zip(_histogram(before, starts), _histogram(after, starts), strict=True)
    names = [f"{start:,} to {end - 1:,} characters" for start, end in pairwise(starts)]
    names.append(f"{starts[-1]:,} characters or more")
    counts = dict(zip(names, histograms, strict=True))
    return legend(_COLORS) + bars(counts, list(_COLORS.values()))


def _bin_starts(shortest: int, longest: int) -> list[int]:
    """Of 0, 1, 2, 5, 10, 20, 50 … those from the last that is at most the shortest text up to the longest."""
    starts = [0] + [digit * 10**power for power in range(len(str(longest))) for digit in (1, 2, 5)]
    return starts[bisect_right(starts, shortest) - 1 : bisect_right(starts, longest)]


def _histogram(values: list[int], starts: list[int]) -> list[int]:
    counts = Counter(bisect_right(starts, value) - 1 for value in values)
    return [counts[place] for place in range(len(starts))]


def _examples(source: pyarrow.Table, ledger: pyarrow.Table, rules: Rules) -> str:
    place = {row_id: row for row, row_id in enumerate(source["row_id"].to_pylist())}
    texts = source[rules.text_column]
    shown: Counter[str] = Counter()
    pairs = []
    for entry in ledger.to_pylist():
        shown[entry["operation"]] += 1
        if shown[entry["operation"]] > EXAMPLES_OF_EACH:
            continue
        related = entry["related_row_id"]
        removed_text = clean(texts[place[entry["row_id"]]].as_py() or "")
        related_text = clean(texts[place[related]].as_py()) if related else removed_text
        removed, kept = side_by_side(removed_text, related_text)
        because = f"<p><b>{escape(OPERATIONS[entry['operation']])}:</b> {escape(entry['reason'])}</p>"
        texts_of = {entry["row_id"]: removed} | ({related: kept} if related else {})
        cells = (f'<div><span class="soft">{escape(row)}</span><br>{text}</div>' for row, text in texts_of.items())
        pairs.append(f'<div class="pair">{because}{"".join(cells)}</div>')
    if not pairs:
        return "<p>No row was removed.</p>"
    note = "First the removed row, then the row that it repeats, if any; words that differ are marked."
    return f'<p class="soft">{note}</p>{"".join(pairs)}'


def side_by_side(first: str, second: str) -> tuple[str, str]:
    """Two texts as HTML, with the words that differ marked and long runs of shared words cut short."""
    words = (first.split()[:_COMPARED_WORDS], second.split()[:_COMPARED_WORDS])
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
