"""Query jobs: run by the emulator, their result kept as a table, as BigQuery keeps it."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlglot
from bqemulator.api.dependencies import AppContext
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import DatasetMeta
from bqemulator.domain.errors import InvalidQueryError, UnsupportedFeatureError, ValidationError
from bqemulator.jobs.executor import JOB_RESULTS, JOB_SCHEMAS, execute_query_job
from bqemulator.row_access.identity import CallerIdentity
from bqemulator.storage.arrow_bridge import arrow_table_to_bq_rows
from bqemulator.storage.sql_identifiers import quoted_schema
from sqlglot import exp

from .googlesql import anonymous_columns, prepare, statement_type
from .tables import Field, TableName, as_view, bytes_of, fields_of, write

# BigQuery does not list datasets whose names begin like this.
RESULTS = "_results"
_RESULTS_KEPT = 1000
_RESULT_LIFE = datetime.timedelta(days=1)
_MEBIBYTE = 2**20
_LEAST_BILLED = 10 * _MEBIBYTE
_JOB_ID_CHARACTERS = re.compile(r"[^A-Za-z0-9_]")


@dataclass
class QueryResult:
    """What became of a query.

    Attributes:
        statistics: `statistics.query` of the job.
        destination: Where its rows are, None if it has none.
        fields: The schema of the rows.
        rows: How many there are.
    """

    statistics: dict[str, Any]
    destination: TableName | None = None
    fields: list[Field] = field(default_factory=list)
    rows: int = 0


class BytesBilledLimitError(ValidationError):
    """A query would cost more than it may."""

    bq_reason = "bytesBilledLimitExceeded"


async def run(
    context: AppContext, project: str, job_id: str, configuration: dict[str, Any], caller: CallerIdentity, *, dry: bool
) -> QueryResult:
    """Runs a query.

    Args:
        context: The emulator.
        project: The project of the job.
        job_id: Its id.
        configuration: `configuration.query` of the job.
        caller: Who asks.
        dry: Whether only its schema and cost are asked for.

    Raises:
        DomainError: If it cannot be run.
    """
    sql, parameters = _prepared(configuration, project)
    kind = statement_type(sql)
    destination = configuration.get("destinationTable")
    if destination and kind != "SELECT":
        raise InvalidQueryError("configuration.query.destinationTable cannot be set for scripts, DML and DDL.")
    statistics = _cost(context, sql, project, configuration.get("maximumBytesBilled"))
    if dry:
        return await _preview(context, project, job_id, sql, kind, parameters, caller, statistics)
    try:
        done = await execute_query_job(project, job_id, sql, parameters, context, caller=caller)
        rows, fields = JOB_RESULTS[job_id], JOB_SCHEMAS.get(job_id, [])
    finally:
        JOB_RESULTS.pop(job_id, None)
        JOB_SCHEMAS.pop(job_id, None)
        _drop_temporary_tables(context)
    statistics = {**done.statistics["query"], **statistics}
    if kind not in ("SELECT", "SCRIPT") or not fields:
        made = done.configuration["query"].get("destinationTable") if kind.startswith("CREATE_TABLE") else None
        return QueryResult(statistics, TableName.of(made, project) if made else None)
    name = TableName.of(destination, project) if destination else _anonymous(context, project, job_id)
    disposition = configuration.get("writeDisposition", "WRITE_EMPTY") if destination else "WRITE_TRUNCATE"
    fields = _named(fields, sql)
    rows = rows.rename_columns([entry["name"] for entry in fields])
    with as_view(context, rows) as view:
        select = f"SELECT * FROM {view}"
        write(context, name, select, fields, disposition=disposition, create=configuration.get("createDisposition", ""))
    return QueryResult(statistics, name, fields, rows.num_rows)


def page(context: AppContext, name: TableName, start: int, maximum: int) -> list[dict[str, Any]]:
    """Rows of a result in the form of the REST API, in their order."""
    rows = context.engine.fetch_arrow(f"SELECT * FROM {name.sql} LIMIT {int(maximum)} OFFSET {int(start)}")
    return arrow_table_to_bq_rows(rows)


def _prepared(configuration: dict[str, Any], project: str) -> tuple[str, list[dict[str, Any]]]:
    sql = configuration.get("query") or ""
    if not isinstance(sql, str) or not sql.strip():
        raise ValidationError("Required parameter is missing: query")
    if configuration.get("useLegacySql"):
        raise UnsupportedFeatureError("Legacy SQL is not emulated; set useLegacySql to false.")
    default = configuration.get("defaultDataset") or {}
    parameters = configuration.get("queryParameters") or []
    return prepare(sql, parameters, default.get("projectId") or project, default.get("datasetId"))


async def _preview(
    context: AppContext,
    project: str,
    job_id: str,
    sql: str,
    kind: str,
    parameters: Any,
    caller: CallerIdentity,
    statistics: dict[str, Any],
) -> QueryResult:
    """The schema of a SELECT, without its rows; of other statements only their kind is known."""
    fields: list[Field] = []
    if kind == "SELECT":
        limited = f"SELECT * FROM (\n{sql.strip().rstrip(';')}\n) LIMIT 0"
        try:
            await execute_query_job(project, job_id, limited, parameters, context, caller=caller)
            fields = _named(JOB_SCHEMAS.get(job_id, []), sql)
        finally:
            JOB_RESULTS.pop(job_id, None)
            JOB_SCHEMAS.pop(job_id, None)
    return QueryResult(
        {**statistics, "statementType": kind, "cacheHit": False, "schema": {"fields": fields}}, None, fields
    )


def _drop_temporary_tables(context: AppContext) -> None:
    """Ends the tables of a script with it; those of the emulator are of its connection."""
    for (name,) in context.engine.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall():
        context.engine.execute(f'DROP TABLE temp."{name}"')


def _named(fields: Sequence[Field], sql: str) -> list[Field]:
    names = anonymous_columns(sql)
    return [{**entry, "name": names.get(position, entry["name"])} for position, entry in enumerate(fields)]


def _cost(context: AppContext, sql: str, project: str, limit: Any) -> dict[str, str]:
    """The bytes of the columns that a query names, in the tables that it names, as its statistics show them.

    Raises:
        BytesBilledLimitError: If more would be billed than the limit says.
    """
    sizes = [bytes_of(context, name, fields) for name, fields in _read(context, sql, project)]
    billed = sum(max(_LEAST_BILLED, -(-size // _MEBIBYTE) * _MEBIBYTE) for size in sizes)
    if limit is not None and billed > int(limit):
        raise BytesBilledLimitError(
            f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.", location=None
        )
    return {"totalBytesProcessed": str(sum(sizes)), "totalBytesBilled": str(billed)}


def _read(context: AppContext, sql: str, project: str) -> list[tuple[TableName, Sequence[Field]]]:
    """The tables that a query reads, each with the columns that it may read: those whose names occur in it."""
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="bigquery") if statement is not None]
    except sqlglot.errors.SqlglotError:
        return []  # the emulator says what is wrong with it
    names = {column.name.lower() for statement in statements for column in statement.find_all(exp.Column)}
    everything = any(
        not isinstance(star.parent, exp.Count) for statement in statements for star in statement.find_all(exp.Star)
    )
    found: dict[TableName, Sequence[Field]] = {}
    for table in (table for statement in statements for table in statement.find_all(exp.Table)):
        parts = ".".join(part.name for part in table.parts).split(".")
        if len(parts) not in (2, 3) or isinstance(table.parent, exp.Create | exp.Schema):
            continue
        name = TableName(*([project, *parts][-3:]))
        there = context.catalog.get_table(name.project, name.dataset, name.table)
        if there is not None and there.table_type != "VIEW":
            fields = fields_of(there)
            found[name] = fields if everything else [entry for entry in fields if entry["name"].lower() in names]
    return list(found.items())


def _anonymous(context: AppContext, project: str, job_id: str) -> TableName:
    """The table of a result that was not given one; old ones make room."""
    now = context.clock.now()
    if context.catalog.get_dataset(project, RESULTS) is None:
        context.engine.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted_schema(project, RESULTS)}")
        dataset = DatasetMeta(
            project_id=project,
            dataset_id=RESULTS,
            creation_time=now,
            last_modified_time=now,
            etag=generate_etag(project, RESULTS),
        )
        context.catalog.create_dataset(dataset)
    newest = sorted(context.catalog.list_tables(project, RESULTS), key=lambda table: table.creation_time, reverse=True)
    for number, table in enumerate(newest, 1):
        if number >= _RESULTS_KEPT or now - table.creation_time > _RESULT_LIFE:
            context.engine.execute(f"DROP TABLE IF EXISTS {TableName(project, RESULTS, table.table_id).sql}")
            context.catalog.delete_table(project, RESULTS, table.table_id)
    return TableName(project, RESULTS, "anon_" + _JOB_ID_CHARACTERS.sub("_", job_id))
