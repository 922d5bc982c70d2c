"""Custom jobs: they are checked, stored and run."""

from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import ApiError, enum, invalid, message
from ..dispatcher import handles
from ..execution.custom_job import enter, start_custom_job
from ..names import new_id
from ..storage.errors import StorageError
from ..verbs import check_display_name, standard_methods
from ..vertex import Vertex
from . import metadata

# Google's launchers sleep twenty seconds between two calls: one that waits a little spares short jobs that.
_PATIENCE_SECONDS = 4.0

standard_methods("JobService", "CustomJob", "List")


@handles("JobService.CreateCustomJob")
async def create_custom_job(vertex: Vertex, request: Any) -> Any:
    """Checks a job and starts it."""
    job = message("CustomJob")()
    job.CopyFrom(request.custom_job)
    check_display_name(job)
    _check_worker_pools(job.job_spec)
    _check_scheduling(job.job_spec.scheduling)
    _check_output_directory(vertex, job.job_spec.base_output_directory.output_uri_prefix)
    job.name = f"{request.parent}/customJobs/{new_id()}"
    job.state = enum("JobState")["JOB_STATE_PENDING"]
    with vertex.store.transaction():
        if job.job_spec.experiment and not job.job_spec.experiment_run:
            job.job_spec.experiment_run = _new_experiment_run(vertex, job)
        vertex.store.create(job)
    start_custom_job(vertex, job.name)
    return job


@handles("JobService.GetCustomJob")
async def get_custom_job(vertex: Vertex, request: Any) -> Any:
    """The job; while it has not ended, the answer waits a little for its end."""
    return await vertex.store.wait(request.name, _has_ended, _PATIENCE_SECONDS)


@handles("JobService.CancelCustomJob")
async def cancel_custom_job(vertex: Vertex, request: Any) -> Any:
    """Starts to cancel a job."""
    job = vertex.store.get(request.name)
    if _has_ended(job):
        raise ApiError("FAILED_PRECONDITION", f"{job.name!r} cannot be cancelled: it has ended.")
    enter(vertex, job.name, "CANCELLING")
    return empty_pb2.Empty()


@handles("JobService.DeleteCustomJob")
async def delete_custom_job(vertex: Vertex, request: Any) -> Any:
    """Deletes a job that has ended."""
    job = vertex.store.get(request.name)
    if not _has_ended(job):
        raise ApiError("FAILED_PRECONDITION", f"{job.name!r} cannot be deleted: it has not ended. Cancel it first.")
    vertex.store.delete(job.name)
    return operations.finished(vertex.store, job.name, "DeleteOperationMetadata", empty_pb2.Empty())


def _new_experiment_run(vertex: Vertex, job: Any) -> str:
    """Makes a run of the job's experiment for the job, named after it."""
    run_name = job.name.rsplit("/", 1)[1]
    run = message("Context")(
        name=f"{job.job_spec.experiment}-{run_name}",
        display_name=run_name,
        schema_title="system.ExperimentRun",
        schema_version="0.0.1",
    )
    run.metadata["_state"] = "RUNNING"
    metadata.create_child_context(vertex, job.job_spec.experiment, run)
    return run.name


def _has_ended(job: Any) -> bool:
    states = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
    return job.state in [enum("JobState")[state] for state in states]


def _check_worker_pools(spec: Any) -> None:
    if not spec.worker_pool_specs:
        raise invalid("job_spec.worker_pool_specs of CustomJob is required.")
    for number, pool in enumerate(spec.worker_pool_specs):
        path = f"job_spec.worker_pool_specs[{number}]"
        if pool.replica_count:
            _check_task(pool, path)
        if pool.replica_count and not (pool.machine_spec.machine_type or spec.persistent_resource_id):
            raise invalid(f"{path}.machine_spec.machine_type is required.")
    count = spec.worker_pool_specs[0].replica_count
    if count != 1:
        raise invalid(f"job_spec.worker_pool_specs[0].replica_count must be 1, for the primary replica, not {count}.")


def _check_task(pool: Any, path: str) -> None:
    """What a worker pool is to run: a container or a Python package."""
    if not pool.HasField("python_package_spec"):
        if not pool.container_spec.image_uri:
            raise invalid(f"{path}.container_spec.image_uri is required.")
        return
    for field in ("executor_image_uri", "package_uris", "python_module"):
        if not getattr(pool.python_package_spec, field):
            raise invalid(f"{path}.python_package_spec.{field} is required.")


def _check_scheduling(scheduling: Any) -> None:
    flex_start = enum("Scheduling.Strategy")["FLEX_START"]
    if scheduling.HasField("max_wait_duration") and scheduling.strategy != flex_start:
        raise invalid("job_spec.scheduling.max_wait_duration needs the strategy FLEX_START.")
    for field in ("timeout", "max_wait_duration"):
        if getattr(scheduling, field).seconds < 0:
            raise invalid(f"job_spec.scheduling.{field} must not be negative.")


def _check_output_directory(vertex: Vertex, uri: str) -> None:
    try:
        if uri:
            vertex.storage.path(uri)
    except StorageError as error:
        raise invalid(f"job_spec.base_output_directory.output_uri_prefix: {error}") from None
