"""The images, built by the container engine that answers; without one, the tests that need them skip."""

import functools
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from seatrial.components.images import DEFAULT_PREFIX, source_hash

ROOT = Path(__file__).parents[2]


def docker(*arguments: str, input: str | None = None) -> str:
    """Runs the docker client and returns what it printed; its errors are the test's."""
    command = ["docker", *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def engine() -> Callable[..., str]:
    """The client of an engine that answers."""
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("There is no docker. For root, `python3 .ci/engine.py make test` installs and starts it.")
    if answer.returncode:
        pytest.skip(f"{answer.stderr.strip()} For root, `python3 .ci/engine.py make test` starts one.")
    return docker


@pytest.fixture(scope="session")
def built(engine: Callable[..., str]) -> Callable[[str], str]:
    """Builds a target of the Dockerfile, once, and returns the image's name, the one that compiled YAML has."""

    @functools.cache
    def build(target: str) -> str:
        # What .ci/engine.py found out that a build needs on this machine; nothing on an ordinary one.
        arguments = shlex.split(os.environ.get("SEATRIAL_BUILD_ARGUMENTS", ""))
        name = f"{DEFAULT_PREFIX}/{target}:{source_hash()}"
        engine("build", *arguments, "--target", target, "--tag", name, str(ROOT))
        return name

    return build
