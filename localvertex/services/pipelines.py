"""Pipeline jobs: they are checked, stored, and handed to the pipeline engine."""

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import METHODS, VERTEX, ApiError, enum, invalid, message, to_dict
from ..dispatcher import handles
from ..environment import logs_folder
from ..execution import conditions
from ..execution.ir import Parameter, Pipeline, read_pipeline
from ..execution.lineage import metadata_store
from ..execution.pipeline import TERMINAL_STATES
from ..execution.values import from_protobuf, from_struct, matches, shown
from ..filters import parse_filter
from ..names import project_number
from ..storage.errors import StorageError
from ..verbs import page
from ..vertex import Vertex
from . import metadata

_SERVICE = f"/{VERTEX}.PipelineService"
_JOB_ID = re.compile(r"[a-z][-a-z0-9]{0,127}")
_LONGEST_DISPLAY_NAME = 128


@handles("PipelineService.CreatePipelineJob")
async def create_pipeline_job(vertex: Vertex, request: Any) -> Any:
    """Checks a job and starts it."""
    job = message("PipelineJob")()
    job.CopyFrom(request.pipeline_job)
    if job.template_uri and not job.pipeline_spec.fields:
        raise ApiError("UNIMPLEMENTED", "template_uri is not emulated by the local Vertex AI: send the pipeline_spec.")
    if len(job.display_name) > _LONGEST_DISPLAY_NAME:
        raise invalid(f"display_name of PipelineJob must have at most {_LONGEST_DISPLAY_NAME} characters.")
    pipeline = read_pipeline(from_struct(job.pipeline_spec))
    for condition in pipeline.conditions():
        conditions.check(condition)
    job.name = f"{request.parent}/pipelineJobs/{_job_id(request.pipeline_job_id, pipeline)}"
    _check_output_directory(vertex, job.runtime_config.gcs_output_directory)
    _check_parameters(pipeline, job.runtime_config)
    _check_input_artifacts(vertex, pipeline, job)
    job.service_account = job.service_account or _default_service_account(request.parent)
    job.state = enum("PipelineState")["PIPELINE_STATE_PENDING"]
    vertex.store.create(job)
    vertex.pipelines.submit(job.name)
    return vertex.store.get(job.name)


@handles("PipelineService.GetPipelineJob")
async def get_pipeline_job(vertex: Vertex, request: Any) -> Any:
    """The job as it stands, with the experiment that its run may have been added to since it started."""
    job = vertex.store.get(request.name)
    for context in (job.job_detail.pipeline_run_context, job.job_detail.pipeline_context):
        if current := vertex.store.find(context.name):
            context.CopyFrom(metadata.shown(vertex, [current])[0])
    return job


@handles("PipelineService.ListPipelineJobs")
async def list_pipeline_jobs(vertex: Vertex, request: Any) -> Any:
    """Jobs without their task details, as Vertex AI lists them."""
    found = vertex.store.list(request.parent, "PipelineJob")
    for job in found:
        job.job_detail.ClearField("task_details")
    if request.filter:
        is_wanted = parse_filter(request.filter)
        found = [job for job in found if is_wanted(_filterable(job))]
    request.ClearField("filter")
    return page(
        METHODS[f"{_SERVICE}/ListPipelineJobs"], request, [_masked(job, request.read_mask.paths) for job in found]
    )


@handles("PipelineService.CancelPipelineJob")
async def cancel_pipeline_job(vertex: Vertex, request: Any) -> Any:
    """Starts to cancel a job."""
    vertex.store.get(request.name)
    await vertex.pipelines.cancel(request.name)
    return empty_pb2.Empty()


@handles("PipelineService.DeletePipelineJob")
async def delete_pipeline_job(vertex: Vertex, request: Any) -> Any:
    """Deletes a job that has ended, with its logs."""
    job = vertex.store.get(request.name)
    if job.state not in [enum("PipelineState")[state] for state in TERMINAL_STATES]:
        raise ApiError("FAILED_PRECONDITION", f"{job.name!r} cannot be deleted: it has not ended. Cancel it first.")
    vertex.store.delete(job.name)
    shutil.rmtree(logs_folder(vertex.home) / job.name.rsplit("/", 1)[1], ignore_errors=True)
    return operations.finished(vertex.store, job.name, "DeleteOperationMetadata", empty_pb2.Empty())


def _default_service_account(parent: str) -> str:
    """The account of Compute Engine, as which a job runs that names no other."""
    return f"{project_number(parent.split('/')[1])}-compute@developer.gserviceaccount.com"


def _job_id(wanted: str, pipeline: Pipeline) -> str:
    if not wanted:
        name = re.sub(r"[^-a-z0-9]+", "-", pipeline.name.lower()).strip("-")
        return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    if not _JOB_ID.fullmatch(wanted):
        raise invalid(f"pipeline_job_id {wanted!r} is not valid: it must match {_JOB_ID.pattern}.")
    return wanted


def _check_output_directory(vertex: Vertex, uri: str) -> None:
    try:
        vertex.storage.path(uri)
    except StorageError as error:
        raise invalid(f"gcs_output_directory of runtime_config: {error}") from None
    bucket = "/".join(uri.split("/")[:3])
    if not vertex.storage.path(bucket).is_dir():
        raise ApiError(
            "NOT_FOUND", f"The bucket {bucket} of gcs_output_directory {uri!r} does not exist. Create it first."
        )


def _check_parameters(pipeline: Pipeline, config: Any) -> None:
    if config.parameters:
        raise invalid("parameters of runtime_config belong to pipelines of schema 2.0.0; use parameter_values.")
    given = {name: from_protobuf(value) for name, value in config.parameter_values.items()}
    _check_names("parameter", given, pipeline.root.parameters)
    for name, declared in pipeline.root.parameters.items():
        if name in given:
            _check_value(name, given[name], declared)
        elif not declared.has_default and not declared.optional:
            raise invalid(f"The pipeline parameter {name!r} ({declared.type}) is missing and has no default.")


def _check_value(name: str, value: Any, declared: Parameter) -> None:
    if value is None and (declared.optional or declared.has_default):
        return
    if not matches(value, declared.type):
        raise invalid(f"The pipeline parameter {name!r} is {shown(value)}; expected a value of type {declared.type}.")
    if declared.literals and value not in declared.literals:
        raise invalid(f"The pipeline parameter {name!r} is {shown(value)}; expected one of {list(declared.literals)}.")


def _check_input_artifacts(vertex: Vertex, pipeline: Pipeline, job: Any) -> None:
    given = job.runtime_config.input_artifacts
    _check_names("input artifact", given, pipeline.root.artifacts)
    for name, slot in pipeline.root.artifacts.items():
        if name in given:
            vertex.store.get(f"{metadata_store(job.name)}/artifacts/{given[name].artifact_id}")
        elif not slot.optional:
            raise invalid(f"The input artifact {name!r} ({slot.schema_title}) of the pipeline is missing.")


def _check_names(kind: str, given: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    for name in given:
        if name not in declared:
            known = ", ".join(map(repr, declared)) or "none"
            raise invalid(f"The pipeline has no {kind} {name!r}; it has {known}.")


def _filterable(job: Any) -> dict[str, Any]:
    """What a filter sees of a job: its JSON form without the spec, which takes long, but with the pipeline's name."""
    copy = message("PipelineJob")()
    copy.CopyFrom(job)
    copy.ClearField("pipeline_spec")
    return {**to_dict(copy), "pipelineName": job.pipeline_spec["pipelineInfo"]["name"]}


def _masked(job: Any, paths: list[str]) -> Any:
    """The job with only those fields that a read mask names; parts of a field are given with all of it."""
    kept = {"name", *(path.partition(".")[0] for path in paths)}
    for field in job.DESCRIPTOR.fields if paths else ():
        if field.name not in kept:
            job.ClearField(field.name)
    return job
