"""The pipeline service, through Google's own client: what it accepts, lists, deletes."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1
from google.protobuf import json_format
from kfp import dsl

from seatrial.localvertex import lifecycle
from seatrial.localvertex.api import message, to_dict
from seatrial.localvertex.services import pipelines
from seatrial.localvertex.store import Store

PARENT = "projects/local-project/locations/us-central1"
_STATES = aiplatform_v1.PipelineState


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def wait_for(path: str) -> None:
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.01)


@dsl.pipeline(name="waiting")
def waiting(path: str, count: int = 1, options: dict = {}, names: list = []) -> None:  # type: ignore[type-arg]  # noqa: B006
    wait_for(path=path)


@pytest.fixture(scope="module")
def client(vertex: lifecycle.Running) -> aiplatform_v1.PipelineServiceClient:
    return aiplatform_v1.PipelineServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})


@pytest.fixture
def make_job(bucket: str) -> Callable[..., aiplatform_v1.PipelineJob]:
    def make_job(**parameters: Any) -> aiplatform_v1.PipelineJob:
        config = {"gcs_output_directory": f"gs://{bucket}/root", "parameter_values": {"path": "/", **parameters}}
        spec = json_format.MessageToDict(waiting.pipeline_spec)
        return aiplatform_v1.PipelineJob(display_name=bucket, pipeline_spec=spec, runtime_config=config)

    return make_job


@pytest.fixture
def create(client: aiplatform_v1.PipelineServiceClient) -> Callable[..., aiplatform_v1.PipelineJob]:
    def create(job: aiplatform_v1.PipelineJob, job_id: str = "") -> aiplatform_v1.PipelineJob:
        return client.create_pipeline_job(parent=PARENT, pipeline_job=job, pipeline_job_id=job_id)

    return create


@pytest.fixture
def wait(client: aiplatform_v1.PipelineServiceClient) -> Callable[[str], aiplatform_v1.PipelineJob]:
    def wait(name: str) -> aiplatform_v1.PipelineJob:
        while not (job := client.get_pipeline_job(name=name)).end_time:
            time.sleep(0.05)
        return job

    return wait


@pytest.fixture
def held(tmp_path: Path) -> Iterator[str]:
    """A path that is not there until the test is over."""
    path = tmp_path / "go"
    yield str(path)
    path.touch()


def test_a_job_runs_as_the_account_of_compute_engine_unless_it_names_another(create: Any, make_job: Any) -> None:
    job = make_job()
    assert re.fullmatch(r"[0-9]{12}-compute@developer\.gserviceaccount\.com", create(job).service_account)
    job.service_account = "trainer@local-project.iam.gserviceaccount.com"
    assert create(job).service_account == job.service_account


def test_a_created_job_is_pending_and_runs_to_its_end(create: Any, make_job: Any, wait: Any) -> None:
    job = create(make_job(), f"test-{time.time_ns()}")
    assert job.state == _STATES.PIPELINE_STATE_PENDING
    assert job.create_time
    assert job.job_detail.pipeline_run_context.schema_title == "system.PipelineRun"
    assert job.job_detail.pipeline_context.display_name == "waiting"
    ended = wait(job.name)
    assert ended.state == _STATES.PIPELINE_STATE_SUCCEEDED
    assert ended.create_time <= ended.start_time <= ended.end_time
    assert [detail.task_name for detail in ended.job_detail.task_details] == ["waiting", "wait-for"]


def test_a_job_without_an_id_gets_one_from_its_pipelines_name(create: Any, make_job: Any, wait: Any) -> None:
    job = create(make_job())
    assert job.name.startswith(f"{PARENT}/pipelineJobs/waiting-")
    wait(job.name)


def test_fields_that_only_the_service_sets_are_ignored(create: Any, make_job: Any, wait: Any) -> None:
    job = make_job()
    job.state = _STATES.PIPELINE_STATE_FAILED
    job.error = {"code": 3, "message": "made up"}
    created = create(job)
    assert (created.state, created.error.message) == (_STATES.PIPELINE_STATE_PENDING, "")
    wait(created.name)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"count": "many"}, "'count' is \"many\"; expected a value of type NUMBER_INTEGER"),
        ({"count": 1.5}, "'count' is 1.5; expected a value of type NUMBER_INTEGER"),
        ({"options": [1]}, r"'options' is \[1\]; expected a value of type STRUCT"),
        ({"names": "a"}, "'names' is \"a\"; expected a value of type LIST"),
        ({"path": None}, "'path' is null; expected a value of type STRING"),
        ({"unknown": 1}, "no parameter 'unknown'; it has 'count', 'names', 'options', 'path'"),
    ],
)
def test_parameters_are_checked_before_anything_runs(create: Any, make_job: Any, parameters: Any, reason: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=reason):
        create(make_job(**parameters))


def test_a_missing_parameter_is_named(create: Any, make_job: Any) -> None:
    job = make_job()
    del job.runtime_config.parameter_values["path"]
    with pytest.raises(exceptions.InvalidArgument, match=r"'path' \(STRING\) is missing and has no default"):
        create(job)


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"runtime_config": {"gcs_output_directory": "gs://no-such-bucket-here/x"}}, "NotFound", "no-such-bucket-here"),
        ({"runtime_config": {"gcs_output_directory": "/tmp/x"}}, "InvalidArgument", "gcs_output_directory"),
        ({"runtime_config": {}}, "InvalidArgument", "gcs_output_directory"),
        ({"pipeline_spec": {}}, "InvalidArgument", "schemaVersion"),
        (
            {"pipeline_spec": {}, "template_uri": "https://us-kfp.pkg.dev/p/r/t"},
            "MethodNotImplemented",
            "template_uri",
        ),
        ({"display_name": "x" * 129}, "InvalidArgument", "display_name"),
    ],
)
def test_a_job_that_cannot_run_is_refused(
    create: Any, make_job: Any, change: dict[str, Any], error: str, reason: str
) -> None:
    job = make_job()
    for field, value in change.items():
        setattr(job, field, value)
    with pytest.raises(getattr(exceptions, error), match=reason):
        create(job)


@pytest.mark.parametrize("job_id", ["Upper", "1digit", "under_score", "x" * 129])
def test_ids_follow_vertex_ais_rule(create: Any, make_job: Any, job_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="pipeline_job_id"):
        create(make_job(), job_id)


def test_an_id_is_used_once(create: Any, make_job: Any, wait: Any) -> None:
    job = create(make_job(), f"test-{time.time_ns()}")
    with pytest.raises(exceptions.AlreadyExists):
        create(make_job(), job.name.rsplit("/", 1)[1])
    wait(job.name)


def test_jobs_are_listed_by_filter_and_order_without_task_details(
    client: Any, create: Any, make_job: Any, wait: Any, bucket: str
) -> None:
    names = [create(make_job()).name for _ in range(2)]
    for name in names:
        wait(name)

    def listed(condition: str, **options: Any) -> list[str]:
        request = {"parent": PARENT, "filter": f'display_name="{bucket}" AND {condition}', **options}
        return [job.name for job in client.list_pipeline_jobs(request)]

    assert listed('pipeline_name="waiting"', order_by="create_time") == names
    assert listed("state=PIPELINE_STATE_SUCCEEDED", order_by="create_time desc") == names[::-1]
    assert listed("state=PIPELINE_STATE_FAILED") == []
    assert listed('pipeline_name="other"') == []
    (first, _) = client.list_pipeline_jobs({"parent": PARENT, "filter": f'display_name="{bucket}"'})
    assert first.job_detail.pipeline_run_context.name
    assert not first.job_detail.task_details
    (masked, _) = client.list_pipeline_jobs(
        {"parent": PARENT, "filter": f'display_name="{bucket}"', "read_mask": {"paths": ["display_name", "state"]}}
    )
    assert (masked.display_name, masked.state.name) == (bucket, "PIPELINE_STATE_SUCCEEDED")
    assert not masked.runtime_config.gcs_output_directory


def test_only_what_a_filter_looks_at_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converting the spec of a large pipeline takes so long that the server would stand still."""
    store = Store(tmp_path / "vertex.sqlite")
    job = message("PipelineJob")(name=f"{PARENT}/pipelineJobs/job", display_name="shown")
    job.pipeline_spec.update(json_format.MessageToDict(waiting.pipeline_spec))
    store.create(job)
    converted = []
    monkeypatch.setattr(pipelines, "to_dict", lambda job: converted.append(job) or to_dict(job))

    def listed(condition: str) -> list[str]:
        request = message("ListPipelineJobsRequest")(parent=PARENT, filter=condition)
        response = asyncio.run(pipelines.list_pipeline_jobs(SimpleNamespace(store=store), request))
        return [job.pipeline_spec["pipelineInfo"]["name"] for job in response.pipeline_jobs]

    assert listed("") == ["waiting"]
    assert not converted
    assert listed('display_name="shown" AND pipeline_name="waiting"') == ["waiting"]
    assert listed('display_name="other"') == []
    assert not any(job.pipeline_spec.fields for job in converted)


def test_a_job_is_cancelled(client: Any, create: Any, make_job: Any, wait: Any, held: str) -> None:
    job = create(make_job(path=held))
    client.cancel_pipeline_job(name=job.name)
    assert wait(job.name).state == _STATES.PIPELINE_STATE_CANCELLED
    with pytest.raises(exceptions.FailedPrecondition, match="has ended"):
        client.cancel_pipeline_job(name=job.name)


def test_a_job_is_deleted_once_it_has_ended(client: Any, create: Any, make_job: Any, wait: Any, held: str) -> None:
    job = create(make_job(path=held))
    with pytest.raises(exceptions.FailedPrecondition, match="Cancel it first"):
        client.delete_pipeline_job(name=job.name)
    client.cancel_pipeline_job(name=job.name)
    wait(job.name)
    client.delete_pipeline_job(name=job.name).result()
    with pytest.raises(exceptions.NotFound):
        client.get_pipeline_job(name=job.name)


@pytest.mark.parametrize("call", ["get_pipeline_job", "cancel_pipeline_job", "delete_pipeline_job"])
def test_a_job_that_is_not_there(client: Any, call: str) -> None:
    with pytest.raises(exceptions.NotFound, match="no-such-job"):
        getattr(client, call)(name=f"{PARENT}/pipelineJobs/no-such-job")
