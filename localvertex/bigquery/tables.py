"""Tables of the emulator, written whole or not at all, and what BigQuery would count as their bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pyarrow as pa
from bqemulator.api.dependencies import AppContext
from bqemulator.api.routes.tables import _field_to_rest, _parse_schema_fields
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import TableMeta, TableSchema
from bqemulator.domain.errors import AlreadyExistsError, InvalidQueryError, NotFoundError, ValidationError
from bqemulator.domain.events import TableDataChanged
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns

Field = dict[str, Any]
_SHOWN = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_BYTES = {
    **dict.fromkeys(("INTEGER", "INT64", "FLOAT", "FLOAT64", "DATE", "TIME", "DATETIME", "TIMESTAMP"), 8),
    **{"BOOLEAN": 1, "BOOL": 1, "NUMERIC": 16, "BIGNUMERIC": 32},
}


@dataclass(frozen=True)
class TableName:
    """The name of a table."""

    project: str
    dataset: str
    table: str

    @classmethod
    def of(cls, reference: Any, project: str) -> "TableName":
        """The table of a `TableReference`, in `project` unless it names one.

        Raises:
            ValidationError: If there is none.
        """
        if not isinstance(reference, dict) or not reference.get("datasetId") or not reference.get("tableId"):
            raise ValidationError("Required parameter is missing: a table reference with datasetId and tableId.")
        return cls(reference.get("projectId") or project, reference["datasetId"], reference["tableId"])

    @property
    def sql(self) -> str:
        """Its name in DuckDB's SQL.

        Raises:
            ValidationError: If no table can have it.
        """
        return quoted_table_ref(self.project, self.dataset, self.table)

    @property
    def reference(self) -> dict[str, str]:
        """Its `TableReference`."""
        return {"projectId": self.project, "datasetId": self.dataset, "tableId": self.table}

    def __str__(self) -> str:
        return f"{self.project}:{self.dataset}.{self.table}"


def find(context: AppContext, name: TableName) -> TableMeta:
    """The catalog's entry of a table.

    Raises:
        NotFoundError: If there is none.
    """
    found = context.catalog.get_table(name.project, name.dataset, name.table)
    if found is None:
        raise NotFoundError(f"Not found: Table {name}")
    return found


def fields_of(table: TableMeta) -> list[Field]:
    """The fields of a table's schema, as in the REST API."""
    return [_field_to_rest(field) for field in table.schema_.fields]


def write(
    context: AppContext, name: TableName, select: str, fields: Sequence[Field], *, disposition: str, create: str = ""
) -> None:
    """Writes the rows of a query to a table.

    Args:
        context: The emulator.
        name: The table.
        select: A query in DuckDB's SQL with the columns that `fields` names.
        fields: Fields of the schema of the table if it is made, in the form of the REST API.
        disposition: WRITE_TRUNCATE, WRITE_APPEND or WRITE_EMPTY.
        create: CREATE_NEVER, or anything else for the default.

    Raises:
        DomainError: If the dataset is not there, or the table is not as the dispositions or its schema require it.
    """
    if context.catalog.get_dataset(name.project, name.dataset) is None:
        raise NotFoundError(f"Not found: Dataset {name.project}:{name.dataset}")
    existing = context.catalog.get_table(name.project, name.dataset, name.table)
    if existing is None and create == "CREATE_NEVER":
        raise NotFoundError(f"Not found: Table {name}")
    if existing is not None and disposition == "WRITE_EMPTY" and rows_of(context, name):
        raise AlreadyExistsError(f"Already Exists: Table {name}")
    fields = [_shown(field) for field in fields]
    kinds = bq_schema_to_duckdb_columns(fields)
    columns = ", ".join(f"CAST({_quoted(column)} AS {kind}) AS {_quoted(column)}" for column, kind in kinds)
    select = f"SELECT {columns} FROM ({select})"
    if existing is None or disposition == "WRITE_TRUNCATE":
        context.engine.execute(f"CREATE OR REPLACE TABLE {name.sql} AS {select}")
        schema = TableSchema(fields=_parse_schema_fields(fields))
    else:
        _check_columns(existing, fields)
        context.engine.execute(f"INSERT INTO {name.sql} BY NAME {select}")
        schema = existing.schema_
    _register(context, name, existing, schema)


def refresh(context: AppContext, name: TableName) -> None:
    """Makes the catalog say how large a table is, after statements that changed it.

    Raises:
        NotFoundError: If there is none.
    """
    table = find(context, name)
    if table.table_type == "TABLE":
        size = {"num_rows": rows_of(context, name), "num_bytes": bytes_of(context, name, fields_of(table))}
        if size != {"num_rows": table.num_rows, "num_bytes": table.num_bytes}:
            context.catalog.update_table(table.model_copy(update=size))


@contextmanager
def as_view(context: AppContext, rows: pa.Table) -> Iterator[str]:
    """Makes rows in memory a view of DuckDB for the block, and gives its name."""
    view = f"rows_{uuid4().hex}"
    context.engine.connection.register(view, rows)
    try:
        yield view
    finally:
        context.engine.connection.unregister(view)


def rows_of(context: AppContext, name: TableName) -> int:
    """How many rows a table has."""
    return context.engine.execute(f"SELECT count(*) FROM {name.sql}").fetchall()[0][0]


def bytes_of(context: AppContext, name: TableName, fields: Sequence[Field]) -> int:
    """The logical bytes of columns of a table, by https://cloud.google.com/bigquery/docs/estimate-costs#query_size_calculation.

    A RECORD counts as its text in JSON, which is near enough.
    """
    sizes = [_size(_quoted(field["name"]), field) for field in fields]
    if not sizes:
        return 0
    return int(context.engine.execute(f"SELECT coalesce(sum({' + '.join(sizes)}), 0) FROM {name.sql}").fetchall()[0][0])


def _size(value: str, field: Field) -> str:
    """An SQL expression for the bytes of a value; NULL has none."""
    kind = field["type"].upper()
    if field.get("mode") == "REPEATED":
        if kind in _BYTES:
            return f"coalesce({_BYTES[kind]} * len({value}), 0)"
        element = _size("element", {**field, "mode": "NULLABLE"})
        return f"coalesce(list_sum(list_transform({value}, lambda element: {element})), 0)"
    if kind in _BYTES:
        return f"if({value} IS NULL, 0, {_BYTES[kind]})"
    if kind == "BYTES":
        return f"coalesce(2 + octet_length({value}), 0)"
    text = f"CAST({value} AS VARCHAR)" if kind == "STRING" else f"CAST(to_json({value}) AS VARCHAR)"
    return f"coalesce(2 + strlen({text}), 0)"


def _shown(field: Field) -> Field:
    """A field with the names of types that the API shows, whatever was written."""
    kind = field["type"].upper()
    nested = {"fields": [_shown(inner) for inner in field["fields"]]} if field.get("fields") else {}
    return {**field, **nested, "type": _SHOWN.get(kind, kind)}


def _check_columns(existing: TableMeta, fields: Sequence[Field]) -> None:
    known = {field.name.lower(): field for field in existing.schema_.fields}
    for field in fields:
        there = known.get(field["name"].lower())
        if there is None:
            raise InvalidQueryError(f"Invalid schema update. Cannot add fields (field: {field['name']})")
        if (there.mode == "REPEATED") != (field.get("mode") == "REPEATED"):
            raise InvalidQueryError(
                f"Invalid schema update. Field {field['name']} has changed mode from {there.mode} to "
                f"{field.get('mode', 'NULLABLE')}"
            )


def _register(context: AppContext, name: TableName, existing: TableMeta | None, schema: TableSchema) -> None:
    """Puts a table that has been written into the catalog, and tells views that were made from it."""
    now = context.clock.now()
    rows = rows_of(context, name)
    table = TableMeta(
        project_id=name.project,
        dataset_id=name.dataset,
        table_id=name.table,
        schema=schema,
        creation_time=now,
        last_modified_time=now,
        num_rows=rows,
        etag=generate_etag(str(name), str(now)),
    )
    table = table.model_copy(update={"num_bytes": bytes_of(context, name, fields_of(table))})
    if existing is None:
        context.catalog.create_table(table)
    else:
        changed = ("schema_", "num_rows", "num_bytes", "last_modified_time", "etag")
        context.catalog.update_table(existing.model_copy(update={field: getattr(table, field) for field in changed}))
    context.events.publish(TableDataChanged(name.project, name.dataset, name.table))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
