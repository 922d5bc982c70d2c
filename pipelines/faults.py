"""`seatrial local faults`: what goes wrong in the local Vertex AI, on demand."""

import enum
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from .local import explained, injection
from .templates import UsageError

faults_app = typer.Typer(
    help="What goes wrong in the running local Vertex AI, on demand; a restarted one has no faults.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)


@faults_app.command()
def add(
    method: Annotated[str, typer.Argument(help="EndpointService.UpdateEndpoint, storage.objects.insert, …")],
    fail: Annotated[
        str | None, typer.Option(metavar="CODE", help="Answer with this gRPC code; UNAVAILABLE if nothing is said.")
    ] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Answer later.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Break the connection instead of answering.")] = False,
    when: Annotated[str, typer.Option(metavar="before|after", help="Before the effect, or after it.")] = "before",
    nth: Annotated[int | None, typer.Option(help="First call that is hit; the next one from now is 1.")] = None,
    times: Annotated[int, typer.Option(help="How many calls in a row; 0 for all that follow.")] = 1,
    fraction: Annotated[float | None, typer.Option(help="Share of all calls instead, such as 0.1.")] = None,
    seed: Annotated[int, typer.Option(help="Decides which calls the fraction is.")] = 0,
) -> None:
    """Fail, delay or drop calls of a method; prints the id of the fault."""
    if (fail is not None) + (delay is not None) + drop > 1:
        raise UsageError("--fail, --delay and --drop exclude each other: add one fault for each.")
    action = "drop" if drop else "fail" if delay is None else "delay"
    try:
        fault = injection.Fault(method, action, when, fail or "UNAVAILABLE", delay or 0.0, nth, times, fraction, seed)
    except ValueError as error:
        raise UsageError(f"This is no fault: {error}") from None
    with explained():
        print(injection.add(fault)["id"])


@faults_app.command("list")
def list_faults(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False) -> None:
    """List the faults in force, with how many calls each has seen and hit."""
    with explained():
        faults, forbidden = injection.listed(), injection.directory_renames_forbidden()
    if as_json:
        print(json.dumps(faults))
        return
    folded = Column("method", overflow="fold")  # a name that is cut off helps nobody
    table = Table("id", folded, "what", "calls", "seen", "hit", box=None)
    for fault in faults:
        table.add_row(fault["id"], fault["method"], _what(fault), _calls(fault), str(fault["seen"]), str(fault["hit"]))
    Console(highlight=False).print(table if faults else "no faults")
    if forbidden:
        print("renames of directories are forbidden")


@faults_app.command()
def clear(fault_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only this one.")] = None) -> None:
    """End a fault, or all of them."""
    with explained():
        ended = injection.clear() if fault_id is None else [injection.remove(fault_id)]
    for fault in ended:
        print(f"{fault['id']}: {fault['method']}, {fault['seen']} calls seen, {fault['hit']} hit")


@faults_app.command("kill-model")
def kill_model(
    endpoint: Annotated[str, typer.Argument(help="Resource name or id of the endpoint.")],
    deployed_model: Annotated[str, typer.Argument(help="Id of the deployed model, if it has several.")] = "",
) -> None:
    """Kill the process of a deployed model; it is started again."""
    with explained():
        print(f"killed {injection.kill_model(endpoint, deployed_model)}")


class _Renames(enum.StrEnum):
    FORBID = "forbid"
    ALLOW = "allow"


@faults_app.command("directory-renames")
def directory_renames(what: _Renames) -> None:
    """Have renames of directories in buckets fail in the tasks that start from now on, as Cloud Storage FUSE does."""
    with explained():
        injection.set_directory_renames(forbidden=what is _Renames.FORBID)


def _what(fault: dict[str, Any]) -> str:
    details = {"fail": f" {fault['code']}", "delay": f" {fault['seconds']:g} s", "drop": ""}
    return f"{fault['action']}{details[fault['action']]} {fault['when']}"


def _calls(fault: dict[str, Any]) -> str:
    if fault["fraction"] is not None:
        return f"{fault['fraction']:g} of all, seed {fault['seed']}"
    first = fault["nth"] or 1
    if fault["times"] == 1:
        return str(first)
    return f"{first}-{first + fault['times'] - 1}" if fault["times"] else f"from {first}"
