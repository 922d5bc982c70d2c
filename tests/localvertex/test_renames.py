"""Renames of directories that fail as on Cloud Storage FUSE, with real processes and the real kernel."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seatrial.localvertex import renames
from seatrial.localvertex.api import ApiError
from seatrial.localvertex.execution.outcome import TaskError
from seatrial.localvertex.processes import Command, run
from seatrial.localvertex.renames import RENAMES

EMFILE = "Too many open files"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def buckets(tmp_path: Path) -> Path:
    """A folder of buckets with a directory that has a file, an empty one, and a file."""
    folder = tmp_path / "buckets"
    (folder / "bucket" / "full" / "below").mkdir(parents=True)
    (folder / "bucket" / "full" / "file").touch()
    (folder / "bucket" / "empty").mkdir()
    (folder / "bucket" / "file").touch()
    return folder


@pytest.fixture
def forbidden(buckets: Path, tmp_path: Path) -> Iterator[Run]:
    """Runs a command in the bucket while renames of directories are forbidden: its status and its output."""

    def call(*command: str, **variables: str) -> tuple[int, str]:
        return asyncio.run(_run(*command, **variables))

    async def _run(*command: str, **variables: str) -> tuple[int, str]:
        try:
            await RENAMES.forbid(buckets)
        except ApiError as error:
            pytest.skip(error.message)
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        environment = {"PATH": os.environ["PATH"], **variables}
        status = await run(Command(command, environment, buckets / "bucket", log))
        return status, log.read_text()

    yield call
    RENAMES.allow()


def python(forbidden: Run, statement: str) -> str:
    """What a statement of Python says: "" or the text of its error."""
    program = f"import os, shutil\ntry:\n    {statement}\nexcept OSError as error:\n    print(error.strerror)"
    status, output = forbidden(sys.executable, "-c", program)
    assert status == 0
    return output.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "os.rename('full', 'other')",
        "os.replace('full/', 'other/')",
        "os.rename(os.path.abspath('full'), 'empty')",
        "os.rename('full', '../second')",
        "here = os.open('.', os.O_RDONLY); os.rename('full', 'other', src_dir_fd=here, dst_dir_fd=here)",
        "os.chdir('full'); os.rename('../full', '../other')",
        "os.symlink('..', '/proc/self/cwd/link'); os.rename('link/bucket/full', 'other')",
    ],
)
def test_a_directory_with_something_in_it_is_not_renamed(forbidden: Run, buckets: Path, statement: str) -> None:
    assert python(forbidden, statement) == EMFILE
    assert (buckets / "bucket" / "full" / "file").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "os.rename('file', 'other')",
        "os.replace('file', 'full/file')",
        "os.rename('full/file', 'empty/file')",
        "os.rename('empty', 'other')",
        "os.symlink('full', 'link'); os.rename('link', 'other')",
        "shutil.rmtree('full')",
        "os.mkdir('../../outside'); os.mkdir('../../outside/x'); os.rename('../../outside', '../../other')",
    ],
)
def test_whatever_else_is_as_before(forbidden: Run, statement: str) -> None:
    assert python(forbidden, statement) == ""


@pytest.mark.parametrize(
    "statement", ["os.rename('nothing', 'other')", "os.rename('', 'other')", "os.rename('full', 'no/such/folder')"]
)
def test_other_errors_stay_what_they_are(forbidden: Run, statement: str) -> None:
    assert python(forbidden, statement) == "No such file or directory"


def test_mv_fails_and_a_move_that_copies_does_not(forbidden: Run, buckets: Path) -> None:
    status, output = forbidden("mv", "full", "other")
    assert (status, EMFILE in output) == (1, True)
    assert python(forbidden, "shutil.move('full', 'other')") == ""
    assert (buckets / "bucket" / "other" / "file").exists()
    assert not (buckets / "bucket" / "full").exists()


def test_it_holds_for_all_that_a_process_starts(forbidden: Run, buckets: Path) -> None:
    script = "(setsid sh -c 'mv full other' &) ; sh -c 'mv full other; mv file empty/'; mv full other; wait"
    _, output = forbidden("sh", "-c", script)
    assert output.count(EMFILE) >= 2
    assert (buckets / "bucket" / "full").exists()
    assert (buckets / "bucket" / "empty" / "file").exists()


def test_it_holds_for_many_processes_at_once(forbidden: Run, buckets: Path) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do (mv full other; mv file file-$i && mv file-$i file) & done; wait"
    _, output = forbidden("sh", "-c", script)
    assert output.count(EMFILE) == 8
    assert (buckets / "bucket" / "file").exists()


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_status_is_that_of_the_command(forbidden: Run, script: str, status: int) -> None:
    assert forbidden("sh", "-c", script)[0] == status


def test_a_process_finds_its_signals_and_its_environment_as_they_would_be(forbidden: Run, buckets: Path) -> None:
    script = "unset SEATRIAL_PROCESS; env | sort; grep SigIgn /proc/self/status"
    status, output = forbidden("sh", "-c", script, LANG="C")
    RENAMES.allow()
    log = buckets.parent / "plain"
    environment = {"PATH": os.environ["PATH"], "LANG": "C"}
    assert status == asyncio.run(run(Command(["sh", "-c", script], environment, buckets / "bucket", log)))
    assert output == log.read_text()


def test_a_program_that_is_not_there_is_named(forbidden: Run) -> None:
    with pytest.raises(TaskError, match="'frobnicate' was not found"):
        forbidden("frobnicate")
    with pytest.raises(TaskError, match=r"'\./frobnicate' was not found"):
        forbidden("./frobnicate")


def test_a_program_that_cannot_be_run_says_so_in_its_log(forbidden: Run, buckets: Path) -> None:
    program = buckets / "bucket" / "broken"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    assert forbidden("./broken") == (
        1,
        "'./broken' cannot be started: [Errno 2] No such file or directory: './broken'\n",
    )


def test_a_process_that_is_ended_ends(forbidden: Run, buckets: Path) -> None:
    async def check() -> None:
        await RENAMES.forbid(buckets)
        task = asyncio.create_task(run(shell(buckets, "mv full other; touch asked; sleep 600")))
        await appears(buckets / "bucket" / "asked")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(check())
    assert EMFILE in (buckets.parent / "log").read_text()


def test_what_runs_when_it_is_allowed_again_may(forbidden: Run, buckets: Path) -> None:
    async def check() -> None:
        await RENAMES.forbid(buckets)
        script = "mv full other; touch asked; until [ -e go ]; do sleep .01; done; mv full other"
        task = asyncio.create_task(run(shell(buckets, script)))
        await appears(buckets / "bucket" / "asked")
        assert (buckets / "bucket" / "full").exists()
        RENAMES.allow()
        (buckets / "bucket" / "go").touch()
        assert await task == 0

    asyncio.run(check())
    assert (buckets / "bucket" / "other").exists()


def shell(buckets: Path, script: str) -> Command:
    return Command(["sh", "-c", script], dict(os.environ), buckets / "bucket", buckets.parent / "log")


async def appears(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)


def test_no_descriptor_is_left(forbidden: Run, buckets: Path) -> None:
    async def check() -> None:
        await RENAMES.forbid(buckets)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            await run(shell(buckets, "true"))
        async with asyncio.timeout(60):
            while len(os.listdir("/proc/self/fd")) > before:
                await asyncio.sleep(0.01)

    asyncio.run(check())


def test_where_the_kernel_cannot_ask_it_is_refused_with_the_reason(
    buckets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(renames.__file__).with_name("rename_filter.py").read_text()
    other = tmp_path / "rename_filter.py"
    other.write_text(source.replace("def main", "platform.machine = lambda: 'riscv64'\n\n\ndef main"))
    monkeypatch.setattr(renames, "_FILTER", (sys.executable, "-I", "-S", str(other)))
    with pytest.raises(ApiError, match="Renames of directories cannot be forbidden: this is .* on riscv64, not Linux"):
        asyncio.run(RENAMES.forbid(buckets))
    assert not RENAMES.forbidden
