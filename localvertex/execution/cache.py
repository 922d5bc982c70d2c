"""The task cache: what a task put out is used again by a task that would do the same.

The key is Vertex AI's: the name of the pipeline, the component's specification (image, command, arguments, environment,
inputs, outputs; not its machine), the values of its parameters and the resource names of its input artifacts. The
process runtime runs the code that is installed here, whatever the image; so the source of the component collection is
part of the key, too.
https://cloud.google.com/vertex-ai/docs/pipelines/configure-caching
"""

import hashlib
import json
from dataclasses import asdict, replace

from ...components.images import source_hash
from ..names import RuntimeName, location_of
from ..store import Store
from .ir import Component
from .outcome import Values

_KIND = "task cache"


class Cache:
    """The cached outputs of one location, as one run sees them.

    Args:
        store: Where outputs are kept.
        job: Resource name of the pipeline job.
        pipeline: Name of its pipeline: only pipelines of one name share their cache.
        runtime: What runs the tasks.
    """

    def __init__(self, store: Store, job: str, pipeline: str, runtime: RuntimeName) -> None:
        self._store, self._pipeline = store, pipeline
        self._location = location_of(job)
        self._runtime = f"process {source_hash()}" if runtime == "process" else runtime

    def key(self, component: Component, inputs: Values) -> str:
        """The key of a component with its inputs."""
        container = {name: value for name, value in component.executor["container"].items() if name != "resources"}
        document = {
            "location": self._location,
            "pipeline": self._pipeline,
            "runtime": self._runtime,
            "component": asdict(replace(component, executor=container)),
            "parameters": inputs.parameters,
            "artifacts": {name: [artifact.name for artifact in found] for name, found in inputs.artifacts.items()},
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> Values | None:
        """The cached outputs, unless there are none or one of their artifacts has been deleted."""
        entry = self._store.recall(_KIND, key)
        if entry is None:
            return None
        document = json.loads(entry)
        artifacts = {
            name: [self._store.find(artifact) for artifact in found] for name, found in document["artifacts"].items()
        }
        if any(artifact is None for found in artifacts.values() for artifact in found):
            return None
        return Values(document["parameters"], artifacts)

    def put(self, key: str, outputs: Values) -> None:
        """Remembers the outputs of a task that succeeded."""
        artifacts = {name: [artifact.name for artifact in found] for name, found in outputs.artifacts.items()}
        self._store.remember(_KIND, key, json.dumps({"parameters": outputs.parameters, "artifacts": artifacts}))
