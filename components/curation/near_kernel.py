"""Near duplicates on DuckDB's tables, by the compiled kernel of `near.py`."""

import numpy as np
import pyarrow
import pyarrow.compute as pc

from .duckdb_engine import DuckDBEngine
from .near import Matches, near_duplicates, near_matches
from .shingles import ShingleSets

_SCHEMA = pyarrow.schema([(name, pyarrow.int64()) for name in ("row_number", "related_number", "percent")])


class KernelNear:
    """Finds near texts with the kernel; `engine.Near` says what its methods do."""

    def duplicates(self, engine: DuckDBEngine, threshold: int) -> None:
        """Texts that are near to an earlier one that is kept."""
        numbers, sets = _side(_ordered(engine), 2)
        _leave(engine, near_duplicates(sets, threshold / 10_000), numbers, numbers)

    def matches(self, engine: DuckDBEngine, threshold: int) -> None:
        """Texts of side 1 that are near to one of side 0."""
        table = _ordered(engine)
        (queries, query_sets), (references, reference_sets) = _side(table, 1), _side(table, 0)
        _leave(engine, near_matches(query_sets, reference_sets, threshold / 10_000), queries, references)


def _ordered(engine: DuckDBEngine) -> pyarrow.Table:
    return engine.table("SELECT side, row_number, text_shingles FROM near_texts ORDER BY row_number")


def _side(table: pyarrow.Table, side: int) -> tuple[np.ndarray, ShingleSets]:
    chosen = table.filter(pc.equal(table["side"], side))
    return chosen["row_number"].to_numpy(), ShingleSets.from_arrow(chosen["text_shingles"].combine_chunks())


def _leave(engine: DuckDBEngine, matches: Matches, numbers: np.ndarray, related: np.ndarray) -> None:
    # The similarity is a quotient of whole numbers below 10⁷: a whole percentage may be a rounding error too low.
    percent = np.floor(100 * matches.similarity + 1e-9).astype(np.int64)
    columns = [pyarrow.array(values) for values in (numbers[matches.rows], related[matches.related], percent)]
    engine.load("near", iter([pyarrow.RecordBatch.from_arrays(columns, schema=_SCHEMA)]), _SCHEMA)
