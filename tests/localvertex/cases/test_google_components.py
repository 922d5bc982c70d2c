"""Google Cloud Pipeline Components: their launchers work against the local Vertex AI, and fail where they must."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform
from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from .components import copy, write

Submit = Callable[..., Any]
_SERVER = [sys.executable, str(Path(__file__).parents[1] / "model_server.py")]


@pytest.fixture(autouse=True)
def _place(vertex: Any) -> None:
    aiplatform.init(project="local-project", location="us-central1")


def _pools(command: list[str], **container: Any) -> list[dict[str, Any]]:
    specification = {"image_uri": "busybox", "command": command, **container}
    machine = {"machine_type": "n1-standard-4"}
    return [{"machine_spec": machine, "replica_count": 1, "container_spec": specification}]


def test_models_are_uploaded_evaluated_and_deployed(run: Submit, bucket: str) -> None:
    from google_cloud_pipeline_components.preview.model_evaluation import ModelImportEvaluationOp
    from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel
    from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp, ModelDeployOp
    from google_cloud_pipeline_components.v1.model import ModelUploadOp

    values = {"classification": {"auPrc": 0.75, "logLoss": 0.1, "confidenceMetrics": []}}
    container = {"imageUri": "image", "command": _SERVER, "predictRoute": "/p", "healthRoute": "/h"}

    @dsl.container_component
    def evaluate(metrics: Output[Metrics]):
        text = json.dumps({"slicedMetrics": [{"singleOutputSlicingSpec": {}, "metrics": values}]})
        return copy(text, metrics.path)

    @dsl.pipeline(name="life-of-a-model")
    def pipeline(name: str, folder: str):
        container_model = dsl.importer(
            artifact_uri=folder, artifact_class=UnmanagedContainerModel, metadata={"containerSpec": container}
        )
        upload = ModelUploadOp(display_name=name, unmanaged_container_model=container_model.output)
        model, endpoint = upload.outputs["model"], EndpointCreateOp(display_name=name).outputs["endpoint"]
        ModelImportEvaluationOp(
            model=model,
            metrics=evaluate().outputs["metrics"],
            problem_type="classification",
            dataset_type="gcs",
            dataset_paths=["gs://bucket/test.csv"],
        )
        ModelDeployOp(
            model=model,
            endpoint=endpoint,
            dedicated_resources_machine_type="n1-standard-2",
            dedicated_resources_min_replica_count=1,
            traffic_split={"0": "100"},
        )

    job = run(pipeline, {"name": bucket, "folder": f"gs://{bucket}/model"})
    assert job.state == "SUCCEEDED", job.error
    (uploaded,), (created,) = job.artifacts("model-upload", "model"), job.artifacts("endpoint-create", "endpoint")
    assert uploaded.schema_title == "google.VertexModel"
    assert uploaded.uri == f"https://us-central1-aiplatform.googleapis.com/v1/{uploaded.metadata['resourceName']}"
    (evaluation,) = aiplatform.Model(uploaded.metadata["resourceName"]).list_model_evaluations()
    assert evaluation.metrics["auPrc"] == 0.75
    assert job.output("model-evaluation-import", "evaluation_resource_name") == evaluation.resource_name
    endpoint = aiplatform.Endpoint(created.metadata["resourceName"])
    assert (created.schema_title, endpoint.display_name) == ("google.VertexEndpoint", bucket)
    assert endpoint.predict(instances=[1, 2, 3.5]).predictions == [1, 2, 3.5]
    endpoint.delete(force=True)


def test_custom_jobs_are_told_what_to_do_and_their_failure_is_that_of_their_task(run: Submit, tmp_path: Path) -> None:
    from google_cloud_pipeline_components.v1 import custom_job

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def train(text: str, n: int, data: Input[Dataset], model: Output[Model]) -> str:
        model.metadata["n"] = n
        with open(data.path) as file:
            return text + file.read()

    @dsl.pipeline(name="custom-jobs")
    def pipeline(text: str = 'qu"ote '):
        show = ["sh", "-c", f'printf "%s|" "$@" "$E" > {tmp_path}/arguments']
        pools = _pools(show, args=["sh", text, dsl.PIPELINE_JOB_NAME_PLACEHOLDER], env=[{"name": "E", "value": "e"}])
        custom_job.CustomTrainingJobOp(display_name="shows", worker_pool_specs=pools, labels={"of": "job"})
        custom_job.CustomTrainingJobOp(display_name="fails", worker_pool_specs=_pools(["sh", "-c", "exit 5"]))
        as_job = custom_job.create_custom_training_job_from_component(train, machine_type="n1-standard-4")
        as_job(text=text, n=5, data=write(value="data").outputs["data"])

    job = run(pipeline)
    assert job.states == {
        **{"custom-training-job": "SUCCEEDED", "custom-training-job-2": "FAILED"},
        **{"write": "SUCCEEDED", "train": "SUCCEEDED"},
    }
    assert "custom-training-job-2: The replica workerpool0-0 exited" in job.error
    assert (tmp_path / "arguments").read_text() == f'qu"ote |{job.job.name}|e|'
    (resource,) = json.loads(job.output("custom-training-job", "gcp_resources"))["resources"]
    assert resource["resourceType"] == "CustomJob"
    assert aiplatform.CustomJob.get(resource["resourceUri"].partition("/v1/")[2]).labels["of"] == "job"
    assert job.output("train") == 'qu"ote data'
    assert job.artifacts("train", "model")[0].metadata["n"] == 5


def test_cancelling_a_pipeline_cancels_its_custom_job(submit: Submit, bucket: str, tmp_path: Path) -> None:
    from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp

    @dsl.pipeline(name="cancelled-job")
    def pipeline(name: str, path: str):
        CustomTrainingJobOp(display_name=name, worker_pool_specs=_pools(["cat"], args=[path]))

    def listed(state: str) -> list[aiplatform.CustomJob]:
        return aiplatform.CustomJob.list(filter=f'display_name="{bucket}" AND state="JOB_STATE_{state}"')

    # Nothing is ever written to the pipe.
    os.mkfifo(tmp_path / "pipe")
    job = submit(pipeline, {"name": bucket, "path": str(tmp_path / "pipe")})
    while not listed("RUNNING"):
        pass
    job.job.cancel()
    assert job.wait().states == {"custom-training-job": "CANCELLED"}
    while not listed("CANCELLED"):
        pass
