"""The REST face: HTTP requests transcoded to methods by their `google.api.http` bindings."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from google.protobuf import struct_pb2

from .api import METHODS, ApiError, Method, from_dict, http_status, invalid, to_dict
from .dispatcher import dispatch
from .requests import PATH_VARIABLE, location_of_host
from .vertex import Vertex

_PATIENCE_SECONDS = 15.0
_HTTP_BODY = "google.api.HttpBody"


@dataclass(frozen=True)
class _Route:
    pattern: re.Pattern[str]
    variables: tuple[str, ...]
    body: str
    method: Method


async def handle(vertex: Vertex, request: web.Request) -> web.Response:
    """Answers one REST request."""
    try:
        path = unquote(request.rel_url.raw_path)
        route, variables = _find(request.method, path)
        message = _message(route, variables, request, await request.read())
        location = location_of_host(request.host.partition(":")[0])
        response = await dispatch(vertex, route.method, message, _PATIENCE_SECONDS, location)
    except ApiError as error:
        return error_response(error)
    if response.DESCRIPTOR.full_name == _HTTP_BODY:
        return _raw_response(response)
    integer_enums = "enum-encoding=int" in request.query.get("$alt", "")
    return web.json_response(to_dict(response, integer_enums=integer_enums))


def error_response(error: ApiError) -> web.Response:
    """An error in the form that Google's JSON APIs give it."""
    status = http_status(error)
    body = {"error": {"code": status, "message": error.message, "status": error.code.name}}
    return web.json_response(body, status=status)


@functools.cache
def _routes() -> dict[str, list[_Route]]:
    routes: dict[str, list[_Route]] = {}
    for method in METHODS.values():
        for binding in method.bindings:
            pattern, variables = _compile(binding.template)
            routes.setdefault(binding.verb, []).append(_Route(pattern, variables, binding.body, method))
    return routes


def _compile(template: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Turns `/v1/{name=projects/*/models/*}:copy` into a pattern with a group for each variable."""
    pattern, variables, position = "", [], 0
    for match in PATH_VARIABLE.finditer(template):
        pattern += re.escape(template[position : match.start()])
        segments = re.escape(match[2] or "*").replace(r"\*\*", ".+").replace(r"\*", "[^/:]+")
        pattern += f"({segments})"
        variables.append(match[1])
        position = match.end()
    return re.compile(pattern + re.escape(template[position:])), tuple(variables)


def _find(verb: str, path: str) -> tuple[_Route, dict[str, str]]:
    for route in _routes().get(verb, []):
        if match := route.pattern.fullmatch(path):
            return route, dict(zip(route.variables, match.groups(), strict=True))
    raise ApiError("UNIMPLEMENTED", f"{verb} {path} is not a method that the local Vertex AI knows.")


def _message(route: _Route, variables: Mapping[str, str], request: web.Request, body: bytes) -> Any:
    """The request message; a method with a field `http_body` gets the HTTP body in it as it is."""
    raw = "http_body" in route.method.request.DESCRIPTOR.fields_by_name
    message = from_dict(_document(route, variables, request.query, b"" if raw else body), route.method.request())
    if raw:
        message.http_body.content_type = request.headers.get("Content-Type", "")
        message.http_body.data = body
    return message


def _raw_response(body: Any) -> web.Response:
    """A response that is a `google.api.HttpBody`: its data, with the headers that a struct in its extensions names."""
    headers = {"Content-Type": body.content_type}
    for extension in body.extensions:
        headers.update(to_dict(struct_pb2.Struct.FromString(extension.value)))
    return web.Response(body=body.data, headers=headers)


def _document(route: _Route, variables: Mapping[str, str], query: Any, body: bytes) -> dict[str, Any]:
    """The request message in JSON form, from the path's variables, the query and the body."""
    document: dict[str, Any] = {}
    if route.body and body:
        try:
            content = json.loads(body)
        except ValueError as error:
            raise invalid(f"Invalid JSON payload received. {error}") from None
        if not isinstance(content, dict):
            raise invalid("Invalid JSON payload received. The body is not an object.")
        document = content if route.body == "*" else {route.body: content}
    for name in set(query) - {"key", "alt", "$alt", "prettyPrint"}:
        field = route.method.request.DESCRIPTOR.fields_by_camelcase_name.get(name.split(".")[0])
        repeated = field is not None and field.is_repeated
        _put(document, name, query.getall(name) if repeated else query[name])
    for name, value in variables.items():
        _put(document, name, value)
    return document


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value
