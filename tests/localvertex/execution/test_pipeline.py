"""The pipeline engine in this process: how runs are cancelled, stopped and recovered, and tasks without `/gcs`."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from seatrial.localvertex.api import ApiError, enum, enum_name, message
from seatrial.localvertex.execution.outcome import STOPPED
from seatrial.localvertex.execution.pipeline import PipelineRunner
from seatrial.localvertex.execution.values import from_struct
from seatrial.localvertex.services.pipelines import create_pipeline_job
from seatrial.localvertex.vertex import Vertex

component = partial(dsl.component, base_image="python:3.11", install_kfp_package=False)


@component
def sleep(marker: str) -> str:
    import os
    import subprocess
    import sys
    import time

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with open(f"{marker}.part", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(f"{marker}.part", marker)
    time.sleep(600)
    return ""


@component
def echo(text: str) -> str:
    return text


@component
def write(data: Output[Dataset]) -> None:
    with open(data.path, "w") as file:
        file.write("abc")


@component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="sleeping")
def sleeping(marker: str) -> None:
    echo(text=sleep(marker=marker).output)


async def _submit(vertex: Vertex, pipeline: Any, **parameters: str) -> str:
    vertex.pipelines = PipelineRunner(vertex)
    request = message("CreatePipelineJobRequest")(parent="projects/p/locations/l", pipeline_job_id="job")
    job = request.pipeline_job
    job.pipeline_spec.update(json_format.MessageToDict(pipeline.pipeline_spec))
    job.runtime_config.gcs_output_directory = "gs://bucket/root"
    for name, value in parameters.items():
        job.runtime_config.parameter_values[name].string_value = value
    return str((await create_pipeline_job(vertex, request)).name)


def _state(job: Any) -> str:
    return enum_name("PipelineState", job.state).removeprefix("PIPELINE_STATE_")


def _task_states(job: Any) -> dict[str, str]:
    return {
        detail.task_name: enum_name("PipelineTaskDetail.State", detail.state) for detail in job.job_detail.task_details
    }


def _execution_states(vertex: Vertex, job: Any) -> set[str]:
    executions = [vertex.store.get(detail.execution.name) for detail in job.job_detail.task_details]
    return {enum_name("Execution.State", execution.state) for execution in executions}


async def _ended(vertex: Vertex, name: str) -> Any:
    return await vertex.store.wait(name, lambda job: _state(job) in ("SUCCEEDED", "FAILED", "CANCELLED"), 60)


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def _is_alive(process: str) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def _while_sleeping(vertex: Vertex, act: Callable[[str], Awaitable[None]]) -> Any:
    """Submits the sleeping pipeline, acts while its task sleeps, and returns the job once its processes are gone."""
    marker = vertex.home / "marker"

    async def run() -> Any:
        name = await _submit(vertex, sleeping, marker=str(marker))
        await _until(marker.exists)
        processes = marker.read_text().split()
        await act(name)
        await _until(lambda: not any(map(_is_alive, processes)))
        return vertex.store.get(name)

    return asyncio.run(run())


def test_a_cancelled_run_ends_its_processes_and_starts_no_more(in_process: Vertex) -> None:
    async def cancel(name: str) -> None:
        await in_process.pipelines.cancel(name)
        assert _state(in_process.store.get(name)) == "CANCELLING"
        assert _task_states(in_process.store.get(name)) == {"sleeping": "CANCELLING", "sleep": "CANCELLING"}
        await _ended(in_process, name)

    job = _while_sleeping(in_process, cancel)
    assert _state(job) == "CANCELLED"
    assert (job.error.code, job.error.message) == (1, "The pipeline job was cancelled.")
    assert _task_states(job) == {"sleeping": "CANCELLED", "sleep": "CANCELLED"}
    assert _execution_states(in_process, job) == {"CANCELLED"}
    assert not any((in_process.home / "tasks").iterdir())


def test_a_run_that_is_stopped_with_the_server_has_failed(in_process: Vertex) -> None:
    async def stop(name: str) -> None:
        assert in_process.pipelines.running() == 1
        await in_process.pipelines.close()
        assert in_process.pipelines.running() == 0

    job = _while_sleeping(in_process, stop)
    assert _state(job) == "FAILED"
    assert job.error.message == STOPPED
    assert _task_states(job) == {"sleeping": "FAILED", "sleep": "FAILED"}


def _interrupted(vertex: Vertex, change: Callable[[Any], None]) -> Any:
    """A job that a server left which was killed while its task slept, after a change in the last moment."""

    async def crash(name: str) -> None:
        left = vertex.store.get(name)
        await vertex.pipelines.close()
        vertex.store.save(left)
        for detail in left.job_detail.task_details:
            vertex.store.save(detail.execution)
        change(left)
        (vertex.home / "tasks" / "left").mkdir(exist_ok=True)

    async def recover() -> None:
        PipelineRunner(vertex).recover()

    name = _while_sleeping(vertex, crash).name
    asyncio.run(recover())
    return vertex.store.get(name)


def test_a_run_that_a_killed_server_left_has_failed(in_process: Vertex) -> None:
    job = _interrupted(in_process, lambda left: None)
    assert _state(job) == "FAILED"
    assert job.error.message == STOPPED
    assert job.HasField("end_time")
    assert _task_states(job) == {"sleeping": "FAILED", "sleep": "FAILED"}
    assert _execution_states(in_process, job) == {"FAILED"}
    assert not (in_process.home / "tasks").exists()


def test_a_task_that_a_killed_server_had_not_put_into_its_job_has_failed(in_process: Vertex) -> None:
    def drop_details(left: Any) -> None:
        del left.job_detail.task_details[:]
        in_process.store.save(left)

    assert _state(_interrupted(in_process, drop_details)) == "FAILED"
    assert {enum_name("Execution.State", run.state) for run in in_process.store.all("Execution")} == {"FAILED"}


def test_a_task_whose_success_a_killed_server_had_not_put_into_its_job_has_succeeded(in_process: Vertex) -> None:
    def complete(left: Any) -> None:
        artifact = message("Artifact")(name="projects/p/locations/l/metadataStores/default/artifacts/a")
        artifact.display_name = "data"
        in_process.store.create(artifact)
        for detail in left.job_detail.task_details:
            detail.execution.state = enum("Execution.State")["COMPLETE"]
            in_process.store.save(detail.execution)
            in_process.store.remember("event", f"{detail.execution.name}|{artifact.name}", "OUTPUT")

    job = _interrupted(in_process, complete)
    assert (_state(job), job.error.message) == ("FAILED", STOPPED)
    assert _task_states(job) == {"sleeping": "FAILED", "sleep": "SUCCEEDED"}  # the first is the pipeline itself
    for detail in job.job_detail.task_details:
        assert detail.execution == in_process.store.get(detail.execution.name)
    outputs = [list(detail.outputs) for detail in job.job_detail.task_details]
    assert outputs == [[], ["data"]]


def test_a_run_that_was_being_cancelled_when_the_server_was_killed_is_cancelled(in_process: Vertex) -> None:
    def cancel(left: Any) -> None:
        left.state = enum("PipelineState")["PIPELINE_STATE_CANCELLING"]
        in_process.store.save(left)

    job = _interrupted(in_process, cancel)
    assert (_state(job), job.error.message) == ("CANCELLED", "The pipeline job was cancelled.")
    assert _task_states(job) == {"sleeping": "CANCELLED", "sleep": "CANCELLED"}
    assert _execution_states(in_process, job) == {"CANCELLED"}


def test_a_run_that_was_being_cancelled_when_the_server_was_stopped_is_cancelled(in_process: Vertex) -> None:
    async def cancel_and_stop(name: str) -> None:
        await in_process.pipelines.cancel(name)
        await in_process.pipelines.close()

    assert _state(_while_sleeping(in_process, cancel_and_stop)) == "CANCELLED"


def test_a_run_that_has_ended_cannot_be_cancelled(in_process: Vertex) -> None:
    @dsl.pipeline(name="short")
    def pipeline() -> None:
        echo(text="a")

    async def run() -> None:
        name = await _submit(in_process, pipeline)
        await _ended(in_process, name)
        await _until(lambda: not in_process.pipelines.running())
        await in_process.pipelines.cancel(name)

    with pytest.raises(ApiError, match="has ended"):
        asyncio.run(run())


def test_without_a_private_root_python_components_find_their_artifacts_all_the_same(in_process: Vertex) -> None:
    @dsl.container_component
    def copy(data: Input[Dataset], copied: Output[Dataset]) -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="busybox", command=["cp", data.path, copied.path])

    @dsl.pipeline(name="no-gcs")
    def pipeline() -> None:
        read(data=copy(data=write().outputs["data"]).outputs["copied"])

    async def run() -> Any:
        return await _ended(in_process, await _submit(in_process, pipeline))

    job = asyncio.run(run())
    assert _state(job) == "SUCCEEDED", job.error.message
    details = {detail.task_name: detail for detail in job.job_detail.task_details}
    (data,) = details["write"].outputs["data"].artifacts
    assert data.uri.startswith("gs://bucket/root/")
    assert from_struct(details["read"].execution.metadata)["output:Output"] == "abc"
