"""A column as it was ingested → the column in the type that a rule names, and which rows hold no value of that type."""

from dataclasses import dataclass

import duckdb
import pyarrow
import pyarrow.compute

from .columns import kind_of, load, plain, without_nan
from .profile import NUMBER

_WHITE_SPACE = " \t\r\n\f\v\u00a0"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
_FROM_TEXT = {
    "integer": r"CASE WHEN regexp_full_match(x, '[+-]?[0-9]+(\.0*)?') THEN TRY_CAST(x AS BIGINT) END",
    "number": f"CASE WHEN regexp_full_match(x, '{NUMBER}') AND isfinite(TRY_CAST(x AS DOUBLE)) "
    "THEN TRY_CAST(x AS DOUBLE) END",
    "boolean": "CASE lower(x) WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END",
    # DuckDB reads minutes of a zone after a colon only, and hours of one after seconds only.
    "timestamp": f"CASE WHEN regexp_full_match(x, '{_TIME}') THEN TRY_CAST(regexp_replace(regexp_replace(x, "
    r"'([+-][0-9]{2})([0-9]{2})$', '\1:\2'), '^(.{13}:[0-9]{2})([Z+-])', '\1:00\2') AS TIMESTAMPTZ) END",
    "date": "CASE WHEN regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN TRY_CAST(x AS DATE) END",
}
_TO_INTEGER = "CASE WHEN x = trunc(x) THEN TRY_CAST(x AS BIGINT) END"
_ARROW = {
    "string": pyarrow.string(),
    "integer": pyarrow.int64(),
    "number": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
    "timestamp": pyarrow.timestamp("us", "UTC"),
    "date": pyarrow.date32(),
}
_ACCEPTED_FOR = {"number": ("integer",), "timestamp": ("date",)}


@dataclass(frozen=True)
class Coerced:
    """A column in the type of its rule.

    Attributes:
        values: What the valid rows keep; null in the rows of `wrong`.
        comparable: The values in a type that pyarrow.compute and DuckDB can work with, null for NaN.
        wrong: For each row, whether it holds something else than a value of the type; None if no row can.
    """

    values: pyarrow.ChunkedArray
    comparable: pyarrow.ChunkedArray
    wrong: pyarrow.ChunkedArray | None = None


def coerce(
    connection: duckdb.DuckDBPyConnection, column: pyarrow.ChunkedArray, name: str, type_: str | None
) -> Coerced | None:
    """Reads a column as one of `KINDS`; any type will do if None.

    A column that is of the kind stays as it is. Texts are read without white space around them: numbers in decimal or
    scientific notation, dates and times in ISO 8601, true and false, 1 and 0; an empty one is a null. Integers may come
    from numbers without a fraction, numbers from integers, timestamps from dates.

    Returns:
        None if a column of this Arrow type cannot be read so at all.
    """
    if pyarrow.types.is_null(column.type) and type_:
        column = column.cast(_ARROW[type_])
    kind = kind_of(column.type)
    values = plain(column, name)
    if type_ in (None, kind) or kind in _ACCEPTED_FOR.get(str(type_), ()):
        if (kind, type_) == ("date", "timestamp"):
            column = values.cast(pyarrow.timestamp("us"))
            values = column
        return Coerced(column, without_nan(values))
    if kind == "string":
        trimmed = pyarrow.compute.utf8_trim(values, _WHITE_SPACE)
        return _read(connection, trimmed, pyarrow.compute.equal(trimmed, ""), name, str(type_))
    if kind == "number" and type_ == "integer":
        values = without_nan(values)
        return _read(connection, values, pyarrow.compute.is_null(values), name, "integer", _TO_INTEGER)
    return None


def _read(
    connection: duckdb.DuckDBPyConnection,
    values: pyarrow.ChunkedArray,
    is_missing: pyarrow.ChunkedArray,
    name: str,
    type_: str,
    sql: str | None = None,
) -> Coerced:
    load(connection, {"x": values})
    found = connection.execute(f"SELECT {sql or _FROM_TEXT[type_]} AS x FROM data").to_arrow_table()["x"]  # noqa: S608
    found = found.cast(_ARROW[type_])
    missing = pyarrow.compute.fill_null(is_missing, True)
    wrong = pyarrow.compute.and_not(pyarrow.compute.is_null(found), missing)
    return Coerced(found, plain(found, name), wrong)
