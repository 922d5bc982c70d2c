"""A table as it was ingested → clean train and test tables and a ledger of every row that was removed.

Order of the operations: the checks that refuse the whole table; clean; split, if the source has no split; then the
removals: texts that are empty, too short or too long; exact duplicates within each split; near duplicates within train;
test rows that leak from train. Cheap removals are first, so that each row goes for its simplest reason. Leakage is
last: a test row leaks only from a row that is still trained on. Near duplicates stay in test: they are what the model
will meet, while in train they are weight that nobody chose.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow

from ..runtime import InputError, Progress, log
from .clean import clean
from .duplicates import exact_duplicates, near_duplicates
from .ingest import ADDED_COLUMNS
from .leakage import exact_leaks, near_leaks
from .split import is_test

SPLITS = ("train", "test")
OPERATIONS = {
    "empty_texts": "No text, or none after cleaning",
    "too_short": "Shorter than the minimum",
    "too_long": "Longer than the maximum",
    "exact_duplicates": "Same text as an earlier row of its split",
    "cleaned_duplicates": "Same text as an earlier row, once cleaned",
    "near_duplicates": "Nearly the text of an earlier train row",
    "leaked_test_rows": "Test row with the text of a train row",
    "near_leaked_test_rows": "Test row with nearly the text of a train row",
}
_OUTPUT_COLUMNS = ("row_id", "text", "label")
_LEDGER_SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("row_id", "operation", "reason", "related_row_id")]
)


@dataclass(frozen=True)
class Rules:
    """What `curate` keeps; the parameters of the component `curate_text`, which documents them.

    Raises:
        InputError: If a value is out of range.
    """

    text_column: str
    label_column: str
    labels: list[str] = field(default_factory=list)
    minimum_characters: int = 1
    maximum_characters: int = 100_000
    near_duplicate_threshold: float = 0.7
    test_share: float = 0.2
    split_seed: int = 0

    def __post_init__(self) -> None:
        _require(
            self.text_column != self.label_column,
            f"text_column and label_column are both {self.text_column!r}",
            "two different columns",
        )
        _require(
            all(isinstance(label, str) for label in self.labels),
            f"labels is {self.labels}",
            "a list of strings",
        )
        _require(
            1 <= self.minimum_characters <= self.maximum_characters,
            f"minimum_characters is {self.minimum_characters} and maximum_characters is {self.maximum_characters}",
            "1 <= minimum_characters <= maximum_characters",
        )
        _require(
            0 < self.near_duplicate_threshold <= 1,
            f"near_duplicate_threshold is {self.near_duplicate_threshold}",
            "a number above 0 (which any two texts reach) and at most 1 (the same three-word shingles)",
        )
        _require(0 < self.test_share < 1, f"test_share is {self.test_share}", "a number above 0 and below 1")


class Removal(NamedTuple):
    """Why a row goes. Rows are numbered as in the source table; `related` is the row it repeats."""

    row: int
    operation: str
    reason: str
    related: int | None = None


@dataclass(frozen=True)
class Curated:
    """The result of `curate`.

    Attributes:
        train: row_id, text, label (all string), and the source's other columns.
        test: The same columns.
        ledger: row_id, operation, reason, related_row_id: the row that it repeats, null where no other row is the
            reason. That row may have been removed later, as the repetition of another: the chain ends at a kept row.
        counts: rows_in, rows_out, train_rows, test_rows; rows removed by each operation; relabelled_duplicates: how
            many of the duplicates and leaks bear another label than the row that they repeat.
    """

    train: pyarrow.Table
    test: pyarrow.Table
    ledger: pyarrow.Table
    counts: dict[str, int]


def curate(table: pyarrow.Table, rules: Rules) -> Curated:
    """Cleans the texts of a table, removes what must not be trained or tested on, and says why each row went.

    Args:
        table: Columns `row_id`, `split` ("train", "test" or all null), the text and label columns, any others.
        rules: What to keep.

    Raises:
        InputError: If the table lacks a column, has a missing or unknown label, is split in part only, or if after
            curation a split is empty or train has one label only.
    """
    _check_columns(table, rules)
    labels = _labels(table, rules)
    written = _strings(table, rules.text_column)
    texts = _cleaned(written)
    rows = _rows_of_splits(table, texts, rules)

    removals = _unusable(texts, rules)
    for split in SPLITS:
        removals += _exact_duplicates(_remaining(rows[split], removals), written, texts)
    removals += _near_duplicates(_remaining(rows["train"], removals), texts, rules)
    removals += _leaks(_remaining(rows["train"], removals), _remaining(rows["test"], removals), texts, rules)

    kept = {split: _remaining(rows[split], removals) for split in SPLITS}
    _check_kept(kept, labels, removals, table.num_rows)
    counts = _counts(kept, removals, labels, table.num_rows)
    log(f"{counts['rows_in']:,} rows in, {counts['rows_out']:,} rows out", **counts)
    clean_table = _output(table, texts, labels, rules)
    return Curated(
        train=clean_table.take(kept["train"]),
        test=clean_table.take(kept["test"]),
        ledger=_ledger(removals, labels, table["row_id"].to_pylist()),
        counts=counts,
    )


def _require(holds: bool, problem: str, expected: str) -> None:
    if not holds:
        raise InputError(f"{problem}; expected {expected}. Correct the parameter.")


def _check_columns(table: pyarrow.Table, rules: Rules) -> None:
    wanted = {"text_column": rules.text_column, "label_column": rules.label_column}
    for parameter, name in wanted.items():
        if name in ADDED_COLUMNS or name not in table.column_names:
            own = [repr(column) for column in table.column_names if column not in ADDED_COLUMNS]
            raise InputError(f"{parameter} is {name!r}; the table's columns are {', '.join(own)}. Name one of these.")
    for name in ADDED_COLUMNS:
        if name not in table.column_names:
            raise InputError(f"The table has no column {name!r}. Pass the output of ingest_table.")
    if not table.num_rows:
        raise InputError("The table has no rows. Pass the output of ingest_table, which has one at least.")
    row_ids = _strings(table, "row_id")
    if len(set(row_ids)) < table.num_rows or None in row_ids:
        raise InputError("The column 'row_id' has nulls or repetitions. Pass the output of ingest_table.")
    for name in set(_OUTPUT_COLUMNS) & set(_extra_columns(table, rules)):
        raise InputError(
            f"The table has a column {name!r} beside the text column {rules.text_column!r} and the label column "
            f"{rules.label_column!r}; that name is needed for the output. Rename it in the source."
        )


def _extra_columns(table: pyarrow.Table, rules: Rules) -> list[str]:
    used = (rules.text_column, rules.label_column, *ADDED_COLUMNS)
    return [name for name in table.column_names if name not in used]


def _strings(table: pyarrow.Table, name: str) -> list[str | None]:
    if not pyarrow.types.is_string(table[name].type) and not pyarrow.types.is_large_string(table[name].type):
        raise InputError(
            f"The column {name!r} has the type {table[name].type}; expected text. Name a column of text, or give "
            f'ingest_table the schema {{"{name}": "string"}}.'
        )
    return table[name].to_pylist()


def _labels(table: pyarrow.Table, rules: Rules) -> list[str]:
    column = table[rules.label_column]
    try:
        labels = column.cast(pyarrow.string()).to_pylist()
    except pyarrow.ArrowException:
        raise InputError(
            f"label_column {rules.label_column!r} has the type {column.type}; expected text, numbers or booleans. "
            "Name another column."
        ) from None
    missing = [row for row, label in enumerate(labels) if label is None or not label.strip()]
    if missing:
        raise InputError(
            f"label_column {rules.label_column!r} is empty in {len(missing):,} of {len(labels):,} rows, such as "
            f"{_row_ids(table, missing)}. Label these rows, or remove them from the source."
        )
    unknown = Counter(label for label in labels if rules.labels and label not in rules.labels)
    if unknown:
        shown = ", ".join(f"{label!r} ({count:,} rows)" for label, count in unknown.most_common(5))
        row = next(row for row, label in enumerate(labels) if label in unknown)
        raise InputError(
            f"label_column {rules.label_column!r} has {len(unknown):,} unknown labels in {unknown.total():,} rows: "
            f"{shown}; first in the row {_row_ids(table, [row])}. Expected one of "
            f"{', '.join(map(repr, rules.labels))}. Correct the labels in the source, or add them to labels."
        )
    return labels


def _row_ids(table: pyarrow.Table, rows: list[int]) -> str:
    return ", ".join(table["row_id"].take(rows[:3]).to_pylist())


def _cleaned(written: list[str | None]) -> list[str]:
    progress = Progress(len(written), "texts")
    texts = []
    for text in written:
        texts.append(clean(text or ""))
        progress.advance()
    return texts


def _rows_of_splits(table: pyarrow.Table, texts: list[str], rules: Rules) -> dict[str, list[int]]:
    """Row numbers of train and test: as the source says, or by a hash of the text if it says nothing."""
    names = set(table["split"].unique().to_pylist())
    if names == {None}:
        splits = [SPLITS[is_test(text, rules.test_share, rules.split_seed)] for text in texts]
    elif names == set(SPLITS):
        splits = table["split"].to_pylist()
    else:
        found = ", ".join(sorted(map(repr, names)))
        raise InputError(
            f"The column 'split' has the values {found}; expected both 'train' and 'test', or null in all rows. "
            "Give resolve_source a train_uri and a test_uri, or a train_uri alone to have the rows split here."
        )
    return {name: [row for row, split in enumerate(splits) if split == name] for name in SPLITS}


def _remaining(rows: list[int], removals: list[Removal]) -> list[int]:
    gone = {removal.row for removal in removals}
    return [row for row in rows if row not in gone]


def _unusable(texts: list[str], rules: Rules) -> list[Removal]:
    removals = []
    for row, text in enumerate(texts):
        if not text:
            removals.append(Removal(row, "empty_texts", "no text after cleaning"))
        elif len(text) < rules.minimum_characters:
            reason = f"{len(text):,} characters, minimum {rules.minimum_characters:,}"
            removals.append(Removal(row, "too_short", reason))
        elif len(text) > rules.maximum_characters:
            reason = f"{len(text):,} characters, maximum {rules.maximum_characters:,}"
            removals.append(Removal(row, "too_long", reason))
    return removals


def _exact_duplicates(rows: list[int], written: list[str | None], texts: list[str]) -> list[Removal]:
    removals = []
    for index, kept in exact_duplicates([texts[row] for row in rows]).items():
        row, related = rows[index], rows[kept]
        if written[row] == written[related]:
            removals.append(Removal(row, "exact_duplicates", "identical as written", related))
        else:
            removals.append(Removal(row, "cleaned_duplicates", "identical after cleaning", related))
    return removals


def _near_duplicates(rows: list[int], texts: list[str], rules: Rules) -> list[Removal]:
    found = near_duplicates([texts[row] for row in rows], rules.near_duplicate_threshold)
    return [
        Removal(rows[index], "near_duplicates", f"similarity {similarity:.2f}", rows[kept])
        for index, (kept, similarity) in found.items()
    ]


def _leaks(train: list[int], test: list[int], texts: list[str], rules: Rules) -> list[Removal]:
    train_texts = [texts[row] for row in train]
    removals = [
        Removal(test[index], "leaked_test_rows", "identical after cleaning", train[kept])
        for index, kept in exact_leaks(train_texts, [texts[row] for row in test]).items()
    ]
    unlike = _remaining(test, removals)
    near = near_leaks(train_texts, [texts[row] for row in unlike], rules.near_duplicate_threshold)
    return removals + [
        Removal(unlike[index], "near_leaked_test_rows", f"similarity {similarity:.2f}", train[kept])
        for index, (kept, similarity) in near.items()
    ]


def _check_kept(kept: dict[str, list[int]], labels: list[str], removals: list[Removal], rows_in: int) -> None:
    operations = Counter(removal.operation for removal in removals)
    removed = ", ".join(f"{name} {count:,}" for name, count in operations.items()) or "none"
    for split, rows in kept.items():
        if not rows:
            raise InputError(
                f"No {split} row is left of {rows_in:,} rows (removed: {removed}). Give more data, or relax "
                "minimum_characters, maximum_characters, near_duplicate_threshold or test_share."
            )
    left = {labels[row] for row in kept["train"]}
    if len(left) == 1:
        raise InputError(
            f"All {len(kept['train']):,} train rows that are left have the label {left.pop()!r} (removed: {removed}); "
            "a classifier needs two labels at least. Give data of other labels, or name another label_column."
        )


def _counts(kept: dict[str, list[int]], removals: list[Removal], labels: list[str], rows_in: int) -> dict[str, int]:
    train_rows, test_rows = len(kept["train"]), len(kept["test"])
    if rows_in != train_rows + test_rows + len(removals):
        raise RuntimeError(f"{rows_in} rows in, but {train_rows} + {test_rows} rows out and {len(removals)} removed")
    operations = Counter(removal.operation for removal in removals)
    return {
        "rows_in": rows_in,
        "rows_out": train_rows + test_rows,
        "train_rows": train_rows,
        "test_rows": test_rows,
        **{operation: operations[operation] for operation in OPERATIONS},
        "relabelled_duplicates": sum(bool(_relabelling(removal, labels)) for removal in removals),
    }


def _relabelling(removal: Removal, labels: list[str]) -> str:
    """What to add to the reason where the two rows' labels contradict each other, else nothing."""
    if removal.related is None or labels[removal.row] == labels[removal.related]:
        return ""
    return f"; its label is {labels[removal.row]!r}, there {labels[removal.related]!r}"


def _output(table: pyarrow.Table, texts: list[str], labels: list[str], rules: Rules) -> pyarrow.Table:
    columns = {
        "row_id": table["row_id"],
        "text": pyarrow.array(texts, pyarrow.string()),
        "label": pyarrow.array(labels, pyarrow.string()),
    }
    return pyarrow.table(columns | {name: table[name] for name in _extra_columns(table, rules)})


def _ledger(removals: list[Removal], labels: list[str], row_ids: list[str]) -> pyarrow.Table:
    entries = [
        {
            "row_id": row_ids[removal.row],
            "operation": removal.operation,
            "reason": removal.reason + _relabelling(removal, labels),
            "related_row_id": None if removal.related is None else row_ids[removal.related],
        }
        for removal in removals
    ]
    return pyarrow.Table.from_pylist(entries, schema=_LEDGER_SCHEMA)
