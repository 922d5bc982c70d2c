"""Long-running operations: work that outlasts the call which asked for it (https://google.aip.dev/151)."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from google.rpc import code_pb2

from .api import ApiError, message
from .names import location_of, new_id
from .store import Store, stamp
from .tasks import Tasks

_logger = logging.getLogger(__name__)
OPERATION = "google.longrunning.Operation"


def finished(store: Store, name: str, metadata_type: str, response: Any) -> Any:
    """An operation that is done at once.

    Args:
        store: Where the operation is kept.
        name: Resource that it works on; the operation's name begins with its location.
        metadata_type: Name of the message that describes the operation: "UploadModelOperationMetadata".
        response: What the operation returns.
    """
    return _succeed(store, _new(store, name, metadata_type), response)


def start(
    store: Store,
    tasks: Tasks,
    name: str,
    metadata_type: str,
    work: Awaitable[Callable[[], Any]],
    *,
    stoppable: bool = False,
) -> Any:
    """An operation that is done when `work` is.

    Args:
        store: Where the operation is kept.
        tasks: Where the work goes on.
        name: Resource that it works on; the operation's name begins with its location.
        metadata_type: Name of the message that describes the operation.
        work: Its result is called for the response; what that stores appears together with the operation's end. An
            `ApiError` becomes the operation's error.
        stoppable: Whether the work leaves nothing behind when it is cancelled midway.
    """
    operation = _new(store, name, metadata_type)
    tasks.spawn(_finish(store, operation.name, work), name=operation.name, stoppable=stoppable)
    return operation


def cancelled(store: Store, name: str) -> None:
    """Ends an operation whose work was stopped."""
    _fail(store, store.get(name), code_pb2.CANCELLED, "The operation was cancelled.")


def interrupt_unfinished(store: Store, reason: str) -> None:
    """Ends the operations that an earlier server process left unfinished: with it, undeployed models have ended."""
    for operation in store.all(OPERATION):
        if operation.done:
            continue
        if operation.metadata.Is(message("UndeployModelOperationMetadata").DESCRIPTOR):
            _succeed(store, operation, message("UndeployModelResponse")())
        else:
            _fail(store, operation, code_pb2.ABORTED, reason)


def _new(store: Store, name: str, metadata_type: str) -> Any:
    operation = message(OPERATION)(name=f"{location_of(name)}/operations/{new_id()}")
    metadata = message(metadata_type)()
    stamp(metadata.generic_metadata, "create_time")
    stamp(metadata.generic_metadata, "update_time")
    operation.metadata.Pack(metadata)
    return store.create(operation)


async def _finish(store: Store, name: str, work: Awaitable[Callable[[], Any]]) -> None:
    try:
        respond = await work
        with store.transaction():
            _succeed(store, store.get(name), respond())
    except ApiError as error:
        _fail(store, store.get(name), error.code.value[0], error.message)
    except Exception as error:
        _logger.exception("operation %s", name)
        _fail(store, store.get(name), code_pb2.INTERNAL, f"Internal error: {error!r}")


def _succeed(store: Store, operation: Any, response: Any) -> Any:
    operation.done = True
    operation.response.Pack(response)
    return store.save(operation)


def _fail(store: Store, operation: Any, code: int, reason: str) -> None:
    operation.done = True
    operation.error.code = code
    operation.error.message = reason
    store.save(operation)
