"""batch_predict as KFP runs it: compiled, in a process of its own."""

import pyarrow
from kfp import dsl, local
from kfp.dsl import Dataset, Model

from seatrial.components import batch_predict
from seatrial.components.artifacts import read_manifest, read_table, write_table
from seatrial.components.images import image
from seatrial.components.prediction.batch import predict_table


def rows_of(folder):
    write_table(folder / "t", pyarrow.table({"row_id": ["a", "b"], "text": ["fine", "awful"]}), metadata={})
    return folder / "t"


def test_a_task_writes_predictions_and_says_what_they_are(tmp_path, linear_model):
    rows_of(tmp_path)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))

    @dsl.pipeline
    def predict() -> Dataset:
        model = dsl.importer(artifact_uri=str(linear_model), artifact_class=Model)
        table = dsl.importer(artifact_uri=str(tmp_path / "t"), artifact_class=Dataset)
        return batch_predict(model=model.output, table=table.output).outputs["predictions"]

    predictions = predict().output

    assert read_table(predictions.path).to_pydict()["predicted_label"] == ["good", "bad"]
    assert predictions.metadata["rows"] == 2
    assert predictions.metadata["labels"] == ["bad", "good"]
    assert predictions.metadata["model_digest"] == read_manifest(linear_model, kind="model").digest
    assert predictions.metadata["digest"] == read_manifest(predictions.path, kind="table").digest


def test_a_task_copies_predictions_that_are_known(tmp_path, linear_model):
    predict_table(linear_model, rows_of(tmp_path), tmp_path / "known")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))

    @dsl.pipeline
    def predict() -> Dataset:
        model = dsl.importer(artifact_uri=str(linear_model), artifact_class=Model)
        table = dsl.importer(artifact_uri=str(tmp_path / "t"), artifact_class=Dataset)
        known = dsl.importer(artifact_uri=str(tmp_path / "known"), artifact_class=Dataset)
        return batch_predict(model=model.output, table=table.output, known=known.output).outputs["predictions"]

    predictions = predict().output

    assert read_manifest(predictions.path, kind="table") == read_manifest(tmp_path / "known", kind="table")
    assert predictions.metadata["model_digest"] == read_manifest(linear_model, kind="model").digest


def test_it_runs_in_the_serving_image():
    name = batch_predict.component_spec.implementation.container.image

    assert name.rpartition(":")[0] == image("serving").rpartition(":")[0]
