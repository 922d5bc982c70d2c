"""Vertex ML Metadata, on which Experiments are built: contexts, artifacts, executions and the links between them.

A link is a fact of the store, keyed by the names of both ends:

- "event": EXECUTION|ARTIFACT → "INPUT" or "OUTPUT"
- "context artifact": CONTEXT|ARTIFACT, "context execution": CONTEXT|EXECUTION, "context child": PARENT|CHILD
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import METHODS, VERTEX, ApiError, enum, enum_name, invalid, message, to_dict
from ..dispatcher import handles
from ..filters import Functions, parse_filter
from ..verbs import apply_update, check_etag, chosen_id, page, standard_methods
from ..vertex import Vertex

_EVENT, _CONTEXT_CHILD = "event", "context child"
_CONTEXT_MEMBER = {"Artifact": "context artifact", "Execution": "context execution"}
_LINKS = (_EVENT, _CONTEXT_CHILD, *_CONTEXT_MEMBER.values())
_MAXIMUM_PARENTS = 10

standard_methods("MetadataService", "MetadataStore", "Create", "Get", "List")
standard_methods("MetadataService", "MetadataSchema", "Create", "Get", "List")


def _register(kind: str) -> None:
    """Registers the standard methods of a kind of metadata resource: "Context", "Artifact" or "Execution"."""
    field = kind.lower()
    collection = f"{field}s"

    @handles(f"MetadataService.Create{kind}")
    async def create(vertex: Vertex, request: Any) -> Any:
        resource = getattr(request, field)
        resource.name = f"{request.parent}/{collection}/{chosen_id(request, f'{field}_id')}"
        return _create(vertex, resource)

    @handles(f"MetadataService.Get{kind}")
    async def get(vertex: Vertex, request: Any) -> Any:
        return shown(vertex, [vertex.store.get(request.name)])[0]

    @handles(f"MetadataService.List{kind}s")
    async def list_resources(vertex: Vertex, request: Any) -> Any:
        found = shown(vertex, vertex.store.list(request.parent, kind))
        return page(METHODS[f"/{VERTEX}.MetadataService/List{kind}s"], request, found, _functions(vertex, kind))

    @handles(f"MetadataService.Update{kind}")
    async def update(vertex: Vertex, request: Any) -> Any:
        changes = getattr(request, field)
        if request.allow_missing and vertex.store.find(changes.name) is None:
            return _create(vertex, changes)
        current = vertex.store.get(changes.name)
        check_etag(current, changes)
        apply_update(current, changes, list(request.update_mask.paths))
        return shown(vertex, [vertex.store.save(current)])[0]

    @handles(f"MetadataService.Delete{kind}")
    async def delete(vertex: Vertex, request: Any) -> Any:
        if request.etag and request.etag != vertex.store.get(request.name).etag:
            raise ApiError("FAILED_PRECONDITION", f"etag {request.etag!r} is not the current one of {request.name!r}.")
        return _delete(vertex, request.name)


for _kind in ("Context", "Artifact", "Execution"):
    _register(_kind)


@handles("MetadataService.DeleteMetadataStore")
async def delete_metadata_store(vertex: Vertex, request: Any) -> Any:
    """Deletes a store with all that is in it."""
    return _delete(vertex, request.name)


@handles("MetadataService.AddContextArtifactsAndExecutions")
async def add_context_artifacts_and_executions(vertex: Vertex, request: Any) -> Any:
    """Puts artifacts and executions into a context."""
    _require(vertex, request.context, *request.artifacts, *request.executions)
    for kind, names in (("Artifact", request.artifacts), ("Execution", request.executions)):
        for name in names:
            vertex.store.remember(_CONTEXT_MEMBER[kind], f"{request.context}|{name}", "")
    return message("AddContextArtifactsAndExecutionsResponse")()


@handles("MetadataService.AddContextChildren")
async def add_context_children(vertex: Vertex, request: Any) -> Any:
    """Puts contexts under a context."""
    _require(vertex, request.context, *request.child_contexts)
    parents = _parents(vertex)
    ancestors = _ancestors(request.context, parents)
    for child in request.child_contexts:
        if child in ancestors:
            raise invalid(f"Context {child!r} can't be a child of {request.context!r}: they would form a cycle.")
        if len({*parents.get(child, []), request.context}) > _MAXIMUM_PARENTS:
            raise invalid(f"Context {child!r} would have more than {_MAXIMUM_PARENTS} parents.")
    for child in request.child_contexts:
        vertex.store.remember(_CONTEXT_CHILD, f"{request.context}|{child}", "")
    return message("AddContextChildrenResponse")()


@handles("MetadataService.RemoveContextChildren")
async def remove_context_children(vertex: Vertex, request: Any) -> Any:
    """Takes contexts from under a context."""
    for child in request.child_contexts:
        vertex.store.forget(_CONTEXT_CHILD, f"{request.context}|{child}")
    return message("RemoveContextChildrenResponse")()


@handles("MetadataService.AddExecutionEvents")
async def add_execution_events(vertex: Vertex, request: Any) -> Any:
    """Notes which artifacts an execution took in and put out."""
    _require(vertex, request.execution, *(event.artifact for event in request.events))
    if any(not event.type_ for event in request.events):
        raise invalid("type of Event is required: INPUT or OUTPUT.")
    for event in request.events:
        vertex.store.remember(_EVENT, f"{request.execution}|{event.artifact}", enum_name("Event.Type", event.type_))
    return message("AddExecutionEventsResponse")()


@handles("MetadataService.QueryContextLineageSubgraph")
async def query_context_lineage_subgraph(vertex: Vertex, request: Any) -> Any:
    """What is in a context, and the events between it."""
    _require(vertex, request.context)
    return _subgraph(vertex, {name for kind in _CONTEXT_MEMBER for name in _members(vertex, kind, request.context)})


@handles("MetadataService.QueryExecutionInputsAndOutputs")
async def query_execution_inputs_and_outputs(vertex: Vertex, request: Any) -> Any:
    """An execution with its artifacts."""
    _require(vertex, request.execution)
    return _subgraph(vertex, {request.execution, *_ends(vertex, _EVENT, request.execution)})


@handles("MetadataService.QueryArtifactLineageSubgraph")
async def query_artifact_lineage_subgraph(vertex: Vertex, request: Any) -> Any:
    """All that an artifact was made from and that was made from it, as far as a number of events away."""
    if request.max_hops < 0:
        raise invalid(f"max_hops must not be negative, as {request.max_hops} is.")
    _require(vertex, request.artifact)
    wanted = parse_filter(request.filter)
    names = _connected(vertex, request.artifact, request.max_hops or None)
    return _subgraph(
        vertex, {name for name in names if "/executions/" in name or wanted(to_dict(vertex.store.get(name)))}
    )


def create_child_context(vertex: Vertex, parent: str, context: Any) -> None:
    """Stores a new context and puts it under another one.

    Raises:
        ApiError: NOT_FOUND if there is no such parent, ALREADY_EXISTS if the context is there.
    """
    _require(vertex, parent)
    _create(vertex, context)
    vertex.store.remember(_CONTEXT_CHILD, f"{parent}|{context.name}", "")


def _create(vertex: Vertex, resource: Any) -> Any:
    store_name = resource.name.rsplit("/", 2)[0]
    if store_name.endswith("/default") and vertex.store.find(store_name) is None:
        vertex.store.create(message("MetadataStore")(name=store_name))  # Vertex AI makes the default store by itself
    _require(vertex, store_name)
    return shown(vertex, [vertex.store.create(resource)])[0]


def _delete(vertex: Vertex, name: str) -> Any:
    """Deletes a resource with the links that lead to it or to something below it."""
    with vertex.store.transaction():
        vertex.store.delete(name)
        for kind in _LINKS:
            for key in vertex.store.facts(kind):
                if any(f"{end}/".startswith(f"{name}/") for end in key.split("|")):
                    vertex.store.forget(kind, key)
    return operations.finished(vertex.store, name, "DeleteOperationMetadata", empty_pb2.Empty())


def _require(vertex: Vertex, *names: str) -> None:
    for name in names:
        vertex.store.get(name)


def _ends(vertex: Vertex, kind: str, start: str) -> list[str]:
    """Where the links of a kind that start at a resource lead."""
    return [key.partition("|")[2] for key in vertex.store.facts(kind, f"{start}|")]


def _members(vertex: Vertex, kind: str, context: str) -> list[str]:
    return _ends(vertex, _CONTEXT_MEMBER[kind], context)


def _functions(vertex: Vertex, kind: str) -> Functions:
    """The functions of the list filter of a kind: what can be in a context has `in_context`."""
    if kind not in _CONTEXT_MEMBER:
        return {}

    def in_context(context: str) -> Any:
        members = set(_members(vertex, kind, context))
        return lambda resource: resource["name"] in members

    return {"in_context": in_context}


def _parents(vertex: Vertex) -> dict[str, list[str]]:
    """The parents of each context that has some."""
    found: dict[str, list[str]] = {}
    for key in vertex.store.facts(_CONTEXT_CHILD):
        parent, _, child = key.partition("|")
        found.setdefault(child, []).append(parent)
    return found


def _ancestors(context: str, parents: dict[str, list[str]]) -> set[str]:
    """A context and all above it."""
    return {context}.union(*(_ancestors(parent, parents) for parent in parents.get(context, [])))


def shown(vertex: Vertex, resources: list[Any]) -> list[Any]:
    """Resources as clients see them: contexts name their parents."""
    if resources and resources[0].DESCRIPTOR.name == "Context":
        parents = _parents(vertex)
        for context in resources:
            context.parent_contexts[:] = parents.get(context.name, [])
    return resources


def _connected(vertex: Vertex, artifact: str, hops: int | None) -> set[str]:
    """An artifact and all that events connect with it, over so many events or over any number."""
    neighbours: dict[str, set[str]] = {}
    for key in vertex.store.facts(_EVENT):
        execution, _, other = key.partition("|")
        neighbours.setdefault(execution, set()).add(other)
        neighbours.setdefault(other, set()).add(execution)
    found, latest = {artifact}, {artifact}
    while latest and hops != 0:
        latest = set().union(*(neighbours.get(name, set()) for name in latest)) - found
        found |= latest
        hops = None if hops is None else hops - 1
    return found


def _subgraph(vertex: Vertex, names: Iterable[str]) -> Any:
    """Artifacts and executions by their names, with the events between them."""
    names = set(names)
    graph = message("LineageSubgraph")()
    for name in sorted(names):
        nodes = graph.executions if "/executions/" in name else graph.artifacts
        nodes.append(vertex.store.get(name))
    for key, kind in vertex.store.facts(_EVENT).items():
        execution, _, artifact = key.partition("|")
        if execution in names and artifact in names:
            graph.events.add(execution=execution, artifact=artifact, type_=enum("Event.Type")[kind])
    return graph
