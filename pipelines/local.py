"""`seatrial local`, and the one place where commands meet the local Vertex AI: this process's clients reach it."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from ..localvertex import injection as injection  # which `faults.py` has from here
from ..localvertex import lifecycle
from ..localvertex.environment import buckets_folder, home, logs_folder
from ..localvertex.files import locked
from ..localvertex.names import DEFAULT_PROJECT, RuntimeName
from .templates import UsageError

_PIPELINE_BUCKET = f"{DEFAULT_PROJECT}-pipelines"
WHERE: dict[str, Any] = {
    "project": DEFAULT_PROJECT,
    "location": "us-central1",
    "pipeline_root": f"gs://{_PIPELINE_BUCKET}",
}
_SETTINGS = {"help_option_names": ["-h", "--help"]}
Runtime = Annotated[
    RuntimeName | None,
    typer.Option(
        help="How tasks run: as processes of this environment, or as containers of their images. By default that of "
        "the running server, else process.",
        show_default=False,
    ),
]
local_app = typer.Typer(help="The local Vertex AI.", context_settings=_SETTINGS, no_args_is_help=True)


@contextmanager
def local_vertex(runtime: RuntimeName | None = None) -> Iterator[lifecycle.Running]:
    """Starts the local Vertex AI or joins the running one, and holds it until the block ends.

    This process's Google clients reach it from here on: enter before any of them is made.

    Args:
        runtime: How tasks are to run; None for that of the running server, else processes.

    Raises:
        UsageError: If it cannot be started.
    """
    with explained(), lifecycle.lease(home(), runtime=runtime) as running:
        os.environ.update(running.environment)
        ensure_bucket(_PIPELINE_BUCKET)
        yield running


def local_file(uri: str) -> Path:
    """Path on this machine of a `gs://` object of the local Vertex AI."""
    return buckets_folder(home()) / uri.removeprefix("gs://")


def ensure_bucket(name: str) -> None:
    """Makes a bucket unless it is there."""
    from google.api_core.exceptions import Conflict
    from google.cloud import storage

    with suppress(Conflict):
        storage.Client().create_bucket(name)


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Waits until no other process with the same state folder is in a block of this name."""
    with locked(home() / f"{name}.lock"):
        yield


def task_logs(job: str, task: str | None) -> list[Path]:
    """The log files of a run's tasks, in the order of the tasks.

    Args:
        job: Job id.
        task: Name of one task, or None for all.
    """
    logs = sorted(logs_folder(home()).joinpath(job).glob("*.log"), key=_task_number)
    return [path for path in logs if task in (None, path.stem, path.stem.rpartition("-")[0])]


def _task_number(path: Path) -> tuple[int, str]:
    """The number at the end of a log file's name; replicas of custom jobs have one within their pool."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0, path.stem


@local_app.command()
def start(runtime: Runtime = None) -> None:
    """Start the local Vertex AI; it runs until `seatrial local stop`."""
    with explained():
        running = lifecycle.start(home(), ephemeral=False, runtime=runtime)
    print(f"listening on 127.0.0.1:{running.port}, state in {running.home}")


@local_app.command()
def stop() -> None:
    """Stop the local Vertex AI; its state stays on disk."""
    with explained():
        print("stopped" if lifecycle.stop(home()) else "it was not running")


@local_app.command()
def status() -> None:
    """Say whether the local Vertex AI runs, and where; exit 1 if it does not."""
    with explained():
        running = lifecycle.status(home())
    if running is None:
        print(f"not running, state in {home()}")
        raise SystemExit(1)
    jobs = f"{running.running_jobs} running jobs"
    where = f"listening on 127.0.0.1:{running.port}, process {running.pid}"
    print(f"{where}, {running.runtime} runtime, {jobs}, state in {running.home}")


@local_app.command()
def env() -> None:
    """Print the variables with which Google's clients reach it: eval "$(seatrial local env)"."""
    with explained():
        running = lifecycle.status(home())
    if running is None:
        raise UsageError("The local Vertex AI does not run. Start it with `seatrial local start`.")
    for key, value in running.environment.items():
        print(f"export {key}={shlex.quote(value)}")


@local_app.command("run", context_settings={"ignore_unknown_options": True, **_SETTINGS})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD …", help="Program and arguments.")],
    runtime: Runtime = None,
) -> None:
    """Run a program whose Google clients reach the local Vertex AI."""
    with local_vertex(runtime):
        try:
            code = _run_to_its_end(command)
        except OSError as error:
            raise UsageError(f"{command[0]!r} cannot be run: {error.strerror}.") from None
    sys.exit(code)


def _run_to_its_end(command: list[str]) -> int:
    """Runs a program. Ctrl-C reaches it as well, and when it ends is its own decision."""
    with subprocess.Popen(command) as process:
        while True:
            with suppress(KeyboardInterrupt):
                return process.wait()


@contextmanager
def explained() -> Iterator[None]:
    """Makes what is wrong with the local Vertex AI an error that the command shows.

    Raises:
        UsageError: If the block raises `LifecycleError`.
    """
    try:
        yield
    except lifecycle.LifecycleError as error:
        raise UsageError(str(error)) from None
