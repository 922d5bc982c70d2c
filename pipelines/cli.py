"""The command `seatrial`."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from .faults import faults_app
from .local import WHERE, Runtime, local_app, local_vertex, task_logs
from .templates import (
    UsageError,
    compiled_folder,
    find_template,
    load_template,
    parse_parameters,
    pipeline_names,
)

_SETTINGS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="seatrial",
    help="Pipelines that take a model from raw data to live traffic, on Vertex AI and on this machine.",
    context_settings=_SETTINGS,
    no_args_is_help=True,
    add_completion=False,
)
local_app.add_typer(faults_app, name="faults")
app.add_typer(local_app, name="local")
_console = Console(stderr=True, highlight=False, soft_wrap=True)

_Name = Annotated[str, typer.Argument(metavar="NAME_OR_YAML", help="A pipeline of seatrial, or any compiled KFP YAML.")]
_Assignments = Annotated[
    list[str] | None, typer.Option("-p", "--parameter", metavar="key=value", help="A parameter; may be repeated.")
]
_File = Annotated[Path | None, typer.Option("--params", metavar="FILE", help="YAML or JSON file with parameters.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
_Cache = Annotated[
    bool | None,
    typer.Option("--cache/--no-cache", help="Override what the pipeline says of caching.", show_default=False),
]


def main() -> None:
    """Runs the command; what a user can correct is one line on stderr and exit code 2."""
    try:
        app()
    except UsageError as error:
        _fail(str(error))


def _fail(text: str, code: int = 2) -> NoReturn:
    _console.print(Text.assemble(("seatrial: ", "bold red"), text))
    raise SystemExit(code)


@app.command()
def run(
    name: _Name,
    assignments: _Assignments = None,
    params: _File = None,
    as_json: _Json = False,
    cache: _Cache = None,
    runtime: Runtime = None,
    logs: Annotated[bool, typer.Option(help="Show what the tasks write to their logs.")] = True,
) -> None:
    """Run a pipeline on the local Vertex AI and show its tasks; exit 0 only if it succeeded."""
    template = find_template(name)
    values = parse_parameters(load_template(template), params, assignments or [])
    from .run import run_pipeline

    with local_vertex(runtime):
        status = run_pipeline(template, values, _console, local=True, show_logs=logs, enable_caching=cache, **WHERE)
    if as_json:
        print(json.dumps(status.as_json()))
    if status.state != "SUCCEEDED":
        raise SystemExit(1)


@app.command()
def submit(
    name: _Name,
    project: Annotated[str, typer.Option(help="Google Cloud project id.")],
    region: Annotated[str, typer.Option(help="Region, such as us-central1.")],
    pipeline_root: Annotated[str, typer.Option(help="gs:// folder for the artifacts.")],
    images: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Registry and repository of the images of seatrial.")
    ] = None,
    assignments: _Assignments = None,
    params: _File = None,
    service_account: Annotated[str | None, typer.Option(help="Account that the tasks run as.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
    as_json: _Json = False,
    cache: _Cache = None,
) -> None:
    """Submit a pipeline to Vertex AI in the cloud."""
    if "SEATRIAL_LOCAL_VERTEX" in os.environ:
        raise UsageError(
            "submit goes to the cloud, but this environment is that of the local Vertex AI. Use `seatrial run`, "
            "or submit from a shell without it."
        )
    if not pipeline_root.startswith("gs://"):
        raise UsageError(f"--pipeline-root {pipeline_root!r} must be a gs:// folder.")
    template = find_template(name)
    values = parse_parameters(load_template(template), params, assignments or [])
    if (images is not None) != (name in pipeline_names()):
        raise UsageError(
            "seatrial's own pipelines, and only they, need --images: the registry and repository that hold the images "
            "`cpu`, `gpu` and `serving`. A YAML file says its images itself."
        )
    from .run import run_pipeline

    with tempfile.TemporaryDirectory() as folder:
        if images:
            from .compile import compile_all

            compile_all(Path(folder), images)
            template = Path(folder) / "pipelines" / f"{name}.yaml"
        status = run_pipeline(
            template,
            values,
            _console,
            local=False,
            wait=wait,
            project=project,
            location=region,
            pipeline_root=pipeline_root,
            service_account=service_account,
            enable_caching=cache,
        )
    if as_json:
        print(json.dumps(status.as_json()))
    if wait and status.state != "SUCCEEDED":
        raise SystemExit(1)


@app.command("compile")
def compile_command(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 and name what is stale.")] = False,
    images: Annotated[str | None, typer.Option(metavar="PREFIX", help="Registry and repository of the images.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Write there instead of compiled/.")] = None,
) -> None:
    """Write compiled/: every pipeline and component as YAML."""
    from ..components.images import DEFAULT_PREFIX
    from .compile import compile_all, stale_files

    folder = output or compiled_folder()
    if not check:
        compile_all(folder, images or DEFAULT_PREFIX)
        _console.print(f"wrote {folder}")
    elif stale := stale_files(folder, images or DEFAULT_PREFIX):
        _fail(f"stale: {', '.join(stale)}. Run `seatrial compile`.", code=1)


@app.command()
def catalog(name: Annotated[str | None, typer.Argument(help="A component or pipeline.")] = None) -> None:
    """List components and pipelines, or show one's inputs, outputs and documentation."""
    from .catalog import describe, overview

    out = Console(markup=False, highlight=False)
    out.print(overview() if name is None else describe(name))


@app.command()
def logs(
    job: Annotated[str, typer.Argument(help="Job id, as `seatrial run` shows it.")],
    task: Annotated[str | None, typer.Argument(help="Only this task.")] = None,
) -> None:
    """Print the logs of a run on the local Vertex AI."""
    found = task_logs(job, task)
    if not found:
        raise UsageError(f"There are no logs of the job {job!r}" + (f" and task {task!r}." if task else "."))
    for path in found:
        print(f"==> {path.stem} <==")
        print(path.read_text(encoding="utf-8", errors="replace"))
