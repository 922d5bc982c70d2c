"""Batch prediction: a table of texts in, a table of predictions in the same order out."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow

from ..artifacts import Manifest, open_table, peek_manifest, read_manifest, strings_of, write_folder, write_table
from ..runtime import Progress, log
from .models import load_model

_ROWS_PER_BATCH = 256


def predict_table(
    model: str | Path, table: str | Path, predictions: str | Path, known: str | Path | None = None
) -> Manifest:
    """Predicts the label of every row of a table folder.

    Args:
        model: Model folder.
        table: Table folder with the columns `row_id` and `text`; `label`, if it is there, is copied as the truth.
        predictions: Table folder to write: `row_id`, `label` (null where unknown), `predicted_label` (the most probable
            one), `probabilities` (in the order of the manifest's `labels`). Rows keep their order.
        known: Predictions that are copied instead if they are those of the same model for the same table.

    Returns:
        The manifest of the predictions.

    Raises:
        InputError: If the model cannot be used, or the table lacks a column or has a null text.
    """
    if known is not None and (manifest := _copy_if_same(known, model, table, predictions)):
        return manifest
    classifier = load_model(model)
    rows, rows_manifest = open_table(table, ["row_id", "text"], optional=["label"])
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
            "table_digest": rows_manifest.digest,
        },
    )


def _copy_if_same(known: str | Path, model: str | Path, table: str | Path, predictions: str | Path) -> Manifest | None:
    """Copies known predictions if model and table have the digests that they were made from; else None."""
    metadata = peek_manifest(known, kind="table").metadata
    made_from = {
        "model_digest": peek_manifest(model, kind="model").digest,
        "table_digest": peek_manifest(table, kind="table").digest,
    }
    if any(metadata.get(key) != digest for key, digest in made_from.items()):
        return None
    for path, kind in ((model, "model"), (table, "table")):
        read_manifest(path, kind=kind)  # only now, since it reads every file
    log("the model and the table are those of the known predictions, which are copied")
    manifest = read_manifest(known, kind="table")
    with write_folder(predictions, kind="table", metadata=manifest.metadata) as folder:
        for name in manifest.files:
            shutil.copyfile(Path(known) / name, folder / name)
    return peek_manifest(predictions, kind="table")
