"""Arguments that are too large for Linux, passed to KFP's Python components by file."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from kfp import dsl

from seatrial.localvertex.execution.large_arguments import shorten
from seatrial.localvertex.execution.outcome import TaskError
from seatrial.localvertex.processes import Command, run

_LARGE = "ä'\"\n$(x) " * 200_000


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def measure(text: str) -> int:
    import subprocess

    assert subprocess.check_output(["python3", "-c", "print(1)"]) == b"1\n"
    return len(text)


def _run(tmp_path: Path, arguments: list[str]) -> int:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return asyncio.run(run(Command(arguments, {**os.environ, "PATH": path}, tmp_path, tmp_path / "task.log")))


def _component(tmp_path: Path, text: str, padding: str) -> list[str]:
    container = measure.component_spec.implementation.container
    outputs = {"parameters": {}, "artifacts": {}, "outputFile": str(tmp_path / "output.json")}
    executor_input = {"inputs": {"parameterValues": {"text": text}, "artifacts": {}}, "outputs": outputs}
    *shell, code = container.command
    return [*shell, code + padding, "--executor_input", json.dumps(executor_input), "--function_to_execute", "measure"]


def test_a_command_without_large_arguments_stays_as_it_is(tmp_path: Path) -> None:
    command = ["echo", "x" * 131_071]
    assert shorten(command, tmp_path, "/elsewhere") == command
    assert shorten([], tmp_path, "/elsewhere") == []
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("padding", ["", f"\n# {'x' * 200_000}"], ids=["small code", "large code"])
def test_a_python_component_gets_its_large_input(tmp_path: Path, padding: str) -> None:
    (tmp_path / "folder").mkdir()
    shown_at = tmp_path / "a link"
    shown_at.symlink_to("folder")
    status = _run(tmp_path, shorten(_component(tmp_path, _LARGE, padding), tmp_path / "folder", str(shown_at)))
    assert status == 0, (tmp_path / "task.log").read_text()[-2000:]
    assert json.loads((tmp_path / "output.json").read_text())["parameterValues"]["Output"] == len(_LARGE)


def test_other_commands_with_large_arguments_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="Write the value to an artifact"):
        shorten(["python3", "script.py", "x" * 131_072], tmp_path, str(tmp_path))
