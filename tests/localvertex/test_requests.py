"""What no method takes: wrong names, regions, masks, pages, filters, fields; each emulated method, by gRPC or REST."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import requests

from seatrial.localvertex.api import METHODS, Method
from seatrial.localvertex.behaviors import REQUIRED, fields_with
from seatrial.localvertex.dispatcher import HANDLERS

HOST = "us-central1-aiplatform.googleapis.com"
for _service in ("endpoints", "jobs", "metadata", "models", "operations", "pipelines", "tensorboards"):
    importlib.import_module(f"seatrial.localvertex.services.{_service}")

EMULATED = [
    method
    for method in METHODS.values()
    if method.key in HANDLERS and "resourcemanager" not in method.path and "iam" not in method.path
]
Call = Callable[[Method, Any], tuple[str, str]]


def _with(*fields: str) -> list[Any]:
    chosen = [method for method in EMULATED if set(fields) <= set(method.request.DESCRIPTOR.fields_by_name)]
    return [pytest.param(method, id=method.key) for method in chosen]


@pytest.fixture(scope="module")
def call(vertex: object) -> Call:
    """Calls a method by gRPC and returns the code and the text of its error."""
    channel = grpc.secure_channel(f"{HOST}:443", grpc.ssl_channel_credentials())

    def call(method: Method, request: Any) -> tuple[str, str]:
        stub = channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
        with pytest.raises(grpc.RpcError) as error:
            stub(request, timeout=60)
        return error.value.code().name, error.value.details()

    return call


def _addresses(method: Method) -> dict[str, str]:
    """The fields of a request that name the resource that it is about, with a name that has the right form."""
    template = next(binding.template for binding in method.bindings if "projects/" in binding.template)
    found = {}
    for part in template.split("{")[1:]:
        path, _, form = part.partition("}")[0].partition("=")
        found[path] = form.replace("projects/*", "projects/p").replace("locations/*", "locations/us-central1")
    return {path: form.replace("**", "x").replace("*", "x") for path, form in found.items()}


def _request(method: Method, change: Callable[[str], str] = lambda name: name) -> Any:
    """A request with all that is required; `change` is applied to its names."""
    request = method.request()
    for field in fields_with(method.request.DESCRIPTOR, REQUIRED):
        _fill(request, field)
    for path, name in _addresses(method).items():
        *parents, last = path.split(".")
        setattr(functools.reduce(getattr, parents, request), last, change(name))
    return request


def _fill(message: Any, field: Any) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.message_type is not None:
        inner = getattr(message, field.name)
        inner = inner.add() if field.is_repeated else inner
        inner.SetInParent()
        for required in fields_with(inner.DESCRIPTOR, REQUIRED) if field.name != "update_mask" else ():
            _fill(inner, required)
        if field.name == "update_mask":
            inner.paths.append("*")
    elif field.is_repeated:
        getattr(message, field.name).append("x")
    elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        setattr(message, field.name, "x" if field.type == field.TYPE_STRING else b"x")
    else:
        setattr(message, field.name, 1)


@pytest.mark.parametrize("method", _with())
def test_what_is_required_is_asked_for(call: Call, method: Method) -> None:
    code, text = call(method, method.request())
    assert code == "INVALID_ARGUMENT"
    for path in _addresses(method):
        assert f"Field: {path}; Message: Required field is not set." in text


@pytest.mark.parametrize("method", _with())
def test_a_malformed_name_is_refused(call: Call, method: Method) -> None:
    code, text = call(method, _request(method, lambda name: name.replace("locations/", "places/")))
    assert code == "INVALID_ARGUMENT"
    assert "Invalid resource name 'projects/p/places/us-central1" in text


@pytest.mark.parametrize("method", _with())
def test_the_resource_of_another_region_is_refused(call: Call, method: Method) -> None:
    code, text = call(method, _request(method, lambda name: name.replace("us-central1", "europe-west4")))
    assert code == "INVALID_ARGUMENT"
    assert "The provided location ID doesn't match the endpoint. The valid location ID is `us-central1`." in text


@pytest.mark.parametrize("method", _with())
def test_the_number_of_an_unknown_project_is_refused(call: Call, method: Method) -> None:
    code, text = call(method, _request(method, lambda name: name.replace("projects/p", "projects/123456")))
    assert (code, "project 123456" in text) == ("PERMISSION_DENIED", True), text


@pytest.mark.parametrize("method", _with("page_size"))
def test_a_negative_page_size_is_refused(call: Call, method: Method) -> None:
    request = _request(method)
    request.page_size = -1
    code, text = call(method, request)
    assert code == "INVALID_ARGUMENT"
    assert "Field: page_size" in text


# Methods that list what is in a resource look for that first.
_OF_A_RESOURCE = {"ModelService.ListModelVersions", "ModelService.ListModelEvaluations"}


@pytest.mark.parametrize(
    ("field", "value", "method"),
    [
        pytest.param(field, value, parameter.values[0], id=f"{field}-{parameter.id}")
        for field, value in (("page_token", "x"), ("filter", "display_name ="), ("order_by", "no_such_field"))
        for parameter in _with("page_size", field)
        if parameter.id not in _OF_A_RESOURCE
    ],
)
def test_a_bad_page_token_filter_or_order_is_refused(call: Call, field: str, value: str, method: Method) -> None:
    request = _request(method)
    setattr(request, field, value)
    code, text = call(method, request)
    assert (code, field in text) == ("INVALID_ARGUMENT", True), text


@pytest.mark.parametrize("path", ["no_such_field", "labels_of_mine.x", "name", "create_time"])
@pytest.mark.parametrize("method", _with("update_mask"))
def test_a_mask_that_may_not_be_is_refused(call: Call, method: Method, path: str) -> None:
    request = _request(method)
    request.update_mask.paths[:] = [path]
    code, text = call(method, request)
    assert code == "INVALID_ARGUMENT"
    assert f"Field: update_mask; Message: {path!r} is no field of" in text


@pytest.mark.parametrize(
    "method", [pytest.param(method, id=method.key) for method in EMULATED if any(b.body for b in method.bindings)]
)
def test_an_unknown_field_in_json_is_refused(vertex: object, method: Method) -> None:
    binding = next(binding for binding in method.bindings if binding.body and "projects/" in binding.template)
    template = binding.template
    for path, name in _addresses(method).items():
        form = next(part for part in template.split("{")[1:] if part.startswith(f"{path}=")).partition("}")[0]
        template = template.replace("{" + form + "}", name)
    if method.name == "RawPredict":
        pytest.skip("its body is the request of the model")
    response = requests.request(binding.verb, f"https://{HOST}{template}", json={"noSuchField": 1}, timeout=60)
    assert response.status_code == 400, response.text
    place = "" if binding.body == "*" else f" at '{binding.body}'"
    text = response.json()["error"]["message"]
    assert text == f'Invalid JSON payload received. Unknown name "noSuchField"{place}: Cannot find field.'


def test_an_unknown_parameter_of_a_query_is_refused(vertex: object) -> None:
    url = f"https://{HOST}/v1/projects/p/locations/us-central1/endpoints?noSuchField=1"
    response = requests.get(url, timeout=60)
    assert response.status_code == 400
    assert 'Unknown name "noSuchField"' in response.json()["error"]["message"]


def test_what_only_the_service_sets_is_ignored_in_a_new_resource(vertex: object) -> None:
    url = f"https://{HOST}/v1/projects/p/locations/us-central1/endpoints"
    endpoint = {
        "displayName": "e",
        "name": "mine",
        "deployedModels": [{"id": "1"}],
        "createTime": "2001-01-01T00:00:00Z",
    }
    created = requests.post(url, json=endpoint, timeout=60).json()["response"]
    assert created["name"].startswith("projects/p/locations/us-central1/endpoints/")
    assert "deployedModels" not in created
    assert created["createTime"] > "2001-01-02"
