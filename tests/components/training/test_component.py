"""The training components as KFP runs them: compiled, in processes of their own."""

import json

import pyarrow
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset, Model

from seatrial.components import finetune_text, ingest_model, resolve_model, train_linear
from seatrial.components.artifacts import read_manifest, write_table
from seatrial.components.evaluation.loss_curve import loss_curve_of
from seatrial.components.images import image
from seatrial.components.prediction.models import load_model


@pytest.fixture
def examples(tmp_path):
    columns = {"row_id": ["0", "1", "2"], "text": ["good tea", "bad tea", "good"], "label": ["+", "-", "+"]}
    write_table(tmp_path / "train", pyarrow.table(columns), metadata={})
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    return str(tmp_path / "train")


def test_a_task_writes_a_model_and_says_what_it_is(tmp_path, examples):
    @dsl.pipeline
    def train() -> Model:
        table = dsl.importer(artifact_uri=examples, artifact_class=Dataset)
        return train_linear(train=table.output, regularisation=0.5).outputs["model"]

    written = train().output

    model = load_model(written.path)
    assert model.labels == ["+", "-"]
    assert model.predict_probabilities(["good"]).argmax() == 0
    assert written.metadata["digest"] == model.digest
    assert written.metadata["parameters"] == {
        "estimator": "logistic_regression",
        "regularisation": 0.5,
        "maximum_features": 200_000,
    }
    executor_output = json.loads(next(tmp_path.glob("root/*/train-linear/executor_output.json")).read_text())
    metrics = executor_output["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    assert metrics["headline"] == "3 rows, 2 labels"
    assert metrics["features"] == 5


def test_bad_input_ends_the_task_with_one_clear_line(examples, capfd):
    @dsl.pipeline
    def train():
        table = dsl.importer(artifact_uri=examples, artifact_class=Dataset)
        train_linear(train=table.output, estimator="forest")

    with pytest.raises(RuntimeError, match="train-linear"):
        train()

    log = "".join(capfd.readouterr())
    assert "train_linear: estimator is 'forest'; expected" in log
    assert "Traceback" not in log


def metadata_of(tmp_path, task, output):
    executor_output = json.loads(next(tmp_path.glob(f"root/*/{task}/executor_output.json")).read_text())
    return executor_output["artifacts"][output]["artifacts"][0]["metadata"]


def test_a_fine_tuned_model_says_what_it_is(tmp_path, examples, pretrained):
    @dsl.pipeline
    def train() -> Model:
        table = dsl.importer(artifact_uri=examples, artifact_class=Dataset)
        body = dsl.importer(artifact_uri=str(pretrained), artifact_class=Model)
        return finetune_text(train=table.output, pretrained=body.output, epochs=4.0, batch_size=2, seed=7).outputs[
            "model"
        ]

    written = train().output

    model = load_model(written.path)
    assert (model.labels, model.model_type) == (["+", "-"], "transformer")
    assert model.predict_probabilities(["good"]).shape == (1, 2)
    assert written.metadata["digest"] == model.digest
    assert written.metadata["labels"] == ["+", "-"]
    assert written.metadata["training_rows"] == 3
    assert written.metadata["training_digest"] == read_manifest(examples, kind="table").digest
    assert written.metadata["parameters"] == {
        "epochs": 4,
        "learning_rate": 1e-4,
        "batch_size": 2,
        "maximum_tokens": 128,
        "seed": 7,
    }
    curve = loss_curve_of(written.metadata)
    assert [rows for rows, _ in curve.points][-1] == 12
    metrics = metadata_of(tmp_path, "finetune-text", "metrics")
    assert set(metrics) >= {"rows", "labels", "steps", "training_loss", "rows_per_second", "headline"}
    assert (metrics["rows"], metrics["labels"], metrics["steps"]) == (3, 2, 8)
    assert metrics["headline"].startswith(f"loss {metrics['training_loss']:.3f}, ")


def test_a_parameter_that_cannot_be_carried_out_ends_the_task_with_one_clear_line(examples, pretrained, capfd):
    @dsl.pipeline
    def train():
        table = dsl.importer(artifact_uri=examples, artifact_class=Dataset)
        body = dsl.importer(artifact_uri=str(pretrained), artifact_class=Model)
        finetune_text(train=table.output, pretrained=body.output, batch_size=0)

    with pytest.raises(RuntimeError, match="finetune-text"):
        train()

    log = "".join(capfd.readouterr())
    assert "finetune_text: batch_size is 0; expected a number from 1 to 4096" in log
    assert "Traceback" not in log


def test_a_pretrained_model_comes_from_cloud_storage_in_two_tasks(tmp_path, bucket, pretrained, examples):
    from google.cloud import storage

    for path in pretrained.iterdir():
        storage.Client().bucket(bucket).blob(f"models/tiny/{path.name}").upload_from_filename(path)

    @dsl.pipeline
    def ingest() -> Model:
        files = resolve_model(uri=f"gs://{bucket}/models/tiny")
        return ingest_model(source=files.output).outputs["model"]

    written = ingest().output

    manifest = read_manifest(written.path, kind="model")
    assert sorted(manifest.files) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert written.metadata["digest"] == manifest.digest
    assert written.metadata["headline"] == "0 MB"
    source = written.metadata["parameters"]["source"]
    assert [entry["uri"].rsplit("/", 1)[1] for entry in source] == sorted(manifest.files)
    assert all(entry["generation"].isdecimal() for entry in source)


def test_a_pretrained_model_that_is_not_there_ends_the_task_with_one_clear_line(bucket, examples, capfd):
    @dsl.pipeline
    def resolve():
        resolve_model(uri=f"gs://{bucket}/models/none")

    with pytest.raises(RuntimeError, match="resolve-model"):
        resolve()

    log = "".join(capfd.readouterr())
    assert f"resolve_model: 'gs://{bucket}/models/none' has no config.json" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("component", "target"),
    [(train_linear, "cpu"), (resolve_model, "cpu"), (ingest_model, "cpu"), (finetune_text, "gpu")],
    ids=lambda value: getattr(value, "name", value),
)
def test_each_runs_in_its_image(component, target):
    name = component.component_spec.implementation.container.image

    assert name.rpartition(":")[0] == image(target).rpartition(":")[0]
