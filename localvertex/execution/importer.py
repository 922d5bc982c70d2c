"""Importer tasks: they make an artifact of what is already there."""

from typing import Any

from .inputs import Replace
from .ir import Component, Json
from .lineage import Lineage
from .outcome import TaskError, Values
from .values import from_struct


def import_artifact(component: Component, inputs: Values, replace: Replace, lineage: Lineage) -> Values:
    """Runs an importer.

    An artifact with the same URI, type and metadata is used again unless the importer says otherwise.

    Raises:
        TaskError: If there is no URI, or the executor is none that is emulated.
    """
    if "importer" not in component.executor:
        raise TaskError(f"Executors of the kind {', '.join(component.executor)!r} are not emulated.")
    importer = component.executor["importer"]
    uri = _uri(importer["artifactUri"], inputs, replace)
    metadata = replace(dict(importer.get("metadata", {})), inputs.parameters)
    ((output, slot),) = component.output_artifacts.items()
    known = None if importer.get("reimport") else _find(lineage, uri, slot.schema_title, metadata)
    artifact = known or lineage.new_artifact(lineage.new_artifact_name(), output, slot, uri, metadata)
    return Values({}, {output: [artifact]})


def _uri(source: Json, inputs: Values, replace: Replace) -> str:
    uri = source["constant"] if "constant" in source else inputs.parameters.get(source["runtimeParameter"])
    if not isinstance(uri, str) or not uri:
        raise TaskError(f"The importer has no artifact_uri: it is {uri!r}.")
    return str(replace(uri, inputs.parameters))


def _find(lineage: Lineage, uri: str, schema_title: str, metadata: dict[str, Any]) -> Any | None:
    for artifact in lineage.artifacts():
        if artifact.uri == uri and artifact.schema_title == schema_title and from_struct(artifact.metadata) == metadata:
            return artifact
    return None
