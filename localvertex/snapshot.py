"""Writes `api.binpb`, the snapshot of the emulated Google APIs: `python -m seatrial.localvertex.snapshot`.

The client packages ship messages but no service descriptors, so the methods and their REST bindings are read off the
generated transports. That leans on private attributes and takes seconds; the snapshot frees the server of both.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2
from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pb2, empty_pb2

from .api import SNAPSHOT, VERTEX

_BEHAVIOR_WORDS = {
    "Required": field_behavior_pb2.REQUIRED,
    "Optional": field_behavior_pb2.OPTIONAL,
    "Output only": field_behavior_pb2.OUTPUT_ONLY,
    "Input only": field_behavior_pb2.INPUT_ONLY,
    "Immutable": field_behavior_pb2.IMMUTABLE,
    "Identifier": field_behavior_pb2.IDENTIFIER,
}
_BEHAVIORS = re.compile(rf"(?:(?:{'|'.join(_BEHAVIOR_WORDS)})\.\s*)*")
# `        display_name (str):` and the lines of text below it.
_DOCUMENTED_FIELD = re.compile(r"^ {8}(\w+) \(.*\):\n((?: {12}.*\n)+)", re.MULTILINE)

_MIXINS = {
    "/google.longrunning.Operations/GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
    "/google.longrunning.Operations/WaitOperation": (operations_pb2.WaitOperationRequest, operations_pb2.Operation),
    "/google.longrunning.Operations/ListOperations": (
        operations_pb2.ListOperationsRequest,
        operations_pb2.ListOperationsResponse,
    ),
    "/google.longrunning.Operations/CancelOperation": (operations_pb2.CancelOperationRequest, empty_pb2.Empty),
    "/google.longrunning.Operations/DeleteOperation": (operations_pb2.DeleteOperationRequest, empty_pb2.Empty),
    "/google.cloud.location.Locations/GetLocation": (locations_pb2.GetLocationRequest, locations_pb2.Location),
    "/google.cloud.location.Locations/ListLocations": (
        locations_pb2.ListLocationsRequest,
        locations_pb2.ListLocationsResponse,
    ),
    "/google.iam.v1.IAMPolicy/TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
}


class _Recorder:
    """Stands in for a gRPC channel and notes which method paths and message types a transport asks stubs for."""

    def __init__(self) -> None:
        self.methods: dict[str, tuple[Any, Any, bool, bool]] = {}

    def _record(self, client_streaming: bool, server_streaming: bool) -> Any:
        def stub(path: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any) -> None:
            request = getattr(request_serializer, "__self__", None)
            if path not in _MIXINS and inspect.isclass(request):
                response = response_deserializer.__self__
                self.methods[path] = (request, response, client_streaming, server_streaming)

        return stub

    unary_unary = property(lambda self: self._record(False, False))
    unary_stream = property(lambda self: self._record(False, True))
    stream_unary = property(lambda self: self._record(True, False))
    stream_stream = property(lambda self: self._record(True, True))


def build() -> bytes:
    """Reads the installed client packages and returns a serialised `FileDescriptorSet`."""
    from google.cloud import aiplatform_v1, resourcemanager_v3

    methods = {path: (*types, False, False) for path, types in _MIXINS.items()}
    bindings: dict[str, list[dict[str, str]]] = {}
    transports = [*_transports(aiplatform_v1), *_transports(resourcemanager_v3, only="projects")]
    for grpc_transport, rest_base in transports:
        own = _grpc_methods(grpc_transport)
        methods.update(own)
        by_name = {path.rsplit("/", 1)[1]: path for path in [*_MIXINS, *own]}
        for name, options in _http_options(rest_base):
            if path := by_name.get(name):
                bindings.setdefault(path, [])
                bindings[path] += [option for option in options if option not in bindings[path]]
    return _file_descriptor_set(methods, bindings).SerializeToString(deterministic=True)


def _transports(package: ModuleType, only: str | None = None) -> Iterator[tuple[type, type]]:
    services = importlib.import_module(f"{package.__name__}.services")
    for module in sorted(pkgutil.iter_modules(services.__path__), key=lambda module: module.name):
        if only is None or module.name == only:
            base = f"{services.__name__}.{module.name}.transports"
            grpc_module = importlib.import_module(f"{base}.grpc")
            rest_module = importlib.import_module(f"{base}.rest_base")
            yield _class_ending(grpc_module, "GrpcTransport"), _class_ending(rest_module, "RestTransport")


def _class_ending(module: ModuleType, suffix: str) -> type:
    return next(
        member
        for name, member in vars(module).items()
        if name.endswith(suffix) and inspect.isclass(member) and member.__module__ == module.__name__
    )


def _grpc_methods(transport_class: type) -> dict[str, tuple[Any, Any, bool, bool]]:
    recorder = _Recorder()
    transport: Any = object.__new__(transport_class)
    vars(transport).update(_stubs={}, _logged_channel=recorder)
    for name, member in vars(transport_class).items():
        if isinstance(member, property) and name not in ("operations_client", "grpc_channel", "kind"):
            getattr(transport, name)
    return recorder.methods


def _http_options(rest_base: type) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for name, member in vars(rest_base).items():
        if name.startswith("_Base") and hasattr(member, "_get_http_options"):
            yield name.removeprefix("_Base"), member._get_http_options()


def _file_descriptor_set(
    methods: dict[str, tuple[Any, Any, bool, bool]], bindings: dict[str, list[dict[str, str]]]
) -> descriptor_pb2.FileDescriptorSet:
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    services: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for path, (request, response, client_streaming, server_streaming) in sorted(methods.items()):
        full_name, method_name = path[1:].split("/")
        package, service_name = full_name.rsplit(".", 1)
        types = [_descriptor(request), _descriptor(response)]
        for descriptor in types:
            _collect(descriptor.file, files)
        file = services.setdefault(package, _service_file(package))
        file.dependency.extend({descriptor.file.name for descriptor in types} - set(file.dependency))
        service = next((service for service in file.service if service.name == service_name), None)
        service = service or file.service.add(name=service_name)
        method = service.method.add(
            name=method_name,
            input_type=f".{types[0].full_name}",
            output_type=f".{types[1].full_name}",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
        for number, option in enumerate(bindings.get(path, [])):
            rule = method.options.Extensions[annotations_pb2.http]
            rule = rule.additional_bindings.add() if number else rule
            setattr(rule, option["method"], option["uri"])
            rule.body = option.get("body", "")
    for file in services.values():
        _sort_dependencies(file)
    ordered = [*files.values(), *services.values()]
    for file in ordered:
        file.ClearField("source_code_info")
        for message in file.message_type:
            message.ClearField("options") if not message.options.map_entry else None
    _note_behaviors(files.values())
    return descriptor_pb2.FileDescriptorSet(file=ordered)


def _note_behaviors(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> None:
    """Adds the behaviours of fields (required, output only, immutable), which the packages name in docstrings only."""
    from google.cloud.aiplatform_v1 import types

    documented = {name: member for name, member in vars(types).items() if hasattr(member, "pb")}
    for file in files:
        if file.package != VERTEX:
            continue
        for message in file.message_type:
            behaviors = dict(_behaviors(documented[message.name].__doc__)) if message.name in documented else {}
            for field in message.field:
                field.options.Extensions[field_behavior_pb2.field_behavior].extend(behaviors.get(field.name, ()))


def _behaviors(docstring: str) -> Iterator[tuple[str, list[int]]]:
    for name, text in _DOCUMENTED_FIELD.findall(docstring):
        words = _BEHAVIORS.match(" ".join(text.split()))
        if words and words[0]:
            yield name, [_BEHAVIOR_WORDS[word.strip()] for word in words[0].rstrip(". ").split(".")]


def _sort_dependencies(file: descriptor_pb2.FileDescriptorProto) -> None:
    """The order of imports says nothing and differs between processes; files that others re-export keep theirs."""
    if not file.public_dependency:
        dependencies = sorted(file.dependency)
        del file.dependency[:]
        file.dependency.extend(dependencies)


def _service_file(package: str) -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}/seatrial_services.proto",
        package=package,
        syntax="proto3",
        dependency=["google/api/annotations.proto"],
    )


def _descriptor(message_class: Any) -> Any:
    return message_class.pb().DESCRIPTOR if hasattr(message_class, "pb") else message_class.DESCRIPTOR


def _collect(descriptor: Any, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    """Adds a file after the files it imports, the order in which a descriptor pool takes them."""
    if descriptor.name in files:
        return
    for dependency in sorted(descriptor.dependencies, key=lambda dependency: dependency.name):
        _collect(dependency, files)
    file = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(file)
    del file.service[:]
    _sort_dependencies(file)
    files[descriptor.name] = file


if __name__ == "__main__":
    SNAPSHOT.write_bytes(build())
