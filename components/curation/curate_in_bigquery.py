"""Curation of prepared rows in BigQuery: the operations of `curate_text`, as statements on tables that stay there."""

import re
from typing import TYPE_CHECKING, Any

from ..runtime import InputError
from . import operations
from .bigquery_engine import BigQueryEngine, bigquery_engine
from .near_sql import SqlNear
from .select_rows import select_rows
from .text_rules import TextRules

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_DESTINATION = re.compile(r"([a-z][a-z0-9:.-]*[a-z0-9])\.([A-Za-z0-9_]+)\.([A-Za-z0-9_]+)")


def curate_in_bigquery(
    client: "Client",
    prepared: str,
    destination: str,
    rules: TextRules,
    *,
    known: str = "",
    benchmark: str = "",
    version: str,
    maximum_gibibytes: float,
    usd_per_tebibyte: float,
) -> dict[str, int]:
    """Writes the tables DESTINATION_train, _test, _ledger and _fingerprints.

    Args:
        client: Client of BigQuery.
        prepared: PROJECT.DATASET.TABLE with the columns of `prepare.py`.
        destination: PROJECT.DATASET.PREFIX of the tables to write.
        rules: What to keep.
        known: A table of fingerprints that an earlier run wrote; empty: none.
        benchmark: A prepared table of a benchmark; empty: none.
        version: Name of this version in the fingerprints.
        maximum_gibibytes: Most that all statements together may read.
        usd_per_tebibyte: Price, for the log.

    Returns:
        What `select_rows` counts, and `bytes_read`.

    Raises:
        InputError: If a table is missing or lacks a column, the limit would be exceeded, or too little is left.
    """
    project, dataset, _ = destination_parts(destination)
    with bigquery_engine(client, f"{project}.{dataset}", maximum_gibibytes, usd_per_tebibyte) as engine:
        engine.attach("prepared", prepared)
        _create_reference(engine, known, benchmark)
        counts = select_rows(engine, SqlNear(), rules)
        for split in ("train", "test"):
            engine.write(f"{destination}_{split}", operations.ALL_COLUMNS_OF_SPLIT, {"split": split})
        engine.write(f"{destination}_ledger", operations.LEDGER)
        engine.create("accepted", operations.FINGERPRINTS, {"version": version})
        accepted = operations.KNOWN_AND_ACCEPTED if known else "SELECT * FROM accepted"
        engine.write(f"{destination}_fingerprints", accepted)
        return counts | {"bytes_read": engine.bytes_read}


def destination_parts(destination: str) -> tuple[str, str, str]:
    """Project, dataset and the rest of PROJECT.DATASET.NAME.

    Raises:
        InputError: If it has another form.
    """
    match = _DESTINATION.fullmatch(destination)
    if not match:
        raise InputError(
            f"destination is {destination!r}; expected PROJECT.DATASET.NAME of letters, digits and _. Correct it."
        )
    return match[1], match[2], match[3]


def _create_reference(engine: BigQueryEngine, known: str, benchmark: str) -> None:
    engine.create("reference", operations.NO_REFERENCE)
    for kind, table in (("known", known), ("benchmark", benchmark)):
        if table:
            engine.attach(kind, table)
            engine.create("reference", operations.REFERENCES[kind])


def table_name(artifact: Any) -> str:
    """PROJECT.DATASET.TABLE of an artifact `google.BQTable`.

    Raises:
        InputError: If its metadata does not name a table.
    """
    parts = [str(artifact.metadata.get(key, "")) for key in ("projectId", "datasetId", "tableId")]
    if not all(parts):
        raise InputError(
            f"The artifact {artifact.name!r} has the metadata {dict(artifact.metadata)}; expected projectId, datasetId "
            "and tableId, as load_bigquery and Google's BigqueryQueryJobOp write them."
        )
    return ".".join(parts)


def describe_table(artifact: Any, table: str, **metadata: object) -> None:
    """Fills an artifact `google.BQTable`: URI and metadata as Google's own components write them."""
    project, dataset, name = destination_parts(table)
    place = f"projects/{project}/datasets/{dataset}/tables/{name}"
    artifact.uri = f"https://www.googleapis.com/bigquery/v2/{place}"
    artifact.metadata.update({"projectId": project, "datasetId": dataset, "tableId": name, **metadata})
