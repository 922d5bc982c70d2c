"""Bytes of a Parquet, CSV or JSON Lines object → Arrow table, or an error that says where the object is wrong."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow
import pyarrow.csv
import pyarrow.parquet

from ..runtime import InputError

_LARGEST_BLOCK = 2**31 - 1


def parse(content: bytes, format: str, uri: str, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    """Reads one object.

    Args:
        content: The object's bytes.
        format: "parquet", "csv" or "jsonl".
        uri: The object's name, for error messages.
        types: Types of columns that must not be inferred or left as they are.

    Returns:
        A table with at least one row, plain types (no dictionary encoding, no large strings) and no schema metadata.

    Raises:
        InputError: If the content is not of that format, has no rows or repeated column names, lacks a column of
            `types` or has a value that is not of its type.
    """
    table = {"parquet": _parse_parquet, "csv": _parse_csv, "jsonl": _parse_jsonl}[format](content, uri, types)
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise InputError(f"{uri} has the column {repeated[0]!r} more than once. Rename one of them.")
    if not table.num_rows:
        raise InputError(f"{uri} has no rows. Write it again, or delete it if it holds no data.")
    return _with_types(table.replace_schema_metadata(None), uri, types)


def _parse_parquet(content: bytes, uri: str, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    with _described(f"{uri} cannot be read as Parquet", "Write the object again."):
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
        table.validate(full=True)  # Arrow does not look into strings on its own: they may not be UTF-8.
        return table


def _parse_csv(content: bytes, uri: str, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    _check_csv(_decode(content, uri), uri)
    with _described(f"{uri} cannot be read as CSV", "Correct the value, or name another type in schema."):
        return pyarrow.csv.read_csv(
            pyarrow.BufferReader(content),
            # One block: types are inferred from all rows, not from the first megabyte, and a row may be of any length.
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=min(len(content) + 1, _LARGEST_BLOCK)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types),
        )


def _check_csv(text: str, uri: str) -> None:
    """Refuses ragged rows and open quotes. Arrow would take all that follows an open quote for one value."""
    csv.field_size_limit(_LARGEST_BLOCK)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    expected = (
        "Expected a header line, the same number of comma-separated values in each row, and quotes around values with "
        "commas, quotes or line breaks."
    )
    try:
        rows = (row for row in reader if row)
        header = next(rows, [])
        for row in rows:
            if len(row) != len(header):
                raise InputError(
                    f"{uri} has {len(row)} values in the row that ends in line {reader.line_num}, and {len(header)} "
                    f"columns: {_excerpt(','.join(row))}. {expected} Correct the row."
                )
    except csv.Error as error:
        raise InputError(f"{uri} is no valid CSV up to line {reader.line_num}: {error}. {expected}") from None
    if not header:
        raise InputError(f"{uri} has no header line. {expected}")


def _parse_jsonl(content: bytes, uri: str, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    # Not str.splitlines: it also splits at U+2028 and others, which JSON strings may contain.
    lines = _decode(content, uri).split("\n")
    rows = [_json_object(line, number, uri) for number, line in enumerate(lines, start=1) if line.strip()]
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        with _described(
            f"{uri} has values in the column {name!r} that are not of one type", "Write one type in all lines."
        ):
            columns[name] = pyarrow.array([row.get(name) for row in rows])
    return pyarrow.table(columns)


def _json_object(line: str, number: int, uri: str) -> dict[str, object]:
    expected = f"Expected one JSON object a line. Correct line {number}."
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{uri} has a bad line {number}: {error} in {_excerpt(line)}. {expected}") from None
    if not isinstance(value, dict):
        raise InputError(f"{uri} has no object in line {number}: {_excerpt(line)}. {expected}")
    return value


def _decode(content: bytes, uri: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{uri} is not UTF-8: byte {content[error.start]:#04x} in line {line}. Convert the object to UTF-8."
        ) from None


def _with_types(table: pyarrow.Table, uri: str, types: dict[str, pyarrow.DataType]) -> pyarrow.Table:
    missing = sorted(set(types) - set(table.column_names))
    if missing:
        raise InputError(
            f"schema names the column {missing[0]!r}, which {uri} has not; it has "
            f"{', '.join(map(repr, table.column_names))}. Name one of these in schema."
        )
    for index, field in enumerate(table.schema):
        wanted = types.get(field.name, _plain(field.type))
        with _described(
            f"{uri} has values in the column {field.name!r} ({field.type}) that are not of the type {wanted}",
            "Correct the values, or name another type in schema.",
        ):
            table = table.set_column(index, field.name, table.column(index).cast(wanted))
    return table


def _plain(type: pyarrow.DataType) -> pyarrow.DataType:
    if pyarrow.types.is_dictionary(type):
        return _plain(type.value_type)
    if pyarrow.types.is_large_string(type) or pyarrow.types.is_string_view(type):
        return pyarrow.string()
    return type


@contextmanager
def _described(problem: str, advice: str) -> Iterator[None]:
    """Turns what Arrow refuses into an `InputError`."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"{problem}: {str(error).strip().splitlines()[0].rstrip('.')}. {advice}") from None


def _excerpt(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:80] + "…")
