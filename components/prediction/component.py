"""Prediction components."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from ..images import image


@dsl.component(base_image=image("serving"), install_kfp_package=False)
def batch_predict(
    model: Input[Model],
    table: Input[Dataset],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    known: Input[Dataset] = None,  # how KFP marks an optional input
) -> None:
    """Predicts the label of every row of a table, with the code that also answers online requests.

    Args:
        model: Model folder, as the training components write it.
        table: Table with the columns `row_id` and `text` (strings, no nulls). A column `label` is copied as the truth.
        predictions: Table in the same order: `row_id`, `label` (null where unknown), `predicted_label`, `probabilities`
            (list of float64). Its metadata has `labels` (the order of the probabilities), `model_digest`, `model_type`,
            `table_digest`.
        metrics: `rows` and `rows_per_second` (model loading and file access included).
        known: Predictions of a model that may be the same one: they are copied if model and table have the digests that
            they were made from. So a champion is not predicted with again where nothing has changed.

    Raises:
        InputError: If the model folder is incomplete or its parts do not fit together, or the table lacks a column or
            has a null text.
    """
    import time

    from seatrial.components.artifacts import describe, describe_metrics
    from seatrial.components.prediction.batch import predict_table
    from seatrial.components.runtime import task

    with task("batch_predict"):
        started = time.monotonic()
        manifest = predict_table(model.path, table.path, predictions.path, known.path if known else None)
        describe(predictions, manifest)
        rows = manifest.metadata["rows"]
        values = {"rows": rows, "rows_per_second": rows / (time.monotonic() - started)}
        describe_metrics(metrics, values, f"{rows:,} rows")
