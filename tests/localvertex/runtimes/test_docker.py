"""The docker runtime without a server around it: what a container is given, and how it ends."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex.execution.outcome import TaskError
from seatrial.localvertex.runtimes.container import Container, Limits
from seatrial.localvertex.runtimes.docker import DockerRuntime
from seatrial.localvertex.runtimes.engine import HOME_LABEL, remove_containers
from seatrial.localvertex.vertex import Vertex

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(1800)

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A folder whose name needs care."""
    folder = tmp_path / 'a "b", c'
    folder.mkdir()
    return folder


@pytest.fixture
def docker(engine: Callable[..., str], tmp_path: Path) -> DockerRuntime:
    """The runtime of a state folder."""
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    (tmp_path / "key.json").write_text("the key")
    environment = {"https_proxy": "http://127.0.0.1:1", "KEY": str(tmp_path / "key.json")}
    return DockerRuntime(Vertex(tmp_path, None, None, environment, private_root=True))  # type: ignore[arg-type]


@pytest.fixture
def container(built: Callable[[str], str], tmp_path: Path) -> Callable[..., Container]:
    """A container of the image `cpu` that runs a shell script."""

    def container(script: str, *args: str, **fields: Any) -> Container:
        defaults = {"image": built("cpu"), "command": ["sh", "-c", script], "args": args, "variables": {}}
        return Container(**{**defaults, "log": tmp_path / "logs" / "task.log", **fields})

    return container


@pytest.fixture
def run(docker: DockerRuntime, container: Callable[..., Container]) -> Run:
    """Runs a container to its end and returns its exit code and its output."""

    def run(script: str, *args: str, **fields: Any) -> tuple[int, str]:
        task = container(script, *args, **fields)
        status = asyncio.run(docker.run(task))
        return status, task.log.read_text()

    return run


@pytest.fixture
def left(engine: Callable[..., str], tmp_path: Path) -> Callable[[], list[str]]:
    """The containers of the state folder, running or not."""
    return lambda: engine("ps", "--all", "--quiet", f"--filter=label={HOME_LABEL}={tmp_path}").split()


def test_the_command_runs_in_its_image_with_its_arguments(run: Run) -> None:
    script = 'python3 -c "import seatrial.components; print(seatrial.__path__)"; printf "%s|" "$0" "$@"'
    status, output = run(script, "--", "-it", "a b", "$HOME")
    assert status == 0
    assert "/usr/local/lib/" in output
    assert output.endswith("--|-it|a b|$HOME|")


@pytest.fixture
def image(built: Callable[[str], str], engine: Callable[..., str]) -> Iterator[str]:
    """An image with an entry point and arguments for it."""
    file = f'FROM {built("cpu")}\nENTRYPOINT ["echo", "entry point"]\nCMD ["command"]\n'
    name = f"seatrial-test/entry-point:{os.getpid()}"
    engine("build", "--tag", name, "-", input=file)
    yield name
    engine("image", "rm", name)


@pytest.mark.parametrize(
    ("command", "args", "output"),
    [
        ([], [], "entry point command\n"),
        ([], ["a", "b"], "entry point a b\n"),
        (["echo", "only"], [], "only\n"),
        (["echo"], ["a"], "a\n"),
    ],
)
def test_command_and_arguments_replace_those_of_the_image_as_in_kubernetes(
    command: list[str], args: list[str], output: str, run: Run, image: str
) -> None:
    assert run("", image=image, command=command, args=args) == (0, output)


def test_a_container_sees_its_own_variables_the_way_to_the_server_and_nothing_of_the_host(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "password")
    _, output = run('env; cat "$KEY"; echo x > "$KEY"', variables={"OWN": "a\nb = 'c'", "PATH": "/usr/bin:/bin"})
    assert "OWN=a\nb = 'c'\n" in output
    assert "\nPATH=/usr/bin:/bin\n" in f"\n{output}"
    assert "https_proxy=http://127.0.0.1:1\n" in output
    assert "KEY=/run/seatrial/key.json\n" in output
    assert "the key" in output
    assert "Read-only" in output
    assert "password" not in output


def test_the_buckets_are_a_volume_whose_files_the_server_can_manage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "buckets" / "bucket" / "in").write_text("text")
    run("mkdir /gcs/bucket/folder; cp /gcs/bucket/in /gcs/bucket/folder/out")
    copied = tmp_path / "buckets" / "bucket" / "folder" / "out"
    assert copied.read_text() == "text"
    assert (copied.stat().st_uid, copied.stat().st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can show what becomes of another user")
def test_a_server_of_an_ordinary_user_runs_containers_as_that_user_with_a_home(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 1235)
    status, output = run('id -u; id -g; cd && touch file && python3 -c "import seatrial.components"')
    assert (status, output) == (0, "1234\n1235\n")
    assert run('echo "home $HOME"', variables={"HOME": "/own"})[1].endswith("home /own\n")


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("exit 125", 125), ("kill -9 $$; sleep 9", 137)])
def test_the_exit_code_is_that_of_the_container(script: str, status: int, run: Run, left: Callable[[], Any]) -> None:
    # As PID 1 of its container the shell would survive its own signal.
    assert run('sh -c "$0"', script)[0] == status
    assert not left()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image": "localhost:1/no/image:1"}, "'localhost:1/no/image:1' is not on this machine and cannot be pulled: "),
        ({"image": "A"}, "The image 'A' cannot be run: invalid reference format"),
        ({"image": "--privileged"}, "The image '--privileged' cannot be run: invalid reference format"),
        ({"command": ["frobnicate"]}, 'cannot be started: .*"frobnicate": executable file not found'),
        ({"limits": Limits(memory_bytes=1)}, "cannot be run: Minimum memory limit allowed is"),
    ],
)
def test_what_the_engine_refuses_is_an_error_with_its_reason(
    fields: dict[str, Any], reason: str, run: Run, left: Callable[[], Any]
) -> None:
    with pytest.raises(TaskError, match=reason):
        run("true", **fields)
    assert not left()


def test_gpus_that_the_engine_has_not_are_an_error(run: Run, engine: Callable[..., str]) -> None:
    if "nvidia" in engine("info"):
        pytest.skip("This engine may have GPUs.")
    with pytest.raises(TaskError, match="The task asks for 2 GPUs; the container engine has none."):
        run("true", limits=Limits(accelerators=2))


def test_limits_are_applied(run: Run) -> None:
    script = "cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert "64000000\n" in run(f"({script}) 2>/dev/null", limits=Limits(memory_bytes=64_000_000))[1]
    script = "cat /sys/fs/cgroup/cpu.max || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert "50000" in run(f"({script}) 2>/dev/null", limits=Limits(processors=0.5))[1]


def test_more_processors_than_there_are_is_a_warning(run: Run) -> None:
    status, output = run("true", limits=Limits(processors=1000.0))
    assert status == 0
    assert '"severity": "WARNING", "message": "The limit is 1000 processors; the container engine has' in output


def test_a_container_that_runs_out_of_memory_says_so(run: Run) -> None:
    status, output = run("python3 -c \"b'1' * 10**9\"", limits=Limits(memory_bytes=64_000_000))
    assert status == 137
    assert "The container ran out of memory: its limit is 64,000,000 bytes." in output


@pytest.fixture
def started(docker: DockerRuntime, container: Callable[..., Container], tmp_path: Path) -> Callable[..., Any]:
    """Starts a container that runs for long after this script, and returns it as a task."""

    async def started(script: str) -> "asyncio.Task[int]":
        task = container(f"{script}; touch /gcs/bucket/started; while true; do sleep 0.1; done")
        running = asyncio.create_task(docker.run(task))
        async with asyncio.timeout(60):
            while not (tmp_path / "buckets" / "bucket" / "started").exists():
                await asyncio.sleep(0.02)
        return running

    return started


@pytest.mark.parametrize(
    ("script", "patience", "output"),
    [("trap 'echo ended; exit' TERM", 60.0, "ended\n"), ("trap '' TERM", 1.0, "")],
    ids=["polite", "stubborn"],
)
def test_a_cancelled_container_is_told_then_killed_and_removed(
    script: str,
    patience: float,
    output: str,
    started: Callable[..., Any],
    left: Callable[[], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seatrial.localvertex.processes._GRACE_SECONDS", patience)

    async def cancel() -> None:
        running = await started(script)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    assert not left()
    assert (tmp_path / "logs" / "task.log").read_text() == output


def test_a_container_whose_client_is_killed_has_failed_and_is_removed(
    started: Callable[..., Any], left: Callable[[], Any], tmp_path: Path
) -> None:
    async def kill_client() -> None:
        running = await started("true")
        [client] = [
            int(file.parent.name)
            for file in Path("/proc").glob("[0-9]*/cmdline")
            if file.read_bytes().startswith(b"docker\0run\0") and os.fsencode(tmp_path) in file.read_bytes()
        ]
        os.kill(client, signal.SIGKILL)
        with pytest.raises(TaskError, match="client ended before the container"):
            await running

    asyncio.run(kill_client())
    assert not left()


def test_what_a_state_folder_has_left_is_removed(
    docker: DockerRuntime,
    left: Callable[[], Any],
    engine: Callable[..., str],
    built: Callable[[str], str],
    tmp_path: Path,
) -> None:
    for action in ("create", "run"):
        background = ["--detach"] if action == "run" else []
        engine(action, *background, f"--label={HOME_LABEL}={tmp_path}", "--network=none", built("cpu"), "sleep", "600")
    assert len(left()) == 2
    remove_containers(tmp_path)
    assert not left()
