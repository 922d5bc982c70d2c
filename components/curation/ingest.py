"""The objects of a resolved source → one table, with a stable id and the split of each row."""

from typing import TYPE_CHECKING

import pyarrow

from ..runtime import InputError, Progress
from .parse import parse
from .source import FORMATS, parse_uri, storage_errors

if TYPE_CHECKING:
    from google.cloud.storage import Client

ADDED_COLUMNS = ("row_id", "split")
_ENTRY_KEYS = {"uri", "generation", "split", "format"}
_SPLITS = ("train", "test", "")


def ingest(client: "Client", source: list[dict[str, str]], schema: dict[str, str]) -> pyarrow.Table:
    """Downloads and joins the objects of a source.

    Args:
        client: Client of Cloud Storage.
        source: What `resolve` returned.
        schema: Column → Arrow type ("string", "int64", "double", "bool", "timestamp[us]" …) of columns whose type is
            not left to the files.

    Returns:
        All columns of the objects, `row_id` and `split`; rows in the order of the source.

    Raises:
        InputError: If an object is not there in its generation, cannot be read, or does not fit the others.
    """
    _check_source(source)
    types = column_types(schema)
    progress = Progress(len(source), "objects")
    tables = []
    for entry in source:
        tables.append(parse(_download(client, entry), entry["format"], entry["uri"], types))
        progress.advance()
    return combine(source, tables)


def _check_source(source: list[dict[str, str]]) -> None:
    if not source or not all(isinstance(entry, dict) and set(entry) == _ENTRY_KEYS for entry in source):
        raise InputError(
            f"source is {str(source)[:200]}; expected a list of objects with {', '.join(sorted(_ENTRY_KEYS))}. "
            "Pass the output of resolve_source."
        )
    for position, entry in enumerate(source):
        _check_entry(entry, f"source[{position}]")


def _check_entry(entry: dict[str, str], place: str) -> None:
    expected = {
        "uri": (isinstance(entry["uri"], str), "text such as 'gs://bucket/object.csv'"),
        "generation": (_is_digits(entry["generation"]), "decimal digits as text"),
        "split": (entry["split"] in _SPLITS, "'train', 'test' or ''"),
        "format": (entry["format"] in FORMATS.values(), "'parquet', 'csv' or 'jsonl'"),
    }
    for key, (is_sound, form) in expected.items():
        if not is_sound:
            raise InputError(
                f"{place} is {str(entry)[:500]}: its {key} is {entry[key]!r}; expected {form}. "
                "Pass the output of resolve_source."
            )
    try:
        parse_uri(entry["uri"])
    except InputError as error:
        raise InputError(f"{place}: {error}") from None


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _download(client: "Client", entry: dict[str, str]) -> bytes:
    bucket, name = parse_uri(entry["uri"])
    with storage_errors(entry["uri"]):
        return client.bucket(bucket).blob(name, generation=int(entry["generation"])).download_as_bytes()


def column_types(schema: dict[str, str]) -> dict[str, pyarrow.DataType]:
    """Arrow types for their names.

    Raises:
        InputError: If a name is no Arrow type.
    """
    types = {}
    for column, name in schema.items():
        try:
            types[column] = pyarrow.type_for_alias(str(name))
        except ValueError:
            raise InputError(
                f"schema gives the column {column!r} the type {name!r}. Expected the name of an Arrow type, such as "
                "'string', 'int64', 'double', 'bool', 'date32' or 'timestamp[us]'."
            ) from None
    return types


def combine(source: list[dict[str, str]], tables: list[pyarrow.Table]) -> pyarrow.Table:
    """Puts the tables of a source's objects under one schema and each other, and adds `row_id` and `split`.

    Integer and floating-point columns of one name become floating point; other types must agree. A row's id is made of
    its split ("row" where there is none), the object's place in the split and the row's place in the object, all
    counted from 0: `train-0-17`.

    Args:
        source: Entries with the uri and split of each object.
        tables: The content of each object, in the same order.

    Raises:
        InputError: If columns differ, or one is already called `row_id` or `split`.
    """
    first_uri, first = source[0]["uri"], tables[0]
    taken = [name for name in ADDED_COLUMNS if name in first.column_names]
    if taken:
        raise InputError(f"{first_uri} already has a column {taken[0]!r}, which ingest_table adds. Rename it.")
    schema = first.schema
    for entry, table in zip(source, tables, strict=True):
        differing = sorted(set(table.column_names) ^ set(first.column_names))
        if differing:
            raise InputError(
                f"{entry['uri']} and {first_uri} differ in the column {', '.join(map(repr, differing))}. Expected the "
                "same columns in all objects. Correct the objects, or name those that belong together."
            )
        try:
            schema = pyarrow.unify_schemas([schema, table.schema], promote_options="permissive")
        except pyarrow.ArrowException as error:
            raise InputError(
                f"{entry['uri']} and the objects before it differ in types: {error}. Name the type in schema, such as "
                '{"column": "string"}.'
            ) from None
    joined = pyarrow.concat_tables([table.select(schema.names).cast(schema) for table in tables])
    row_ids, splits = _ids_and_splits(source, [table.num_rows for table in tables])
    return joined.append_column("row_id", row_ids).append_column("split", splits).combine_chunks()


def _ids_and_splits(source: list[dict[str, str]], lengths: list[int]) -> tuple[pyarrow.Array, pyarrow.Array]:
    objects_of_split: dict[str, int] = {}
    row_ids: list[str] = []
    splits: list[str | None] = []
    for entry, length in zip(source, lengths, strict=True):
        split = entry["split"]
        place = objects_of_split.get(split, 0)
        objects_of_split[split] = place + 1
        row_ids += [f"{split or 'row'}-{place}-{row}" for row in range(length)]
        splits += [split or None] * length
    return pyarrow.array(row_ids, pyarrow.string()), pyarrow.array(splits, pyarrow.string())
