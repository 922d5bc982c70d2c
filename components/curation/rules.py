"""The rules of a table: a YAML file, read and checked to the last key.

    maximum_quarantine_share: 0.05   # of the rows; more fail the run. 0.05 if left out
    unexpected_columns: allow        # or fail: the table has no column that is not named here. allow if left out
    rows: {minimum: 1, maximum: 1000000}             # rows that break no rule; at least 1 if left out
    unique: [[product, review]]      # no two rows agree in all of these columns
    columns:
      price:
        type: number                 # string, integer, number, boolean, timestamp or date; texts are read as such
        required: true               # the table has the column; true if left out
        nullable: false              # no row has a null; true if left out
        maximum_null_share: 0.1
        range: {minimum: 0, maximum: 1000.5}         # both are allowed values; one may be left out
        drift: {psi: 0.25, null_share: 0.1}          # how far it may be from the last accepted profile
      country:
        type: string
        length: {minimum: 2, maximum: 2}             # in characters
        pattern: "[A-Z]{2}"          # RE2; the whole text
        allowed: [DE, FR]
      order:
        unique: true
      written:
        type: timestamp
        freshness: {days: 1, hours: 12}              # the newest value is at most so old

Rules of a row, in this order, column by column as in the file: type, nullable, range, length, pattern, allowed; then
unique, column by column and then the sets, among the rows that break none of the others. All else are rules of the
whole table: of the rows that are left. Nothing that is not written here is checked. A null breaks no rule but nullable;
NaN is a null, and so is an empty text where the type is not string. A time without a zone is in UTC.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import yaml

from ..runtime import InputError
from .columns import KINDS

ROW_RULES = ("type", "nullable", "range", "length", "pattern", "allowed")
DEFAULT_QUARANTINE_SHARE = 0.05
_LARGEST_FILE = 1_000_000
_LARGEST_EXPONENT = 400
_LONGEST_PATTERN = 1_000
_OLDEST = timedelta(days=36_525)
_TYPES_OF = {
    "range": ("integer", "number", "timestamp", "date"),
    "length": ("string",),
    "pattern": ("string",),
    "allowed": ("string", "integer"),
    "freshness": ("timestamp", "date"),
    "drift": ("string", "integer", "number", "boolean"),
}
_ADVICE = "Correct the rules."


@dataclass(frozen=True)
class Bounds:
    """From where to where, both included; None for no bound."""

    minimum: Any = None
    maximum: Any = None

    def __str__(self) -> str:
        low, high = (
            format(bound, ",") if isinstance(bound, int) else str(bound) for bound in (self.minimum, self.maximum)
        )
        if self.maximum is None:
            return f"{low} or more"
        return f"{high} or less" if self.minimum is None else f"{low} to {high}"


@dataclass(frozen=True)
class Drift:
    """How far a column may be from the accepted profile: its index, and its share of nulls; None for any."""

    psi: float | None = None
    null_share: float | None = None


@dataclass(frozen=True)
class ColumnRules:
    """The rules of one column, as this module's docstring has them.

    Bounds of a range are `Decimal` for numbers, `date` for dates, and `datetime` in UTC for timestamps.
    """

    type: str | None = None
    required: bool = True
    nullable: bool = True
    maximum_null_share: float | None = None
    range: Bounds | None = None
    length: Bounds | None = None
    pattern: str | None = None
    allowed: tuple[Any, ...] | None = None
    unique: bool = False
    freshness: timedelta | None = None
    drift: Drift | None = None


@dataclass(frozen=True)
class Rules:
    """The rules of a table."""

    columns: Mapping[str, ColumnRules] = field(default_factory=dict)
    unique: tuple[tuple[str, ...], ...] = ()
    rows: Bounds = field(default_factory=lambda: Bounds(minimum=1))
    unexpected_columns: str = "allow"
    maximum_quarantine_share: float = DEFAULT_QUARANTINE_SHARE


def read_rules(path: str | Path) -> Rules:
    """Reads a file of rules.

    Raises:
        InputError: If there is none, it is no YAML, or a key or value is not what this module's docstring says.
    """
    try:
        if Path(path).stat().st_size > _LARGEST_FILE:
            raise InputError(f"The rules {path} are larger than {_LARGEST_FILE:,} bytes. Pass a file of rules.")
        return parse_rules(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The rules {path} cannot be read ({error.strerror}). Pass a file of rules.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"The rules {path} are not UTF-8 ({error.reason}). Convert the file to UTF-8.") from None


def parse_rules(text: str) -> Rules:
    """The rules that a YAML text holds; errors as for `read_rules`."""
    document = _entry(_document(text), "the file", Rules)
    columns = {
        name: _column(rules, f"columns.{name}")
        for name, rules in _names(document.get("columns", {}), "columns").items()
    }
    return Rules(
        columns,
        tuple(_unique_set(names, f"unique[{place}]") for place, names in enumerate(_list(document, "unique"))),
        _bounds(document.get("rows", {"minimum": 1}), "rows", _count),
        _one_of(document.get("unexpected_columns", "allow"), "unexpected_columns", ("allow", "fail")),
        _share(document.get("maximum_quarantine_share", DEFAULT_QUARANTINE_SHARE), "maximum_quarantine_share"),
    )


class _Loader(yaml.SafeLoader):
    """Plain values only, no key twice, and no aliases: a few lines of them stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem=f"there is an alias, *{event.anchor}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} is there twice", problem_mark=key_node.start_mark)
            seen.add(key if isinstance(key, str) else None)
        return super().construct_mapping(node, deep)


def _document(text: str) -> Any:
    expected = "Expected YAML of plain values, without tags and aliases."
    try:
        return yaml.load(text, _Loader)  # noqa: S506 -- a safe loader that accepts less
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise InputError(f"The rules cannot be read: {error.problem or error.context}{line}. {expected}") from None
    except RecursionError:
        raise InputError(f"The rules are nested too deeply. {expected}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"The rules cannot be read: {str(error)[:200]}. {expected}") from None


def _column(value: Any, place: str) -> ColumnRules:
    rules = _entry({} if value is None else value, place, ColumnRules)
    readers: dict[str, Callable[[Any, str], Any]] = {
        "type": lambda given, at: _one_of(given, at, KINDS),
        "required": _flag,
        "nullable": _flag,
        "maximum_null_share": _share,
        "range": lambda given, at: _bounds(given, at, _value_of(rules["type"])),
        "length": lambda given, at: _bounds(given, at, _count),
        "pattern": _pattern,
        "allowed": lambda given, at: _allowed(given, at, rules["type"]),
        "unique": _flag,
        "freshness": _age,
        "drift": _drift,
    }
    for key, types in _TYPES_OF.items():
        if key in rules and rules.get("type") not in types:
            raise InputError(
                f"The rules: {place} has the rule {key!r} and {_type_of(rules)}; expected the type {_either(types)}. "
                f"{_ADVICE}"
            )
    return ColumnRules(**{key: readers[key](rules[key], f"{place}.{key}") for key in rules})


def _type_of(rules: dict[str, Any]) -> str:
    return f"the type {_shown(rules['type'])}" if "type" in rules else "no type"


def _entry(value: Any, place: str, kind: type) -> dict[str, Any]:
    """A mapping with the keys of a dataclass."""
    return _mapping(value, place, list(kind.__dataclass_fields__))  # type: ignore[attr-defined]


def _mapping(value: Any, place: str, keys: Collection[str]) -> dict[str, Any]:
    for key in _names(value, place):
        if key not in keys:
            raise InputError(
                f"The rules: {place} has the unknown key {key[:100]!r}; expected {_either(keys)}."
                f"{near_miss(key, keys)} {_ADVICE}"
            )
    return value


def _names(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(place, value, "a mapping of names, a line `name: value` each")
    for key in value:
        if not isinstance(key, str):
            raise _wrong(f"a key of {place}", key, "text; put a name such as 'no' or '1' in quotes")
    return value


def near_miss(name: str, names: Collection[str]) -> str:
    """Which of the names may have been meant, as a sentence; nothing if none is like it."""
    close = get_close_matches(name[:100], names, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def _list(document: dict[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise _wrong(key, value, "a list")
    return value


def _unique_set(value: Any, place: str) -> tuple[str, ...]:
    if not (isinstance(value, list) and value and all(isinstance(name, str) for name in value)):
        raise _wrong(place, value, "a list of columns, such as [product, review]")
    if len(set(value)) < len(value):
        raise _wrong(place, value, "different columns")
    return tuple(value)


def _one_of(value: Any, place: str, values: Collection[str]) -> str:
    if not isinstance(value, str) or value not in values:
        hint = near_miss(value, values) if isinstance(value, str) else ""
        raise InputError(f"The rules: {place} is {_shown(value)}; expected {_either(values)}.{hint} {_ADVICE}")
    return value


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(place, value, "true or false")
    return value


def _share(value: Any, place: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise _wrong(place, value, "a number from 0 to 1")
    return float(value)


def _count(value: Any, place: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise _wrong(place, value, "a whole number of 0 or more")
    return value


def _bounds(value: Any, place: str, read: Callable[[Any, str], Any]) -> Bounds:
    given = _entry(value, place, Bounds)
    if not given:
        raise _wrong(place, value, "a minimum, a maximum or both")
    bounds = Bounds(**{key: read(bound, f"{place}.{key}") for key, bound in given.items()})
    if bounds.minimum is not None and bounds.maximum is not None and bounds.minimum > bounds.maximum:
        raise _wrong(place, value, "a minimum that is not above the maximum")
    return bounds


def _value_of(type_: str) -> Callable[[Any, str], Any]:
    return {"integer": _number, "number": _number, "timestamp": _timestamp, "date": _date}[type_]


def _number(value: Any, place: str) -> Decimal:
    """Exactly what is written; as text where a floating-point number would not hold it."""
    try:
        if isinstance(value, bool) or (isinstance(value, int) and value.bit_length() > 3 * _LARGEST_EXPONENT):
            raise ValueError
        number = Decimal(repr(value) if isinstance(value, float) else value)
        if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT or len(number.as_tuple().digits) > 100:
            raise ValueError
    except (ValueError, TypeError, InvalidOperation):
        raise _wrong(place, value, "a number") from None
    return number


def _timestamp(value: Any, place: str) -> datetime:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif type(value) is date:
            value = datetime(value.year, value.month, value.day)
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        raise _wrong(place, value, "a time, such as 2026-01-31T12:00:00Z") from None


def _date(value: Any, place: str) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if type(day) is not date:
        raise _wrong(place, value, "a date, such as 2026-01-31")
    return day


def _pattern(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_PATTERN:
        raise _wrong(place, value, f"a regular expression of at most {_LONGEST_PATTERN:,} characters")
    try:
        pyarrow.compute.match_substring_regex(pyarrow.array([""]), pattern=whole(value))
    except pyarrow.ArrowException as error:
        problem = str(error).removeprefix("Invalid regular expression: ")
        raise _wrong(place, value, f"a regular expression of RE2, which has no look-around ({problem})") from None
    return value


def whole(pattern: str) -> str:
    """The pattern that matches a text only as a whole; line breaks are characters like others."""
    return rf"\A(?s:{pattern})\z"


def _allowed(value: Any, place: str, type_: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise _wrong(place, value, "a list of values")
    expected, name = {"string": (str, "text; put it in quotes"), "integer": (int, "whole numbers")}[type_]
    for item in value:
        if type(item) is not expected:
            raise _wrong(f"a value of {place}", item, name)
    return tuple(value)


def _age(value: Any, place: str) -> timedelta:
    given = _mapping(value, place, ("days", "hours"))
    if not given or not all(type(part) in (int, float) and 0 <= part <= _OLDEST.days * 24 for part in given.values()):
        raise _wrong(place, value, "days, hours or both, as numbers")
    age = timedelta(**given)
    if not timedelta(0) < age <= _OLDEST:
        raise _wrong(place, value, "more than nothing and at most 100 years")
    return age


def _drift(value: Any, place: str) -> Drift:
    given = _entry(value, place, Drift)
    if not given:
        raise _wrong(place, value, "psi, null_share or both, such as {psi: 0.25, null_share: 0.1}")
    psi, null_share = given.get("psi"), given.get("null_share")
    if "psi" in given and (isinstance(psi, bool) or not isinstance(psi, int | float) or not 0 < psi < math.inf):
        raise _wrong(f"{place}.psi", psi, "a number above 0; 0.25 is usual")
    return Drift(psi, _share(null_share, f"{place}.null_share") if "null_share" in given else None)


def _wrong(place: str, value: Any, expected: str) -> InputError:
    return InputError(f"The rules: {place} is {_shown(value)}; expected {expected}. {_ADVICE}")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits.
        return "a number of thousands of digits"
    return text if len(text) <= 200 else text[:200] + "…"


def _either(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
