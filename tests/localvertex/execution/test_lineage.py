"""What a run leaves in Vertex ML Metadata, seen through Google's own client."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

Submit = Callable[..., Any]
component = partial(dsl.component, base_image="python:3.11", install_kfp_package=False)


@component
def write(text: str, data: Output[Dataset], metrics: Output[Metrics]) -> None:
    with open(data.path, "w") as file:
        file.write(text)
    metrics.log_metric("rows", len(text))


@component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="lineage")
def pipeline(text: str) -> str:
    return read(data=write(text=text).outputs["data"]).output


@pytest.fixture
def job(run: Submit, bucket: str) -> Any:
    return run(pipeline, {"text": bucket})


def test_tasks_have_executions_with_their_values(job: Any, bucket: str) -> None:
    execution = job.details["read"].execution
    assert execution.schema_title == "system.ContainerExecution"
    assert execution.state.name == "COMPLETE"
    assert execution.metadata["output:Output"] == bucket
    assert job.details["write"].execution.metadata["input:text"] == bucket
    assert job.details[""].execution.schema_title == "system.Run"
    assert dict(job.details[""].execution.metadata) == {"input:text": bucket, "output:Output": bucket}


def test_artifacts_are_linked_to_the_tasks_that_made_and_used_them(job: Any) -> None:
    from google.cloud import aiplatform

    (data,) = job.artifacts("write", "data")
    assert job.details["read"].inputs["data"].artifacts[0].name == data.name
    made = aiplatform.Execution(job.details["write"].execution.name)
    used = aiplatform.Execution(job.details["read"].execution.name)
    assert data.name in [artifact.resource_name for artifact in made.get_output_artifacts()]
    assert [artifact.resource_name for artifact in used.get_input_artifacts()] == [data.name]


def test_a_run_can_belong_to_an_experiment(submit: Submit, bucket: str) -> None:
    from google.cloud import aiplatform

    experiment = aiplatform.Experiment.create(bucket, project="local-project", location="us-central1")
    submitted = submit(pipeline, {"text": bucket}, experiment=experiment)
    submitted.wait()
    assert submitted.job.get_associated_experiment().name == bucket
    aiplatform.init(project="local-project", location="us-central1")
    frame = aiplatform.get_experiment_df(bucket)
    (row,) = frame.to_dict("records")
    assert row["run_type"] == "system.PipelineRun"
    assert row["run_name"] == submitted.job.name
    assert row["param.text"] == bucket
    assert row["metric.rows"] == len(bucket)
    assert row["state"] == "COMPLETE"
