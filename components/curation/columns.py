"""A table as its user made it → columns of known kinds that DuckDB can read, whatever their Arrow types and names."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow
import pyarrow.compute

from ..runtime import InputError
from .ingest import ADDED_COLUMNS

KINDS = ("string", "integer", "number", "boolean", "timestamp", "date")
_WIDEST_DECIMAL = 38
_MEMORY = "2GB"  # Of DuckDB; what grows beyond it goes to a temporary folder.


def kind_of(type: pyarrow.DataType) -> str | None:
    """The one of `KINDS` that a type is; None for lists, structs, binary data and others that are only counted."""
    types = pyarrow.types
    if types.is_dictionary(type):
        return kind_of(type.value_type)
    kinds = {
        "string": types.is_string(type) or types.is_large_string(type) or types.is_string_view(type),
        "integer": types.is_integer(type),
        "number": types.is_floating(type) or types.is_decimal(type),
        "boolean": types.is_boolean(type),
        "timestamp": types.is_timestamp(type),
        "date": types.is_date(type),
    }
    return next((kind for kind, holds in kinds.items() if holds), None)


def check_table(table: pyarrow.Table) -> None:
    """Refuses what is no output of `ingest_table`, before any work is done.

    Raises:
        InputError: If `row_id` or `split` is missing, `row_id` has nulls or repetitions, a column name is repeated, or
            a value is not what its type says, such as text that is not UTF-8.
    """
    advice = "Pass the output of ingest_table."
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"The table has the column {repeated[0]!r} more than once. {advice}")
    for name in ADDED_COLUMNS:
        if name not in names:
            raise InputError(f"The table has no column {name!r}. {advice}")
    try:
        table.validate(full=True)  # Arrow does not look into strings on its own: they may not be UTF-8.
    except pyarrow.ArrowException as error:
        raise InputError(f"The table holds values that are not of their type ({error}). {advice}") from None
    row_ids = table["row_id"]
    if kind_of(row_ids.type) != "string":
        raise InputError(f"The column 'row_id' has the type {row_ids.type}; expected strings. {advice}")
    if row_ids.null_count or pyarrow.compute.count_distinct(row_ids).as_py() < table.num_rows:
        raise InputError(f"The column 'row_id' has nulls or repetitions. {advice}")


def plain(column: pyarrow.ChunkedArray, name: str) -> pyarrow.ChunkedArray:
    """The column in a type of the same kind that DuckDB and pyarrow.compute can work with; times lose their zone.

    Raises:
        InputError: If a time lies outside the years that microseconds since 1970 can hold.
    """
    types = pyarrow.types
    if types.is_dictionary(column.type):
        return plain(column.cast(column.type.value_type), name)
    if types.is_string_view(column.type):
        return column.cast(pyarrow.string())
    if types.is_float16(column.type):
        return column.cast(pyarrow.float32())
    if types.is_decimal256(column.type):
        return _narrower(column)
    if types.is_date64(column.type):
        return column.cast(pyarrow.date32())
    if types.is_timestamp(column.type):
        try:
            return column.cast(pyarrow.timestamp("ns" if column.type.unit == "ns" else "us"))  # UTC, if it had a zone.
        except pyarrow.ArrowException:
            raise InputError(
                f"The column {name!r} ({column.type}) holds times further than 290,000 years from 1970. Correct them."
            ) from None
    return column


def _narrower(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    try:
        return column.cast(pyarrow.decimal128(_WIDEST_DECIMAL, column.type.scale))
    except pyarrow.ArrowException:  # More digits than DuckDB has.
        return column.cast(pyarrow.float64())


def without_nan(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """The column with null in place of NaN."""
    if not pyarrow.types.is_floating(column.type):
        return column
    return pyarrow.compute.if_else(pyarrow.compute.is_nan(column), pyarrow.scalar(None, column.type), column)


@contextmanager
def duckdb_session() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of bounded memory, with times in UTC, that fetches nothing from the network."""
    with tempfile.TemporaryDirectory(prefix="seatrial-columns-") as folder:
        settings: dict[str, Any] = {"memory_limit": _MEMORY, "temp_directory": folder}
        settings["autoinstall_known_extensions"] = "false"
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection


def load(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, pyarrow.ChunkedArray]) -> None:
    """Has the table `data` hold these columns and no others. Users' names do not become names in SQL."""
    connection.register("data", pyarrow.table(dict(columns)))
