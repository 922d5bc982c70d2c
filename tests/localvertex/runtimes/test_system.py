"""The whole with the docker runtime: what a user's program sees, and that no container outlives the server."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex import injection, lifecycle
from seatrial.localvertex.runtimes.engine import HOME_LABEL

from ...model_folders import write_linear_model

# The first test waits until the images are built.
pytestmark = pytest.mark.timeout(1800)

PROGRAM = Path(__file__).with_name("user_program.py")


@pytest.fixture(scope="module")
def running(built: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[lifecycle.Running]:
    """A server that outlives what is done to it here."""
    home = tmp_path_factory.mktemp("docker")
    yield lifecycle.start(home, ephemeral=False, runtime="docker")
    lifecycle.stop(home)


@pytest.fixture(scope="module")
def seen(running: lifecycle.Running, built: Callable[[str], str], wheel: Path) -> dict[str, Any]:
    """What a program with Google's clients saw; its model is still deployed."""
    bucket = running.home / "buckets" / "bucket"
    bucket.mkdir()
    write_linear_model(bucket / "model")
    shutil.copy(wheel, bucket)
    program = subprocess.run(
        [sys.executable, str(PROGRAM), built("cpu"), built("serving"), "bucket", wheel.name],
        env={**os.environ, **running.environment},
        cwd=running.home,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(program.stdout.splitlines()[-1])


def test_tasks_run_in_containers_and_a_failing_one_has_failed(seen: dict[str, Any]) -> None:
    written = f"{2**30}\nfrom the environment"  # the first line is the limit of memory
    assert seen["pipeline"] == {
        "state": "PIPELINE_STATE_FAILED",
        "fail": "The replica workerpool0-0 exited with a non-zero status of 3. this is why",
        "read": {"data": written, "same": written, "length": 540_000},
    }


def test_the_replicas_of_a_custom_job_find_each_other(seen: dict[str, Any]) -> None:
    assert seen["custom_job"] == {"state": "JOB_STATE_SUCCEEDED", "said": {"type": "workerpool1", "index": 0}}


def test_a_python_package_is_installed_in_its_image(seen: dict[str, Any]) -> None:
    assert seen["package"].endswith("/site-packages/trainer/task.py a b") or seen["package"].endswith(
        "/dist-packages/trainer/task.py a b"
    )


def test_a_model_is_served_by_the_entry_point_of_its_image(seen: dict[str, Any]) -> None:
    assert seen["model"]["labels"] == ["good", "bad"]


def _containers(engine: Callable[..., str], running: lifecycle.Running) -> list[str]:
    return engine("ps", "--all", "--quiet", f"--filter=label={HOME_LABEL}={running.home}").split()


def test_a_model_that_is_killed_on_demand_is_served_by_a_new_container(
    running: lifecycle.Running, seen: dict[str, Any], engine: Callable[..., str]
) -> None:
    [before] = _containers(engine, running)
    injection.kill_model(seen["model"]["endpoint"], home=running.home)
    _eventually(lambda: _containers(engine, running) not in ([], [before]))


def test_renames_cannot_be_forbidden_to_containers(running: lifecycle.Running) -> None:
    with (
        pytest.raises(lifecycle.LifecycleError, match="to processes only; the runtime is docker"),
        injection.forbid_directory_renames(home=running.home),
    ):
        pass


@pytest.mark.parametrize("killed", [["pid"], ["supervisor"], ["pid", "supervisor"]], ids="+".join)
def test_no_container_outlives_a_server_that_is_killed(
    killed: list[str], running: lifecycle.Running, seen: dict[str, Any], engine: Callable[..., str]
) -> None:
    def containers() -> list[str]:
        return _containers(engine, running)

    current = lifecycle.start(running.home, ephemeral=False, runtime="docker")  # a new one after the first case
    [served] = _eventually(containers)  # that of the deployed model
    for process in killed:
        os.kill(getattr(current, process), signal.SIGKILL)
    if killed == ["pid", "supervisor"]:
        assert containers()
        lifecycle.start(running.home, ephemeral=False, runtime="docker")
    _eventually(lambda: served not in containers())


def _eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.1)
    return found


def test_a_stopped_server_leaves_no_container(
    running: lifecycle.Running, engine: Callable[..., str], seen: dict[str, Any]
) -> None:
    lifecycle.stop(running.home)
    assert not _containers(engine, running)
