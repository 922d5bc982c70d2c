"""What a run leaves in Vertex ML Metadata: its context, an execution for each task, artifacts, the links in between."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..api import enum, enum_name, message
from ..names import location_of, new_id
from ..store import Store
from .ir import ArtifactSlot
from .outcome import Outcome, Values

_SCHEMA_VERSION = "0.0.1"
_CONTEXT_EXECUTION = "context execution"
_EXECUTION_STATES = {"SUCCEEDED": "COMPLETE", "SKIPPED": "CACHED", "FAILED": "FAILED", "CANCELLED": "CANCELLED"}


class Lineage:
    """The metadata of one run.

    Args:
        store: Where resources and links are kept.
        job: Resource name of the pipeline job.
        pipeline: Name of the pipeline.
    """

    def __init__(self, store: Store, job: str, pipeline: str) -> None:
        self._store = store
        self._metadata_store = metadata_store(job)
        run_id = job.rsplit("/", 1)[1]
        self._run = self._context(run_id, "system.PipelineRun")
        self._pipeline = None
        if run_id != pipeline:  # contexts are told apart by their ids
            self._pipeline = self._context(pipeline, "system.Pipeline")
            store.remember("context child", f"{self._pipeline.name}|{self._run.name}", "")

    def show_contexts(self, detail: Any) -> None:
        """Shows the contexts of the run in the detail of its job."""
        detail.pipeline_run_context.CopyFrom(self._run)
        if self._pipeline is not None:
            detail.pipeline_context.CopyFrom(self._pipeline)

    def start_execution(self, execution_id: str, name: str, kind: str, inputs: Values, **metadata: str) -> Any:
        """Creates the execution of a task that starts now.

        Args:
            execution_id: Id of the new resource.
            name: The task's name.
            kind: What kind of task it is: "ContainerExecution".
            inputs: What it takes in.
            metadata: What else is to be known about it.
        """
        execution = message("Execution")(
            name=f"{self._metadata_store}/executions/{execution_id}",
            display_name=name,
            schema_title=f"system.{kind}",
            schema_version=_SCHEMA_VERSION,
            state=enum("Execution.State")["RUNNING"],
        )
        execution.metadata.update({**metadata, **_prefixed("input", inputs.parameters)})
        with self._store.transaction():
            self._store.create(execution)
            self._store.remember(_CONTEXT_EXECUTION, f"{self._run.name}|{execution.name}", "")
            self._link(execution, inputs, "INPUT")
        return execution

    def end_execution(self, execution: Any, outcome: Outcome) -> None:
        """Ends an execution with what its task put out; new artifacts appear with it."""
        execution.state = enum("Execution.State")[_EXECUTION_STATES[outcome.state]]
        execution.metadata.update(_prefixed("output", outcome.outputs.parameters))
        with self._store.transaction():
            for artifact in _all_artifacts(outcome.outputs):
                if not artifact.HasField("create_time"):
                    self._store.create(artifact)
            self._link(execution, outcome.outputs, "OUTPUT")
            self._store.save(execution)

    def new_artifact_name(self) -> str:
        """A resource name for an artifact that does not exist yet."""
        return f"{self._metadata_store}/artifacts/{new_id()}"

    def new_artifact(self, name: str, output: str, slot: ArtifactSlot, uri: str, metadata: Mapping[str, Any]) -> Any:
        """An artifact of this run, which is stored when the execution that puts it out ends."""
        artifact = message("Artifact")(
            name=name,
            display_name=output,
            schema_title=slot.schema_title,
            schema_version=slot.schema_version,
            uri=uri,
            state=enum("Artifact.State")["LIVE"],
        )
        artifact.metadata.update(metadata)
        return artifact

    def artifacts(self) -> Iterable[Any]:
        """All artifacts, also of other runs, the newest first."""
        return reversed(self._store.list(self._metadata_store, "Artifact"))

    def _context(self, context_id: str, schema: str) -> Any:
        name = f"{self._metadata_store}/contexts/{context_id}"
        context = message("Context")(
            name=name, display_name=context_id, schema_title=schema, schema_version=_SCHEMA_VERSION
        )
        return self._store.find(name) or self._store.create(context)

    def _link(self, execution: Any, values: Values, direction: str) -> None:
        for artifact in _all_artifacts(values):
            self._store.remember("event", f"{execution.name}|{artifact.name}", direction)
            self._store.remember("context artifact", f"{self._run.name}|{artifact.name}", "")


def metadata_store(job: str) -> str:
    """The metadata store that belongs to a pipeline job's location."""
    return f"{location_of(job)}/metadataStores/default"


def interrupt_executions(store: Store, job: Any, outcome: Outcome) -> None:
    """Ends the executions of a job that an earlier server process left unfinished.

    Those of its last moments are not in its details yet. The job has not ended, and so neither has its root.
    """
    states = enum("Execution.State")
    context = f"{metadata_store(job.name)}/contexts/{job.name.rsplit('/', 1)[1]}"
    for key in store.facts(_CONTEXT_EXECUTION, f"{context}|"):
        execution = store.find(key.partition("|")[2])
        if execution is not None and (execution.state == states["RUNNING"] or execution.schema_title == "system.Run"):
            execution.state = states[_EXECUTION_STATES[outcome.state]]
            store.save(execution)


def task_state(execution: Any) -> str:
    """How the task of an execution that has ended, has ended."""
    ended = enum_name("Execution.State", execution.state)
    return next((task for task, state in _EXECUTION_STATES.items() if state == ended), "FAILED")


def container_outputs(store: Store, execution: Any) -> Values:
    """The artifacts that a container task has put out: they are called as its outputs are."""
    values = Values()
    if execution.schema_title == "system.ContainerExecution":
        for key, direction in store.facts("event", f"{execution.name}|").items():
            artifact = store.find(key.partition("|")[2]) if direction == "OUTPUT" else None
            if artifact is not None:
                values.artifacts[artifact.display_name] = [artifact]
    return values


def _all_artifacts(values: Values) -> Iterable[Any]:
    return (artifact for found in values.artifacts.values() for artifact in found)


def _prefixed(prefix: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}:{name}": value for name, value in parameters.items()}
