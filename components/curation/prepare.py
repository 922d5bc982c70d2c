"""The half of curation that looks at one row at a time: clean text, language, personal data, fingerprints, shingles.

What it finds is stored in columns, so that the other half, `operations.py`, compares numbers and hashes only, and no
engine ever has to agree with another on how a text is cleaned, lower-cased or cut into words.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow
import pyarrow.compute as pc

from ..artifacts import TableStream
from ..runtime import InputError, Progress
from . import language, pii
from .boilerplate import BoilerplateCounter
from .boilerplate import remove as remove_boilerplate
from .clean import clean_all
from .ingest import ADDED_COLUMNS
from .named_entities import NamedEntities
from .shingles import shingle_sets
from .text_rules import TextRules

ROWS_PER_BATCH = 50_000
EDITS_SCHEMA = pyarrow.schema(
    [("row_id", pyarrow.string()), ("operation", pyarrow.string()), ("count", pyarrow.int64())]
)
PREPARED_COLUMNS = {
    "row_number": pyarrow.int64(),  # Place in the order in which the first of equals is kept; unique.
    "row_place": pyarrow.int64(),  # Place in the source.
    "row_id": pyarrow.string(),
    "split": pyarrow.string(),  # "train", "test", or null where curation splits.
    "text": pyarrow.string(),  # Clean, without boilerplate and personal data.
    "label": pyarrow.string(),
    "text_fingerprint": pyarrow.string(),  # BLAKE2b of the text, 128 bits, hexadecimal.
    "written_fingerprint": pyarrow.string(),  # The same of the text as it was in the source.
    "text_characters": pyarrow.int64(),
    "text_language": pyarrow.string(),  # ISO 639-1; null where it was not asked for, or could not be told.
    "language_probability": pyarrow.float64(),
    "group_key": pyarrow.string(),
    "event_time": pyarrow.int64(),  # Microseconds since 1970.
    "text_shingles": pyarrow.list_(pyarrow.int64()),  # Distinct, ascending: `shingles.py`.
}
PREPARED_SCHEMA = pyarrow.schema(PREPARED_COLUMNS)
OUTPUT_COLUMNS = ("row_id", "text", "label")


@dataclass
class Edits:
    """What preparing has changed in the texts, beyond cleaning.

    Attributes:
        batches: row_id, operation ("boilerplate", "redacted_email" …) and how often, of the rows that were changed.
        rows: Rows changed by each operation.
        lines: The lines that were taken for boilerplate, and in how many rows they are.
    """

    batches: list[pyarrow.RecordBatch] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    lines: dict[str, int] = field(default_factory=dict)

    def counts(self, rules: TextRules) -> dict[str, int]:
        """Rows changed by each operation that the rules ask for."""
        names = ["boilerplate"] * rules.remove_boilerplate + [f"redacted_{kind}" for kind in rules.personal_data]
        return {name: self.rows[name] for name in names}


class Preparation:
    """Prepares the rows of a table, batch by batch.

    Args:
        source: The table: `row_id`, `split`, the columns that the rules name, any others.
        rules: What to do.

    Attributes:
        output_schema: Of the rows that are kept: row_id, text, label if there is one, the source's other columns.
        other_columns: Names of these.
        edits: What was changed, complete when all batches have been read.

    Raises:
        InputError: If a column is missing, has another type than it should, or holds what may not be there.
    """

    def __init__(self, source: TableStream, rules: TextRules) -> None:
        self._source, self._rules = source, rules
        self._check_languages()
        self._check_columns()
        self._check_rows()
        self._numbers = self._row_numbers()
        self._entities = NamedEntities(rules.entity_model) if rules.entity_model else None
        used = {*ADDED_COLUMNS, rules.text_column, rules.label_column} - {""}
        self.other_columns = [name for name in source.schema.names if name not in used]
        output = OUTPUT_COLUMNS if rules.label_column else OUTPUT_COLUMNS[:-1]
        others = [source.schema.field(name) for name in self.other_columns]
        self.output_schema = pyarrow.schema([*((name, PREPARED_COLUMNS[name]) for name in output), *others])
        self.edits = Edits()

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The prepared rows, in the order of the source, in the columns of `PREPARED_SCHEMA`."""
        if self._rules.remove_boilerplate:
            self.edits.lines = self._boilerplate()
        progress, done = Progress(self._source.rows, "texts"), 0
        for batch in self._source.batches(ROWS_PER_BATCH, self._columns()):
            yield self._prepare(batch, done)
            done += batch.num_rows
            progress.advance(batch.num_rows)

    def whole_batches(self) -> tuple[pyarrow.Schema, Iterator[pyarrow.RecordBatch]]:
        """The prepared rows with the source's other columns beside them, for an engine that has one table only.

        Raises:
            InputError: If another column has the name of a prepared one.
        """
        taken = sorted({*self.other_columns} & {*PREPARED_COLUMNS})
        if taken:
            raise InputError(f"The table has a column {taken[0]!r}, which preparing adds. Rename it in the source.")
        others = self._source.batches(ROWS_PER_BATCH, self.other_columns)
        schema = pyarrow.schema([*PREPARED_SCHEMA, *(self._source.schema.field(name) for name in self.other_columns)])
        pairs = zip(self.batches(), others, strict=True)
        return schema, (
            pyarrow.RecordBatch.from_arrays([*prepared.columns, *other.columns], schema=schema)
            for prepared, other in pairs
        )

    def benchmark(self, table: TableStream) -> Iterator[pyarrow.RecordBatch]:
        """Fingerprints and shingles of a benchmark's texts, prepared as those of the source.

        Raises:
            InputError: If the table has no `row_id` or no text column of text.
        """
        for name in ("row_id", self._rules.text_column):
            if name not in table.schema.names:
                raise InputError(
                    f"The benchmark has no column {name!r}; it has {', '.join(map(repr, table.schema.names))}. Pass "
                    "the output of ingest_table, with the text in the same column as the source."
                )
            _check_strings(table, name)
        for batch in table.batches(ROWS_PER_BATCH, ["row_id", self._rules.text_column]):
            texts = clean_all(_texts(batch, self._rules.text_column))
            if self._rules.personal_data:
                texts = pii.redact(texts, self._rules.personal_data, self._entities).texts
            columns = {
                "row_id": batch["row_id"],
                "source": pyarrow.repeat("the benchmark", batch.num_rows),
                "label": pyarrow.nulls(batch.num_rows, pyarrow.string()),
                "text_fingerprint": _fingerprints(texts),
                "text_shingles": shingle_sets(texts).to_arrow(),
            }
            yield pyarrow.RecordBatch.from_pydict(columns)

    def _check_languages(self) -> None:
        unknown = sorted(set(self._rules.languages) - set(language.languages())) if self._rules.languages else []
        if unknown:
            raise InputError(
                f"languages has {', '.join(map(repr, unknown))}; expected ISO 639-1 codes that can be told, which are "
                f"{', '.join(language.languages())}. Correct the parameter."
            )

    def _check_columns(self) -> None:
        rules, names = self._rules, self._source.schema.names
        own = f"the table's columns are {', '.join(repr(name) for name in names if name not in ADDED_COLUMNS)}"
        for parameter in ("text_column", "label_column", "group_column", "time_column"):
            name = getattr(rules, parameter)
            if name and (name in ADDED_COLUMNS or name not in names):
                raise InputError(f"{parameter} is {name!r}; {own}. Name one of these.")
        order = rules.order_by.removeprefix("-")
        if order and order not in names:
            raise InputError(f"order_by is {rules.order_by!r}; {own}. Name one of these.")
        for name in ADDED_COLUMNS:
            if name not in names:
                raise InputError(f"The table has no column {name!r}. Pass the output of ingest_table.")
        taken = sorted(({*OUTPUT_COLUMNS} - {"row_id", rules.text_column, rules.label_column}) & {*names})
        if taken:
            raise InputError(
                f"The table has a column {taken[0]!r} beside the text column {rules.text_column!r} and the label "
                f"column {rules.label_column!r}; that name is needed for the output. Rename it in the source."
            )
        _check_strings(self._source, "row_id")
        _check_strings(self._source, rules.text_column)

    def _check_rows(self) -> None:
        if not self._source.rows:
            raise InputError("The table has no rows. Pass the output of ingest_table, which has one at least.")
        row_ids = self._source.table(["row_id"])["row_id"]
        if row_ids.null_count or pc.count_distinct(row_ids).as_py() < len(row_ids):
            counts = pc.value_counts(row_ids).to_pylist()
            first = next((entry["values"] for entry in counts if entry["counts"] > 1), None)
            raise InputError(
                f"The column 'row_id' has nulls or repetitions, such as {first!r}. Pass the output of ingest_table."
            )
        if self._rules.label_column:
            self._check_labels(row_ids)
        splits = set(self._source.table(["split"])["split"].unique().to_pylist())
        if splits not in ({None}, {"train", "test"}):
            raise InputError(
                f"The column 'split' has the values {', '.join(sorted(map(repr, splits)))}; expected both 'train' and "
                "'test', or null in all rows. Give resolve_source a train_uri and a test_uri, or a train_uri alone to "
                "have the rows split here."
            )
        if self._rules.time_column and splits != {None}:
            raise InputError(
                f"time_column is {self._rules.time_column!r}, but the source says itself which rows are 'test'. Leave "
                "time_column empty, or give resolve_source a train_uri alone."
            )

    def _check_labels(self, row_ids: pyarrow.ChunkedArray) -> None:
        name, allowed = self._rules.label_column, self._rules.labels
        labels = _as_strings(self._source.table([name])[name], name)
        missing = pc.or_(pc.is_null(labels), pc.equal(pc.utf8_trim_whitespace(pc.fill_null(labels, "")), ""))
        if count := pc.sum(missing).as_py():
            shown = ", ".join(row_ids.filter(missing).slice(0, 3).to_pylist())
            raise InputError(
                f"label_column {name!r} is empty in {count:,} of {len(labels):,} rows, such as {shown}. Label these "
                "rows, or remove them from the source."
            )
        if not allowed:
            return
        strange = pc.invert(pc.is_in(labels, pyarrow.array(allowed, pyarrow.string())))
        if pc.any(strange).as_py():
            unknown = Counter({e["values"]: e["counts"] for e in pc.value_counts(labels.filter(strange)).to_pylist()})
            shown = ", ".join(f"{label!r} ({count:,} rows)" for label, count in unknown.most_common(5))
            raise InputError(
                f"label_column {name!r} has {len(unknown):,} unknown labels in {unknown.total():,} rows: {shown}; "
                f"first in the row {row_ids.filter(strange)[0].as_py()}. Expected one of "
                f"{', '.join(map(repr, allowed))}. Correct the labels in the source, or add them to labels."
            )

    def _row_numbers(self) -> np.ndarray:
        """The place of each row of the source in the order in which the first of equals is kept."""
        name = self._rules.order_by.removeprefix("-")
        if not name:
            return np.arange(self._source.rows)
        direction = "descending" if self._rules.order_by.startswith("-") else "ascending"
        column = self._source.table([name])[name]
        table = pyarrow.table({"key": column, "place": np.arange(len(column))})
        try:
            order = pc.sort_indices(table, sort_keys=[("key", direction), ("place", "ascending")])
        except pyarrow.ArrowException:
            raise InputError(
                f"order_by is {self._rules.order_by!r}, a column of the type {column.type}, which has no order. Name a "
                "column of numbers, times or texts."
            ) from None
        numbers = np.empty(len(column), dtype=np.int64)
        numbers[order.to_numpy()] = np.arange(len(column))
        return numbers

    def _boilerplate(self) -> dict[str, int]:
        counter = BoilerplateCounter()
        for batch in self._source.batches(ROWS_PER_BATCH, [self._rules.text_column]):
            counter.observe(_texts(batch, self._rules.text_column))
        return counter.lines()

    def _columns(self) -> list[str]:
        rules = self._rules
        named = (rules.text_column, rules.label_column, rules.group_column, rules.time_column)
        return [*ADDED_COLUMNS, *dict.fromkeys(name for name in named if name)]

    def _prepare(self, batch: pyarrow.RecordBatch, first: int) -> pyarrow.RecordBatch:
        rules = self._rules
        written = _texts(batch, rules.text_column)
        texts, characters = self._edited(written, batch["row_id"])
        codes, probabilities = language.detect(texts) if rules.languages else (None, None)
        empty = pyarrow.nulls(batch.num_rows)
        columns = {
            "row_number": self._numbers[first : first + batch.num_rows],
            "row_place": np.arange(first, first + batch.num_rows),
            "row_id": batch["row_id"],
            "split": batch["split"],
            "text": texts,
            "label": _as_strings(batch[rules.label_column], rules.label_column) if rules.label_column else empty,
            "text_fingerprint": _fingerprints(texts),
            "written_fingerprint": _fingerprints(written),
            "text_characters": characters,
            "text_language": empty if codes is None else codes,
            "language_probability": empty if probabilities is None else probabilities,
            "group_key": _as_strings(batch[rules.group_column], rules.group_column) if rules.group_column else empty,
            "event_time": _times(batch[rules.time_column], rules.time_column) if rules.time_column else empty,
            "text_shingles": shingle_sets(texts).to_arrow(),
        }
        arrays = [_cast(column, field.type) for column, field in zip(columns.values(), PREPARED_SCHEMA, strict=True)]
        return pyarrow.RecordBatch.from_arrays(arrays, schema=PREPARED_SCHEMA)

    def _edited(self, written: pyarrow.Array, row_ids: pyarrow.Array) -> tuple[pyarrow.Array, pyarrow.Array]:
        """The texts without boilerplate, clean, without personal data, and how long they are once clean.

        What is too long is cut: it will be removed, and takes neither time nor memory before. What was changed goes
        into `edits`.
        """
        texts = written
        if self.edits.lines:
            texts, removed = remove_boilerplate(texts, self.edits.lines)
            self._record("boilerplate", removed, row_ids)
        texts = clean_all(texts)
        characters = pc.utf8_length(texts)
        texts = pc.utf8_slice_codeunits(texts, 0, self._rules.maximum_characters)
        if self._rules.personal_data:
            redaction = pii.redact(texts, self._rules.personal_data, self._entities)
            texts = redaction.texts
            for kind, counts in redaction.counts.items():
                self._record(f"redacted_{kind}", counts, row_ids)
        return texts, characters

    def _record(self, operation: str, counts: pyarrow.Array, row_ids: pyarrow.Array) -> None:
        changed = pc.greater(counts, 0)
        number = pc.sum(changed).as_py()
        if number:
            arrays = [row_ids.filter(changed), pyarrow.repeat(operation, number), counts.filter(changed)]
            self.edits.batches.append(pyarrow.RecordBatch.from_arrays(arrays, schema=EDITS_SCHEMA))
            self.edits.rows[operation] += number


def _check_strings(table: TableStream, name: str) -> None:
    type_ = table.schema.field(name).type
    if not pyarrow.types.is_string(type_) and not pyarrow.types.is_large_string(type_):
        raise InputError(
            f"The column {name!r} has the type {type_}; expected text. Name a column of text, or give "
            f'ingest_table the schema {{"{name}": "string"}}.'
        )


def _texts(batch: pyarrow.RecordBatch, name: str) -> pyarrow.Array:
    column = batch[name]
    try:
        column.validate(full=True)  # Arrow does not look into strings on its own: they may not be UTF-8.
    except pyarrow.ArrowException as error:
        raise InputError(
            f"The column {name!r} holds bytes that are no UTF-8 ({error}). Write the table again."
        ) from None
    return _cast(pc.fill_null(column, ""), pyarrow.string())


def _as_strings(column: pyarrow.Array | pyarrow.ChunkedArray, name: str) -> pyarrow.Array | pyarrow.ChunkedArray:
    try:
        return column.cast(pyarrow.string())
    except pyarrow.ArrowException:
        raise InputError(
            f"The column {name!r} has the type {column.type}; expected text, numbers or booleans. Name another column."
        ) from None


def _times(column: pyarrow.Array, name: str) -> pyarrow.Array:
    """Dates, timestamps (without a zone: UTC) and ISO 8601 texts as microseconds since 1970."""
    try:
        if pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type):
            raise pyarrow.ArrowInvalid("a number is no time")
        times = _as_timestamps(column).cast(pyarrow.int64())
    except pyarrow.ArrowException as error:
        raise InputError(
            f"time_column {name!r} has the type {column.type}, whose values are not all times ({error}). Expected "
            "dates, timestamps or texts such as 2026-01-31T12:00:00Z. Name another column, or correct the values."
        ) from None
    if times.null_count:
        raise InputError(f"time_column {name!r} is empty in {times.null_count:,} rows. Give each row a time.")
    return times


def _as_timestamps(column: pyarrow.Array) -> pyarrow.Array:
    try:
        return column.cast(pyarrow.timestamp("us"))  # Texts without a zone.
    except pyarrow.ArrowException:
        return column.cast(pyarrow.timestamp("us", "UTC"))


def _fingerprints(texts: pyarrow.Array) -> list[str]:
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts.to_pylist()]


def _cast(column: object, type_: pyarrow.DataType) -> pyarrow.Array:
    return column.cast(type_) if isinstance(column, pyarrow.Array) else pyarrow.array(column, type_)
