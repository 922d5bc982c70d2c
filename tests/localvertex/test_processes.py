"""Processes of tasks: status, log, environment, and that nothing survives them."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seatrial.localvertex.execution.outcome import TaskError
from seatrial.localvertex.processes import Command, child_environment, run

_NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc").exists(), reason="processes in sessions of their own are found through /proc"
)
_TREE = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


def _command(tmp_path: Path, *arguments: str) -> Command:
    return Command(arguments, dict(os.environ), tmp_path, tmp_path / "task.log")


def _is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_output_and_errors_are_appended_to_the_log(tmp_path: Path) -> None:
    for _ in range(2):
        assert asyncio.run(run(_command(tmp_path, "sh", "-c", "echo out; echo error >&2"))) == 0
    assert (tmp_path / "task.log").read_text() == "out\nerror\n" * 2


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_the_status_is_what_a_shell_reports(tmp_path: Path, script: str, status: int) -> None:
    assert asyncio.run(run(_command(tmp_path, "sh", "-c", script))) == status


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="'frobnicate' was not found"):
        asyncio.run(run(_command(tmp_path, "frobnicate")))


def test_a_null_character_is_an_error_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="'echo' cannot be started: embedded null byte"):
        asyncio.run(run(_command(tmp_path, "echo", "\0")))


def test_what_a_process_leaves_in_the_background_is_ended(tmp_path: Path) -> None:
    asyncio.run(run(_command(tmp_path, "sh", "-c", "sleep 600 & echo $!")))
    process = int((tmp_path / "task.log").read_text())
    asyncio.run(_until(lambda: not _is_alive(process)))


@_NEEDS_PROC
@pytest.mark.parametrize("end", ["exit 0", "exit 1", "kill -9 $$"])
def test_what_a_process_leaves_in_a_session_of_its_own_is_ended(tmp_path: Path, end: str) -> None:
    file = tmp_path / "process"
    leave = 'setsid sh -c \'echo $$ > "$0"; exec sleep 600\' "$0" & while ! [ -s "$0" ]; do sleep .01; done; '
    asyncio.run(run(_command(tmp_path, "sh", "-c", leave + end, str(file))))
    asyncio.run(_until(lambda: not _is_alive(int(file.read_text()))))


@_NEEDS_PROC
def test_other_commands_are_left_alone(tmp_path: Path) -> None:
    async def run_beside() -> int:
        folders = [tmp_path / name for name in ("a", "ab")]
        for folder in folders:
            folder.mkdir()
        other = asyncio.create_task(run(_command(folders[1], "sh", "-c", "while ! [ -e go ]; do sleep .01; done")))
        await run(_command(folders[0], "true"))
        (folders[1] / "go").touch()
        return await other

    assert asyncio.run(run_beside()) == 0


@_NEEDS_PROC
def test_a_cancelled_command_is_ended_with_all_its_descendants(tmp_path: Path) -> None:
    file = tmp_path / "processes"

    async def cancel_when_started() -> None:
        task = asyncio.create_task(run(_command(tmp_path, sys.executable, "-c", _TREE, str(file))))
        await _until(lambda: file.exists() and file.read_text())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        processes = [int(process) for process in file.read_text().split()]
        await _until(lambda: not any(map(_is_alive, processes)))

    asyncio.run(cancel_when_started())


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async def run_in_time() -> None:
        async with asyncio.timeout(0.1):
            await run(_command(tmp_path, "sleep", "600"))

    with pytest.raises(TimeoutError):
        asyncio.run(run_in_time())


def test_the_environment_puts_this_python_first_and_a_tasks_own_variables_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    vertex = SimpleNamespace(environment={"https_proxy": "http://127.0.0.1:1", "A": "server"})
    environment = child_environment(vertex, tmp_path, {"A": "task"})  # type: ignore[arg-type]
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["INHERITED"] == "yes"
    assert environment["https_proxy"] == "http://127.0.0.1:1"
    assert environment["A"] == "task"
    assert environment["TMPDIR"] == str(tmp_path)
