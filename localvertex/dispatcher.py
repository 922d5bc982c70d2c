"""From a called method to its handler, whether the call came by gRPC or by REST."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from .api import METHODS, OPAQUE, ApiError, Method
from .operations import OPERATION
from .projects import project_id
from .requests import addresses, prepare
from .standing_faults import DroppedError
from .vertex import Vertex

_logger = logging.getLogger(__name__)
_MAXIMUM_PATIENCE_SECONDS = 15.0

Handler = Callable[[Vertex, Any], Awaitable[Any]]
HANDLERS: dict[str, Handler] = {}


def handles(*keys: str) -> Callable[[Handler], Handler]:
    """Registers the handler of methods: `@handles("ModelService.GetModel")`."""

    def register(handler: Handler) -> Handler:
        for key in keys:
            if key in HANDLERS:
                raise ValueError(f"{key} has two handlers")
            HANDLERS[key] = handler
        return handler

    return register


async def dispatch(vertex: Vertex, method: Method, request: Any, patience: float, location: str | None = None) -> Any:
    """Calls a method's handler.

    Args:
        vertex: The emulator.
        method: The called method.
        request: Its request message.
        patience: Seconds that the caller surely waits for an answer. A long-running operation that ends within them is
            returned as done: Google's launchers sleep twenty seconds after an answer that says it is not.
        location: The location that the called host serves, or None if it serves all.

    Raises:
        ApiError: The error for the client; UNIMPLEMENTED with the method's name where nothing is emulated.
        DroppedError: If a fault takes the answer away.
    """
    handler = HANDLERS.get(method.key)
    if handler is None:
        raise ApiError("UNIMPLEMENTED", f"{method.path[1:]} is not emulated by the local Vertex AI.")
    prepare(method, request, location)
    for name in addresses(method, request):
        _with_project_id(vertex, name)
    _use_project_ids(vertex, request)
    try:
        async with vertex.faults.around(method.key):
            response = await handler(vertex, request)
    except (ApiError, DroppedError):
        raise
    except Exception as error:
        _logger.exception("%s", method.path)
        raise ApiError("INTERNAL", f"Internal error of the local Vertex AI: {error!r}") from error
    if response.DESCRIPTOR.full_name == OPERATION and not response.done:
        seconds = min(_MAXIMUM_PATIENCE_SECONDS, patience)
        response = await vertex.store.wait(response.name, lambda operation: operation.done, seconds)
    return response


def _use_project_ids(vertex: Vertex, message: Any) -> None:
    """Writes resource names with the project's id: clients may write its number instead.

    A number that no project here has is left as it is: in the name of a network.
    """
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING and field.is_repeated:
            value[:] = [_with_known_project_id(vertex, text) for text in value]
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, _with_known_project_id(vertex, value))
        elif field.message_type is None or field.message_type.full_name in OPAQUE:
            continue
        elif not field.is_repeated:
            _use_project_ids(vertex, value)
        elif not field.message_type.GetOptions().map_entry:
            for item in value:
                _use_project_ids(vertex, item)


def _with_known_project_id(vertex: Vertex, text: str) -> str:
    try:
        return _with_project_id(vertex, text)
    except ApiError:
        return text


def _with_project_id(vertex: Vertex, text: str) -> str:
    parts = text.split("/", 2)
    if len(parts) > 1 and parts[0] == "projects" and parts[1].isdigit():
        parts[1] = project_id(vertex.store, parts[1])
    return "/".join(parts)


class GrpcHandler(grpc.GenericRpcHandler):
    """The gRPC face: one handler for the methods of all services.

    Args:
        vertex: The emulator.
        location: The location that the called host serves, or None if it serves all.
        drop: Breaks the connection of the caller that gRPC calls so: "ipv4:127.0.0.1:PORT".
    """

    def __init__(self, vertex: Vertex, location: str | None, drop: Callable[[str], None]) -> None:
        self._vertex, self._location, self._drop = vertex, location, drop

    def service(self, handler_call_details: Any) -> Any:
        """Finds the method that a call names (`grpc.GenericRpcHandler`)."""
        method = METHODS.get(handler_call_details.method)
        if method is None:
            return _unknown(handler_call_details.method)
        kinds = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, self._refuse),
            (True, False): (grpc.stream_unary_rpc_method_handler, self._refuse),
            (True, True): (grpc.stream_stream_rpc_method_handler, self._refuse),
        }
        make, behaviour = kinds[method.client_streaming, method.server_streaming]

        async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
            return await behaviour(method, request, context)

        return make(
            call,
            request_deserializer=method.request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    async def _unary(self, method: Method, request: Any, context: grpc.aio.ServicerContext) -> Any:
        remaining = context.time_remaining()
        patience = max(0.0, remaining - 1.0) if remaining is not None else _MAXIMUM_PATIENCE_SECONDS
        try:
            return await dispatch(self._vertex, method, request, patience, self._location)
        except ApiError as error:
            await context.abort(error.code, error.message)
        except DroppedError:
            self._drop(context.peer())
            await context.abort(grpc.StatusCode.UNAVAILABLE)  # nobody hears it

    async def _refuse(self, method: Method, _: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, f"{method.path[1:]} is not emulated by the local Vertex AI (it streams)."
        )


def _unknown(path: str) -> grpc.RpcMethodHandler:
    """Refuses a method that the snapshot does not have, in a form that fits any number of messages."""

    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{path[1:]} is not emulated by the local Vertex AI.")

    return grpc.stream_stream_rpc_method_handler(refuse)
