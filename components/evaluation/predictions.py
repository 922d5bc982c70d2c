"""Predictions as the evaluation stage reads them: checked, with the truth known for every row."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow

from ..artifacts import peek_manifest, read_table, strings_of
from ..runtime import InputError

_SUM_TOLERANCE = 1e-3
_ADVICE = "Pass predictions as batch_predict writes them for a table with a label column."


@dataclass(frozen=True)
class Predictions:
    """Predictions of one model for n rows.

    Attributes:
        row_ids: The rows, each once.
        truth: True labels; they may include labels that the model does not know.
        predicted: Predicted labels, all of them in `labels`.
        probabilities: Shape (n, len(labels)); each row sums to 1.
        labels: The labels that the model knows, in the order of the probabilities.
        model_digest: Digest of the model's folder.
        model_type: What kind of model it is.
        digest: Digest of the predictions' folder.
    """

    row_ids: list[str]
    truth: list[str]
    predicted: list[str]
    probabilities: np.ndarray
    labels: list[str]
    model_digest: str
    model_type: str
    digest: str


def read_predictions(path: str | Path) -> Predictions:
    """Reads a predictions folder.

    Raises:
        InputError: If it is no complete predictions table, has no rows, repeats a row, lacks a true label, predicts a
            label that is not among its own, or has probabilities that are none.
    """
    manifest = peek_manifest(path, kind="table")
    metadata = manifest.metadata
    if missing := sorted({"labels", "model_digest", "model_type"} - set(metadata)):
        raise InputError(f"The manifest of {path} lacks {', '.join(missing)}: it is no predictions table. {_ADVICE}")
    table = read_table(path, columns=["row_id", "label", "predicted_label", "probabilities"])
    if not table.num_rows:
        raise InputError(f"The predictions {path} have no rows; there is nothing to evaluate. {_ADVICE}")
    row_ids, truth, predicted = (
        strings_of(table, name, path, _ADVICE) for name in ("row_id", "label", "predicted_label")
    )
    labels = list(metadata["labels"])
    if repeated := len(row_ids) - len(set(row_ids)):
        raise InputError(f"Column 'row_id' of {path} repeats {repeated:,} of {len(row_ids):,} values. {_ADVICE}")
    if unknown := sorted(set(predicted) - set(labels)):
        raise InputError(f"{path} predicts {unknown[:5]}, which its manifest's labels {labels[:20]} lack. {_ADVICE}")
    return Predictions(
        row_ids=row_ids,
        truth=truth,
        predicted=predicted,
        probabilities=_probabilities(path, table["probabilities"].combine_chunks(), row_ids, len(labels)),
        labels=labels,
        model_digest=metadata["model_digest"],
        model_type=metadata["model_type"],
        digest=manifest.digest,
    )


def _probabilities(path: str | Path, column: pyarrow.ListArray, row_ids: list[str], labels: int) -> np.ndarray:
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero(lengths != labels)).size:
        raise InputError(
            f"Row {row_ids[wrong[0]]!r} of {path} has {lengths[wrong[0]]} probabilities for {labels} labels. {_ADVICE}"
        )
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, labels)
    sound = ((values >= 0) & (values <= 1)).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not sound.all():
        first = int(np.flatnonzero(~sound)[0])
        raise InputError(
            f"Row {row_ids[first]!r} of {path} has the probabilities {values[first].tolist()}; expected numbers from 0 "
            f"to 1 that sum to 1 ({int((~sound).sum()):,} rows have none). {_ADVICE}"
        )
    return values
