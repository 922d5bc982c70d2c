"""The components of curation, training, prediction and evaluation under `kfp.local`, as authors try theirs out.

That is another engine than the local Vertex AI: no API, no `gs://`, a cache of its own.
"""

import json

import pyarrow
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset

from seatrial.components import (
    batch_predict,
    compare_models,
    curate_text,
    evaluate_classification,
    train_linear,
)
from seatrial.components.artifacts import write_table

ROWS = [
    {
        "row_id": f"row-{number}",
        "split": "test" if number % 3 == 0 else "train",
        "review": f"{'lovely' if number % 2 else 'awful'} tea <br> number {number} from garden {number % 7}",
        "score": "good" if number % 2 else "bad",
    }
    for number in range(120)
]


@pytest.fixture
def table(tmp_path) -> str:
    write_table(tmp_path / "table", pyarrow.Table.from_pylist(ROWS), metadata={})
    return str(tmp_path / "table")


@dsl.pipeline(name="author")
def linear_against_trivial(table: str) -> str:
    source = dsl.importer(artifact_uri=table, artifact_class=Dataset)
    curated = curate_text(table=source.output, text_column="review", label_column="score")
    predictions = []
    for estimator in ("logistic_regression", "majority_class"):
        trained = train_linear(train=curated.outputs["train"], estimator=estimator)
        predicted = batch_predict(model=trained.outputs["model"], table=curated.outputs["test"])
        predictions.append(predicted.outputs["predictions"])
    evaluate_classification(predictions=predictions[0])
    return compare_models(challenger=predictions[0], champion=predictions[1]).outputs["Output"]


@pytest.mark.parametrize("caching", [False, True], ids=["without caching", "with caching"])
def test_a_chain_of_components_runs_and_runs_again(tmp_path, table, caching):
    root = tmp_path / "root"
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root),
        enable_caching=caching,
        cache_root=str(tmp_path / "cache"),
    )

    outputs = [linear_against_trivial(table=table).output for _ in range(2)]

    runs = sorted(root.glob("author-*"))
    assert outputs == ["promote", "promote"]
    for task, output in (("curate-text", "train"), ("train-linear", "model"), ("batch-predict", "predictions")):
        assert sum((run / task / output).exists() for run in runs) == (1 if caching else 2), task
    evaluation = json.loads(next(runs[0].glob("evaluate-classification/executor_output.json")).read_text())
    assert evaluation["artifacts"]["metrics"]["artifacts"][0]["metadata"]["accuracy"] == 1
