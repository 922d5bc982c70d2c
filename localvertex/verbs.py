"""The standard methods (Create, Get, List, Update, Delete) of resources that need no handling of their own."""

import re
from collections.abc import Callable
from typing import Any

from google.protobuf import empty_pb2
from google.protobuf.message import Message

from . import operations
from .api import METHODS, OPAQUE, VERTEX, ApiError, Method, invalid, message, to_dict
from .behaviors import is_changeable
from .dispatcher import HANDLERS, Handler, handles
from .filters import Functions, parse_filter
from .names import new_id
from .vertex import Vertex

Check = Callable[[Any], None]
_DEFAULT_PAGE_SIZE = 100
_RESOURCE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


def standard_methods(
    service: str,
    resource: str,
    *verbs: str,
    check: Check = lambda resource: None,
    functions: Callable[[Vertex], Functions] = lambda vertex: {},
) -> None:
    """Registers standard methods of a resource.

    Args:
        service: "EndpointService".
        resource: "Endpoint".
        verbs: Which of "Create", "Get", "List", "Update", "Delete".
        check: Raises `ApiError` for a resource that may not be stored as it is.
        functions: Functions of the list filter.
    """
    for verb in verbs:
        method = _method(service, verb, resource)
        make = {"Create": _create, "Get": _get, "Update": _update, "Delete": _delete}
        handler = _list(method, resource, functions) if verb == "List" else make[verb](method, resource, check)
        handles(method.key)(handler)


def standard(key: str) -> Handler:
    """The handler of an already registered method, for a method that adds something to it."""
    return HANDLERS[key]


def _method(service: str, verb: str, resource: str) -> Method:
    wanted = f"/{VERTEX}.{service}/{verb}{resource}"
    return next(METHODS[path] for path in METHODS if path == wanted or path in (wanted + "s", wanted[:-1] + "ies"))


def _create(method: Method, resource: str, check: Check) -> Handler:
    field, collection = _resource_field(method, resource), _collection(method)
    id_field = f"{_snake(resource)}_id"

    async def create(vertex: Vertex, request: Any) -> Any:
        created = type(getattr(request, field))()
        created.CopyFrom(getattr(request, field))
        check(created)
        created.name = f"{request.parent}/{collection}/{chosen_id(request, id_field)}"
        return _answer(vertex, method, vertex.store.create(created))

    return create


def chosen_id(request: Any, field: str) -> str:
    """The id that a request names in a field for a new resource, or a new one if it names none.

    Raises:
        ApiError: INVALID_ARGUMENT for one that may not be.
    """
    wanted = getattr(request, field, "")
    if wanted and not _RESOURCE_ID.fullmatch(wanted):
        raise invalid(f"{field} {wanted!r} is not valid: it must match {_RESOURCE_ID.pattern}.")
    return wanted or new_id()


def _get(method: Method, resource: str, check: Check) -> Handler:
    async def get(vertex: Vertex, request: Any) -> Any:
        return vertex.store.get(request.name)

    return get


def _list(method: Method, resource: str, functions: Callable[[Vertex], Functions]) -> Handler:
    async def list_resources(vertex: Vertex, request: Any) -> Any:
        found = vertex.store.list(request.parent, resource)
        return page(method, request, found, functions(vertex))

    return list_resources


def _update(method: Method, resource: str, check: Check) -> Handler:
    field = _resource_field(method, resource)

    async def update(vertex: Vertex, request: Any) -> Any:
        changes = getattr(request, field)
        current = vertex.store.get(changes.name)
        check_etag(current, changes)
        apply_update(current, changes, list(request.update_mask.paths))
        check(current)
        return _answer(vertex, method, vertex.store.save(current))

    return update


def _delete(method: Method, resource: str, check: Check) -> Handler:
    async def delete(vertex: Vertex, request: Any) -> Any:
        vertex.store.delete(request.name)
        if method.response.DESCRIPTOR.full_name == operations.OPERATION:
            return operations.finished(vertex.store, request.name, "DeleteOperationMetadata", empty_pb2.Empty())
        return message("google.protobuf.Empty")()

    return delete


def _answer(vertex: Vertex, method: Method, resource: Message) -> Any:
    if method.response.DESCRIPTOR.full_name != operations.OPERATION:
        return resource
    return operations.finished(vertex.store, resource.name, f"{method.name}OperationMetadata", resource)


def page(method: Method, request: Any, found: list[Any], functions: Functions | None = None) -> Any:
    """The response of a List method: filtered, ordered, cut to a page.

    Args:
        method: The List method.
        request: Its request, whose filter, order_by, page_size and page_token are applied as far as it has them.
        found: All resources, oldest first.
        functions: Functions of the filter.
    """
    response: Any = method.response()
    repeated = next(field for field in response.DESCRIPTOR.fields if field.is_repeated)
    kept = list(found)
    if text := getattr(request, "filter", ""):
        predicate = parse_filter(text, functions)
        kept = [resource for resource in found if predicate(_filterable(resource))]
    for term in reversed([term for term in getattr(request, "order_by", "").split(",") if term.strip()]):
        field, descending = _order(term, repeated.message_type)
        kept.sort(key=lambda resource: _sort_key(getattr(resource, field)), reverse=descending)
    start = _page_start(request.page_token)
    end = start + (request.page_size or _DEFAULT_PAGE_SIZE)
    getattr(response, repeated.name).extend(kept[start:end])
    if end < len(kept):
        response.next_page_token = str(end)
    return response


def _filterable(resource: Any) -> dict[str, Any]:
    """What a filter sees of a resource: its JSON form, and its id under its own name (`endpoint=123`)."""
    kind = resource.DESCRIPTOR.name
    return {kind[0].lower() + kind[1:]: resource.name.rsplit("/", 1)[-1], **to_dict(resource)}


def _order(term: str, resource: Any) -> tuple[str, bool]:
    """The field of an `order_by` term such as `create_time desc`, and whether the order is a falling one."""
    field, _, direction = term.strip().partition(" ")
    snake = _snake(field)
    if snake not in resource.fields_by_name:
        raise invalid(f"Invalid order_by: {field!r} is no field of {resource.name}.")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise invalid(f"Invalid order_by: expected asc or desc after {field!r}, not {direction.strip()!r}.")
    return snake, direction.strip().lower() == "desc"


def _sort_key(value: Any) -> Any:
    return (value.seconds, value.nanos) if hasattr(value, "nanos") else value


def _page_start(token: str) -> int:
    if token and not token.isdigit():
        raise invalid(f"Invalid page_token: {token!r}.")
    return int(token or 0)


def check_etag(current: Any, given: Any) -> None:
    """Refuses a change that was made from an older state of a resource.

    Raises:
        ApiError: ABORTED if an etag is given and is not the current one.
    """
    etag = getattr(given, "etag", "")
    if etag and etag != current.etag:
        kind = current.DESCRIPTOR.name
        raise ApiError("ABORTED", f"Specified {kind} `etag`: `{etag}` does not match server `etag`: `{current.etag}`")


def apply_update(target: Any, changes: Any, paths: list[str]) -> None:
    """Copies the fields that an update mask names.

    Args:
        target: Message to change.
        changes: Message with the new values.
        paths: Mask paths in snake case, checked already (see `requests.prepare`); "*" or none stand for all fields that
            `changes` sets and that may be changed.
    """
    if paths in ([], ["*"]):
        paths = [field.name for field, _ in changes.ListFields() if is_changeable(field)]
    for path in paths:
        name, _, rest = path.partition(".")
        field = target.DESCRIPTOR.fields_by_name[name]
        if rest and not field.is_repeated and field.message_type.full_name not in OPAQUE:
            apply_update(getattr(target, name), getattr(changes, name), [rest])
        else:
            copy = type(target)()
            copy.CopyFrom(changes)
            for other, _ in changes.ListFields():
                if other.name != name:
                    copy.ClearField(other.name)
            target.ClearField(name)
            target.MergeFrom(copy)


def _resource_field(method: Method, resource: str) -> str:
    return next(
        field.name
        for field in method.request.DESCRIPTOR.fields
        if field.message_type is not None and field.message_type.name == resource
    )


def _collection(method: Method) -> str:
    """The last part of the URI: `/v1/{parent=projects/*/locations/*}/endpoints`."""
    return next(
        binding.template.rsplit("}/", 1)[1]
        for binding in method.bindings
        if binding.template.startswith("/v1/{parent=")
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def check_display_name(resource: Any) -> None:
    """Vertex AI's rule for display names: 1 to 128 characters."""
    if not 1 <= len(resource.display_name) <= 128:
        length, kind = len(resource.display_name), resource.DESCRIPTOR.name
        raise invalid(f"display_name of {kind} must have 1 to 128 characters, not {length}.")
