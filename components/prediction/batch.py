"""Batch prediction: a table of texts in, a table of predictions in the same order out."""

from pathlib import Path

import numpy as np
import pyarrow

from ..artifacts import Manifest, read_table, strings_of, write_table
from ..runtime import Progress
from .models import load_model

_ROWS_PER_BATCH = 1000


def predict_table(model: str | Path, table: str | Path, predictions: str | Path) -> Manifest:
    """Predicts the label of every row of a table folder.

    Args:
        model: Model folder.
        table: Table folder with the columns `row_id` and `text`; `label`, if it is there, is copied as the truth.
        predictions: Table folder to write: `row_id`, `label` (null where unknown), `predicted_label` (the most probable
            one), `probabilities` (in the order of the manifest's `labels`). Rows keep their order.

    Returns:
        The manifest of the predictions.

    Raises:
        InputError: If the model cannot be used, or the table lacks a column or has a null text.
    """
    classifier = load_model(model)
    rows = read_table(table, ["row_id", "text"], optional=["label"])
    has_label = "label" in rows.column_names
    texts = strings_of(rows, "text", table, "Run curate_text on the table first.")
    progress = Progress(len(texts), "rows")
    batches = [np.empty((0, len(classifier.labels)))]
    for start in range(0, len(texts), _ROWS_PER_BATCH):
        batches.append(classifier.predict_probabilities(texts[start : start + _ROWS_PER_BATCH]))
        progress.advance(len(batches[-1]))
    probabilities = np.concatenate(batches)
    result = pyarrow.table(
        {
            "row_id": rows["row_id"],
            "label": rows["label"].cast("string") if has_label else pyarrow.nulls(len(texts), "string"),
            "predicted_label": pyarrow.array(
                [classifier.labels[best] for best in probabilities.argmax(axis=1)], type="string"
            ),
            "probabilities": pyarrow.FixedSizeListArray.from_arrays(probabilities.ravel(), len(classifier.labels)).cast(
                pyarrow.list_(pyarrow.float64())
            ),
        }
    )
    return write_table(
        predictions,
        result,
        metadata={
            "labels": classifier.labels,
            "model_digest": classifier.digest,
            "model_type": classifier.model_type,
        },
    )
