"""What is trained on: the texts and labels of a table folder, checked."""

from pathlib import Path

from ..artifacts import open_table, strings_of
from ..runtime import InputError

_MOST_LABELS = 1000


def read_examples(table: str | Path) -> tuple[list[str], list[str], str]:
    """The texts and labels of a table folder, and its digest.

    Raises:
        InputError: If it lacks a column, has no rows, a text or label is null or no string, or there are so many labels
            that they must be free text.
    """
    columns, manifest = open_table(table, ["text", "label"])
    if not columns.num_rows:
        raise InputError(f"The table {table} has no rows; there is nothing to train on. Check the curation's ledger.")
    texts, labels = (
        strings_of(columns, name, table, "Run curate_text on the table first.") for name in ("text", "label")
    )
    if (distinct := len(set(labels))) > _MOST_LABELS:
        raise InputError(
            f"The table {table} has {distinct:,} distinct labels in {len(labels):,} rows; expected at most "
            f"{_MOST_LABELS:,}. Give curate_text a label_column that holds categories, not free text."
        )
    return texts, labels, manifest.digest
