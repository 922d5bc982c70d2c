"""Arguments of more than 128 KiB, which Linux starts no program with (E2BIG), for KFP's Python components.

Their command ends in `python3 -m kfp.dsl.executor_main --executor_input JSON`, after any number of shells. The shells
get the path of a file instead of the text; only Python reads it: `python3` is a script there, which starts the executor
by way of `restored_arguments.py`. All that is needed is in one folder, which may be shown to a container.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import restored_arguments
from .outcome import TaskError

_LARGEST_ARGUMENT_BYTES = 131_071
# "$0" is the first word that follows the script.
_START = 'export PATH="$0:$PATH"; exec "$@"'
_PYTHON = """#!/bin/sh
folder=${0%/*}
export PATH="${PATH#"$folder:"}"
case "$1 $2" in
    "-m kfp.dsl.executor_main" | "-m kfp.components.executor_main") set -- "$folder/restored_arguments.py" "$@" ;;
esac
exec "${0##*/}" "$@"
"""


def shorten(arguments: Sequence[str], folder: Path, shown_at: str) -> list[str]:
    """Moves large arguments of a command to files.

    Args:
        arguments: A program and its arguments; none are left as they are.
        folder: Where to write the files.
        shown_at: The path at which the command finds this folder.

    Raises:
        TaskError: If an argument is large and the command is none of a Python component.
    """
    sizes = [len(argument.encode()) for argument in arguments]
    if max(sizes, default=0) <= _LARGEST_ARGUMENT_BYTES:
        return list(arguments)
    if not is_python_component(arguments):
        raise TaskError(
            f"An argument of the command has {max(sizes):,} bytes; Linux allows {_LARGEST_ARGUMENT_BYTES:,}. "
            "Write the value to an artifact and pass that."
        )
    shortened = []
    for number, (argument, size) in enumerate(zip(arguments, sizes, strict=True)):
        if size > _LARGEST_ARGUMENT_BYTES:
            (folder / f"argument-{number}").write_text(argument)
            argument = f"{restored_arguments.MARKER}{shown_at}/argument-{number}"
        shortened.append(argument)
    programs = folder / "bin"
    programs.mkdir()
    shutil.copy(restored_arguments.__file__, programs)
    for name in ("python3", "python"):
        (programs / name).write_text(_PYTHON)
        (programs / name).chmod(0o700)
    return ["sh", "-c", _START, f"{shown_at}/bin", *shortened]


def is_python_component(arguments: Sequence[str]) -> bool:
    """Whether a command runs a Python component of KFP."""
    return any(executor in argument for argument in arguments for executor in restored_arguments.EXECUTORS)
