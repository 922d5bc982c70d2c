"""What tests share: a local Vertex AI that they reach through Google's own clients, and images in a container engine.

There is one server a test process. Images are built by the engine that answers; without one, the tests that need them
skip.
"""

import functools
import os
import shlex
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from seatrial.components.images import DEFAULT_PREFIX, source_hash
from seatrial.localvertex import lifecycle

ROOT = Path(__file__).parents[1]

# A shell that runs the tests in the background has them ignore Ctrl-C, and so the programs that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# On a loaded machine, how long an example takes says nothing.
hypothesis.settings.register_profile("without_deadline", deadline=None)
hypothesis.settings.load_profile("without_deadline")


@pytest.fixture(scope="session")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lifecycle.Running]:
    """A running local Vertex AI; from its first use on, Google's clients in this process reach it.

    The server is ephemeral: it ends with the test process, however that ends.
    """
    home: Path = tmp_path_factory.mktemp("vertex")
    with lifecycle.lease(home) as running:
        os.environ.update(running.environment)
        yield running


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python package whose module `trainer.task` writes where it is, and its arguments, to the file named first."""
    path = tmp_path_factory.mktemp("wheel") / "trainer-1.0-py3-none-any.whl"
    module = "import sys\nopen(sys.argv[1], 'w').write(' '.join([__file__, *sys.argv[2:]]))\n"
    files = {"trainer/__init__.py": "", "trainer/task.py": module}
    about = {"METADATA": "Metadata-Version: 2.1\nName: trainer\nVersion: 1.0\n", "RECORD": ""}
    about["WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, **{f"trainer-1.0.dist-info/{name}": text for name, text in about.items()}}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def bucket(vertex: lifecycle.Running, request: pytest.FixtureRequest) -> str:
    """Name of an empty bucket of the test's own."""
    from google.cloud import storage

    name = "test-" + os.urandom(6).hex()
    storage.Client().create_bucket(name)
    return name


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
