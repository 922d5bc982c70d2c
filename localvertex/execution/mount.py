"""Where tasks find what Cloud Storage URIs name: below `/gcs`, or in the buckets' folder if `/gcs` cannot be shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..storage.errors import StorageError
from ..vertex import Vertex
from .outcome import TaskError

_SCHEME = "gs://"


class Mount:
    """The paths of Cloud Storage URIs.

    Args:
        vertex: The emulator.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex

    def file(self, uri: str) -> Path:
        """The path of a `gs://` URI for the server.

        Raises:
            TaskError: If the URI cannot be a path.
        """
        try:
            return self._vertex.storage.path(uri)
        except StorageError as error:
            raise TaskError(str(error)) from None

    def path(self, uri: str) -> str:
        """The path of a URI for a task; what is not in Cloud Storage stays as it is."""
        if not uri.startswith(_SCHEME):
            return uri
        return f"/gcs/{uri.removeprefix(_SCHEME)}" if self._vertex.private_root else str(self.file(uri))

    def for_python_component(self, executor_input: Mapping[str, Any]) -> Mapping[str, Any]:
        """An executor input whose artifacts KFP's executor finds: it makes `/gcs` paths of `gs://` URIs by itself."""
        return executor_input if self._vertex.private_root else _with_uris(executor_input, self.path)

    def uri(self, path: str) -> str:
        """The URI of what a component reported by its path, which it has from `for_python_component`."""
        buckets = f"{self._vertex.storage.path('gs://any-bucket').parent}/"
        return f"{_SCHEME}{path.removeprefix(buckets)}" if path.startswith(buckets) else path


def _with_uris(executor_input: Mapping[str, Any], change: Callable[[str], str]) -> Mapping[str, Any]:
    changed = {
        side: {
            **executor_input[side],
            "artifacts": {
                name: {"artifacts": [{**artifact, "uri": change(artifact["uri"])} for artifact in entry["artifacts"]]}
                for name, entry in executor_input[side]["artifacts"].items()
            },
        }
        for side in ("inputs", "outputs")
    }
    return {**executor_input, **changed}
