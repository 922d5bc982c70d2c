"""`seatrial run` and `seatrial submit`: submit, show the tasks, say how it ended."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from .console import RunView
from .local import task_logs
from .log_stream import LogStream
from .submit import RunStatus, follow, read_status, submit

if TYPE_CHECKING:
    from google.cloud import aiplatform


def run_pipeline(
    template: Path,
    parameters: Mapping[str, Any],
    console: Console,
    *,
    local: bool,
    wait: bool = True,
    show_logs: bool = False,
    **where: Any,
) -> RunStatus:
    """Submits a pipeline and follows it.

    Args:
        template: Compiled pipeline.
        parameters: Values by parameter name.
        console: Where to show the run.
        local: Whether this process's environment points to the local Vertex AI. An interrupt cancels a local run; one
            in the cloud goes on without its spectator.
        wait: Whether to follow the run to its end.
        show_logs: Whether to show what the tasks of a local run write.
        where: Passed to `submit`: project, location, pipeline_root, …
    """
    with console.status("submitting"):
        job = submit(template, parameters, **where)
    console.print(f"submitted {job.resource_name}")
    if not wait:
        return read_status(job)
    logs = LogStream(partial(task_logs, job.name, None)) if show_logs else None
    try:
        with RunView(console, logs) as view:
            status = follow(job, view.show, local=local)
    except KeyboardInterrupt:
        if local:
            _cancel(job, console)
        raise
    _print_errors(status, console)
    return status


def _cancel(job: "aiplatform.PipelineJob", console: Console) -> None:
    console.print("cancelling the run", style="red")
    job.cancel()
    follow(job, lambda status: None, local=True)


def _print_errors(status: RunStatus, console: Console) -> None:
    for task in status.tasks:
        if task.error and task.state == "FAILED":
            console.print(Text.assemble((task.name, "bold red"), " ", task.error))
    if status.state != "SUCCEEDED":
        console.print(Text(f"{status.job} {status.state.lower()}. {status.error}", style="red"))
