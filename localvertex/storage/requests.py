"""What the handlers of all requests need to read from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web
from multidict import MultiMapping

from .errors import StorageError, invalid, not_implemented

_UNSUPPORTED_PARAMETERS = (
    "destinationKmsKeyName",
    "destinationPredefinedAcl",
    "kmsKeyName",
    "predefinedAcl",
    "predefinedDefaultObjectAcl",
    "softDeleted",
)


@dataclass(frozen=True)
class Call:
    """A request to the JSON API whose body is JSON: one of its own, or one within a batch."""

    method: str
    segments: tuple[str, ...]
    query: MultiMapping[str]
    headers: Mapping[str, str]
    body: bytes
    origin: str


def path_segments(raw_path: str) -> tuple[str, ...]:
    """The decoded segments of a path; an encoded slash stays within its segment.

    Raises:
        StorageError: With code 400, when it is not in UTF-8.
    """
    try:
        return tuple(unquote(segment, errors="strict") for segment in raw_path.split("/")[1:])
    except UnicodeDecodeError:
        raise invalid(f"Invalid path {raw_path!r}: it is not UTF-8.") from None


def origin(request: web.Request) -> str:
    """Scheme and authority that the client reached this server by.

    A front may have taken the TLS off a request; to Google's own hosts clients speak nothing else.
    """
    scheme = "https" if request.host.partition(":")[0].endswith(".googleapis.com") else request.scheme
    return f"{scheme}://{request.host}"


def json_object(body: bytes) -> dict:
    """Parses the body of a request; an empty one is an object without fields.

    Raises:
        StorageError: With code 400.
    """
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StorageError(400, "parseError", "Parse Error: the body is not a JSON object.")
    return value


def refuse_unsupported(query: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Refuses what would change what a request means and is not implemented.

    Raises:
        StorageError: With code 501.
    """
    for name in _UNSUPPORTED_PARAMETERS:
        if query.get(name, "").lower() not in ("", "false"):
            raise not_implemented(f"the parameter {name}")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise not_implemented("requests with a compressed body")
    if any(name.lower().startswith(("x-goog-encryption-", "x-goog-copy-source-encryption-")) for name in headers):
        raise not_implemented("customer-supplied encryption keys")
