"""Runs GoogleSQL in BigQuery: tables in, tables out, no row passes through this process, a limit bounds the cost."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import ClientError, GoogleAPICallError, NotFound
from sqlglot import exp

from ..runtime import InputError, log
from .googlesql import parameter_names, parse

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, QueryJob

_KEPT_FOR = timedelta(days=1)  # Of scratch tables, if the task is killed before it can delete them.
_GIBIBYTE, _TEBIBYTE = 2**30, 2**40


class BigQueryEngine:
    """Tables by name, made by GoogleSQL, in one dataset under names of this run. Made by `bigquery_engine`.

    Each statement is a dry run first, which says how many bytes it would read; the sum may not exceed the limit.
    """

    def __init__(self, client: "Client", dataset: str, maximum_gibibytes: float, usd_per_tebibyte: float) -> None:
        self._client, self._dataset = client, dataset
        self._limit, self._price = int(maximum_gibibytes * _GIBIBYTE), usd_per_tebibyte
        self._prefix = f"seatrial_{uuid.uuid4().hex[:12]}_"
        self._tables: dict[str, str] = {}
        self.bytes_read = 0

    def attach(self, name: str, table: str) -> None:
        """Gives a table that is there, PROJECT.DATASET.TABLE, a name in statements.

        Raises:
            InputError: If there is none, or it may not be read.
        """
        with _described(f"The table {table}"):
            self._client.get_table(table)
        self._tables[name] = table

    def create(self, name: str, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Makes a table, or makes it anew, of what a statement selects; it may select from the same table."""
        destination = f"{self._dataset}.{self._prefix}{name}"
        self._run(sql, parameters, name, destination)
        with _described(f"The table {destination}"):
            table = self._client.get_table(destination)
            table.expires = datetime.now(UTC) + _KEPT_FOR
            self._client.update_table(table, ["expires"])
        self._tables[name] = destination

    def write(self, destination: str, sql: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Writes what a statement selects to a table that stays, whole or not at all; returns its number of rows."""
        self._run(sql, parameters, destination, destination)
        with _described(f"The table {destination}"):
            return int(self._client.get_table(destination).num_rows)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a statement selects, as Python values: for a few rows."""
        return [tuple(row.values()) for row in self._run(sql, parameters, "a query", None).result()]

    def remove_scratch(self) -> None:
        """Deletes the tables that `create` made."""
        for table in self._tables.values():
            if table.startswith(f"{self._dataset}.{self._prefix}"):
                self._client.delete_table(table, not_found_ok=True)

    def _run(self, sql: str, parameters: Mapping[str, Any] | None, name: str, destination: str | None) -> "QueryJob":
        from google.cloud.bigquery import QueryJobConfig

        statement = parse(sql, frozenset(self._tables), name)
        used = {key: (parameters or {})[key] for key in parameter_names(statement)}
        text = self._qualified(statement).sql(dialect="bigquery")
        values = [_parameter(key, value) for key, value in sorted(used.items())]
        self._check_cost(text, values, name)
        config = QueryJobConfig(query_parameters=values, use_query_cache=False)
        config.maximum_bytes_billed = max(self._limit - self.bytes_read, 1)
        if destination:
            config.destination, config.write_disposition = destination, "WRITE_TRUNCATE"
        with _described(name):
            job = self._client.query(text, job_config=config)
            job.result()
        self.bytes_read += int(job.total_bytes_processed or 0)
        return job

    def _check_cost(self, text: str, values: list[Any], name: str) -> None:
        from google.cloud.bigquery import QueryJobConfig

        with _described(name):
            dry = self._client.query(text, job_config=QueryJobConfig(query_parameters=values, dry_run=True))
        more = int(dry.total_bytes_processed or 0)
        cost = (self.bytes_read + more) / _TEBIBYTE * self._price
        log(f"{name}: {more:,} bytes to read", bytes=more, bytes_so_far=self.bytes_read, usd_so_far=round(cost, 6))
        if self.bytes_read + more > self._limit:
            raise InputError(
                f"{name} would read {more:,} bytes in BigQuery, with those before it {self.bytes_read + more:,} (about "
                f"{cost:.2f} USD); maximum_gibibytes allows {self._limit:,}. Raise it, or curate fewer rows."
            )

    def _qualified(self, statement: exp.Expression) -> exp.Expression:
        """The statement with the full names of tables; those of its own WITH clauses stay."""
        own = {cte.alias_or_name for cte in statement.find_all(exp.CTE)}
        for table in list(statement.find_all(exp.Table)):
            if table.name not in own:
                alias = table.alias_or_name
                full = exp.to_table(self._tables[table.name], dialect="bigquery", alias=alias)
                for part in full.find_all(exp.Identifier):
                    part.set("quoted", True)
                table.replace(full)
        return statement


def _parameter(name: str, value: Any) -> Any:
    from google.cloud.bigquery import ScalarQueryParameter

    types = {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING"}
    return ScalarQueryParameter(name, types[type(value)], value)


@contextmanager
def _described(what: str) -> Iterator[None]:
    """Turns what BigQuery refuses into an `InputError`."""
    try:
        yield
    except NotFound as error:
        raise InputError(f"{what}: {error.message}. Create what is missing, or correct its name.") from None
    except ClientError as error:
        raise InputError(f"{what} is refused by BigQuery: {error.message}.") from None
    except GoogleAPICallError as error:
        raise RuntimeError(f"{what} failed in BigQuery: {error}") from error


@contextmanager
def bigquery_engine(
    client: "Client", dataset: str, maximum_gibibytes: float, usd_per_tebibyte: float
) -> Iterator[BigQueryEngine]:
    """Yields an engine that keeps its scratch tables in a dataset, PROJECT.DATASET, and deletes them at the end."""
    engine = BigQueryEngine(client, dataset, maximum_gibibytes, usd_per_tebibyte)
    try:
        yield engine
    finally:
        engine.remove_scratch()


def load_parquet(client: "Client", uri: str, destination: str) -> int:
    """Loads the Parquet files of a folder in Cloud Storage into a table, whole or not at all; lists become arrays.

    Args:
        client: Client of BigQuery.
        uri: The folder: gs://BUCKET/FOLDER.
        destination: PROJECT.DATASET.TABLE; replaced if it is there.

    Returns:
        How many rows the table has.

    Raises:
        InputError: If the dataset does not exist, or BigQuery cannot load the files.
    """
    from google.cloud.bigquery import LoadJobConfig
    from google.cloud.bigquery.format_options import ParquetOptions

    lists = ParquetOptions()
    lists.enable_list_inference = True
    config = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE", parquet_options=lists)
    with _described(f"Loading {uri} into {destination}"):
        client.load_table_from_uri(f"{uri.rstrip('/')}/*.parquet", destination, job_config=config).result()
        return int(client.get_table(destination).num_rows)
