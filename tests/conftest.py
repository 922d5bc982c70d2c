"""The local Vertex AI that contract tests reach through Google's own clients: one server a test process."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from seatrial.localvertex import lifecycle

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


@pytest.fixture
def bucket(vertex: lifecycle.Running, request: pytest.FixtureRequest) -> str:
    """Name of an empty bucket of the test's own."""
    from google.cloud import storage

    name = "test-" + os.urandom(6).hex()
    storage.Client().create_bucket(name)
    return name
