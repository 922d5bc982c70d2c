"""A table as it was ingested → clean train and test tables, and a ledger of every row that was removed.

The embedded engine: rows are prepared one by one (`prepare.py`), go to a scratch database, are compared there
(`select_rows.py`), and leave it batch by batch, so that memory does not grow with the texts.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow
import pyarrow.compute

from ..artifacts import TableStream
from . import operations
from .duckdb_engine import DuckDBEngine, duckdb_engine
from .fingerprints import FINGERPRINTS_SCHEMA, REFERENCE_SCHEMA, reference_batches
from .near_kernel import KernelNear
from .prepare import EDITS_SCHEMA, OUTPUT_COLUMNS, PREPARED_SCHEMA, ROWS_PER_BATCH, Edits, Preparation
from .select_rows import select_rows
from .text_rules import TextRules


@dataclass(frozen=True)
class Curation:
    """The result of `curate`, while its scratch database is there.

    Attributes:
        engine: With the tables `prepared`, `remaining`, `removed`: see `operations.py`.
        rules: What was kept.
        counts: What `select_rows` counted, and the rows changed by each edit.
        edits: What was changed in the texts.
        schema: Of the train and test tables.
        source: What was curated.
        other_columns: Those that it has beside text and label.
    """

    engine: DuckDBEngine
    rules: TextRules
    counts: Mapping[str, int]
    edits: Edits
    schema: pyarrow.Schema
    source: TableStream
    other_columns: list[str]

    def split(self, name: str) -> Iterator[pyarrow.RecordBatch]:
        """The rows of "train" or "test": row_id, text, label if there is one, and the source's other columns."""
        first = 0
        # The other columns are taken from the source once more: DuckDB would change the types of some.
        for batch in self.source.batches(ROWS_PER_BATCH, self.other_columns):
            end = first + batch.num_rows
            kept = self.engine.table(operations.ROWS_OF_SPLIT, {"split": name, "first": first, "end": end})
            others = batch.take(pyarrow.compute.subtract(kept["row_place"].combine_chunks(), first))
            columns = {column: kept[column].combine_chunks() for column in OUTPUT_COLUMNS} | {
                column: others[column] for column in self.other_columns
            }
            yield pyarrow.RecordBatch.from_arrays([columns[name] for name in self.schema.names], schema=self.schema)
            first = end

    def ledger(self) -> pyarrow.RecordBatchReader:
        """row_id, operation, reason, related_row_id: the row that it repeats or contradicts, or null."""
        return self.engine.batches(operations.LEDGER)

    def edited(self) -> pyarrow.Table:
        """row_id, operation, count: of each row that was changed beyond cleaning."""
        return pyarrow.Table.from_batches(self.edits.batches, EDITS_SCHEMA)

    def fingerprints(self, known: TableStream | None, version: str) -> Iterator[pyarrow.RecordBatch]:
        """Those of earlier versions, then those of the rows that are kept."""
        if known:
            yield from known.batches(ROWS_PER_BATCH, FINGERPRINTS_SCHEMA.names)
        for batch in self.engine.batches(operations.FINGERPRINTS, {"version": version}):
            yield batch.cast(FINGERPRINTS_SCHEMA)


@contextmanager
def curate(
    source: TableStream, rules: TextRules, *, known: TableStream | None = None, benchmark: TableStream | None = None
) -> Iterator[Curation]:
    """Cleans the texts of a table, removes what must not be trained or tested on, and says why each row went.

    Args:
        source: Columns `row_id`, `split` ("train", "test" or all null), those that the rules name, any others.
        rules: What to keep.
        known: Fingerprints of earlier versions, as `fingerprints` gave them.
        benchmark: A table with `row_id` and the text column; no train row may have one of its texts.

    Raises:
        InputError: If a table lacks a column or holds what it should not, or too little is left.
    """
    preparation = Preparation(source, rules)
    with duckdb_engine() as engine:
        engine.load("reference", reference_batches(known, benchmark, preparation), REFERENCE_SCHEMA)
        engine.load("prepared", preparation.batches(), PREPARED_SCHEMA)
        counts = select_rows(engine, KernelNear(), rules)
        edits, schema, others = preparation.edits, preparation.output_schema, preparation.other_columns
        yield Curation(engine, rules, counts | edits.counts(rules), edits, schema, source, others)
