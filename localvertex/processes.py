"""Processes of tasks and served models: a command with its log, ended with its children when cancelled or overdue."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .execution.outcome import TaskError
from .proc import mark, marked, parents, private_folders
from .renames import RENAMES
from .vertex import Vertex

_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        arguments: The program and its arguments.
        environment: All its variables.
        folder: Its working directory, which no other process has: what it starts is found by it.
        log: The file that its output is appended to.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path


def child_environment(vertex: Vertex, folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a task: the server's own, this Python first in the path, the way to this server, `variables`.

    Args:
        vertex: The emulator.
        folder: The task's private folder; temporary files go there.
        variables: What the task itself sets.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {
        **os.environ,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder),
        **vertex.environment,
        **variables,
    }


@contextlib.asynccontextmanager
async def private_folder(vertex: Vertex) -> AsyncIterator[Path]:
    """A new folder for one process, removed at the end of the block."""
    parent = private_folders(vertex.home)
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=""))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def run(command: Command, *, started: Callable[[int], None] | None = None) -> int:
    """Runs a command to its end; when this is cancelled, its processes are ended first.

    Args:
        command: What to run.
        started: Called with the number of its process, which leads a group of that number.

    Returns:
        The exit status; 128 and the signal's number after a signal, as a shell reports it.

    Raises:
        TaskError: If it cannot be started.
    """
    process = await _start(command)
    if started is not None:
        started(process.pid)
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        await _terminate(process, command.folder)
        raise
    _kill_rest(process.pid, marked(command.folder))  # a container ends with its first process, too
    return status if status >= 0 else 128 - status


async def _start(command: Command) -> asyncio.subprocess.Process:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        try:
            return await RENAMES.start(
                *command.arguments,
                env={**command.environment, **mark(command.folder)},
                cwd=command.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TaskError(
                f"The command {command.arguments[0]!r} was not found. It is run in the current environment, not in its "
                "image: install it here."
            ) from None
        except (OSError, ValueError) as error:  # ValueError: a null character
            raise TaskError(f"The command {command.arguments[0]!r} cannot be started: {error}") from None


async def _terminate(process: asyncio.subprocess.Process, folder: Path) -> None:
    """Ends a process and its descendants: politely, then by force."""
    descendants = _descendants(process.pid)  # also those that have overwritten their environment, as setproctitle does
    signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    _kill_rest(process.pid, {*descendants, *marked(folder)})
    await process.wait()


def _kill_rest(group: int, processes: Iterable[int]) -> None:
    """Ends what is left of a process: its group, and processes in sessions of their own."""
    signal_group(group, signal.SIGKILL)
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Sends a signal to a process and those it has started; they may have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _descendants(ancestor: int) -> list[int]:
    """The processes below a process, also those in sessions of their own; on systems without /proc none."""
    parent_of = parents()
    found = [ancestor]
    for process in found:
        found += [child for child, parent in parent_of.items() if parent == process]
    return found[1:]
