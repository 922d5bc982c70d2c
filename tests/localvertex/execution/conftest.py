"""The engine without a server around it."""

from pathlib import Path

import pytest

from seatrial.localvertex.runtimes.process import ProcessRuntime
from seatrial.localvertex.storage.service import Storage
from seatrial.localvertex.store import Store
from seatrial.localvertex.vertex import Vertex


@pytest.fixture
def in_process(tmp_path: Path) -> Vertex:
    """A local Vertex AI in this process, without a server and without `/gcs`; it has the bucket `bucket`."""
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    storage = Storage(tmp_path / "buckets", tmp_path / "storage.sqlite", "123")
    vertex = Vertex(tmp_path, Store(tmp_path / "vertex.sqlite"), storage, environment={}, private_root=False)
    vertex.runtime = ProcessRuntime(vertex)
    return vertex
