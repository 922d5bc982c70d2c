"""A curation as a whole, for tests: an Arrow table in, the tables that `curate_text` writes out."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow

from seatrial.components.artifacts import TableStream, write_table
from seatrial.components.curation.curate import curate
from seatrial.components.curation.fingerprints import FINGERPRINTS_SCHEMA, FORMAT
from seatrial.components.curation.report import render
from seatrial.components.curation.summary import summarise
from seatrial.components.curation.text_rules import TextRules


@dataclass(frozen=True)
class Curated:
    train: pyarrow.Table
    test: pyarrow.Table
    ledger: pyarrow.Table
    edits: pyarrow.Table
    fingerprints: pyarrow.Table
    counts: dict
    page: str


def table_folder(path: Path, table: pyarrow.Table, metadata: dict | None = None) -> TableStream:
    write_table(path, table, metadata=metadata or {})
    return TableStream(path)


def curated(
    table: pyarrow.Table,
    rules: TextRules,
    known: pyarrow.Table | None = None,
    benchmark: pyarrow.Table | None = None,
    version: str = "v1",
) -> Curated:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        source = table_folder(path / "source", table)
        known_table = known and table_folder(path / "known", known, {"fingerprint_format": FORMAT, "versions": ["v0"]})
        benchmark_table = benchmark and table_folder(path / "benchmark", benchmark)
        with curate(source, rules, known=known_table, benchmark=benchmark_table) as result:
            splits = [
                pyarrow.Table.from_batches(result.split(split), schema=result.schema) for split in ("train", "test")
            ]
            accepted = result.fingerprints(known_table, version)
            return Curated(
                *splits,
                result.ledger().read_all(),
                result.edited(),
                pyarrow.Table.from_batches(accepted, schema=FINGERPRINTS_SCHEMA),
                dict(result.counts),
                render(result.counts, summarise(result), result.edits, rules),
            )
