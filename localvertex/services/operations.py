"""Long-running operations as resources: the calls with which clients follow them (https://google.aip.dev/151)."""

from typing import Any

from .. import operations
from ..api import METHODS, ApiError, message
from ..dispatcher import handles
from ..operations import OPERATION
from ..verbs import page
from ..vertex import Vertex

_LIST = METHODS["/google.longrunning.Operations/ListOperations"]


@handles("Operations.GetOperation", "Operations.WaitOperation")
async def get_operation(vertex: Vertex, request: Any) -> Any:
    """The dispatcher waits a while for an operation that is not done, so getting and waiting are one."""
    return vertex.store.get(request.name)


@handles("Operations.ListOperations")
async def list_operations(vertex: Vertex, request: Any) -> Any:
    """The operations of a location."""
    return page(_LIST, request, vertex.store.list(request.name.removesuffix("/operations"), OPERATION))


@handles("Operations.CancelOperation")
async def cancel_operation(vertex: Vertex, request: Any) -> Any:
    """Stops the work of an operation where that can be; otherwise it goes on to its end, as the contract allows."""
    vertex.store.get(request.name)
    if await vertex.tasks.cancel(request.name):
        operations.cancelled(vertex.store, request.name)
    return message("google.protobuf.Empty")()


@handles("Operations.DeleteOperation")
async def delete_operation(vertex: Vertex, request: Any) -> Any:
    """Forgets a finished operation."""
    if not vertex.store.get(request.name).done:
        raise ApiError("FAILED_PRECONDITION", f"Operation {request.name} is not done.")
    vertex.store.delete(request.name)
    return message("google.protobuf.Empty")()
