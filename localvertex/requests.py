"""What every request must meet before a handler sees it: resource names, required fields, the location of the host.

Errors have the form that Vertex AI gives them: a numbered list of fields, each with what is wrong with it.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

from .api import OPAQUE, Method, invalid
from .behaviors import OUTPUT_ONLY, REQUIRED, fields_with, is_changeable

# In the path of a binding: {name=projects/*/locations/*}.
PATH_VARIABLE = re.compile(r"\{([\w.]+)(?:=([^}]*))?\}")
_REGIONAL_HOST = re.compile(r"([a-z0-9-]+)-aiplatform\.googleapis\.com")
_MAKES_RESOURCES = ("Create", "Upload", "Import")
_MISSING = "Required field is not set."
_Problem = tuple[str, str]


def location_of_host(host: str) -> str | None:
    """The location that a host serves: "us-central1" for us-central1-aiplatform.googleapis.com, None for any."""
    match = _REGIONAL_HOST.fullmatch(host)
    return match[1] if match else None


def prepare(method: Method, request: Any, location: str | None) -> None:
    """Checks a request; in a resource that is to be made, it clears what only the service sets.

    Args:
        method: The called method.
        request: Its request message.
        location: The location that the called host serves, or None if it serves all.

    Raises:
        ApiError: INVALID_ARGUMENT with all that is wrong.
    """
    makes = method.name.startswith(_MAKES_RESOURCES)
    problems = {
        **dict(_missing(request, nested=makes)),
        **dict(_wrong_names(method, request, location)),
        **dict(_wrong_page(request)),
        **dict(_wrong_mask(request)),
    }
    if problems:
        lines = [
            f"{number}.Field: {field}; Message: {text}" for number, (field, text) in enumerate(problems.items(), 1)
        ]
        raise invalid("\t".join(["List of found errors:", *lines, ""]))
    if makes:
        for _, resource in _messages(request):
            for field in fields_with(resource.DESCRIPTOR, OUTPUT_ONLY):
                resource.ClearField(field.name)


def addresses(method: Method, request: Any) -> list[str]:
    """The names in a request that say which resource it is about."""
    return [_value(request, path) for path in _addresses(method)]


def _missing(request: Any, *, nested: bool) -> Iterator[_Problem]:
    """The required fields that are not set, also those of the resource that is to be made."""
    for field in fields_with(request.DESCRIPTOR, REQUIRED):
        if _is_unset(request, field):
            yield field.name, _MISSING
    for name, resource in _messages(request) if nested else ():
        for field in fields_with(resource.DESCRIPTOR, REQUIRED):
            if _is_unset(resource, field):
                yield f"{name}.{field.name}", _MISSING


def _messages(request: Any) -> Iterator[tuple[str, Any]]:
    """The resources in a request."""
    for field, value in request.ListFields():
        if field.message_type is not None and not field.is_repeated:
            yield field.name, value


def _is_unset(message: Any, field: Any) -> bool:
    """Whether a field is not set, as far as it can be told: a number that is 0 and a bool that is False may be."""
    if field.is_repeated:
        return not len(getattr(message, field.name))
    if field.message_type is not None:
        return not message.HasField(field.name)
    return field.type in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_ENUM) and not getattr(message, field.name)


def _wrong_names(method: Method, request: Any, location: str | None) -> Iterator[_Problem]:
    for path, templates in _addresses(method).items():
        name = _value(request, path)
        if not name:
            yield path, _MISSING
        elif not any(_pattern(template).fullmatch(name) for template in templates):
            yield path, f"Invalid resource name {name!r}: expected {' or '.join(templates)}."
        elif location is not None and _location(name) not in ("-", location, None):
            yield path, f"The provided location ID doesn't match the endpoint. The valid location ID is `{location}`."


def _wrong_page(request: Any) -> Iterator[_Problem]:
    size = getattr(request, "page_size", 0)
    if size < 0:
        yield "page_size", f"The page size must not be negative, as {size} is."


def _wrong_mask(request: Any) -> Iterator[_Problem]:
    mask = request.DESCRIPTOR.fields_by_name.get("update_mask")
    if mask is None:
        return
    for resource in (value for name, value in _messages(request) if name != mask.name):
        for path in request.update_mask.paths:
            if path != "*" and not _is_changeable(path, resource.DESCRIPTOR):
                yield mask.name, f"{path!r} is no field of {resource.DESCRIPTOR.name} that can be changed."


def _is_changeable(path: str, message: Any) -> bool:
    """Whether an update mask may name a path: a field that may be changed, or a part of one."""
    name, *rest = path.split(".")
    field = message.fields_by_name.get(name)
    return field is not None and is_changeable(field) and _leads_somewhere(rest, field)


def _leads_somewhere(path: list[str], field: Any) -> bool:
    """Whether a path within a field is there; within a map or a Struct any is."""
    if not path or field.is_repeated or (field.message_type is not None and field.message_type.full_name in OPAQUE):
        return not path or field.message_type is not None
    inner = field.message_type.fields_by_name.get(path[0]) if field.message_type is not None else None
    return inner is not None and _leads_somewhere(path[1:], inner)


def _value(request: Any, path: str) -> str:
    *parents, last = path.split(".")
    for parent in parents:
        request = getattr(request, parent)
    return getattr(request, last)


def _location(name: str) -> str | None:
    parts = name.split("/")
    return parts[3] if len(parts) > 3 and parts[2] == "locations" else None


@functools.cache
def _addresses(method: Method) -> dict[str, list[str]]:
    """The fields that say which resource a call is about, with the forms that their names may have."""
    found: dict[str, list[str]] = {}
    for binding in method.bindings:
        for path, template in PATH_VARIABLE.findall(binding.template):
            forms = found.setdefault(path, [])
            if template and template not in forms:
                forms.append(template)
    return {path: forms for path, forms in found.items() if forms}


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\*\*", ".+").replace(r"\*", "[^/]+"))
