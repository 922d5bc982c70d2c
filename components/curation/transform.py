"""A user's own statement between two steps of curation: a SELECT on a table, and a ledger of the rows it leaves out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow

from ..artifacts import TableStream
from ..runtime import InputError
from .duckdb_engine import ROWS_PER_BATCH, DuckDBEngine, duckdb_engine
from .googlesql import parse
from .ingest import ADDED_COLUMNS

TABLE = "source"
_CHECK = "SELECT COUNT(*), COUNT(DISTINCT row_id) FROM selected"
_UNKNOWN = """
SELECT s.row_id FROM selected AS s LEFT JOIN source AS i ON s.row_id = i.row_id WHERE i.row_id IS NULL LIMIT 1
"""
_SELECTED = "SELECT s.* FROM selected AS s JOIN places AS p ON s.row_id = p.row_id ORDER BY p.place"
_LEFT_OUT = """
SELECT p.row_id, 'transform_table' AS operation, 'not selected by the statement' AS reason,
  CAST(NULL AS STRING) AS related_row_id
FROM places AS p LEFT JOIN selected AS s ON p.row_id = s.row_id WHERE s.row_id IS NULL ORDER BY p.place
"""


@dataclass(frozen=True)
class Transformed:
    """What a statement selected, while its scratch database is there."""

    engine: DuckDBEngine

    def selected(self) -> pyarrow.RecordBatchReader:
        """The rows, in the order of the source."""
        return self.engine.batches(_SELECTED)

    def ledger(self) -> pyarrow.RecordBatchReader:
        """row_id, operation, reason, related_row_id of the rows that were not selected."""
        return self.engine.batches(_LEFT_OUT)


@contextmanager
def transform(table: TableStream, sql: str) -> Iterator[Transformed]:
    """Runs one SELECT on a table.

    Args:
        table: With `row_id` and `split`.
        sql: GoogleSQL of the constructs in `googlesql.py`; the table is called `source`.

    Raises:
        InputError: If the statement may not be run or fails, or does not select `row_id`, `split`, and each row at most
            once.
    """
    parse(sql, frozenset({TABLE}), "sql")
    for name in ADDED_COLUMNS:
        if name not in table.schema.names:
            raise InputError(f"The table has no column {name!r}. Pass the output of ingest_table.")
    row_ids = table.table(["row_id"])["row_id"]
    places = pyarrow.table({"row_id": row_ids, "place": range(len(row_ids))})
    with duckdb_engine() as engine:
        engine.load(TABLE, table.batches(ROWS_PER_BATCH), table.schema)
        engine.load("places", iter(places.to_batches()), places.schema)
        engine.create("selected", sql)
        _check(engine)
        yield Transformed(engine)


def _check(engine: DuckDBEngine) -> None:
    names = engine.table("SELECT * FROM selected LIMIT 0").column_names
    for name in ADDED_COLUMNS:
        if name not in names:
            raise InputError(
                f"sql selects {', '.join(map(repr, names))}; expected {name!r} among the columns, by which rows are "
                "accounted for. Select it unchanged."
            )
    rows, distinct = engine.rows(_CHECK)[0]
    unknown = engine.rows(_UNKNOWN)
    if rows != distinct or unknown:
        what = (
            f"the row_id {unknown[0][0]!r}, which the table has not" if unknown else f"{rows - distinct:,} rows again"
        )
        raise InputError(f"sql selects {what}; expected each row of the table at most once. Correct the joins.")
