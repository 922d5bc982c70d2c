"""Custom jobs: the replicas of their worker pools, as containers that find each other on this machine.

What a replica finds in its environment: https://cloud.google.com/vertex-ai/docs/training/code-requirements and
https://cloud.google.com/vertex-ai/docs/training/distributed-training.
"""

import asyncio
import contextlib
import json
import logging
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.rpc import code_pb2

from ..api import enum
from ..environment import logs_folder
from ..names import project_number
from ..runtimes.container import Container, Limits, limits_of_machine, with_expanded
from ..store import stamp
from ..vertex import Vertex
from .mount import Mount
from .outcome import STOPPED, TaskError, internal_error
from .python_package import container_of
from .reasons import last_reason

_logger = logging.getLogger(__name__)
_SECONDS_FOR_WORKERS_TO_END = 30.0
# A replica ended by one of these signals is lost, as one whose machine was taken away; other failures are the code's.
_LOST = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
_MOST_RESTARTS = 5
_CANCELLED = "The custom job was cancelled."
_CODES = {"CANCELLED": code_pb2.CANCELLED, "FAILED": code_pb2.INVALID_ARGUMENT}


class _ReplicaLostError(Exception):
    """A replica has ended through no fault of its code."""


@dataclass(frozen=True)
class _Replica:
    """One container of a job.

    Attributes:
        pool: Number of its worker pool.
        index: Its number within the pool.
        rank: Its number within the job.
        address: Host and port at which the others may reach it.
        container: The `ContainerSpec`.
        limits: What it may use.
    """

    pool: int
    index: int
    rank: int
    address: str
    container: Any
    limits: Limits

    @property
    def name(self) -> str:
        """Its name in logs and errors."""
        return f"workerpool{self.pool}-{self.index}"


def enter(vertex: Vertex, name: str, state: str, error: str = "") -> None:
    """Changes the state of a custom job ("RUNNING"), with the error that led to it."""
    job = vertex.store.get(name)
    job.state = enum("JobState")[f"JOB_STATE_{state}"]
    if state == "RUNNING" and not job.HasField("start_time"):
        stamp(job, "start_time")
    elif state in ("SUCCEEDED", "FAILED", "CANCELLED"):
        stamp(job, "end_time")
    if error:
        job.error.code, job.error.message = _CODES[state], error
    vertex.store.save(job)


def recover(vertex: Vertex) -> None:
    """Ends the jobs that a killed server left unfinished, or starts them again where that was asked for."""
    states = enum("JobState")
    for job in vertex.store.all("CustomJob"):
        scheduling = job.job_spec.scheduling
        restarts = scheduling.restart_job_on_worker_restart and not scheduling.disable_retries
        if restarts and job.state in (states["JOB_STATE_PENDING"], states["JOB_STATE_RUNNING"]):
            start_custom_job(vertex, job.name)
        elif not job.HasField("end_time"):
            _end_interrupted(vertex, job.name)


def _end_interrupted(vertex: Vertex, name: str) -> None:
    if vertex.store.get(name).state == enum("JobState")["JOB_STATE_CANCELLING"]:
        enter(vertex, name, "CANCELLED", _CANCELLED)
    else:
        enter(vertex, name, "FAILED", STOPPED)


def start_custom_job(vertex: Vertex, name: str) -> None:
    """Starts to run a stored CustomJob."""
    vertex.tasks.spawn(run_custom_job(vertex, name), name=name)


async def run_custom_job(vertex: Vertex, name: str) -> None:
    """Runs a stored CustomJob until it has ended, or until its state says that it is to be cancelled."""
    enter(vertex, name, "RUNNING")
    cancelling = enum("JobState")["JOB_STATE_CANCELLING"]
    work = asyncio.ensure_future(_work(vertex, vertex.store.get(name)))
    order = asyncio.ensure_future(vertex.store.wait(name, lambda job: job.state == cancelling, math.inf))
    try:
        await asyncio.wait([work, order], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _cancel([work, order])
        _end_interrupted(vertex, name)
        raise
    await _cancel([work, order])
    if work.cancelled():
        enter(vertex, name, "CANCELLED", _CANCELLED)
    elif error := work.result():
        enter(vertex, name, "FAILED", error)
    else:
        enter(vertex, name, "SUCCEEDED")


async def _work(vertex: Vertex, job: Any) -> str:
    """Runs a job and returns why it failed, or "" if it did not."""
    seconds = float(job.job_spec.scheduling.timeout.seconds) or None
    try:
        async with asyncio.timeout(seconds):
            return await _run_with_restarts(vertex, job)
    except TaskError as error:
        return str(error)
    except TimeoutError:
        return f"The job was ended because it took longer than its timeout of {seconds:g} s."
    except Exception as error:
        _logger.exception("%s", job.name)
        return internal_error(error)


async def _run_with_restarts(vertex: Vertex, job: Any) -> str:
    """Runs all replicas, again from the start as often as one is lost that must not be restarted alone."""
    scheduling = job.job_spec.scheduling
    together = scheduling.restart_job_on_worker_restart and not scheduling.disable_retries

    async def run_all() -> str:
        return await _run_replicas(vertex, job, _replicas(vertex, job))

    try:
        return await _restarting(run_all, together, f"{job.name}, the whole job")
    except _ReplicaLostError as error:
        return str(error)


async def _restarting(run: Callable[[], Awaitable[str]], wanted: bool, what: str) -> str:
    """Runs something again as often as a replica is lost, if that is wanted.

    Raises:
        _ReplicaLostError: If one is lost and it is not to be restarted, or not again.
    """
    for _ in range(_MOST_RESTARTS if wanted else 0):
        try:
            return await run()
        except _ReplicaLostError as error:
            _logger.warning("%s, is restarted: %s", what, error)
    return await run()


async def _run_replicas(vertex: Vertex, job: Any, replicas: list[_Replica]) -> str:
    """Runs all replicas until one fails or the primary one has ended, and ends the others then.

    Raises:
        _ReplicaLostError: If one is lost and not to be restarted alone, or not again.
    """
    running = [asyncio.ensure_future(_run_replica(vertex, job, replica, replicas)) for replica in replicas]
    primary, unfinished = running[0], set(running)
    try:
        while not primary.done():
            done, unfinished = await asyncio.wait(unfinished, return_when=asyncio.FIRST_COMPLETED)
            for replica in done:
                if error := replica.result():
                    return error
        if unfinished:
            await asyncio.wait(unfinished, timeout=_SECONDS_FOR_WORKERS_TO_END)
        return ""
    finally:
        await _cancel(running)


async def _run_replica(vertex: Vertex, job: Any, replica: _Replica, replicas: list[_Replica]) -> str:
    """Runs one replica, which is restarted alone when it is lost unless that is not wanted (see `_run_replicas`)."""
    scheduling = job.job_spec.scheduling
    alone = not scheduling.restart_job_on_worker_restart and not scheduling.disable_retries

    async def run() -> str:
        return await _run_container(vertex, job, replica, replicas)

    return await _restarting(run, alone, f"{job.name}, {replica.name}")


async def _run_container(vertex: Vertex, job: Any, replica: _Replica, replicas: list[_Replica]) -> str:
    """Runs the container of a replica once and returns why it failed, or "".

    Raises:
        _ReplicaLostError: If a signal ended it.
    """
    spec = replica.container
    log = logs_folder(vertex.home) / job.name.rsplit("/", 1)[1] / f"{replica.name}.log"
    try:
        variables = _variables(job, replica, replicas)
        container = Container(spec.image_uri, spec.command, spec.args, variables, log, replica.limits)
        status = await vertex.runtime.run(container)
    except TaskError as error:
        return str(error)
    if status == 0:
        return ""
    reason = f"The replica {replica.name} exited with a non-zero status of {status}. {last_reason(log)}".strip()
    if status in _LOST:
        raise _ReplicaLostError(reason)
    return reason


def _replicas(vertex: Vertex, job: Any) -> list[_Replica]:
    pools, mount = job.job_spec.worker_pool_specs, Mount(vertex)
    places = [(number, index) for number, pool in enumerate(pools) for index in range(pool.replica_count)]
    return [
        _Replica(
            pool,
            index,
            rank,
            address,
            container_of(pools[pool], mount),
            limits_of_machine(pools[pool].machine_spec),
        )
        for rank, ((pool, index), address) in enumerate(zip(places, _free_addresses(len(places)), strict=True))
    ]


def _free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def _variables(job: Any, replica: _Replica, replicas: list[_Replica]) -> Mapping[str, str]:
    _, project, _, location, _, job_id = job.name.split("/")
    host, port = replicas[0].address.split(":")
    variables = {
        "GOOGLE_CLOUD_PROJECT": project,
        "CLOUD_ML_PROJECT_ID": project_number(project),
        "CLOUD_ML_REGION": location,
        "CLOUD_ML_JOB_ID": job_id,
        "CLUSTER_SPEC": json.dumps(_cluster_spec(replica, replicas)),
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "WORLD_SIZE": str(len(replicas)),
        "RANK": str(replica.rank),
        **_output_variables(job.job_spec.base_output_directory.output_uri_prefix),
        **_experiment_variables(job.job_spec),
    }
    return with_expanded(variables, {variable.name: variable.value for variable in replica.container.env})


def _cluster_spec(replica: _Replica, replicas: Iterable[_Replica]) -> dict[str, Any]:
    cluster: dict[str, list[str]] = {}
    for other in replicas:
        cluster.setdefault(f"workerpool{other.pool}", []).append(other.address)
    return {
        "cluster": cluster,
        "environment": "cloud",
        "task": {"type": f"workerpool{replica.pool}", "index": replica.index},
    }


def _output_variables(prefix: str) -> dict[str, str]:
    if not prefix:
        return {}
    folder = prefix.rstrip("/")
    return {
        "AIP_MODEL_DIR": f"{folder}/model/",
        "AIP_CHECKPOINT_DIR": f"{folder}/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{folder}/logs/",
    }


def _experiment_variables(spec: Any) -> dict[str, str]:
    """What the SDK in a replica reads to log to the experiment of the job."""
    if not spec.experiment:
        return {}
    return {
        "AIP_EXPERIMENT_NAME": spec.experiment.rsplit("/", 1)[1],
        "AIP_EXPERIMENT_RUN_NAME": spec.experiment_run,
    }


async def _cancel(futures: Collection["asyncio.Future[Any]"]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
