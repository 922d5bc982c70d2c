"""The Model Registry: models, their versions and aliases, and evaluations of them.

A version is stored as `…/models/ID@VERSION`. A model is its versions, exactly one of which has the alias `default`.
"""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import METHODS, VERTEX, ApiError, invalid, message
from ..dispatcher import handles
from ..names import location_of, new_id
from ..store import stamp
from ..verbs import apply_update, check_display_name, check_etag, page, standard_methods
from ..vertex import Vertex

_SERVICE = f"/{VERTEX}.ModelService"
_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_DEFAULT = "default"
_LAST_VERSION = "last version of model"
_MODEL_FIELDS = {"display_name", "description", "labels"}
_VERSION_FIELDS = {"version_description", "labels"}

standard_methods("ModelService", "ModelEvaluation", "Get")


def resolve(vertex: Vertex, name: str) -> Any:
    """The version that a name means, as it is stored: its own name ends with `@VERSION`.

    Args:
        vertex: The emulator.
        name: `…/models/ID`, `…/models/ID@VERSION` or `…/models/ID@ALIAS`; without either the default version is meant.

    Raises:
        ApiError: NOT_FOUND.
    """
    model, _, wanted = name.partition("@")
    if wanted.isdigit():
        return vertex.store.get(name)
    for version in _versions(vertex, model):
        if (wanted or _DEFAULT) in version.version_aliases:
            return version
    raise ApiError("NOT_FOUND", f"The Model {name!r} was not found.")


@handles("ModelService.UploadModel")
async def upload_model(vertex: Vertex, request: Any) -> Any:
    """A new model, or a new version of the parent model."""
    version = message("Model")()
    version.CopyFrom(request.model)
    check_display_name(version)
    if not version.container_spec.image_uri:
        raise invalid("container_spec.image_uri of Model is required.")
    _check_aliases(version.version_aliases)
    model = _parent_model(vertex, request) if request.parent_model else _new_model(vertex, request)
    version.supported_deployment_resources_types[:] = [version.DEDICATED_RESOURCES]
    with vertex.store.transaction():
        _add_version(vertex, model, version)
        response = message("UploadModelResponse")(model=model, model_version_id=version.version_id)
        return operations.finished(vertex.store, model, "UploadModelOperationMetadata", response)


@handles("ModelService.CopyModel")
async def copy_model(vertex: Vertex, request: Any) -> Any:
    """A version as a new model, or as a new version of the parent model, here or in another location."""
    if request.source_model.split("/")[1] != request.parent.split("/")[1]:
        raise invalid(f"source_model {request.source_model!r} must be in the same project as {request.parent!r}.")
    source = resolve(vertex, request.source_model)
    version = message("Model")()
    version.CopyFrom(source)
    for field in ("version_aliases", "create_time", "version_create_time", "version_update_time"):
        version.ClearField(field)
    version.original_model_info.model = source.name
    version.model_source_info.copy = True
    if request.HasField("encryption_spec"):
        version.encryption_spec.CopyFrom(request.encryption_spec)
    model = _parent_model(vertex, request) if request.parent_model else _new_model(vertex, request)
    with vertex.store.transaction():
        _add_version(vertex, model, version)
        response = message("CopyModelResponse")(model=model, model_version_id=version.version_id)
        return operations.finished(vertex.store, model, "CopyModelOperationMetadata", response)


@handles("ModelService.GetModel")
async def get_model(vertex: Vertex, request: Any) -> Any:
    """A version; it is named as the request names it, with a version or without one."""
    version = resolve(vertex, request.name)
    return _shown([version], _deployments(vertex), versioned="@" in request.name)[0]


@handles("ModelService.ListModels")
async def list_models(vertex: Vertex, request: Any) -> Any:
    """The default version of each model."""
    versions = vertex.store.list(request.parent, "Model")
    defaults = [version for version in versions if _DEFAULT in version.version_aliases]
    found = _shown(defaults, _deployments(vertex), versioned=False)
    return page(METHODS[f"{_SERVICE}/ListModels"], request, found)


@handles("ModelService.ListModelVersions")
async def list_model_versions(vertex: Vertex, request: Any) -> Any:
    """All versions of a model."""
    found = _shown(_existing_versions(vertex, _unversioned(request.name)), _deployments(vertex), versioned=True)
    return page(METHODS[f"{_SERVICE}/ListModelVersions"], request, found)


@handles("ModelService.UpdateModel")
async def update_model(vertex: Vertex, request: Any) -> Any:
    """Changes fields of one version (a name with a version) or of the model, that is of all its versions."""
    name = request.model.name.removesuffix("@-")
    versioned = "@" in name
    _check_mask(request.update_mask.paths, versioned)
    current = resolve(vertex, name)
    targets = [current] if versioned else _versions(vertex, name)
    if request.model.etag not in {target.etag for target in targets}:
        check_etag(current, request.model)
    with vertex.store.transaction():
        for target in targets:
            apply_update(target, request.model, list(request.update_mask.paths))
            check_display_name(target)
            _save(vertex, target)
    return _shown([resolve(vertex, name)], _deployments(vertex), versioned=versioned)[0]


@handles("ModelService.MergeVersionAliases")
async def merge_version_aliases(vertex: Vertex, request: Any) -> Any:
    """Moves aliases to a version; `-alias` takes one from it."""
    version = resolve(vertex, request.name)
    removed = {alias[1:] for alias in request.version_aliases if alias.startswith("-")}
    added = {alias for alias in request.version_aliases if not alias.startswith("-")}
    _check_aliases(added | removed)
    if _DEFAULT in removed - added and _DEFAULT in version.version_aliases:
        raise invalid("The alias 'default' can't be removed from a version; add it to another version to move it.")
    with vertex.store.transaction():
        _release_aliases(vertex, _unversioned(version.name), added - removed)
        version = vertex.store.get(version.name)
        kept = [alias for alias in version.version_aliases if alias not in removed - added]
        _set_aliases(version, [*kept, *sorted(added)])
        return _shown([_save(vertex, version)], _deployments(vertex), versioned=True)[0]


@handles("ModelService.DeleteModel")
async def delete_model(vertex: Vertex, request: Any) -> Any:
    """Deletes all versions of a model, none of which may be deployed."""
    model = _unversioned(request.name)
    versions = _existing_versions(vertex, model)
    for version in versions:
        _require_undeployed(vertex, version)
    with vertex.store.transaction():
        for version in versions:
            vertex.store.delete(version.name)
        vertex.store.forget(_LAST_VERSION, model)
        return operations.finished(vertex.store, model, "DeleteOperationMetadata", empty_pb2.Empty())


@handles("ModelService.DeleteModelVersion")
async def delete_model_version(vertex: Vertex, request: Any) -> Any:
    """Deletes a version that is neither deployed nor the default one."""
    if "@" not in request.name:
        raise invalid(f"name must contain a model version: {request.name + '@VERSION'!r}, not {request.name!r}.")
    version = resolve(vertex, request.name)
    _require_undeployed(vertex, version)
    if _DEFAULT in version.version_aliases:
        raise ApiError(
            "FAILED_PRECONDITION",
            f"{version.name} is the default version: move the alias 'default' to another version first, "
            "or delete the model if this is its only version.",
        )
    vertex.store.delete(version.name)
    return operations.finished(vertex.store, version.name, "DeleteOperationMetadata", empty_pb2.Empty())


@handles("ModelService.ImportModelEvaluation")
async def import_model_evaluation(vertex: Vertex, request: Any) -> Any:
    """Stores an evaluation that was made elsewhere under a version."""
    evaluation = message("ModelEvaluation")()
    evaluation.CopyFrom(request.model_evaluation)
    evaluation.name = f"{resolve(vertex, request.parent).name}/evaluations/{new_id()}"
    return vertex.store.create(evaluation)


@handles("ModelService.ListModelEvaluations")
async def list_model_evaluations(vertex: Vertex, request: Any) -> Any:
    """The evaluations of a version."""
    found = vertex.store.list(resolve(vertex, request.parent).name, "ModelEvaluation")
    return page(METHODS[f"{_SERVICE}/ListModelEvaluations"], request, found)


def _unversioned(name: str) -> str:
    return name.partition("@")[0]


def _versions(vertex: Vertex, model: str) -> list[Any]:
    """The versions of a model, oldest first; none if there is no such model."""
    found = vertex.store.list(location_of(model), "Model")
    return [version for version in found if _unversioned(version.name) == model]


def _existing_versions(vertex: Vertex, model: str) -> list[Any]:
    versions = _versions(vertex, model)
    if not versions:
        raise ApiError("NOT_FOUND", f"The Model {model!r} was not found.")
    return versions


def _add_version(vertex: Vertex, model: str, version: Any) -> None:
    """Stores a version as the next one of a model, with its aliases; the first one is the default version."""
    aliases = list(version.version_aliases)
    if not _versions(vertex, model):
        aliases.append(_DEFAULT)
    _release_aliases(vertex, model, set(aliases))
    version.version_id = _next_version(vertex, model)
    version.name = f"{model}@{version.version_id}"
    _set_aliases(version, aliases)
    stamp(version, "version_create_time")
    stamp(version, "version_update_time")
    vertex.store.create(version)


def _parent_model(vertex: Vertex, request: Any) -> str:
    if location_of(request.parent_model) != request.parent:
        raise invalid(f"parent_model {request.parent_model!r} must be in {request.parent!r}.")
    return _unversioned(resolve(vertex, request.parent_model).name)


def _new_model(vertex: Vertex, request: Any) -> str:
    if request.model_id and not _MODEL_ID.fullmatch(request.model_id):
        raise invalid(
            f"model_id {request.model_id!r} is not valid: up to 63 characters of [a-z0-9_-], the first of which is "
            "neither a number nor a hyphen."
        )
    model = f"{request.parent}/models/{request.model_id or new_id()}"
    if _versions(vertex, model):
        raise ApiError("ALREADY_EXISTS", f"The Model {model!r} already exists; set parent_model to add a version.")
    return model


def _next_version(vertex: Vertex, model: str) -> str:
    """The next number: one of a deleted version is not used again."""
    number = str(int(vertex.store.recall(_LAST_VERSION, model) or 0) + 1)
    vertex.store.remember(_LAST_VERSION, model, number)
    return number


def _check_aliases(aliases: Iterable[str]) -> None:
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise invalid(f"Version alias {alias!r} is not valid: it must match {_ALIAS.pattern}.")


def _release_aliases(vertex: Vertex, model: str, aliases: set[str]) -> None:
    """Takes aliases from the versions that have them: an alias means one version of a model."""
    for version in _versions(vertex, model):
        if aliases & set(version.version_aliases):
            _set_aliases(version, [alias for alias in version.version_aliases if alias not in aliases])
            _save(vertex, version)


def _set_aliases(version: Any, aliases: Iterable[str]) -> None:
    """Sets aliases, each once, in their order: the SDK's own tests expect them back as they were given."""
    version.version_aliases[:] = dict.fromkeys(aliases)


def _save(vertex: Vertex, version: Any) -> Any:
    version.ClearField("version_update_time")
    stamp(version, "version_update_time")
    return vertex.store.save(version)


def _check_mask(paths: Iterable[str], versioned: bool) -> None:
    allowed, other = (_VERSION_FIELDS, _MODEL_FIELDS) if versioned else (_MODEL_FIELDS, _VERSION_FIELDS)
    if not paths:
        raise invalid("update_mask is required.")
    for path in paths:
        field = path.partition(".")[0]
        if field in other - allowed:
            owner = "model, not of a version" if versioned else "version, not of the model"
            raise ApiError("FAILED_PRECONDITION", f"{path} is a field of the {owner}: name the resource accordingly.")
        if field not in allowed:
            raise invalid(f"Invalid update_mask: {path!r} can't be changed; only {sorted(allowed)} can.")


def _deployments(vertex: Vertex) -> dict[str, list[Any]]:
    """Where each version is deployed, by its name with the version."""
    found: dict[str, list[Any]] = {}
    for endpoint in vertex.store.all("Endpoint"):
        for deployed in endpoint.deployed_models:
            reference = message("DeployedModelRef")(endpoint=endpoint.name, deployed_model_id=deployed.id)
            found.setdefault(f"{deployed.model}@{deployed.model_version_id}", []).append(reference)
    return found


def _require_undeployed(vertex: Vertex, version: Any) -> None:
    if references := _deployments(vertex).get(version.name):
        places = ", ".join(reference.endpoint for reference in references)
        raise ApiError("FAILED_PRECONDITION", f"{version.name} can't be deleted: it is deployed to {places}.")


def _shown(versions: list[Any], deployments: dict[str, list[Any]], *, versioned: bool) -> list[Any]:
    """Versions as clients see them: with where they are deployed, and named with or without their version."""
    for version in versions:
        version.deployed_models.extend(deployments.get(version.name, []))
        if not versioned:
            version.name = _unversioned(version.name)
    return versions
