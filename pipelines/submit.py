"""Submitting a compiled pipeline to Vertex AI and following it to its end.

The same code serves `seatrial run` and `seatrial submit`: which Vertex AI the Google clients reach is a matter of this
process's environment, not of this module.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .templates import UsageError, load_template

if TYPE_CHECKING:
    from google.cloud import aiplatform

_POLL_SECONDS = {True: 0.25, False: 5.0}
_OUTPUT = "output:"
_TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "PAUSED"}


@dataclass(frozen=True)
class TaskStatus:
    """One task of a run, as a person wants to see it.

    Attributes:
        state: "RUNNING", "SUCCEEDED", "CACHED", "SKIPPED", "FAILED", …
        seconds: Time since its start, or from start to end.
        headline: The one number that matters, which components put into an output artifact's metadata.
        error: Why it failed; empty if it did not.
        outputs: Output name → URI of the artifact.
        parameters: Output name → value.
    """

    name: str
    state: str
    seconds: float
    headline: str = ""
    error: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunStatus:
    """A run at one moment.

    Attributes:
        state: "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", …
        outputs: What the pipeline itself puts out: name → value, or URI of the artifact.
    """

    job: str
    state: str
    seconds: float
    tasks: list[TaskStatus]
    error: str
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.state in _TERMINAL

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "state": self.state,
            "job": self.job,
            "seconds": round(self.seconds, 1),
            "tasks": {task.name: task.state for task in self.tasks},
            "outputs": {
                **{
                    f"{task.name}.{name}": value
                    for task in self.tasks
                    for name, value in (task.outputs | task.parameters).items()
                },
                **self.outputs,
            },
            "error": self.error,
        }


def submit(
    template: Path,
    parameters: Mapping[str, Any],
    *,
    project: str,
    location: str,
    pipeline_root: str,
    enable_caching: bool | None = None,
    service_account: str | None = None,
) -> "aiplatform.PipelineJob":
    """Submits a compiled pipeline with `aiplatform.PipelineJob`.

    Args:
        template: Compiled pipeline (YAML).
        parameters: Values by parameter name.
        project: Project id.
        location: Region: "us-central1".
        pipeline_root: `gs://` folder for the artifacts.
        enable_caching: Overrides what the pipeline says of caching; None leaves it.
        service_account: The account that the tasks run as; None for the project's default.

    Returns:
        The job, submitted.

    Raises:
        UsageError: If Vertex AI, or the client on its behalf, refuses the job.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform

    # The SDK's own lines name pages of the cloud's console; the caller says what happens.
    logging.getLogger("google.cloud.aiplatform.pipeline_jobs").setLevel(logging.WARNING)
    name = load_template(template)["pipelineInfo"]["name"]
    try:
        job = aiplatform.PipelineJob(
            display_name=name,
            template_path=str(template),
            job_id=new_job_id(name),
            pipeline_root=pipeline_root,
            parameter_values=dict(parameters),
            enable_caching=enable_caching,
            project=project,
            location=location,
        )
        job.submit(service_account=service_account)
    except (GoogleAPIError, GoogleAuthError, ValueError) as error:
        raise UsageError(f"The pipeline cannot be submitted to project {project!r} in {location!r}: {error}") from error
    return job


def new_job_id(name: str) -> str:
    """An id that two submissions in one second do not share: PipelineJob's own ids have one-second resolution."""
    return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"


def follow(job: "aiplatform.PipelineJob", show: Callable[[RunStatus], None], *, local: bool) -> RunStatus:
    """Polls a job until it ends.

    Args:
        job: The submitted job.
        show: Called with every state that was seen.
        local: Whether polling is free; in the cloud it is done every few seconds.

    Returns:
        The final status.
    """
    while True:
        status = read_status(job)
        show(status)
        if status.finished:
            return status
        time.sleep(_POLL_SECONDS[local])


def read_status(job: "aiplatform.PipelineJob") -> RunStatus:
    """Asks Vertex AI how a job stands."""
    state = job.state  # this property fetches the job
    resource = job.gca_resource
    details = list(resource.job_detail.task_details)
    groups = {detail.parent_task_id for detail in details}
    tasks = [detail for detail in details if detail.task_id not in groups and detail.parent_task_id]
    pipeline = [detail for detail in details if not detail.parent_task_id]
    return RunStatus(
        job=resource.name.rsplit("/", 1)[-1],
        state=state.name.removeprefix("PIPELINE_STATE_") if state else "PENDING",
        seconds=_seconds(resource),
        tasks=[_task_status(detail, name) for detail, name in zip(tasks, _unique_names(tasks), strict=True)],
        error=resource.error.message,
        outputs={name: value for detail in pipeline for name, value in _outputs(detail).items()},
    )


def _outputs(detail: Any) -> dict[str, Any]:
    return _parameters(detail) | {name: artifact.uri for name, artifact in _artifacts(detail)}


def _artifacts(detail: Any) -> list[tuple[str, Any]]:
    return [(output, artifact) for output, entry in dict(detail.outputs).items() for artifact in entry.artifacts]


def _parameters(detail: Any) -> dict[str, Any]:
    """The output parameters, which Vertex AI keeps in the metadata of the task's execution."""
    fields = type(detail).pb(detail).execution.metadata.fields
    return {
        name.removeprefix(_OUTPUT): _plain(value) for name, value in sorted(fields.items()) if name.startswith(_OUTPUT)
    }


def _plain(value: Any) -> Any:
    from google.protobuf import json_format

    try:
        return json_format.MessageToDict(value)
    except json_format.SerializeToJsonError:  # JSON has no way to say NaN or infinity
        return str(value)


def _task_status(detail: Any, name: str) -> TaskStatus:
    artifacts = _artifacts(detail)
    headlines = [
        str(artifact.metadata["headline"]) for _, artifact in artifacts if "headline" in (artifact.metadata or {})
    ]
    state = {"SKIPPED": "CACHED", "NOT_TRIGGERED": "SKIPPED"}.get(detail.state.name, detail.state.name)
    return TaskStatus(
        name=name,
        state=state,
        seconds=_seconds(detail),
        headline=headlines[0] if headlines else "",
        error=detail.error.message,
        outputs={output: artifact.uri for output, artifact in artifacts},
        parameters=_parameters(detail),
    )


def _unique_names(details: list[Any]) -> list[str]:
    """Task names; those that occur more than once (in loops) carry the task's id."""
    names = [detail.task_name for detail in details]
    return [
        detail.task_name if names.count(detail.task_name) == 1 else f"{detail.task_name}-{detail.task_id}"
        for detail in details
    ]


def _seconds(resource: Any) -> float:
    if not resource.start_time:
        return 0.0
    end = resource.end_time or datetime.now(UTC)
    return (end - resource.start_time).total_seconds()
