"""The rules of single rows, checked column by column with pandera; what is compared is computed by Arrow.

pandera's own comparisons are not used: they go through Python's `re`, which a pattern can keep busy for ever, and
compare whole numbers and decimals as floating-point numbers. Its schema, lazy validation and failure cases are.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.compute

from .coerce import Coerced
from .rules import Bounds, ColumnRules, whole

# pandera sets variables for Spark, by one of which Arrow loses the zones of times, here and in child processes.
_VARIABLES = set(os.environ)
import pandera.pandas as pandera  # noqa: E402

for _name in set(os.environ) - _VARIABLES:
    del os.environ[_name]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=2_000)
_NOT_NULL = "not_nullable"  # As pandera calls it.


@dataclass(frozen=True)
class RowRule:
    """A rule that a row can break.

    Attributes:
        name: Column and rule, `price.range`, or `unique[product, review]`.
        columns: The columns that it is about.
        rule: `type`, `nullable`, `range`, `length`, `pattern`, `allowed` or `unique`.
        expected: What it expects of a value, as it ends a sentence.
    """

    name: str
    columns: tuple[str, ...]
    rule: str
    expected: str


def row_rules(name: str, rules: ColumnRules) -> list[RowRule]:
    """The rules of a column that are checked row by row, in their order; `unique` is none of them."""
    article = {"integer": "an integer", "timestamp": "a time in ISO 8601", "date": "a date, year-month-day"}
    expected = {
        "type": None if rules.type in (None, "string") else article.get(str(rules.type), f"a {rules.type}"),
        "nullable": None if rules.nullable else "a value",
        "range": rules.range and str(rules.range),
        "length": rules.length and f"{rules.length} characters",
        "pattern": rules.pattern is not None and f"a match of {rules.pattern}",
        "allowed": rules.allowed and _listed(rules.allowed),
    }
    return [RowRule(f"{name}.{rule}", (name,), rule, str(text)) for rule, text in expected.items() if text]


def _listed(values: tuple[Any, ...]) -> str:
    names = ", ".join(repr(value) for value in values[:5])
    return f"one of {names}" + (f" and {len(values) - 5:,} more" if len(values) > 5 else "")


def broken_rows(columns: Mapping[str, Coerced], rules: Mapping[str, ColumnRules]) -> dict[str, numpy.ndarray]:
    """Which rows break which rule.

    Args:
        columns: Name → values, all of one length.
        rules: The rules of each of these columns.

    Returns:
        Name of the rule, for all rules that were checked → numbers of the rows that break it, ascending.
    """
    broken = {rule.name: numpy.empty(0, int) for name in columns for rule in row_rules(name, rules[name])}
    for name, column in columns.items():
        if column.wrong is not None:
            broken[f"{name}.type"] = numpy.flatnonzero(column.wrong.to_numpy())
    failures = _failures(columns, rules)
    for rule, rows in failures.groupby("rule", observed=True)["index"]:
        broken[str(rule)] = numpy.sort(rows.to_numpy(int))
    for name in columns:
        if f"{name}.type" in broken and f"{name}.nullable" in broken:  # What is no number was no null.
            nulls = numpy.setdiff1d(broken[f"{name}.nullable"], broken[f"{name}.type"], assume_unique=True)
            broken[f"{name}.nullable"] = nulls
    return broken


def _failures(columns: Mapping[str, Coerced], rules: Mapping[str, ColumnRules]) -> pandas.DataFrame:
    """The failure cases: the columns `rule` and `index`, the number of the row."""
    schema = {
        name: pandera.Column(nullable=rules[name].nullable, checks=_checks(name, rules[name]))
        for name in columns
        if not rules[name].nullable or _checks(name, rules[name])
    }
    nothing = pandas.DataFrame({"rule": [], "index": []})
    frame = pandas.DataFrame({name: _series(columns[name].comparable) for name in schema})
    if frame.empty:
        return nothing
    try:
        pandera.DataFrameSchema(schema).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        if cases["index"].isna().any():
            raise RuntimeError(
                f"A check failed to run: {cases[cases['index'].isna()].head(3).to_dict('records')}"
            ) from error
        is_null = cases["check"] == _NOT_NULL
        return cases.assign(rule=cases["check"].where(~is_null, cases["column"].astype(str) + ".nullable"))
    return nothing


def _series(values: pyarrow.ChunkedArray) -> pandas.Series:
    """Arrow's values as they are: whole numbers stay whole beside nulls."""
    return pandas.Series(pandas.arrays.ArrowExtensionArray(values))


def _checks(name: str, rules: ColumnRules) -> list[pandera.Check]:
    compute = pyarrow.compute
    tests: dict[str, Callable[[Any], Any]] = {}
    if bounds := rules.range:
        tests["range"] = lambda values: within(values, bounds)
    if lengths := rules.length:
        tests["length"] = lambda values: within(compute.utf8_length(values), lengths)
    if rules.pattern is not None:
        pattern = whole(rules.pattern)
        tests["pattern"] = lambda values: compute.match_substring_regex(values, pattern=pattern)
    if allowed := rules.allowed:
        tests["allowed"] = lambda values: _is_allowed(values, allowed)
    return [pandera.Check(_on_series(test), name=f"{name}.{rule}") for rule, test in tests.items()]


def _on_series(test: Callable[[Any], Any]) -> Callable[[pandas.Series], pandas.Series]:
    """A test for pandera, which hands over a series of the values that are no nulls, and expects one of booleans."""

    def check(series: pandas.Series) -> pandas.Series:
        holds = test(pyarrow.chunked_array(pyarrow.array(series.array)))
        return pandas.Series(holds.to_numpy(), index=series.index)

    return check


def _is_allowed(values: pyarrow.ChunkedArray, allowed: tuple[Any, ...]) -> pyarrow.ChunkedArray:
    if pyarrow.types.is_integer(values.type):
        low, high = _reach(values.type)
        allowed = tuple(value for value in allowed if low <= value <= high)
    return pyarrow.compute.is_in(values, value_set=pyarrow.array(allowed, values.type))


def within(values: pyarrow.ChunkedArray, bounds: Bounds) -> pyarrow.ChunkedArray:
    """Whether each value lies within bounds, compared exactly.

    Args:
        values: Numbers, times or dates, as `plain` makes them.
        bounds: `Decimal` or int for numbers, `datetime` for times, `date` for dates.
    """
    types, type_ = pyarrow.types, values.type
    low, high = bounds.minimum, bounds.maximum
    if types.is_floating(type_):
        return _between(values, None if low is None else float(low), None if high is None else float(high))
    if types.is_decimal(type_):
        return _decimals_between(values, low, high)
    if types.is_timestamp(type_):
        unit = {"us": 1, "ns": 1_000}[type_.unit]
        low, high = (None if bound is None else unit * microseconds(bound) for bound in (low, high))
        values = values.cast(pyarrow.int64())
    elif types.is_date(type_):
        low, high = (None if bound is None else (bound - date(1970, 1, 1)).days for bound in (low, high))
        values = values.cast(pyarrow.int32())
    low = None if low is None else int(Decimal(low).to_integral_value(ROUND_CEILING, context=_EXACT))
    high = None if high is None else int(Decimal(high).to_integral_value(ROUND_FLOOR, context=_EXACT))
    return _between(values, *_reachable(low, high, *_reach(values.type)))


def microseconds(time: datetime) -> int:
    """Microseconds from 1970 to a time with a zone."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def _reach(type_: pyarrow.DataType) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    if pyarrow.types.is_signed_integer(type_):
        return -(2 ** (type_.bit_width - 1)), 2 ** (type_.bit_width - 1) - 1
    return 0, 2**type_.bit_width - 1


def _reachable(low: Any, high: Any, smallest: Any, largest: Any) -> tuple[Any, Any]:
    """The bounds that the type can hold: none where every value is within, and an empty range where none is."""
    if (low is not None and low > largest) or (high is not None and high < smallest):
        return largest, smallest
    return (
        None if low is None or low <= smallest else low,
        None if high is None or high >= largest else high,
    )


def _decimals_between(values: pyarrow.ChunkedArray, low: Any, high: Any) -> pyarrow.ChunkedArray:
    digit = Decimal(1).scaleb(-values.type.scale)
    largest = _EXACT.multiply(Decimal(10**values.type.precision - 1), digit)
    low = None if low is None else Decimal(low).quantize(digit, ROUND_CEILING, context=_EXACT)
    high = None if high is None else Decimal(high).quantize(digit, ROUND_FLOOR, context=_EXACT)
    return _between(values, *_reachable(low, high, -largest, largest))


def _between(values: pyarrow.ChunkedArray, low: Any, high: Any) -> pyarrow.ChunkedArray:
    compute = pyarrow.compute
    holds = compute.is_valid(values)
    if low is not None:
        holds = compute.and_(holds, compute.greater_equal(values, pyarrow.scalar(low, values.type)))
    if high is not None:
        holds = compute.and_(holds, compute.less_equal(values, pyarrow.scalar(high, values.type)))
    return holds
