"""A table and its rules → the rows that keep them, the rows that go to quarantine and why, and what the table breaks.

Order: columns are there and have types that can be read; rules of single rows; uniqueness among the rows that broke
none of them, so that a row does not go for repeating one that goes itself; then the rules of the whole table, on the
rows that are left.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy
import pyarrow
import pyarrow.compute

from ..runtime import InputError, log
from .coerce import Coerced, coerce
from .columns import check_table, duckdb_session, kind_of, load
from .drift import Distribution, counted, index_by_chance, population_stability_index
from .ingest import ADDED_COLUMNS
from .profile import read_distribution
from .row_checks import RowRule, broken_rows, microseconds, row_rules
from .rules import Bounds, ColumnRules, Drift, Rules, near_miss

OPERATION = "validate_table"
QUARANTINE_COLUMNS = ("operation", "rule", "reason", "related_row_id", "rules")
_SHOWN_CHARACTERS = 80
_BINS_OF = {"string": ("categories", "lengths"), "boolean": ("categories",)}


@dataclass(frozen=True)
class Break:
    """A rule of the whole table that is broken: its name, and in what way."""

    rule: str
    text: str


@dataclass(frozen=True)
class Shift:
    """A column beside the accepted profile.

    Attributes:
        column: Its name.
        before: The profile's bins; None if there were no values.
        after: The same bins, filled from the table.
        index: Population stability index between the two; None if one is empty.
        by_chance: The index that a thousandth of tables of this size exceed without any shift.
        nulls: Share of nulls, before and after.
        problem: In what way it is further than its rule allows; empty if it is not.
    """

    column: str
    before: Distribution | None
    after: Distribution | None
    index: float | None
    by_chance: float | None
    nulls: tuple[float, float]
    problem: str


@dataclass(frozen=True)
class Validated:
    """The result of `validate`.

    Attributes:
        valid: The rows that break no rule, in the types of the rules.
        quarantine: The others as they were ingested, with `QUARANTINE_COLUMNS`: the first rule that the row breaks,
            its reason, the row that it repeats or null, and all rules that it breaks.
        row_rules: All rules of rows that were checked, in their order.
        broken: Name of each of them → how many rows break it.
        table_breaks: What is wrong with the table as a whole.
        shifts: The columns that were compared with the accepted profile.
        notes: What was not checked, and why.
    """

    valid: pyarrow.Table
    quarantine: pyarrow.Table
    row_rules: list[RowRule]
    broken: dict[str, int]
    table_breaks: list[Break]
    shifts: list[Shift]
    notes: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """rows_in, rows_valid, rows_quarantined, table_breaks and, for each rule of rows, `broken[RULE]`."""
        valid, quarantined = self.valid.num_rows, self.quarantine.num_rows
        return {
            "rows_in": valid + quarantined,
            "rows_valid": valid,
            "rows_quarantined": quarantined,
            "table_breaks": len(self.table_breaks),
            **{f"broken[{name}]": count for name, count in self.broken.items()},
        }


def validate(table: pyarrow.Table, rules: Rules, accepted: Mapping[str, Any] | None, now: datetime) -> Validated:
    """Checks a table.

    Args:
        table: What `ingest_table` wrote, or a table like it; it may be without rows.
        rules: What to check.
        accepted: The last accepted profile, as `read_profile` returns it; None: drift is not checked.
        now: The time that freshness is measured from, with a zone.

    Raises:
        InputError: If it is no such table, has a column of a name that quarantine needs, or a rule cannot be checked
            on a column of its type.
    """
    check_table(table)
    _check_names(table.column_names)
    breaks = _column_breaks(table, rules)
    with duckdb_session() as connection:
        columns = _coerced(connection, table, rules, breaks)
        checked = {name: rules.columns[name] for name in columns if name in rules.columns}
        broken = broken_rows({name: columns[name] for name in checked}, checked)
        ordered = [rule for name, of_column in checked.items() for rule in row_rules(name, of_column)]
        log(f"{table.num_rows:,} rows checked by {len(ordered)} rules of rows")
        repeats = _repeats(connection, columns, _unique_rules(rules, columns), broken, table.num_rows)
        ordered += [rule for rule, *_ in repeats]
        broken |= {rule.name: rows for rule, rows, _ in repeats}
        quarantine, is_valid = _quarantine(table, ordered, broken, repeats)
        left = {name: Coerced(c.values.filter(is_valid), c.comparable.filter(is_valid)) for name, c in columns.items()}
        shifts, notes = _shifts(connection, left, checked, accepted)
        valid = table.filter(is_valid)
        for name, column in left.items():
            valid = valid.set_column(valid.column_names.index(name), name, column.values)
        breaks += _table_breaks(connection, rules, left, now, table.num_rows, valid.num_rows)
        breaks += [Break(f"{shift.column}.drift", shift.problem) for shift in shifts if shift.problem]
    if table.num_rows != valid.num_rows + quarantine.num_rows:
        raise RuntimeError(
            f"{table.num_rows} rows in, but {valid.num_rows} valid and {quarantine.num_rows} quarantined"
        )
    counts = {rule.name: len(broken[rule.name]) for rule in ordered}
    return Validated(valid, quarantine, ordered, counts, breaks, shifts, notes)


def time_of(now: str) -> datetime:
    """The time that a parameter names, in UTC; the present, if it is empty.

    Raises:
        InputError: If it is no time.
    """
    try:
        time = datetime.fromisoformat(now) if now else datetime.now(UTC)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"now is {now[:100]!r}; expected a time in ISO 8601, such as 2026-01-31T12:00:00Z.") from None


def check_accepted(validated: Validated, report: str, quarantine: str) -> None:
    """Refuses a table that breaks rules of the whole table.

    Args:
        validated: The result.
        report: Where the report is.
        quarantine: Where the quarantine is.

    Raises:
        InputError: If there is one; it names all of them.
    """
    if validated.table_breaks:
        breaks = "; ".join(f"{found.rule}: {found.text}" for found in validated.table_breaks)
        raise InputError(
            f"The table breaks {len(validated.table_breaks)} of the rules for the whole table: {breaks}. No row goes "
            f"on. The report is {report}, the quarantined rows are in {quarantine}. Correct the source, or change the "
            "rules."
        )


def _check_names(names: Collection[str]) -> None:
    for name in QUARANTINE_COLUMNS:
        if name in names:
            raise InputError(f"The table has a column {name!r}, which validate_table adds to quarantine. Rename it.")


def _column_breaks(table: pyarrow.Table, rules: Rules) -> list[Break]:
    """Columns that are missing or unexpected."""
    there = [name for name in table.column_names if name not in ADDED_COLUMNS]
    breaks = []
    for name, column in rules.columns.items():
        if column.required and name not in table.column_names:
            breaks.append(Break(f"{name}.required", f"there is no column {name!r}.{near_miss(name, there)}"))
    for names in rules.unique:
        for name in names:
            if name not in table.column_names and name not in rules.columns:
                breaks.append(Break(_set_name(names), f"there is no column {name!r}.{near_miss(name, there)}"))
    unexpected = [name for name in there if name not in rules.columns]
    if unexpected and rules.unexpected_columns == "fail":
        named = ", ".join(map(repr, unexpected[:5])) + (f" and {len(unexpected) - 5:,} more" if unexpected[5:] else "")
        breaks.append(Break("unexpected_columns", f"no rule names the column {named}"))
    return breaks


def _set_name(names: tuple[str, ...]) -> str:
    return f"unique[{', '.join(names)}]"


def _coerced(
    connection: duckdb.DuckDBPyConnection, table: pyarrow.Table, rules: Rules, breaks: list[Break]
) -> dict[str, Coerced]:
    """The columns that rules are about; one that cannot be read in its type is a break instead."""
    named = {
        **rules.columns,
        **{name: rules.columns.get(name, ColumnRules()) for names in rules.unique for name in names},
    }
    columns = {}
    for name, column_rules in named.items():
        if name not in table.column_names:
            continue
        type_ = table[name].type
        if kind_of(type_) is None and not pyarrow.types.is_null(type_):
            _check_uncomparable(name, type_, column_rules, rules)
        column = coerce(connection, table[name], name, column_rules.type)
        if column:
            columns[name] = column
            continue
        advice = f' Ingest it with the schema {{"{name}": "string"}}.' if column_rules.type == "string" else ""
        text = f"the column is {type_}, which cannot be read as {column_rules.type}.{advice}"
        breaks.append(Break(f"{name}.type", text))
    return columns


def _check_uncomparable(name: str, type_: pyarrow.DataType, column_rules: ColumnRules, rules: Rules) -> None:
    if column_rules.unique or any(name in names for names in rules.unique):
        raise InputError(
            f"The rules: the column {name!r} is to be unique, but its values have the type {type_}, which cannot be "
            "compared; expected texts, numbers, booleans, dates or times. Remove the rule."
        )


def _unique_rules(rules: Rules, columns: Mapping[str, Coerced]) -> list[RowRule]:
    single = [
        RowRule(f"{name}.unique", (name,), "unique", "a value that no earlier row has")
        for name, column in rules.columns.items()
        if column.unique
    ]
    several = [
        RowRule(_set_name(names), names, "unique", "values that no earlier row has together") for names in rules.unique
    ]
    return [rule for rule in single + several if all(name in columns for name in rule.columns)]


def _repeats(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, Coerced],
    rules: list[RowRule],
    broken: Mapping[str, numpy.ndarray],
    rows: int,
) -> list[tuple[RowRule, numpy.ndarray, numpy.ndarray]]:
    """For each rule the rows that repeat an earlier one that stays, and that one. Nulls repeat nothing."""
    stays = numpy.ones(rows, bool)
    for gone in broken.values():
        stays[gone] = False
    found = []
    for rule in rules:
        names = [f"c{place}" for place in range(len(rule.columns))]
        mask = pyarrow.array(stays)
        content = {
            name: columns[column].comparable.filter(mask) for name, column in zip(names, rule.columns, strict=True)
        }
        load(connection, content | {"row": pyarrow.chunked_array([numpy.flatnonzero(stays)])})
        keys, present = ", ".join(names), " AND ".join(f"{name} IS NOT NULL" for name in names)
        pairs = connection.execute(
            f"SELECT row, first FROM data JOIN (SELECT {keys}, min(row) AS first FROM data WHERE {present} "  # noqa: S608
            f"GROUP BY {keys} HAVING count(*) > 1) USING ({keys}) WHERE row > first ORDER BY row"
        ).to_arrow_table()
        repeating, first = pairs["row"].to_numpy(), pairs["first"].to_numpy()
        stays[repeating] = False
        found.append((rule, repeating, first))
    return found


def _quarantine(
    table: pyarrow.Table,
    rules: list[RowRule],
    broken: Mapping[str, numpy.ndarray],
    repeats: list[tuple[RowRule, numpy.ndarray, numpy.ndarray]],
) -> tuple[pyarrow.Table, pyarrow.Array]:
    """The rows that break a rule with what they break, and a mask of the rows that break none."""
    row_of = numpy.concatenate([numpy.empty(0, int), *(broken[rule.name] for rule in rules)])
    rule_of = numpy.concatenate(
        [numpy.empty(0, int), *(numpy.full(len(broken[rule.name]), place) for place, rule in enumerate(rules))]
    )
    order = numpy.lexsort((rule_of, row_of))
    row_of, rule_of = row_of[order], rule_of[order]
    gone, starts = numpy.unique(row_of, return_index=True)
    first = rule_of[starts]
    names = pyarrow.array([rule.name for rule in rules], pyarrow.string())
    offsets = pyarrow.array(numpy.append(starts, len(row_of)), pyarrow.int32())
    related = numpy.full(table.num_rows, -1)
    for _, repeating, earlier in repeats:
        related[repeating] = earlier
    related = related[gone]
    mask = numpy.ones(table.num_rows, bool)
    mask[gone] = False
    quarantine = table.filter(pyarrow.array(~mask))
    added = {
        "operation": pyarrow.array([OPERATION] * len(gone), pyarrow.string()),
        "rule": names.take(pyarrow.array(first)),
        "reason": _reasons(quarantine, rules, first),
        "related_row_id": table["row_id"].take(pyarrow.array(related, mask=related < 0)),
        "rules": pyarrow.ListArray.from_arrays(offsets, names.take(pyarrow.array(rule_of))),
    }
    for name in QUARANTINE_COLUMNS:
        quarantine = quarantine.append_column(name, added[name])
    return quarantine, pyarrow.array(mask)


def _reasons(rows: pyarrow.Table, rules: list[RowRule], first: numpy.ndarray) -> pyarrow.ChunkedArray:
    """For each row what its value is and what the first rule that it breaks expects."""
    places, texts = [numpy.empty(0, int)], [pyarrow.array([], pyarrow.string())]
    for number, rule in enumerate(rules):
        is_of_rule = first == number
        if is_of_rule.any():
            places.append(numpy.flatnonzero(is_of_rule))
            texts += _described(rows.filter(pyarrow.array(is_of_rule)), rule).chunks
    back = numpy.argsort(numpy.concatenate(places))
    return pyarrow.chunked_array(texts).take(back)


def _described(rows: pyarrow.Table, rule: RowRule) -> pyarrow.ChunkedArray:
    join = pyarrow.compute.binary_join_element_wise
    if len(rule.columns) > 1:
        text = f"{', '.join(rule.columns)}: expected {rule.expected}"
        return pyarrow.chunked_array([[text] * rows.num_rows])
    [name] = rule.columns
    column = rows[name]
    if rule.rule == "length":
        number = pyarrow.compute.utf8_length(_texts(column)).cast(pyarrow.string())
        return join(f"{name} has ", number, f" characters; expected {rule.expected}", "")
    if rule.rule == "nullable":
        shown = pyarrow.compute.if_else(pyarrow.compute.is_null(column), "null", "empty")
        return join(f"{name} is ", shown, f"; expected {rule.expected}", "")
    quote = "'" if kind_of(column.type) == "string" else ""
    return join(f"{name} is {quote}", _clipped(_texts(column)), f"{quote}; expected {rule.expected}", "")


def _texts(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    if pyarrow.types.is_timestamp(column.type) and column.type.tz:  # Without a look into a database of zones.
        column = column.cast(pyarrow.timestamp(column.type.unit, "UTC"))
    return column.cast(pyarrow.string())


def _clipped(texts: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    compute = pyarrow.compute
    start = compute.binary_join_element_wise(compute.utf8_slice_codeunits(texts, 0, _SHOWN_CHARACTERS), "…", "")
    return compute.if_else(compute.greater(compute.utf8_length(texts), _SHOWN_CHARACTERS), start, texts)


def _table_breaks(
    connection: duckdb.DuckDBPyConnection,
    rules: Rules,
    left: Mapping[str, Coerced],
    now: datetime,
    rows_in: int,
    rows_valid: int,
) -> list[Break]:
    """Number of rows, share of quarantine, shares of nulls, freshness."""
    breaks = []
    if not _holds(rows_valid, rules.rows):
        breaks.append(Break("rows", f"{rows_valid:,} rows are valid; expected {rules.rows}"))
    share = 1 - rows_valid / max(1, rows_in)
    if rows_in and share > rules.maximum_quarantine_share:
        breaks.append(
            Break(
                "maximum_quarantine_share",
                f"{rows_in - rows_valid:,} of {rows_in:,} rows ({share:.2%}) break a rule; expected "
                f"{rules.maximum_quarantine_share:.2%} at most",
            )
        )
    for name, column in left.items():
        of_column = rules.columns.get(name, ColumnRules())
        nulls, limit = _null_share(column.comparable), of_column.maximum_null_share
        if limit is not None and nulls > limit:
            breaks.append(Break(f"{name}.maximum_null_share", f"{nulls:.2%} are null; expected {limit:.2%} at most"))
        if of_column.freshness:
            breaks += _staleness(connection, name, column, of_column.freshness, now)
    return breaks


def _holds(value: int, bounds: Bounds) -> bool:
    return (bounds.minimum is None or value >= bounds.minimum) and (bounds.maximum is None or value <= bounds.maximum)


def _null_share(values: pyarrow.ChunkedArray) -> float:
    return values.null_count / max(1, len(values))


def _staleness(
    connection: duckdb.DuckDBPyConnection, name: str, column: Coerced, limit: timedelta, now: datetime
) -> list[Break]:
    load(connection, {"x": column.comparable})
    [(newest, text)] = connection.execute("SELECT epoch_us(max(x)::TIMESTAMP), max(x)::VARCHAR FROM data").fetchall()
    if newest is None:
        return [Break(f"{name}.freshness", "there is no value; expected one that is new")]
    age = microseconds(now) - newest
    if age <= limit // timedelta(microseconds=1):
        return []
    days = age / 86_400e6
    problem = f"the newest value, {text}, is {days:,.1f} days older than {now:%Y-%m-%d %H:%M} UTC"
    return [Break(f"{name}.freshness", f"{problem}; expected {limit / timedelta(days=1):,.4g} days at most")]


def _shifts(
    connection: duckdb.DuckDBPyConnection,
    left: Mapping[str, Coerced],
    rules: Mapping[str, ColumnRules],
    accepted: Mapping[str, Any] | None,
) -> tuple[list[Shift], list[str]]:
    """Each column with a rule of drift beside the accepted profile, and notes on those that could not be compared."""
    compared = [name for name, of_column in rules.items() if of_column.drift]
    if compared and accepted is None:
        return [], ["Drift was not checked: there is no accepted profile."]
    shifts, notes = [], []
    for name in compared:
        entry = (accepted or {})["columns"].get(name)
        if entry is None:
            notes.append(f"Drift of {name} was not checked: the accepted profile has no such column.")
            continue
        shifts.append(_shift(connection, name, left[name].comparable, rules[name], entry, (accepted or {})["rows"]))
    return shifts, notes


def _shift(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    values: pyarrow.ChunkedArray,
    rules: ColumnRules,
    entry: Mapping[str, Any],
    rows_before: int,
) -> Shift:
    before = (
        read_distribution(entry["distribution"], f"The column {name!r} of the profile")
        if entry["distribution"]
        else None
    )
    if before and before.of not in _BINS_OF.get(str(rules.type), ("values",)):
        raise InputError(
            f"The accepted profile counts {before.of} of the column {name!r}, which is {rules.type} by the rules: it "
            "had another type then. Run profile_table on a table that validate_table passed, and accept that profile."
        )
    after = counted(connection, values, before) if before else None
    filled = sum(before.counts) if before else 0
    nulls = (1 - filled / max(1, rows_before, filled), _null_share(values))
    index = by_chance = None
    if before and after and filled and sum(after.counts):
        index = population_stability_index(before.counts, after.counts)
        by_chance = index_by_chance(before.counts, after.counts)
    return Shift(name, before, after, index, by_chance, nulls, _drift_problem(rules.drift, index, by_chance, nulls))


def _drift_problem(
    limits: Drift | None, index: float | None, by_chance: float | None, nulls: tuple[float, float]
) -> str:
    problems = []
    if limits and limits.psi and index is not None and index > max(limits.psi, by_chance or 0):
        problems.append(f"its population stability index is {index:.3f}; expected {limits.psi:g} at most")
    if limits and limits.null_share is not None and abs(nulls[1] - nulls[0]) > limits.null_share:
        problems.append(
            f"its share of nulls went from {nulls[0]:.2%} to {nulls[1]:.2%}; expected a change of "
            f"{limits.null_share:.2%} at most"
        )
    return ", and ".join(problems)
