"""The bodies of batch requests: several HTTP requests in one multipart message, and their responses in another."""

import email
import re
import uuid
from collections.abc import Sequence
from email.message import Message
from email.parser import BytesHeaderParser

from aiohttp import web
from yarl import URL

from .errors import invalid
from .requests import Call, path_segments

_MOST_CALLS = 1000
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def read_batch(content_type: str, body: bytes, origin: str) -> list[Call]:
    """Takes the calls out of a batch request.

    Raises:
        StorageError: With code 400.
    """
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = message.get_payload()
    if not isinstance(parts, list) or len(parts) > _MOST_CALLS:
        raise invalid(f"A batch request is a multipart/mixed message of at most {_MOST_CALLS} parts.")
    return [_read_call(part, origin) for part in parts if isinstance(part, Message)]


def write_batch(responses: Sequence[web.Response]) -> web.Response:
    """Puts the responses to a batch's calls into one, in the order of the calls."""
    boundary = f"batch_{uuid.uuid4().hex}"
    parts = [_write_response(number, response) for number, response in enumerate(responses, start=1)]
    text = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
    return web.Response(body=text.encode(), headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _read_call(part: Message, origin: str) -> Call:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise invalid("A part of the batch request is no HTTP request.")
    head, *body = _BLANK_LINE.split(payload.lstrip(), maxsplit=1)
    request_line, _, headers = head.partition(b"\n")
    try:
        method, address, _ = request_line.decode().split()
        url = URL(address, encoded=True)
    except ValueError:
        raise invalid(f"A part of the batch request begins with {request_line!r}, which is no HTTP request.") from None
    return Call(
        method=method,
        segments=path_segments(url.raw_path),
        query=url.query,
        headers=dict(BytesHeaderParser().parsebytes(headers).items()),
        body=body[0] if body else b"",
        origin=origin,
    )


def _write_response(number: int, response: web.Response) -> str:
    body = response.text or ""
    return (
        f"Content-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n"
        f"HTTP/1.1 {response.status} {response.reason}\r\n"
        f"Content-Type: application/json; charset=UTF-8\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
    )
