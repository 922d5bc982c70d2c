"""Whole pipelines through Google's own client."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from seatrial.localvertex import lifecycle

_TERMINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Run:
    """A pipeline job that was submitted."""

    job: Any

    @property
    def state(self) -> str:
        """State of the job: "SUCCEEDED"."""
        return str(self.job.state.name).removeprefix("PIPELINE_STATE_")

    def wait(self) -> "Run":
        """Waits until the job has ended."""
        while self.state not in _TERMINAL:
            time.sleep(0.05)
        return self

    @property
    def error(self) -> str:
        """The job's error message."""
        return str(self.job.gca_resource.error.message)

    @property
    def details(self) -> dict[str, Any]:
        """Task details by the unique name below the pipeline's: "for-loop-1.for-loop-1-iteration-0.add"."""
        details = self.job.gca_resource.job_detail.task_details
        return {detail.task_unique_name.partition(".")[2]: detail for detail in details}

    @property
    def states(self) -> dict[str, str]:
        """States of all tasks."""
        return {name: detail.state.name for name, detail in self.details.items() if name}

    def output(self, task: str, name: str = "Output") -> Any:
        """Value of a task's output parameter."""
        return _plain(self.details[task].execution.metadata[f"output:{name}"])

    def artifacts(self, task: str, name: str) -> list[Any]:
        """A task's output artifacts."""
        return list(self.details[task].outputs[name].artifacts)

    def log(self, task: str) -> str:
        """A task's log."""
        return Path(self.details[task].execution.metadata["log_uri"].removeprefix("file://")).read_text()


def _plain(value: Any) -> Any:
    """Lists and dicts instead of the SDK's wrappers of them."""
    if isinstance(value, str | float | bool) or value is None:
        return value
    if hasattr(value, "items"):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value]


@pytest.fixture
def submit(vertex: lifecycle.Running, bucket: str, tmp_path: Path) -> Callable[..., Run]:
    """Compiles a pipeline, lets `edit` change the spec, and submits it; options are those of the SDK's class."""
    from google.cloud import aiplatform

    def submit(
        pipeline: Any,
        parameters: dict[str, Any] | None = None,
        edit: Callable[[Any], object] | None = None,
        experiment: Any = None,
        service_account: str | None = None,
        **options: Any,
    ) -> Run:
        path = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        if edit:
            spec = yaml.safe_load(path.read_text())
            edit(spec)
            path.write_text(yaml.safe_dump(spec))
        place = {"project": "local-project", "location": "us-central1", "pipeline_root": f"gs://{bucket}/root"}
        job = aiplatform.PipelineJob(
            display_name="test",
            template_path=str(path),
            job_id=f"test-{time.time_ns()}",
            parameter_values=parameters,
            **{**place, **options},
        )
        job.submit(experiment=experiment, service_account=service_account)
        return Run(job)

    return submit


@pytest.fixture
def run(submit: Callable[..., Run]) -> Callable[..., Run]:
    """Submits a pipeline and waits for its end."""
    return lambda pipeline, parameters=None, **options: submit(pipeline, parameters, **options).wait()
