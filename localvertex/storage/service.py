"""Cloud Storage on a folder: the JSON API (v1) that Google's clients speak, over files that tasks see under /gcs.

What differs from the service: one name cannot be both an object and a folder of others, and the names of objects have
to be possible as paths (no empty, "." or ".." segment, at most 255 bytes each). There is no versioning: a generation
can be read while it is live. Access policies are kept but refuse nobody. The parameter `fields` is ignored, so that
answers are complete. What is not implemented (ACLs, notifications, HMAC keys, lifecycle, encryption keys, holds, the
XML API) answers 501 and names itself.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from ..api import ApiError, http_status
from ..standing_faults import StandingFaults
from . import downloads
from .batch import read_batch, write_batch
from .buckets import Buckets
from .errors import StorageError, invalid, not_implemented
from .names import split_uri
from .objects import Objects, checked
from .requests import Call, origin, path_segments, refuse_unsupported
from .store import Store
from .uploads import Uploads

# "*" stands for one segment, which the method is given. A resumable upload consists of several requests.
_ROUTES = {
    "GET /storage/v1/b": "storage.buckets.list",
    "POST /storage/v1/b": "storage.buckets.insert",
    "GET /storage/v1/b/*": "storage.buckets.get",
    "DELETE /storage/v1/b/*": "storage.buckets.delete",
    "GET /storage/v1/b/*/iam": "storage.buckets.getIamPolicy",
    "PUT /storage/v1/b/*/iam": "storage.buckets.setIamPolicy",
    "GET /storage/v1/b/*/iam/testPermissions": "storage.buckets.testIamPermissions",
    "POST /upload/storage/v1/b/*/o": "storage.objects.insert",
    "POST /resumable/upload/storage/v1/b/*/o": "storage.objects.insert",  # how gsutil starts one
    "PUT /upload/storage/v1/b/*/o": "storage.objects.insert",
    "DELETE /upload/storage/v1/b/*/o": "storage.objects.insert",
    "GET /download/storage/v1/b/*/o/*": "storage.objects.get",
    "GET /storage/v1/b/*/o": "storage.objects.list",
    "GET /storage/v1/b/*/o/*": "storage.objects.get",
    "PATCH /storage/v1/b/*/o/*": "storage.objects.patch",
    "PUT /storage/v1/b/*/o/*": "storage.objects.update",
    "DELETE /storage/v1/b/*/o/*": "storage.objects.delete",
    "POST /storage/v1/b/*/o/*/compose": "storage.objects.compose",
    "POST /storage/v1/b/*/o/*/copyTo/b/*/o/*": "storage.objects.copy",
    "POST /storage/v1/b/*/o/*/rewriteTo/b/*/o/*": "storage.objects.rewrite",
}
_SPLIT_ROUTES = [(tuple(route.replace(" ", "").split("/")), name) for route, name in _ROUTES.items()]
METHODS = frozenset(_ROUTES.values())


class Storage:
    """The local Cloud Storage. It belongs to one event loop thread.

    Args:
        folder: Holds a folder per bucket; the file FOLDER/BUCKET/NAME is the object gs://BUCKET/NAME.
        database: An SQLite file for what files cannot hold; nothing else may use it.
        project_number: The number of the project of buckets that were not made by a call.
        faults: What is to go wrong with calls.
    """

    def __init__(self, folder: Path, database: Path, project_number: str, faults: StandingFaults | None = None) -> None:
        self._faults = faults or StandingFaults()
        self._store = Store(folder, database)
        self._buckets = Buckets(self._store, project_number)
        self._objects = Objects(self._store)
        self._uploads = Uploads(self._store)

    def path(self, uri: str) -> Path:
        """Returns the file of an object, whether it exists or not.

        Args:
            uri: gs://BUCKET/NAME, where NAME may be empty or a folder.

        Raises:
            StorageError: When the URI names nothing that could be in a bucket's folder.
        """
        bucket, name = split_uri(uri)
        path, folder = self._store.path(bucket, name), self._store.path(bucket, "")
        if not Path(os.path.realpath(path)).is_relative_to(folder):
            raise invalid(f"{uri!r} leads out of the bucket's folder through a link. Remove the link.")
        return path

    def close(self) -> None:
        """Closes the database."""
        self._store.database.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request to storage.googleapis.com.

        Raises:
            DroppedError: If a fault takes the answer away.
        """
        try:
            return await self._answer(request)
        except StorageError as error:
            return error.response()
        except ConnectionError:
            raise
        except OSError as error:  # a full disk, no permission for a task's file
            return StorageError(500, "backendError", f"The folder of the buckets cannot be used: {error}").response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        segments = path_segments(request.rel_url.raw_path)
        if (request.method, *segments) == ("POST", "batch", "storage", "v1"):
            return await self._batch(request)
        method, captured = _find(request.method, segments)
        media = request.query.get("alt") == "media" or segments[0] == "download"
        if method == "storage.objects.get" and media:
            return await self._download(request, *captured)
        if method == "storage.objects.insert":
            async with self._with_faults(method):
                return await self._upload(request, *captured)
        body = await request.read()
        return await self._call(Call(request.method, segments, request.query, request.headers, body, origin(request)))

    async def _download(self, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
        refuse_unsupported(request.query, request.headers)
        with contextlib.ExitStack() as stack:
            async with self._with_faults("storage.objects.get"):  # which ends before anything is sent
                stored, file = await self._store.open(bucket, name)
                stack.enter_context(file)
                checked(request.query, request.headers, stored, bucket, name, reading=True)
            return await downloads.send(request, stored, file)

    async def _upload(self, request: web.Request, bucket: str) -> web.Response:
        if request.method == "POST" and "upload_id" not in request.query:
            return await self._uploads.insert(request, bucket)
        return await self._uploads.resume(request)

    async def _batch(self, request: web.Request) -> web.Response:
        calls = read_batch(request.headers.get("Content-Type", ""), await request.read(), origin(request))
        return write_batch([await self._batched(call) for call in calls])

    async def _batched(self, call: Call) -> web.Response:
        try:
            if call.query.get("alt") == "media":
                raise invalid("A batch cannot download.")
            return await self._call(call)
        except StorageError as error:
            return error.response()

    async def _call(self, call: Call) -> web.Response:
        """Answers a call whose request and response are JSON."""
        method, captured = _find(call.method, call.segments)
        refuse_unsupported(call.query, call.headers)
        async with self._with_faults(method):
            return await self._json_method(method, call, *captured)

    async def _json_method(self, method: str, call: Call, *captured: str) -> web.Response:
        buckets, objects = self._buckets, self._objects
        match method, *captured:
            case ("storage.buckets.list",):
                return buckets.list(call)
            case ("storage.buckets.insert",):
                return buckets.insert(call)
            case "storage.buckets.get", bucket:
                return buckets.get(call, bucket)
            case "storage.buckets.delete", bucket:
                return buckets.delete(call, bucket)
            case "storage.buckets.getIamPolicy", bucket:
                return buckets.get_policy(bucket)
            case "storage.buckets.setIamPolicy", bucket:
                return buckets.set_policy(call, bucket)
            case "storage.buckets.testIamPermissions", bucket:
                return buckets.test_permissions(call, bucket)
            case "storage.objects.list", bucket:
                return await objects.list(call, bucket)
            case "storage.objects.get", bucket, name:
                return await objects.get(call, bucket, name)
            case "storage.objects.patch", bucket, name:
                return await objects.patch(call, bucket, name)
            case "storage.objects.update", bucket, name:
                return await objects.update(call, bucket, name)
            case "storage.objects.delete", bucket, name:
                return await objects.delete(call, bucket, name)
            case "storage.objects.compose", bucket, name:
                return await objects.compose(call, bucket, name)
            case "storage.objects.copy", bucket, name, other, copy:
                return await objects.copy(call, (bucket, name), (other, copy))
            case "storage.objects.rewrite", bucket, name, other, copy:
                return await objects.rewrite(call, (bucket, name), (other, copy))
        raise not_implemented(f"{method} in a batch")  # uploads and downloads

    @contextlib.asynccontextmanager
    async def _with_faults(self, method: str) -> AsyncIterator[None]:
        try:
            async with self._faults.around(method):
                yield
        except ApiError as error:
            raise StorageError(http_status(error), "backendError", error.message) from None


def _find(verb: str, segments: tuple[str, ...]) -> tuple[str, list[str]]:
    """The method that a request names, and the segments of its path that the route leaves open."""
    for route, method in _SPLIT_ROUTES:
        if len(route) == len(segments) + 1 and all(
            part in ("*", given) for part, given in zip(route, (verb, *segments), strict=True)
        ):
            return method, [given for part, given in zip(route[1:], segments, strict=True) if part == "*"]
    raise not_implemented(f"{verb} /{'/'.join(segments)}")
