"""The emulated Google APIs: their messages and methods, from the snapshot `api.binpb`.

Messages are made from descriptors in a pool of their own, so the server starts in milliseconds, without importing the
client libraries, and does not care which version of them its callers use.
"""

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

SNAPSHOT = Path(__file__).with_name("api.binpb")
VERTEX = "google.cloud.aiplatform.v1"
# What users put into these is theirs.
OPAQUE = {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.Any", "google.api.HttpBody"}

_UNKNOWN_FIELD = re.compile(r'has no field named "([^"]*)" at "([^"]*)"')
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class ApiError(Exception):
    """An error that a client sees.

    Args:
        code: Name of a gRPC status code: "NOT_FOUND".
        message: Text for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = grpc.StatusCode[code]
        self.message = message


def invalid(message: str) -> ApiError:
    """An INVALID_ARGUMENT error."""
    return ApiError("INVALID_ARGUMENT", message)


def http_status(error: ApiError) -> int:
    """The HTTP status that stands for an error's code."""
    return _HTTP_STATUS.get(error.code.name, 500)


@dataclass(frozen=True)
class HttpBinding:
    """One REST form of a method: verb, URI template, and the request field that the body holds ("*" for all)."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True)
class Method:
    """One RPC.

    Attributes:
        path: gRPC path: "/google.cloud.aiplatform.v1.ModelService/GetModel".
        service: "ModelService".
        name: "GetModel".
        client_streaming: Whether the client sends several requests.
        server_streaming: Whether the server answers with several responses.
    """

    path: str
    service: str
    name: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool
    bindings: tuple[HttpBinding, ...]

    @property
    def key(self) -> str:
        """Short name under which handlers register: "ModelService.GetModel"."""
        return f"{self.service}.{self.name}"


def _load() -> tuple[descriptor_pool.DescriptorPool, descriptor_pb2.FileDescriptorSet]:
    files = descriptor_pb2.FileDescriptorSet.FromString(SNAPSHOT.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool, files


_pool, _files = _load()


@functools.cache
def message(name: str) -> Any:
    """The class of a message: a full name, or the name within Vertex AI's v1 package ("PipelineJob")."""
    full_name = name if name.startswith("google.") else f"{VERTEX}.{name}"
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(full_name))


@functools.cache
def enum(name: str) -> dict[str, int]:
    """Values of an enum of Vertex AI's v1 package: "JobState" or "PipelineTaskDetail.State" → {name: number}."""
    descriptor = _pool.FindEnumTypeByName(f"{VERTEX}.{name}")
    return {value.name: value.number for value in descriptor.values}


def enum_name(name: str, number: int) -> str:
    """Name of a value of an enum."""
    return next(value for value, other in enum(name).items() if other == number)


def to_dict(value: Message, *, integer_enums: bool = False) -> dict[str, Any]:
    """A message as its JSON form (camelCase keys)."""
    return json_format.MessageToDict(
        _without_infinities(value), use_integers_for_enums=integer_enums, descriptor_pool=_pool
    )


def _without_infinities(message: Any) -> Any:
    """The message with NaN and infinite values of Structs as strings, as JSON writes such numbers elsewhere.

    A Struct's JSON form has no way to say them, yet metrics that are NaN are stored in one.
    """
    found = [value for value in _struct_values(message) if not math.isfinite(value.number_value)]
    if not found:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    for value in _struct_values(copy):
        if not math.isfinite(value.number_value):
            value.string_value = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value.number_value, "NaN")
    return copy


def _struct_values(message: Any) -> Iterator[Any]:
    """All `google.protobuf.Value`s within a message."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Value":
        yield message
    for field, content in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from _struct_values(content)
        elif not field.message_type.GetOptions().map_entry:
            for item in content:
                yield from _struct_values(item)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            for item in content.values():
                yield from _struct_values(item)


def from_dict(document: Any, value: Any) -> Any:
    """Fills a message from its JSON form and returns it.

    Raises:
        ApiError: INVALID_ARGUMENT for unknown fields or values of the wrong type.
    """
    try:
        return json_format.ParseDict(document, value, descriptor_pool=_pool)
    except json_format.ParseError as error:
        raise invalid(f"Invalid JSON payload received. {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What is wrong with a JSON document, as Google says it."""
    if unknown := _UNKNOWN_FIELD.search(str(error)):
        name, place = unknown.groups()
        path = place.partition(".")[2]  # without the request itself
        where = f" at '{path}'" if path else ""
        return f'Unknown name "{name}"{where}: Cannot find field.'
    return str(error)


def _methods() -> dict[str, Method]:
    methods = {}
    for file in _files.file:
        for service in file.service:
            for method in service.method:
                path = f"/{file.package}.{service.name}/{method.name}"
                methods[path] = Method(
                    path,
                    service.name,
                    method.name,
                    message(method.input_type.removeprefix(".")),
                    message(method.output_type.removeprefix(".")),
                    method.client_streaming,
                    method.server_streaming,
                    tuple(_bindings(method.options.Extensions[annotations_pb2.http])),
                )
    return methods


def _bindings(rule: Any) -> list[HttpBinding]:
    verb = rule.WhichOneof("pattern")
    own = [HttpBinding(verb.upper(), getattr(rule, verb), rule.body)] if verb else []
    return own + [binding for other in rule.additional_bindings for binding in _bindings(other)]


METHODS: dict[str, Method] = _methods()
