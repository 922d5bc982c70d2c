"""Texts that a new version is compared with: those of earlier versions, by their fingerprints, and of a benchmark."""

from collections.abc import Iterator

import numpy as np
import pyarrow

from ..artifacts import TableStream
from ..runtime import InputError
from .prepare import ROWS_PER_BATCH, Preparation

FORMAT = "1"  # Of cleaning, hash and shingles together: fingerprints of another one cannot be compared.
FINGERPRINTS_SCHEMA = pyarrow.schema(
    [
        ("row_id", pyarrow.string()),
        ("source", pyarrow.string()),  # The version that accepted the row.
        ("split", pyarrow.string()),
        ("label", pyarrow.string()),
        ("text_fingerprint", pyarrow.string()),
        ("text_shingles", pyarrow.list_(pyarrow.int64())),
    ]
)
REFERENCE_SCHEMA = pyarrow.schema(
    [
        ("row_number", pyarrow.int64()),
        ("kind", pyarrow.string()),  # "known" or "benchmark".
        *(field for field in FINGERPRINTS_SCHEMA if field.name != "split"),
    ]
)


def check_fingerprints(known: TableStream) -> list[str]:
    """The versions whose fingerprints a table holds.

    Raises:
        InputError: If it does not hold fingerprints, or those of another format.
    """
    metadata = known.manifest.metadata
    if metadata.get("fingerprint_format") != FORMAT or not known.schema.equals(FINGERPRINTS_SCHEMA):
        raise InputError(
            f"known has the fingerprint format {metadata.get('fingerprint_format')!r} and the columns "
            f"{', '.join(known.schema.names)}; expected the output fingerprints of curate_text, format {FORMAT!r}. "
            "Pass this output of the last accepted run, or curate the earlier versions again."
        )
    return list(metadata.get("versions", []))


def reference_batches(
    known: TableStream | None, benchmark: TableStream | None, preparation: Preparation
) -> Iterator[pyarrow.RecordBatch]:
    """The table `reference` of `operations.py`.

    Args:
        known: Fingerprints of earlier versions.
        benchmark: A table with `row_id` and the text column.
        preparation: Prepares the benchmark's texts as it prepares the others.

    Raises:
        InputError: If one of the tables is not what it should be.
    """
    if known:
        check_fingerprints(known)
    batches = {
        "known": known.batches(ROWS_PER_BATCH) if known else (),
        "benchmark": preparation.benchmark(benchmark) if benchmark else (),
    }
    first = 0
    for kind, batch in ((kind, batch) for kind, several in batches.items() for batch in several):
        columns = {
            "row_number": np.arange(first, first + batch.num_rows),
            "kind": pyarrow.repeat(kind, batch.num_rows),
            **{name: batch[name] for name in REFERENCE_SCHEMA.names[2:]},
        }
        yield pyarrow.RecordBatch.from_pydict(columns, schema=REFERENCE_SCHEMA)
        first += batch.num_rows
