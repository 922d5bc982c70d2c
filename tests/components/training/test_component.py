"""train_linear as KFP runs it: compiled, in a process of its own."""

import json

import pyarrow
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset, Model

from seatrial.components import train_linear
from seatrial.components.artifacts import write_table
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
