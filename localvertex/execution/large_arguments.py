"""Arguments of more than 128 KiB, which Linux starts no program with (E2BIG), for KFP's Python components.

Their command ends in `python3 -m kfp.dsl.executor_main --executor_input JSON`, after any number of shells. The shells
get the path of a file instead of the text; only Python reads it: `python3` is this module there, which puts it back.
"""

import itertools
import os
import runpy
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..processes import Command
from .outcome import TaskError

_LARGEST_ARGUMENT_BYTES = 131_071
_EXECUTORS = ("kfp.dsl.executor_main", "kfp.components.executor_main")
_MARKER = "@seatrial-argument:"


def shorten(command: Command) -> Command:
    """Moves large arguments of a command to files in its folder.

    Raises:
        TaskError: If an argument is large and the command is none of a Python component.
    """
    sizes = [len(argument.encode()) for argument in command.arguments]
    if max(sizes) <= _LARGEST_ARGUMENT_BYTES:
        return command
    if not is_python_component(command.arguments):
        raise TaskError(
            f"An argument of the command has {max(sizes):,} bytes; Linux allows {_LARGEST_ARGUMENT_BYTES:,}. "
            "Write the value to an artifact and pass that."
        )
    arguments = [
        _to_file(argument, command.folder / f"argument-{number}") if size > _LARGEST_ARGUMENT_BYTES else argument
        for number, (argument, size) in enumerate(zip(command.arguments, sizes, strict=True))
    ]
    programs = command.folder / "bin"
    programs.mkdir()
    python = shutil.which("python3", path=command.environment["PATH"]) or sys.executable
    for name in ("python3", "python"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -m {__spec__.name} "$@"\n')
        program.chmod(0o700)
    path = f"{programs}{os.pathsep}{command.environment['PATH']}"
    return replace(command, arguments=arguments, environment={**command.environment, "PATH": path})


def is_python_component(arguments: Sequence[str]) -> bool:
    """Whether a command runs a Python component of KFP."""
    return any(executor in argument for argument in arguments for executor in _EXECUTORS)


def _to_file(argument: str, path: Path) -> str:
    path.write_text(argument)
    return f"{_MARKER}{path}"


def main() -> None:
    """Is `python3` for the command: runs a component's executor with its arguments put back, anything else as it is."""
    match sys.argv[1:]:
        case ["-m", module, *arguments] if module in _EXECUTORS:
            sys.argv = [module, *map(_from_file, arguments)]
        case arguments:
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 (there is no shell, that is the point)
    for name, value in itertools.pairwise(arguments):
        if name == "--component_module_path":  # the shell has written the argument with the code to this file
            Path(value).write_text(_from_file(Path(value).read_text()))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _from_file(argument: str) -> str:
    return Path(argument.removeprefix(_MARKER)).read_text() if argument.startswith(_MARKER) else argument


if __name__ == "__main__":
    main()
