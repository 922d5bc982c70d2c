"""The custom job engine in this process: what becomes of jobs when the server ends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex.api import enum_name, message
from seatrial.localvertex.execution import custom_job
from seatrial.localvertex.execution.outcome import STOPPED
from seatrial.localvertex.services import jobs
from seatrial.localvertex.vertex import Vertex


def _request(*command: str) -> Any:
    request = message("CreateCustomJobRequest")(parent="projects/p/locations/l")
    request.custom_job.display_name = "test"
    pool = request.custom_job.job_spec.worker_pool_specs.add(replica_count=1)
    pool.machine_spec.machine_type = "n1-standard-4"
    pool.container_spec.image_uri = "image"
    pool.container_spec.command.extend(command)
    return request


def test_a_job_that_is_stopped_with_the_server_has_failed(in_process: Vertex) -> None:
    marker = in_process.home / "marker"

    async def stop() -> Any:
        job = await jobs.create_custom_job(in_process, _request("sh", "-c", 'echo $$ > "$0"; sleep 600', str(marker)))
        async with asyncio.timeout(60):
            while not (marker.exists() and marker.read_text().endswith("\n")):
                await asyncio.sleep(0.01)
        await in_process.tasks.close()
        return in_process.store.get(job.name)

    job = asyncio.run(stop())
    assert enum_name("JobState", job.state) == "JOB_STATE_FAILED"
    assert job.error.message == STOPPED
    assert not Path(f"/proc/{marker.read_text().strip()}").exists()


def _ended(vertex: Vertex, *command: str) -> Any:
    async def run() -> Any:
        job = await jobs.create_custom_job(vertex, _request(*command))
        return await vertex.store.wait(job.name, lambda job: job.HasField("end_time"), 60)

    return asyncio.run(run())


def test_a_job_whose_command_cannot_be_started_has_failed(in_process: Vertex) -> None:
    job = _ended(in_process, "echo", "null\0character")
    assert enum_name("JobState", job.state) == "JOB_STATE_FAILED"
    assert job.error.message == "The command 'echo' cannot be started: embedded null byte"


def test_a_job_that_the_engine_cannot_run_has_failed(in_process: Vertex) -> None:
    (in_process.home / "logs").write_text("in the way of the folder")
    job = _ended(in_process, "true")
    assert enum_name("JobState", job.state) == "JOB_STATE_FAILED"
    assert job.error.message.startswith("Internal error of the local Vertex AI: ")


def _left(vertex: Vertex, state: str, *command: str, **scheduling: bool) -> str:
    """Stores a job as a killed server leaves it and returns its name."""
    job = _request(*command).custom_job
    job.name = f"projects/p/locations/l/customJobs/{len(vertex.store.all('CustomJob'))}"
    for field, value in scheduling.items():
        setattr(job.job_spec.scheduling, field, value)
    vertex.store.create(job)
    custom_job.enter(vertex, job.name, state)
    return str(job.name)


@pytest.mark.parametrize(
    ("state", "scheduling", "expected"),
    [
        ("PENDING", {}, ("FAILED", STOPPED)),
        ("RUNNING", {}, ("FAILED", STOPPED)),
        ("RUNNING", {"restart_job_on_worker_restart": True, "disable_retries": True}, ("FAILED", STOPPED)),
        ("CANCELLING", {"restart_job_on_worker_restart": True}, ("CANCELLED", "The custom job was cancelled.")),
        ("SUCCEEDED", {"restart_job_on_worker_restart": True}, ("SUCCEEDED", "")),
    ],
)
def test_a_job_that_a_killed_server_left_ends(
    in_process: Vertex, state: str, scheduling: dict[str, bool], expected: tuple[str, str]
) -> None:
    name = _left(in_process, state, "true", **scheduling)
    custom_job.recover(in_process)
    job = in_process.store.get(name)
    assert (enum_name("JobState", job.state).removeprefix("JOB_STATE_"), job.error.message) == expected


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_job_that_is_to_be_restarted_is_started_again_by_the_next_server(in_process: Vertex, state: str) -> None:
    name = _left(in_process, state, "true", restart_job_on_worker_restart=True)
    left = in_process.store.get(name)

    async def recover() -> Any:
        custom_job.recover(in_process)
        return await in_process.store.wait(name, lambda job: job.HasField("end_time"), 60)

    job = asyncio.run(recover())
    assert enum_name("JobState", job.state) == "JOB_STATE_SUCCEEDED"
    if state == "RUNNING":  # when it entered that state for the first time
        assert job.start_time == left.start_time
