"""Runs GoogleSQL on an embedded DuckDB, in a scratch file: memory is bounded, whatever the size of the tables."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from ..runtime import InputError
from .googlesql import to_duckdb

ROWS_PER_BATCH = 50_000
_MEMORY = "1GB"  # Of DuckDB itself; what does not fit goes to the scratch file.


class DuckDBEngine:
    """Tables by name, made from Arrow batches or by GoogleSQL. Statements can reach no file and no network.

    Made by `duckdb_engine`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._tables: frozenset[str] = frozenset()

    def load(self, name: str, batches: Iterator[pyarrow.RecordBatch], schema: pyarrow.Schema) -> None:
        """Makes a table of Arrow batches."""
        self._connection.from_arrow(pyarrow.Table.from_batches([], schema)).create_view("incoming")
        self._connection.execute(f"CREATE OR REPLACE TABLE {_quoted(name)} AS FROM incoming")
        for batch in batches:
            self._connection.from_arrow(pyarrow.Table.from_batches([batch])).insert_into(name)
        self._tables |= {name}

    def create(self, name: str, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Makes a table, or makes it anew, of what a statement selects; it may select from the same table."""
        self._execute(f"CREATE OR REPLACE TABLE {_quoted(name)} AS ", sql, parameters, name)
        self._tables |= {name}

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a statement selects, as Python values."""
        return self._execute("", sql, parameters, "a query").fetchall()

    def table(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pyarrow.Table:
        """What a statement selects, as an Arrow table."""
        return self._execute("", sql, parameters, "a query").to_arrow_table()

    def batches(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pyarrow.RecordBatchReader:
        """What a statement selects, batch by batch."""
        return self._execute("", sql, parameters, "a query").to_arrow_reader(ROWS_PER_BATCH)

    def _execute(
        self, prefix: str, sql: str, parameters: Mapping[str, Any] | None, name: str
    ) -> duckdb.DuckDBPyConnection:
        statement, used = to_duckdb(sql, self._tables, name)
        try:
            return self._connection.execute(prefix + statement, {key: (parameters or {})[key] for key in used})
        except duckdb.Error as error:
            raise InputError(f"{name} fails: {str(error).splitlines()[0]} Correct the statement.") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def duckdb_engine() -> Iterator[DuckDBEngine]:
    """Yields an engine without tables; its scratch files go when the block ends."""
    with tempfile.TemporaryDirectory(prefix="seatrial-curation-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "threads": len(os.sched_getaffinity(0)),
            "temp_directory": str(Path(folder) / "spilled"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
        with duckdb.connect(Path(folder) / "scratch.duckdb", config=settings) as connection:
            # Not a setting of the connection, which would keep DuckDB from its own scratch files.
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield DuckDBEngine(connection)
