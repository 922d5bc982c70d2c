"""The errors of the Cloud Storage JSON API: its status codes, reasons and words."""

import json

from aiohttp import web


class StorageError(Exception):
    """An answer other than success.

    Args:
        code: The HTTP status.
        reason: The API's machine-readable reason: "notFound".
        message: What a person reads.
        headers: Further HTTP headers of the answer.
    """

    def __init__(self, code: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.headers = code, reason, message, headers or {}

    def response(self) -> web.Response:
        """The HTTP response, with the body that every client of the JSON API parses."""
        if self.code == 304:
            return web.Response(status=304, headers=self.headers)
        details = [{"domain": "global", "reason": self.reason, "message": self.message}]
        body = {"error": {"code": self.code, "message": self.message, "errors": details}}
        return json_response(body, status=self.code, headers=self.headers)


def json_response(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer in the form of the API."""
    text = json.dumps(body)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json", charset="utf-8")


def invalid(message: str) -> StorageError:
    """400: the request cannot be carried out as it is written."""
    return StorageError(400, "invalid", message)


def required(parameter: str) -> StorageError:
    """400: a parameter is missing."""
    return StorageError(400, "required", f"Required parameter: {parameter}")


def no_such_bucket() -> StorageError:
    """404 for a bucket."""
    return StorageError(404, "notFound", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> StorageError:
    """404 for an object."""
    return StorageError(404, "notFound", f"No such object: {bucket}/{name}")


def conflict(message: str) -> StorageError:
    """409: what is there stands in the way."""
    return StorageError(409, "conflict", message)


def not_implemented(what: str) -> StorageError:
    """501: Cloud Storage can do this, the local one cannot."""
    return StorageError(501, "notImplemented", f"The local Cloud Storage does not implement {what}.")
