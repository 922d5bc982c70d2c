"""The contract between components: folders that are complete when their manifest is there, tables, JSON documents.

A folder's `_MANIFEST.json` (files, sizes, digests, what the content is) is written last, and readers refuse a folder
without it: renames of folders are not atomic on Cloud Storage, and a task may be killed at any point.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from .runtime import InputError

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = "1"
MANIFEST_NAME = "_MANIFEST.json"
_TABLE_ADVICE = "Pass a table folder as seatrial's components write it."
_TYPE_NAMES: dict[type | None, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number",
    None: "null",
}


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (hexadecimal) of one file of a folder."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a complete folder holds.

    Attributes:
        kind: What the folder is: "table" or "model".
        files: Path relative to the folder → its size and digest.
        digest: SHA-256 over the names and digests of all files: equal content, equal digest.
        metadata: What else the writer said of the content: row counts, columns, labels, parameters.
    """

    kind: str
    schema_version: str
    files: dict[str, FileEntry]
    digest: str
    metadata: dict[str, Any]


@contextmanager
def write_folder(path: str | Path, *, kind: str, metadata: dict[str, Any]) -> Iterator[Path]:
    """Yields an empty folder to fill and completes it with a manifest.

    A second attempt starts afresh, and after an error there is no manifest, so a half-written folder is never read.

    Args:
        path: The folder; it is created, and emptied if an earlier attempt left something there.
        kind: What the folder is: "table" or "model".
        metadata: JSON-compatible facts for the manifest; may be filled until the block ends.
    """
    folder = Path(path)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    yield folder
    written = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in written:
        if not file.stat().st_mode & 0o044:  # As safetensors writes: no other user, such as a container's, can read it.
            file.chmod(0o644)
    files = {file.relative_to(folder).as_posix(): FileEntry(file.stat().st_size, file_sha256(file)) for file in written}
    write_json(folder / MANIFEST_NAME, asdict(Manifest(kind, SCHEMA_VERSION, files, _folder_digest(files), metadata)))


def read_manifest(path: str | Path, *, kind: str) -> Manifest:
    """Reads the manifest of a folder and checks every file against it.

    Raises:
        InputError: If the folder or its manifest is missing, is of another kind or schema version, or a file is
            missing or differs from what was written.
    """
    manifest = peek_manifest(path, kind=kind)
    for name, entry in manifest.files.items():
        _check_file(Path(path) / name, entry)
    return manifest


def peek_manifest(path: str | Path, *, kind: str) -> Manifest:
    """Reads the manifest of a folder without a look at its files: for whoever has just written, and so hashed, them.

    Raises:
        InputError: If the folder or its manifest is missing, is of another kind or schema version, or the manifest
            contradicts itself.
    """
    folder = Path(path)
    manifest = _parse_manifest(folder, kind)
    if manifest.kind != kind or manifest.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{folder} is a {manifest.kind} folder of schema version {manifest.schema_version}; expected a {kind} "
            f"folder of schema version {SCHEMA_VERSION}. Pass the output of the component that makes it."
        )
    if manifest.digest != (digest := _folder_digest(manifest.files)):
        raise InputError(
            f"{folder / MANIFEST_NAME} names the digest {manifest.digest}, but the digests of its files give {digest}: "
            "it was changed after it was written. Run the task that makes the folder again."
        )
    return manifest


def _parse_manifest(folder: Path, kind: str) -> Manifest:
    advice = f"Pass a complete {kind} folder, as seatrial's components write it, or run the task that makes it again."
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. {advice}")
    if not (folder / MANIFEST_NAME).exists():
        raise InputError(
            f"{folder} has no {MANIFEST_NAME}: it is no {kind} folder, or was not written to the end. {advice}"
        )
    document = read_json(folder / MANIFEST_NAME, advice)
    try:
        files = {name: FileEntry(**entry) for name, entry in document.pop("files").items()}
        if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in files):
            raise ValueError("it names files outside the folder")
        if not isinstance(document["metadata"], dict):
            raise ValueError("its metadata is no object")
        return Manifest(files=files, **document)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{folder / MANIFEST_NAME} cannot be read ({error}). {advice}") from None


def _check_file(path: Path, entry: FileEntry) -> None:
    if not path.is_file():
        raise InputError(f"{path} is in the manifest but not in the folder. Run the task that makes the folder again.")
    try:
        is_same = path.stat().st_size == entry.size and file_sha256(path) == entry.sha256
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None
    if not is_same:
        raise InputError(
            f"{path} is not what was written (size {path.stat().st_size}, manifest {entry.size}, or another digest). "
            "Run the task that makes the folder again."
        )


def _folder_digest(files: dict[str, FileEntry]) -> str:
    return hashlib.sha256(json.dumps({name: files[name].sha256 for name in sorted(files)}).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON document whole or not at all. Key order is kept; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path, advice: str) -> dict[str, Any]:
    """Reads a JSON document that is an object.

    Args:
        path: The file.
        advice: What to do about a file that holds none; it ends the message.

    Raises:
        InputError: If there is no such file or it holds no JSON object.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. {advice}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). {advice}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON document ({error}). {advice}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} holds a JSON {_json_type(document)}; expected an object. {advice}")
    return document


def check_fields(value: object, fields: Mapping[str, tuple[type | None, ...]], place: str, advice: str) -> None:
    """Checks that a JSON value is an object with fields of these types.

    Args:
        value: The value.
        fields: Name → the types that it may have, None for null. A bool is no number.
        place: What the value is, for the message.
        advice: What to do about another value; it ends the message.

    Raises:
        InputError: If it is no object, or a field is missing or of another type.
    """
    if not isinstance(value, dict):
        raise InputError(f"{place} is a JSON {_json_type(value)}; expected an object. {advice}")
    for name, types in fields.items():
        expected = " or ".join(_TYPE_NAMES[type_] for type_ in types)
        if name not in value:
            raise InputError(f"{place} has no {name!r}; expected it to be {expected}. {advice}")
        if (None if value[name] is None else type(value[name])) not in types:
            raise InputError(f"{place} has the {name!r} {repr(value[name])[:200]}; expected {expected}. {advice}")


def _json_type(value: object) -> str:
    return "null" if value is None else type(value).__name__


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_table(path: str | Path, table: "pyarrow.Table", *, metadata: dict[str, Any]) -> Manifest:
    """Writes a table folder: Parquet, with row count and column types in the manifest."""
    import pyarrow.parquet

    facts = {
        "rows": table.num_rows,
        "columns": {field.name: str(field.type) for field in table.schema},
        **metadata,
    }
    with write_folder(path, kind="table", metadata=facts) as folder:
        pyarrow.parquet.write_table(table, folder / "part-00000.parquet")
    return peek_manifest(path, kind="table")


def write_batches(
    path: str | Path, schema: "pyarrow.Schema", batches: "Iterable[pyarrow.RecordBatch]", *, metadata: dict[str, Any]
) -> Manifest:
    """Writes the table folder of `write_table` batch by batch, for a table that need not fit into memory."""
    import pyarrow.parquet

    facts = {"rows": 0, "columns": {field.name: str(field.type) for field in schema}, **metadata}
    with (
        write_folder(path, kind="table", metadata=facts) as folder,
        pyarrow.parquet.ParquetWriter(folder / "part-00000.parquet", schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            facts["rows"] += batch.num_rows
    return peek_manifest(path, kind="table")


def read_table(
    path: str | Path, columns: Sequence[str] | None = None, *, optional: Sequence[str] = ()
) -> "pyarrow.Table":
    """Reads a table folder after checking its manifest: the table of `open_table`."""
    return open_table(path, columns, optional=optional)[0]


def open_table(
    path: str | Path, columns: Sequence[str] | None = None, *, optional: Sequence[str] = ()
) -> "tuple[pyarrow.Table, Manifest]":
    """Reads a table folder and the manifest that it was checked against.

    Args:
        path: The folder.
        columns: The columns to read, all when None.
        optional: Columns to read after these if the table has them.

    Raises:
        InputError: If it is no complete table folder or lacks one of the columns.
    """
    stream = TableStream(path)
    there = stream.manifest.metadata["columns"]
    missing = sorted(set(columns or []) - set(there))
    if missing:
        raise InputError(
            f"The table {path} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, there))}. Name one of these."
        )
    wanted = None if columns is None else [*columns, *(name for name in optional if name in there)]
    return stream.table(wanted), stream.manifest


class TableStream:
    """A table folder that was checked against its manifest, to be read whole or batch by batch.

    Attributes:
        manifest: The manifest.
        schema: Names and types of the columns.

    Raises:
        InputError: If it is no complete table folder.
    """

    def __init__(self, path: str | Path) -> None:
        import pyarrow.parquet

        self._path = path
        self.manifest = read_manifest(path, kind="table")
        place = f"The manifest of the table {path}"
        check_fields(self.manifest.metadata, {"columns": (dict,), "rows": (int,)}, place, _TABLE_ADVICE)
        self._parts = [Path(path) / name for name in self.manifest.files if name.endswith(".parquet")]
        if not self._parts:
            raise InputError(f"{place} lists no Parquet file. {_TABLE_ADVICE}")
        with self._readable():
            self.schema = pyarrow.parquet.read_schema(self._parts[0])

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.manifest.metadata["rows"])

    def table(self, columns: Sequence[str] | None = None) -> "pyarrow.Table":
        """The columns, all when None, as one table."""
        import pyarrow.parquet

        with self._readable():
            # Without `partitioning=None`, a folder called NAME=VALUE would add a column.
            return pyarrow.parquet.read_table([*map(str, self._parts)], columns=columns, partitioning=None)

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> "Iterator[pyarrow.RecordBatch]":
        """The columns, all when None, in batches of so many rows at most."""
        import pyarrow.parquet

        for part in self._parts:
            with self._readable(), pyarrow.parquet.ParquetFile(part) as file:
                yield from file.iter_batches(batch_size=rows, columns=columns)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        except pyarrow.ArrowException as error:
            raise InputError(f"The table {self._path} cannot be read as Parquet ({error}). {_TABLE_ADVICE}") from None


def strings_of(table: "pyarrow.Table", column: str, source: str | Path, advice: str) -> list[str]:
    """The values of a column of strings.

    Args:
        table: The table; if it has a column `row_id`, a message names the row by it, else by its number from 0.
        column: Name of the column.
        source: Where the table comes from, for the message.
        advice: What to do about another column; it ends the message.

    Raises:
        InputError: If the column holds anything but strings, or a null.
    """
    values = table[column]
    if str(values.type) not in ("string", "large_string"):
        raise InputError(f"Column {column!r} of {source} has type {values.type}; expected strings. {advice}")
    strings = values.to_pylist()
    if values.null_count:
        first = strings.index(None)
        row = table["row_id"][first].as_py() if "row_id" in table.column_names else first
        raise InputError(
            f"Column {column!r} of {source} has {values.null_count:,} nulls in {len(strings):,} rows, the first in "
            f"row {row!r}. {advice}"
        )
    return strings


def describe(artifact: Any, manifest: Manifest, *, headline: str | None = None, **parameters: object) -> None:
    """Copies what a folder is into its pipeline artifact's metadata, where Vertex AI and `seatrial run` show it.

    Args:
        artifact: The component's output artifact (`dsl.Dataset`, `dsl.Model`).
        manifest: Manifest of the folder that was written.
        headline: The one number that matters, for the table of tasks; None where another artifact carries it.
        parameters: The parameters that made the content.
    """
    artifact.metadata.update(
        {
            "schema_version": manifest.schema_version,
            "digest": manifest.digest,
            **manifest.metadata,
            "parameters": parameters,
        }
    )
    if headline is not None:
        artifact.metadata["headline"] = headline


def describe_metrics(metrics: Any, values: Mapping[str, float], headline: str) -> None:
    """Fills a metrics artifact, and writes its file, without which `kfp.local` takes no task from its cache.

    Args:
        metrics: The component's output artifact (`dsl.Metrics`).
        values: Name → number.
        headline: The one number that matters, for the table of tasks.
    """
    for name, value in values.items():
        metrics.log_metric(name, value)
    metrics.metadata["headline"] = headline
    write_json(metrics.path, dict(values))
