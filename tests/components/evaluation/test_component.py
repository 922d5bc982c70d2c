"""The evaluation components as KFP runs them: compiled, each task in a process of its own."""

import json

import pytest
from kfp import dsl, local
from kfp.dsl import Dataset

from seatrial.components import compare_models, evaluate_classification


@pytest.fixture
def predictions(tmp_path, write_predictions):
    """Challenger and champion on 100 rows, with 90 and 60 of them right."""
    truth = ["good", "bad"] * 50
    turned = {"good": "bad", "bad": "good"}
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "root"))
    return {
        name: str(write_predictions(name, truth, truth[:right] + [turned[label] for label in truth[right:]]))
        for name, right in (("challenger", 90), ("champion", 60))
    }


def metadata_of(tmp_path, task: str, output: str) -> dict:
    document = json.loads(next(tmp_path.glob(f"root/*/{task}/executor_output.json")).read_text())
    return document["artifacts"][output]["artifacts"][0]["metadata"]


def test_an_evaluation_writes_metrics_and_a_report(tmp_path, predictions):
    @dsl.pipeline
    def evaluate():
        read = dsl.importer(artifact_uri=predictions["challenger"], artifact_class=Dataset)
        evaluate_classification(predictions=read.output, seed=1)

    evaluate()

    metrics = metadata_of(tmp_path, "evaluate-classification", "metrics")
    assert metrics["headline"] == "accuracy 0.900 [0.826, 0.945]"
    assert metrics["accuracy"] == 0.9
    classification = metadata_of(tmp_path, "evaluate-classification", "classification_metrics")
    assert classification["confusionMatrix"]["rows"] == [{"row": [45, 5]}, {"row": [5, 45]}]
    assert classification["confidenceMetrics"][0] == {
        "confidenceThreshold": 1.0,
        "recall": 0.0,
        "falsePositiveRate": 0.0,
    }
    report = next(tmp_path.glob("root/*/evaluate-classification/report")).read_text()
    assert report.startswith("<!DOCTYPE html>")
    parameters = metadata_of(tmp_path, "evaluate-classification", "report")["parameters"]
    assert parameters == {"confidence_level": 0.95, "seed": 1}


def test_a_comparison_returns_the_verdict_that_it_writes(tmp_path, predictions):
    @dsl.pipeline
    def judge() -> str:
        challenger = dsl.importer(artifact_uri=predictions["challenger"], artifact_class=Dataset)
        champion = dsl.importer(artifact_uri=predictions["champion"], artifact_class=Dataset)
        return compare_models(challenger=challenger.output, champion=champion.output).outputs["Output"]

    assert judge().output == "promote"
    verdict = json.loads(next(tmp_path.glob("root/*/compare-models/verdict")).read_text())
    assert verdict["verdict"] == "promote"
    assert metadata_of(tmp_path, "compare-models", "verdict") == {"schema_version": "1", "verdict": "promote"}
    assert metadata_of(tmp_path, "compare-models", "metrics")["headline"].startswith("promote: +0.300 [0.2")


def test_a_comparison_without_a_champion_promotes_the_first_model(predictions):
    @dsl.pipeline
    def judge() -> str:
        challenger = dsl.importer(artifact_uri=predictions["challenger"], artifact_class=Dataset)
        return compare_models(challenger=challenger.output, minimum_accuracy=0.5).outputs["Output"]

    assert judge().output == "promote"
