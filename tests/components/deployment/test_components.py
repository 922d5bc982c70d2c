"""The components as tasks call them: what they put into their outputs, and how they fail."""

import json

import pyarrow
import pytest
from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel, VertexEndpoint, VertexModel
from kfp import dsl

from seatrial.components import deploy_canary, keep_champion, look_up_champion, package_model, plan_rollout
from seatrial.components.artifacts import write_folder, write_table
from seatrial.components.deployment.champion import readable

from .conftest import PARENT

JOB = f"{PARENT}/pipelineJobs/rollout"


def look_up(endpoint_display_name: str, model_display_name: str):
    outputs = {"endpoint": VertexEndpoint(), "parent_model": VertexModel(), "champion": dsl.Model(uri="gs://unused")}
    found = look_up_champion.python_func(
        "local-project", "us-central1", endpoint_display_name, model_display_name, **outputs
    )
    return found, outputs


def roll_out(registry, model: str, folder, **parameters):
    write_table(folder / "holdout", pyarrow.table({"text": ["so good"] * 9, "label": ["good"] * 9}), metadata={})
    outputs = {
        "rollout": dsl.Artifact(uri=str(folder / "rollout")),
        "metrics": dsl.Metrics(uri=str(folder / "metrics")),
        "gcp_resources": str(folder / "gcp_resources"),
    }
    outcome = deploy_canary.python_func(
        model=VertexModel(metadata={"resourceName": model}),
        endpoint=VertexEndpoint(metadata={"resourceName": registry.endpoint}),
        holdout=dsl.Dataset(uri=str(folder / "holdout")),
        job=JOB,
        task_name="deploy-canary",
        **{"requests_per_step": 100, **parameters},
        **outputs,
    )
    return outcome, outputs


def test_look_up_describes_what_serves(registry, serving):
    model = serving("good")

    found, outputs = look_up(registry.read().display_name, registry.display_name)

    assert found == (True, True, "gs://models/reviews")
    assert outputs["endpoint"].metadata["resourceName"] == registry.endpoint
    assert outputs["endpoint"].uri == f"https://us-central1-aiplatform.googleapis.com/v1/{registry.endpoint}"
    assert outputs["parent_model"].metadata["resourceName"] == registry.model
    assert outputs["champion"].uri == "gs://models/reviews"
    assert outputs["champion"].metadata["resourceName"] == model
    assert outputs["champion"].metadata["traffic_split"] == {readable(model): 100}


def test_look_up_says_what_is_not_there_yet(vertex):
    found, outputs = look_up("no such endpoint", "no such model")

    assert found == (False, False, "")
    assert outputs["endpoint"].metadata["resourceName"] == ""
    assert outputs["parent_model"].metadata["resourceName"] == "", "ModelUploadOp takes this as the wish for a new one"


def test_package_writes_what_model_upload_reads(tmp_path):
    with write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        (folder / "config.json").write_text("{}")
    output = UnmanagedContainerModel()

    package_model.python_func(dsl.Model(uri=str(tmp_path / "model")), "", output, serving_image="my/serving:1")

    assert output.uri == str(tmp_path / "model")
    assert output.metadata["containerSpec"]["imageUri"] == "my/serving:1"


def test_a_rollout_fills_all_outputs(registry, tmp_path):
    model = registry.upload("good")

    outcome, outputs = roll_out(registry, model, tmp_path, steps=[50.0, 100.0])

    (resource,) = json.loads((tmp_path / "gcp_resources").read_text())["resources"]
    assert outcome == "promoted"
    assert json.loads((tmp_path / "rollout").read_text())["split_after"] == {readable(model): 100}
    assert outputs["metrics"].metadata["headline"] == "promoted, 100 %"
    assert outputs["metrics"].metadata["requests"] == 100
    assert resource["resourceType"] == "VertexLro"
    assert resource["resourceUri"].startswith(f"https://us-central1-aiplatform.googleapis.com/v1/{PARENT}/operations/")


def test_bad_input_is_one_clear_line_and_no_traceback(registry, tmp_path, capsys):
    model = registry.upload("good")

    with pytest.raises(SystemExit, match="1"):
        roll_out(registry, model, tmp_path, steps=[10, 50])

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("deploy_canary: steps is [10, 50]")
    assert not (tmp_path / "rollout").exists()


def test_a_drill_that_there_is_not_is_refused_before_anything_is_trained(capsys):
    with pytest.raises(SystemExit, match="1"):
        plan_rollout.python_func(drill="explode")

    assert "plan_rollout: drill is 'explode'; expected" in capsys.readouterr().err


def test_a_drill_without_a_champion_to_go_back_to_is_refused_before_anything_is_trained(capsys):
    with pytest.raises(SystemExit, match="1"):
        plan_rollout.python_func(drill="slow", champion_found=False)

    assert "plan_rollout: drill is 'slow', but no model serves" in capsys.readouterr().err


def test_keeping_the_champion_writes_a_rollout_too(tmp_path):
    verdict = {"verdict": "hold", "reasons": [{"code": "identical", "text": "The same."}], "evidence": {}}
    (tmp_path / "verdict").write_text(json.dumps(verdict))
    rollout = dsl.Artifact(uri=str(tmp_path / "rollout"))

    outcome = keep_champion.python_func(dsl.Artifact(uri=str(tmp_path / "verdict")), dsl.Model(), rollout)

    assert outcome == "kept"
    assert rollout.metadata["headline"] == "hold: identical"
    assert json.loads((tmp_path / "rollout").read_text())["outcome"] == "kept"
