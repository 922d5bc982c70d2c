"""Sends an object's bytes, whole or a range of them."""

import asyncio
import re
from typing import BinaryIO

from aiohttp import web

from .errors import StorageError
from .files import READ_SIZE
from .resources import download_headers
from .store import StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def send(request: web.Request, stored: StoredObject, file: BinaryIO) -> web.StreamResponse:
    """Answers a request with an object's bytes.

    Args:
        request: May have a header Range with one range; one with several is answered whole, which HTTP allows.
        stored: The object.
        file: Its bytes.

    Raises:
        StorageError: With code 416.
    """
    headers = {**download_headers(stored), "Accept-Ranges": "bytes"}
    wanted = requested_range(request.headers.get("Range", ""), stored.size)
    start, end = wanted or (0, stored.size)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    response = web.StreamResponse(status=206 if wanted else 200, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    file.seek(start)
    remaining = end - start
    while remaining:
        try:
            chunk = await asyncio.to_thread(file.read, min(READ_SIZE, remaining))
        except OSError:
            chunk = b""
        if not chunk:
            # Cut short by its writer, or unreadable. A broken connection tells the client that bytes are missing.
            if request.transport:
                request.transport.abort()
            return response
        await response.write(chunk)
        remaining -= len(chunk)
    await response.write_eof()
    return response


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a Range header asks for; None for all.

    Raises:
        StorageError: With code 416, when the object has none of these bytes.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None  # not a valid range, which HTTP says to ignore
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise StorageError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", headers)
    return start, end
