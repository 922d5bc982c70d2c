"""Load and extract jobs: between tables and files, which are objects of the local Cloud Storage or were uploaded."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from bqemulator.api.dependencies import AppContext
from bqemulator.domain.errors import NotFoundError, UnsupportedFeatureError, ValidationError
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns, duckdb_type_to_bq_field

from ..storage.errors import StorageError
from ..storage.names import split_uri
from .tables import Field, TableName, fields_of, find, rows_of, write

_SHARD = "0" * 12
# What BigQuery has no type for, by what it makes of it.
_WIDENED = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), "BIGINT"),
    **{"FLOAT": "DOUBLE", "HUGEINT": "DECIMAL(38, 0)", "UUID": "VARCHAR"},
    **dict.fromkeys(("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "TIMESTAMP"),
}
_WORD = re.compile(r"\b(?:" + "|".join(_WIDENED) + r")\b")


@dataclass(frozen=True)
class _Source:
    """Files as DuckDB reads them.

    Attributes:
        relation: An SQL expression that stands after FROM.
        fields: Its columns, as fields of the REST API.
        select: What to select from it.
    """

    relation: str
    fields: Sequence[Field]
    select: str = "*"


def load(context: AppContext, project: str, configuration: dict[str, Any], buckets: Path, upload: Path | None) -> Any:
    """Loads files into a table and returns the job's `statistics.load`.

    Args:
        context: The emulator.
        project: The project of the job.
        configuration: `configuration.load` of the job.
        buckets: The folder of the buckets.
        upload: The file that was uploaded with the job, instead of the source URIs.

    Raises:
        DomainError: If it cannot be done; the table is as before then.
    """
    name = TableName.of(configuration.get("destinationTable"), project)
    files = [upload] if upload else _matching(configuration.get("sourceUris") or [], buckets)
    file_format = configuration.get("sourceFormat", "CSV").upper()
    read = _READERS.get(file_format)
    if read is None:
        raise UnsupportedFeatureError(f"Load jobs with sourceFormat {file_format} are not emulated.")
    existing = context.catalog.get_table(name.project, name.dataset, name.table)
    disposition = configuration.get("writeDisposition", "WRITE_APPEND")
    fields = (configuration.get("schema") or {}).get("fields") or []
    if not fields and existing is not None and disposition != "WRITE_TRUNCATE" and not configuration.get("autodetect"):
        fields = fields_of(existing)
    where = files[0].name if upload else configuration["sourceUris"][0]
    try:
        source = read(context, files, fields, configuration)
        before = rows_of(context, name) if existing is not None and disposition != "WRITE_TRUNCATE" else 0
        write(
            context,
            name,
            f"SELECT {source.select} FROM {source.relation}",
            source.fields,
            disposition=disposition,
            create=configuration.get("createDisposition", ""),
        )
    except duckdb.Error as error:
        raise ValidationError(f"Error while reading data, error message: {error}", location=where) from None
    return {
        "inputFiles": str(len(files)),
        "inputFileBytes": str(sum(file.stat().st_size for file in files)),
        "outputRows": str(rows_of(context, name) - before),
        "outputBytes": str(find(context, name).num_bytes),
        "badRecords": "0",
    }


def extract(context: AppContext, project: str, configuration: dict[str, Any], buckets: Path) -> Any:
    """Writes a table to an object and returns the job's `statistics.extract`.

    Args:
        context: The emulator.
        project: The project of the job.
        configuration: `configuration.extract` of the job.
        buckets: The folder of the buckets.

    Raises:
        DomainError: If it cannot be done; nothing is written then.
    """
    name = TableName.of(configuration.get("sourceTable"), project)
    find(context, name)
    uris = configuration.get("destinationUris") or [configuration.get("destinationUri")]
    if len(uris) != 1 or not isinstance(uris[0], str):
        raise UnsupportedFeatureError("Extract jobs with several destination URIs are not emulated; give one.")
    options = _copy_options(configuration)
    target = _object(uris[0].replace("*", _SHARD, 1), buckets)
    temporary = Path(os.path.realpath(buckets)) / ".uploads" / f"extract-{uuid4().hex}"  # on the same file system
    try:
        context.engine.execute(f"COPY (SELECT * FROM {name.sql}) TO {_text(temporary)} ({options})")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, target)
    except (duckdb.Error, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise ValidationError(f"Error while writing data, error message: {error}", location=uris[0]) from None
    return {"destinationUriFileCounts": ["1"], "inputBytes": str(find(context, name).num_bytes)}


def _read_parquet(
    context: AppContext, files: Sequence[Path], fields: Sequence[Field], configuration: dict[str, Any]
) -> _Source:
    relation = f"read_parquet({_list(files)}, union_by_name = true)"
    inferred = bool((configuration.get("parquetOptions") or {}).get("enableListInference"))
    columns = context.engine.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    found = [_parquet_column(name, kind, inferred) for name, kind, *_ in columns]
    selected = ", ".join(f"{value} AS {_quoted(field['name'])}" for value, field in found)
    by_name = {field["name"].lower(): field for field in fields}
    described = [by_name.get(field["name"].lower(), field) if fields else field for _, field in found]
    for field, (_, own) in zip(described, found, strict=True):
        if (field.get("mode") == "REPEATED") != (own.get("mode") == "REPEATED"):
            raise ValidationError(
                f"Field {field['name']} is {field.get('mode', 'NULLABLE')} {field['type']} in the schema of the table, "
                f"and {own.get('mode', 'NULLABLE')} {own['type']} in the file. Lists of Parquet are arrays with "
                "parquetOptions.enableListInference only."
            )
    return _Source(relation, described, selected)


def _parquet_column(name: str, kind: str, inferred: bool) -> tuple[str, Field]:
    """What to select for a column, and its field.

    A list is an array with list inference only; without it, BigQuery makes a record with a repeated `list` of it, whose
    records have an `element`: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#list_logical_type
    """
    kind = _WORD.sub(lambda match: _WIDENED[match[0]], kind)
    value = f"CAST({_quoted(name)} AS {kind})"
    if not kind.endswith("[]"):
        return value, duckdb_type_to_bq_field(name, kind)
    if inferred:
        return f"coalesce({value}, [])", duckdb_type_to_bq_field(name, kind)
    nested = f"STRUCT(list STRUCT(element {kind.removesuffix('[]')})[])"
    return (
        f"if({_quoted(name)} IS NULL, NULL, "
        f"struct_pack(list := list_transform({value}, lambda item: struct_pack(element := item))))",
        duckdb_type_to_bq_field(name, nested),
    )


def _read_json(
    context: AppContext, files: Sequence[Path], fields: Sequence[Field], configuration: dict[str, Any]
) -> _Source:
    automatic = f"read_json({_list(files)}, format = 'newline_delimited', sample_size = -1)"
    columns = context.engine.execute(f"DESCRIBE SELECT * FROM {automatic}").fetchall()
    if not fields:
        if not configuration.get("autodetect"):
            raise ValidationError("No schema specified on job or table.")
        return _Source(automatic, [duckdb_type_to_bq_field(name, kind) for name, kind, *_ in columns])
    known = {field["name"].lower() for field in fields}
    unknown = [name for name, *_ in columns if name.lower() not in known]
    if unknown and not configuration.get("ignoreUnknownValues") and columns[0][0] != "json":
        raise ValidationError(
            f"Error while reading data, error message: JSON parsing error: No such field: {unknown[0]}."
        )
    relation = f"read_json({_list(files)}, format = 'newline_delimited', columns = {_columns(fields)})"
    return _Source(relation, fields, _with_arrays(fields))


def _read_csv(
    context: AppContext, files: Sequence[Path], fields: Sequence[Field], configuration: dict[str, Any]
) -> _Source:
    options = {
        "delim": configuration.get("fieldDelimiter", ",").replace("\\t", "\t").replace("tab", "\t"),
        "quote": configuration.get("quote", '"'),
        "nullstr": configuration.get("nullMarker", ""),
    }
    skipped = int(configuration.get("skipLeadingRows", 0) or 0)
    text = ", ".join(f"{option} = {_text(value)}" for option, value in options.items())
    if fields:
        relation = (
            f"read_csv({_list(files)}, {text}, header = false, auto_detect = false, skip = {skipped}, "
            f"strict_mode = false, columns = {_columns(fields)})"
        )
        return _Source(relation, fields)
    if not configuration.get("autodetect"):
        raise ValidationError("No schema specified on job or table.")
    header = f", header = true, skip = {skipped - 1}" if skipped else ""
    relation = f"read_csv({_list(files)}, {text}{header}, sample_size = -1)"
    columns = context.engine.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return _Source(relation, [duckdb_type_to_bq_field(name, kind) for name, kind, *_ in columns])


_READERS: dict[str, Callable[[AppContext, Sequence[Path], Sequence[Field], dict[str, Any]], _Source]] = {
    "PARQUET": _read_parquet,
    "NEWLINE_DELIMITED_JSON": _read_json,
    "CSV": _read_csv,
}


def _with_arrays(fields: Sequence[Field]) -> str:
    """All columns, with an empty array instead of NULL: BigQuery has no arrays that are NULL."""
    return ", ".join(
        f"coalesce({_quoted(field['name'])}, []) AS {_quoted(field['name'])}"
        if field.get("mode") == "REPEATED"
        else _quoted(field["name"])
        for field in fields
    )


def _columns(fields: Sequence[Field]) -> str:
    """Columns with their types, as DuckDB's readers of text want them."""
    columns = bq_schema_to_duckdb_columns(list(fields))
    return "{" + ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in columns) + "}"


def _copy_options(configuration: dict[str, Any]) -> str:
    """What comes in the parentheses of DuckDB's COPY."""
    file_format = configuration.get("destinationFormat", "CSV").upper()
    compression = (configuration.get("compression") or "NONE").upper()
    delimiter = configuration.get("fieldDelimiter", ",").replace("\\t", "\t").replace("tab", "\t")
    header = str(configuration.get("printHeader", True)).lower()
    formats = {
        "PARQUET": "FORMAT parquet",
        "NEWLINE_DELIMITED_JSON": "FORMAT json",
        "CSV": f"FORMAT csv, HEADER {header}, DELIMITER {_text(delimiter)}",
    }
    if file_format not in formats:
        raise UnsupportedFeatureError(f"Extract jobs with destinationFormat {file_format} are not emulated.")
    allowed = ("NONE", "SNAPPY", "GZIP", "ZSTD") if file_format == "PARQUET" else ("NONE", "GZIP")
    if compression not in allowed:
        raise ValidationError(
            f"Compression {compression} is none of {', '.join(allowed)}, which {file_format} can have."
        )
    codec = "uncompressed" if file_format == "PARQUET" and compression == "NONE" else compression.lower()
    return f"{formats[file_format]}, COMPRESSION {codec}"


def _matching(uris: Sequence[Any], buckets: Path) -> list[Path]:
    """The files of the objects that URIs name; a `*` stands for any characters, a slash as well."""
    if not uris:
        raise ValidationError("Required parameter is missing: sourceUris")
    files: list[Path] = []
    for uri in uris:
        if not isinstance(uri, str) or uri.count("*") > 1:
            raise ValidationError(f"Invalid source URI {uri!r}: expected gs://BUCKET/NAME, with one * at most.")
        if "*" not in uri:
            found = [path for path in [_object(uri, buckets)] if path.is_file()]
        else:
            bucket, _, pattern = uri.removeprefix("gs://").partition("/")
            before, after = pattern.split("*")
            folder = _object(f"gs://{bucket}/", buckets)
            found = [
                path
                for path in _files(folder)
                if (name := path.relative_to(folder).as_posix()).startswith(before)
                and name.endswith(after)
                and len(name) >= len(before) + len(after)
            ]
        if not found:
            raise NotFoundError(f"Not found: URI {uri}", location=uri)
        files += found
    return files


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder in the order of their names; links are not followed."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(path) / name for name in sorted(names) if not (Path(path) / name).is_symlink())


def _object(uri: str, buckets: Path) -> Path:
    """The file of an object, in a bucket that exists.

    Raises:
        DomainError: If the URI names none, or leads out of the bucket.
    """
    try:
        bucket, name = split_uri(uri)
    except StorageError as error:
        raise ValidationError(error.message) from None
    folder = Path(os.path.realpath(buckets)) / bucket
    if not folder.is_dir():
        raise NotFoundError(f"Not found: Bucket {bucket}")
    path = Path(os.path.realpath(folder / name))
    if not path.is_relative_to(folder):
        raise ValidationError(f"{uri!r} leads out of the bucket's folder through a link.")
    return path


def _list(files: Sequence[Path]) -> str:
    return "[" + ", ".join(_text(file) for file in files) + "]"


def _text(value: object) -> str:
    """A text in DuckDB's SQL."""
    return "'" + str(value).replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
