"""What the validation of a table found, as one HTML page."""

from collections.abc import Sequence
from html import escape

import pyarrow.compute

from ..page import bars, cards, facts, legend, page, shortened, table
from .drift import Distribution
from .rules import Rules
from .validate import Shift, Validated

EXAMPLES_OF_EACH = 3
_LONGEST_NAME = 70
_PER = 1_000
_COLORS = {"accepted profile": "var(--muted)", "this table": "var(--accent)"}
_STYLE = """
.verdict { border-left: 4px solid #2a8a57; padding: .3rem .8rem; } .verdict.bad { border-color: #c0392b; }
td:not(.number) { overflow-wrap: anywhere; } h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; overflow-wrap: anywhere; }
"""


def validation_page(validated: Validated, rules: Rules) -> str:
    """Renders the page.

    Args:
        validated: The result.
        rules: What was checked.
    """
    counts = validated.counts
    numbers = {
        "rows in": counts["rows_in"],
        "valid": counts["rows_valid"],
        "in quarantine": counts["rows_quarantined"],
        "rules of the table broken": counts["table_breaks"],
    }
    notes = "".join(f"<p>{escape(note)}</p>" for note in validated.notes)
    sections = [
        "<h1>Validation report</h1>"
        + _verdict(validated)
        + cards((name, f"{n:,}") for name, n in numbers.items())
        + notes,
        "<h2>Rules of rows</h2>" + _row_rules(validated),
        "<h2>Examples from quarantine</h2>" + _examples(validated),
        _drift(validated.shifts),
        "<h2>Rules of the table</h2>" + facts(_table_rules(rules)),
    ]
    return page("Validation report", sections, _STYLE)


def _verdict(validated: Validated) -> str:
    if not validated.table_breaks:
        return '<p class="verdict">The table is accepted: the valid rows go on.</p>'
    items = "".join(f"<li><b>{escape(found.rule)}</b>: {escape(found.text)}</li>" for found in validated.table_breaks)
    return f'<div class="verdict bad"><p>The table is refused, and no row goes on:</p><ul>{items}</ul></div>'


def _row_rules(validated: Validated) -> str:
    if not validated.row_rules:
        return "<p>There are none.</p>"
    broken = {name: [count] for name, count in validated.broken.items() if count}
    drawn = bars(dict(sorted(broken.items(), key=lambda pair: -pair[1][0]))) if broken else "<p>No row breaks one.</p>"
    rows = validated.counts["rows_in"]
    lines = [
        (
            shortened(rule.name, _LONGEST_NAME),
            rule.expected,
            f"{validated.broken[rule.name]:,}",
            f"{validated.broken[rule.name] / max(1, rows):.2%}",
        )
        for rule in validated.row_rules
    ]
    note = (
        "A row is in quarantine once, for the first rule that it breaks, and counted here for each. Uniqueness is "
        "checked among the rows that break none of the other rules."
    )
    return f'{drawn}<p class="soft">{note}</p>' + table(["Rule", "Expected", "Rows", "Share"], lines, numbers=(2, 3))


def _examples(validated: Validated) -> str:
    columns = ["rule", "row_id", "reason", "related_row_id"]
    quarantine = validated.quarantine.select(columns)
    lines = []
    for rule in validated.row_rules:
        of_rule = quarantine.filter(pyarrow.compute.equal(quarantine["rule"], rule.name)).slice(0, EXAMPLES_OF_EACH)
        lines += [[row[name] or "" for name in columns] for row in of_rule.to_pylist()]
    if not lines:
        return "<p>No row is in quarantine.</p>"
    return table(["First rule", "Row", "Reason", "Repeats"], lines)


def _drift(shifts: Sequence[Shift]) -> str:
    if not shifts:
        return ""
    note = (
        "The population stability index sums (a − e)·ln(a / e) over the bins, with a and e the shares of a bin now and "
        "in the accepted profile: below 0.1 no change worth a look, from 0.25 a shift. An index that a thousandth of "
        f"tables of this size exceed by chance is no drift. Bars: of {_PER:,} values each."
    )
    return f'<h2>Drift</h2><p class="soft">{note}</p>{legend(_COLORS)}{"".join(map(_shift, shifts))}'


def _shift(shift: Shift) -> str:
    index = "no index, for want of values" if shift.index is None else f"index {shift.index:.3f}"
    chance = "" if shift.by_chance is None else f" (by chance up to {shift.by_chance:.3f})"
    nulls = f"null {shift.nulls[0]:.1%}, now {shift.nulls[1]:.1%}"
    problem = f" <b>{escape(shift.problem)}</b>" if shift.problem else ""
    drawn = ""
    if shift.before and shift.after:
        pairs = zip(shift.before.names, _shares(shift.before), _shares(shift.after), strict=True)
        drawn = bars({name: [before, now] for name, before, now in pairs if before or now}, list(_COLORS.values()))
    counted = f" of {shift.before.of}" if shift.before else ""
    return f"<h3>{escape(shift.column)}</h3><p>{index}{counted}{chance}; {nulls}.{problem}</p>{drawn}"


def _shares(found: Distribution) -> list[int]:
    total = max(1, sum(found.counts))
    return [round(_PER * count / total) for count in found.counts]


def _table_rules(rules: Rules) -> dict[str, object]:
    values: dict[str, object] = {
        "rows": f"{rules.rows} valid rows",
        "maximum_quarantine_share": f"{rules.maximum_quarantine_share:.2%}",
        "unexpected_columns": rules.unexpected_columns,
    }
    for name, column in rules.columns.items():
        if column.required:
            values[f"{name}.required"] = "the column is there"
        if column.maximum_null_share is not None:
            values[f"{name}.maximum_null_share"] = f"{column.maximum_null_share:.2%}"
        if column.freshness:
            values[f"{name}.freshness"] = f"the newest value is at most {column.freshness} old"
        if column.drift:
            limits = {"psi": column.drift.psi, "null_share": column.drift.null_share}
            values[f"{name}.drift"] = ", ".join(
                f"{key} {limit:g}" for key, limit in limits.items() if limit is not None
            )
    return values
