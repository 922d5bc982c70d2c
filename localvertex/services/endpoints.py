"""Endpoints: models are deployed to them, and predictions go to a deployed model that the traffic split picks."""

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import ApiError, from_dict, invalid, message
from ..dispatcher import handles
from ..names import location_of, new_id
from ..projects import remember_project
from ..serving import Answer
from ..store import stamp
from ..verbs import apply_update, check_display_name, check_etag, standard_methods
from ..vertex import Vertex
from .models import resolve

_ENDPOINT_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}")
_DEPLOYED_MODEL_ID = re.compile(r"[0-9]{1,10}")
_BEING_DEPLOYED = "0"
_MUTABLE_FIELDS = {
    "display_name",
    "description",
    "labels",
    "traffic_split",
    "predict_request_response_logging_config",
}
_MUTABLE_DEPLOYED_MODEL_FIELDS = {
    "dedicated_resources.min_replica_count",
    "dedicated_resources.max_replica_count",
    "dedicated_resources.required_replica_count",
    "dedicated_resources.autoscaling_metric_specs",
    "automatic_resources.min_replica_count",
    "automatic_resources.max_replica_count",
    "disable_container_logging",
}
_MAXIMUM_REQUEST_BYTES = 3 * 2**19  # 1.5 MB
_PREDICTION_SECONDS = 60.0

standard_methods("EndpointService", "Endpoint", "Get", "List")


@handles("EndpointService.CreateEndpoint")
async def create_endpoint(vertex: Vertex, request: Any) -> Any:
    """An endpoint to which nothing is deployed yet."""
    if request.endpoint_id and not _ENDPOINT_ID.fullmatch(request.endpoint_id):
        raise invalid(f"endpoint_id {request.endpoint_id!r} is not valid: it must match {_ENDPOINT_ID.pattern}.")
    endpoint = message("Endpoint")()
    endpoint.CopyFrom(request.endpoint)
    check_display_name(endpoint)
    _check_traffic_split(endpoint)
    endpoint.name = f"{request.parent}/endpoints/{request.endpoint_id or new_id()}"
    if endpoint.dedicated_endpoint_enabled:
        endpoint.dedicated_endpoint_dns = _dedicated_host(vertex, endpoint.name)
    return operations.finished(
        vertex.store, endpoint.name, "CreateEndpointOperationMetadata", vertex.store.create(endpoint)
    )


@handles("EndpointService.UpdateEndpoint")
async def update_endpoint(vertex: Vertex, request: Any) -> Any:
    """Changes fields; without an etag blindly, so that the last of two writers wins, as on Vertex AI."""
    endpoint = vertex.store.get(request.endpoint.name)
    _check_mask(request.update_mask.paths, _MUTABLE_FIELDS)
    check_etag(endpoint, request.endpoint)
    apply_update(endpoint, request.endpoint, list(request.update_mask.paths))
    check_display_name(endpoint)
    _check_traffic_split(endpoint)
    return vertex.store.save(endpoint)


@handles("EndpointService.DeleteEndpoint")
async def delete_endpoint(vertex: Vertex, request: Any) -> Any:
    """Deletes an endpoint to which nothing is deployed."""
    deployed = vertex.store.get(request.name).deployed_models
    if deployed:
        raise ApiError(
            "FAILED_PRECONDITION",
            f"Endpoint {request.name!r} has deployed or being-deployed DeployedModel(s): "
            f"{', '.join(model.id for model in deployed)}. Undeploy them first.",
        )
    vertex.store.delete(request.name)
    return operations.finished(vertex.store, request.name, "DeleteOperationMetadata", empty_pb2.Empty())


@handles("EndpointService.DeployModel")
async def deploy_model(vertex: Vertex, request: Any) -> Any:
    """Serves a model; the operation ends when it is ready, and only then traffic moves."""
    endpoint = vertex.store.get(request.endpoint)
    version = resolve(vertex, request.deployed_model.model)
    if location_of(version.name) != location_of(endpoint.name):
        raise invalid(f"deployed_model.model {version.name!r} must be in the location of {endpoint.name!r}.")
    deployed = _new_deployed_model(request.deployed_model, version)
    _add_deployed_model(endpoint, deployed, request.traffic_split)

    async def deploy() -> Callable[[], Any]:
        await vertex.serving.start(request.endpoint, deployed, version)
        try:
            resolve(vertex, version.name)
            current = vertex.store.get(request.endpoint)
            _add_deployed_model(current, deployed, request.traffic_split)
        except ApiError:  # the endpoint was changed, or the model deleted, while it started
            await vertex.serving.stop(request.endpoint, deployed.id)
            raise

        def show() -> Any:
            vertex.store.save(current)
            return message("DeployModelResponse")(deployed_model=deployed)

        return show

    return operations.start(
        vertex.store, vertex.tasks, request.endpoint, "DeployModelOperationMetadata", deploy(), stoppable=True
    )


@handles("EndpointService.UndeployModel")
async def undeploy_model(vertex: Vertex, request: Any) -> Any:
    """Takes a deployed model from its endpoint; it still answers the requests that it has."""
    endpoint = vertex.store.get(request.endpoint)
    _find_deployed_model(endpoint, request.deployed_model_id)
    remaining = [model for model in endpoint.deployed_models if model.id != request.deployed_model_id]
    if request.traffic_split or not remaining:
        _replace_traffic_split(endpoint, request.traffic_split if remaining else {})
    if endpoint.traffic_split.get(request.deployed_model_id):
        raise ApiError(
            "FAILED_PRECONDITION",
            f"DeployedModel {request.deployed_model_id} can't be undeployed: it still receives "
            f"{endpoint.traffic_split[request.deployed_model_id]} % of the traffic. Give traffic_split in the request.",
        )
    endpoint.traffic_split.pop(request.deployed_model_id, None)
    del endpoint.deployed_models[:]
    endpoint.deployed_models.extend(remaining)
    _check_traffic_split(endpoint)
    vertex.store.save(endpoint)

    async def undeploy() -> Callable[[], Any]:
        await vertex.serving.stop(request.endpoint, request.deployed_model_id)
        return message("UndeployModelResponse")

    return operations.start(vertex.store, vertex.tasks, request.endpoint, "UndeployModelOperationMetadata", undeploy())


@handles("EndpointService.MutateDeployedModel")
async def mutate_deployed_model(vertex: Vertex, request: Any) -> Any:
    """Changes what may be changed of a deployed model; on one machine all of it is bookkeeping."""
    endpoint = vertex.store.get(request.endpoint)
    deployed = _find_deployed_model(endpoint, request.deployed_model.id)
    _check_mask(request.update_mask.paths, _MUTABLE_DEPLOYED_MODEL_FIELDS)
    apply_update(deployed, request.deployed_model, list(request.update_mask.paths))
    vertex.store.save(endpoint)
    response = message("MutateDeployedModelResponse")(deployed_model=deployed)
    return operations.finished(vertex.store, request.endpoint, "MutateDeployedModelOperationMetadata", response)


@handles("PredictionService.Predict")
async def predict(vertex: Vertex, request: Any) -> Any:
    """Has a deployed model answer `{"instances": …, "parameters": …}`."""
    content: dict[str, Any] = {"instances": [_plain(instance) for instance in request.instances]}
    if request.HasField("parameters"):
        content["parameters"] = _plain(request.parameters)
    endpoint = vertex.store.get(request.endpoint)
    deployed = _pick(endpoint)
    response = message("PredictResponse")(
        deployed_model_id=deployed.id,
        model=deployed.model,
        model_version_id=deployed.model_version_id,
        model_display_name=resolve(vertex, f"{deployed.model}@{deployed.model_version_id}").display_name,
    )
    answer = await _ask(vertex, endpoint, deployed, json.dumps(content).encode(), "application/json")
    return from_dict(_prediction(answer), response)


@handles("PredictionService.RawPredict")
async def raw_predict(vertex: Vertex, request: Any) -> Any:
    """Has a deployed model answer a body of any form; the headers of the answer are in the body's extensions."""
    endpoint, body = vertex.store.get(request.endpoint), request.http_body
    deployed = _pick(endpoint)
    answer = await _ask(vertex, endpoint, deployed, body.data, body.content_type or "application/json")
    headers = {
        "X-Vertex-AI-Endpoint-Id": request.endpoint.rsplit("/", 1)[1],
        "X-Vertex-AI-Deployed-Model-Id": deployed.id,
        "X-Vertex-AI-Model": deployed.model,
        "X-Vertex-AI-Model-Version-Id": deployed.model_version_id,
    }
    response = message("google.api.HttpBody")(content_type=answer.content_type, data=answer.body)
    response.extensions.add().Pack(from_dict(headers, message("google.protobuf.Struct")()))
    return response


def _dedicated_host(vertex: Vertex, name: str) -> str:
    _, project, _, location, _, endpoint_id = name.split("/")
    return f"{endpoint_id}.{location}-{remember_project(vertex.store, project)}.prediction.vertexai.goog"


def _check_mask(paths: Iterable[str], mutable: set[str]) -> None:
    if not paths:
        raise invalid("update_mask is required.")
    for path in paths:
        if path not in mutable:
            raise invalid(f"Invalid update_mask: {path!r} can't be changed; only {sorted(mutable)} can.")


def _check_traffic_split(endpoint: Any) -> None:
    """Vertex AI's rule: nothing, or percentages of deployed models that sum to 100."""
    split = endpoint.traffic_split
    if unknown := sorted(set(split) - {model.id for model in endpoint.deployed_models}):
        raise invalid(f"Invalid traffic_split: the following DeployedModel ID(s) [{', '.join(unknown)}] do not exist.")
    if split and (sum(split.values()) != 100 or min(split.values()) < 0):
        raise invalid(f"Invalid traffic_split {dict(split)}: percentages must not be negative and must sum to 100.")


def _replace_traffic_split(endpoint: Any, split: Mapping[str, int]) -> None:
    endpoint.traffic_split.clear()
    endpoint.traffic_split.update(split)


def _new_deployed_model(wanted: Any, version: Any) -> Any:
    if wanted.id and not _DEPLOYED_MODEL_ID.fullmatch(wanted.id):
        raise invalid(f"id {wanted.id!r} of DeployedModel is not valid: 1 to 10 digits.")
    if wanted.WhichOneof("prediction_resources") is None:
        raise invalid("DeployedModel needs prediction resources: dedicated_resources or automatic_resources.")
    deployed = message("DeployedModel")()
    deployed.CopyFrom(wanted)
    deployed.id = wanted.id or new_id()
    deployed.model, _, deployed.model_version_id = version.name.partition("@")
    deployed.display_name = wanted.display_name or version.display_name
    deployed.ClearField("create_time")
    stamp(deployed, "create_time")
    return deployed


def _add_deployed_model(endpoint: Any, deployed: Any, traffic_split: Mapping[str, int]) -> None:
    """Adds a deployed model; a traffic split, if there is one, replaces the whole old one."""
    if deployed.id in {model.id for model in endpoint.deployed_models}:
        raise ApiError("ALREADY_EXISTS", f"DeployedModel {deployed.id} already exists in {endpoint.name}.")
    endpoint.deployed_models.append(deployed)
    if traffic_split:
        ids = {_BEING_DEPLOYED: deployed.id}
        _replace_traffic_split(endpoint, {ids.get(key, key): share for key, share in traffic_split.items()})
    _check_traffic_split(endpoint)


def _find_deployed_model(endpoint: Any, deployed_model_id: str) -> Any:
    for deployed in endpoint.deployed_models:
        if deployed.id == deployed_model_id:
            return deployed
    raise ApiError("NOT_FOUND", f"DeployedModel {deployed_model_id!r} was not found in {endpoint.name!r}.")


def _plain(value: Any) -> Any:
    """A `Value` as Google writes it in JSON: numbers are doubles on the way, whole ones are written as integers."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return {key: _plain(inner) for key, inner in value.struct_value.fields.items()}
        case "list_value":
            return [_plain(inner) for inner in value.list_value.values]
        case "number_value" if value.number_value.is_integer() and abs(value.number_value) <= 2**53:
            return int(value.number_value)
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def _pick(endpoint: Any) -> Any:
    """A deployed model, by chance as the traffic split wants it."""
    if not endpoint.traffic_split:
        raise ApiError("FAILED_PRECONDITION", f"Endpoint {endpoint.name} doesn't have traffic_split.")
    ids, shares = zip(*endpoint.traffic_split.items(), strict=True)
    return _find_deployed_model(endpoint, random.choices(ids, shares)[0])


async def _ask(vertex: Vertex, endpoint: Any, deployed: Any, body: bytes, content_type: str) -> Answer:
    if len(body) > _MAXIMUM_REQUEST_BYTES:
        raise invalid(f"The request size ({len(body)} bytes) exceeds 1.500MB limit.")
    timeout = endpoint.client_connection_config.inference_timeout
    seconds = timeout.seconds + timeout.nanos / 1e9 or _PREDICTION_SECONDS
    return await vertex.serving.predict(endpoint.name, deployed.id, body, content_type, seconds)


def _prediction(answer: Answer) -> dict[str, Any]:
    """The predictions in a container's answer, and its metadata if it has any."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("predictions"), list):
        raise ApiError(
            "INTERNAL", 'The container must answer a prediction request with a JSON object {"predictions": [...]}.'
        )
    return {key: content[key] for key in ("predictions", "metadata") if key in content}
