"""Cloud Storage on a folder: the JSON API (v1) that Google's clients speak, over files that tasks see under /gcs.

What differs from the service: one name cannot be both an object and a folder of others, and the names of objects have
to be possible as paths (no empty, "." or ".." segment, at most 255 bytes each). There is no versioning: a generation
can be read while it is live. Access policies are kept but refuse nobody. The parameter `fields` is ignored, so that
answers are complete. What is not implemented (ACLs, notifications, HMAC keys, lifecycle, encryption keys, holds, the
XML API) answers 501 and names itself.
"""

import os
from pathlib import Path

from aiohttp import web

from . import downloads
from .batch import read_batch, write_batch
from .buckets import Buckets
from .errors import StorageError, invalid, not_implemented
from .names import split_uri
from .objects import Objects, checked
from .requests import Call, origin, path_segments, refuse_unsupported
from .store import Store
from .uploads import Uploads


class Storage:
    """The local Cloud Storage. It belongs to one event loop thread.

    Args:
        folder: Holds a folder per bucket; the file FOLDER/BUCKET/NAME is the object gs://BUCKET/NAME.
        database: An SQLite file for what files cannot hold; nothing else may use it.
        project_number: The number of the project of buckets that were not made by a call.
    """

    def __init__(self, folder: Path, database: Path, project_number: str) -> None:
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
        """Answers a request to storage.googleapis.com."""
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
        match request.method, *segments:
            case "POST", "upload", "storage", "v1", "b", bucket, "o":
                if "upload_id" not in request.query:
                    return await self._uploads.insert(request, bucket)
                return await self._uploads.resume(request)
            case "PUT" | "DELETE", "upload", "storage", "v1", "b", _, "o":
                return await self._uploads.resume(request)
            case "GET", "download", "storage", "v1", "b", bucket, "o", name:
                return await self._download(request, bucket, name)
            case "GET", "storage", "v1", "b", bucket, "o", name if request.query.get("alt") == "media":
                return await self._download(request, bucket, name)
            case "POST", "batch", "storage", "v1":
                return await self._batch(request)
        body = await request.read()
        return await self._call(Call(request.method, segments, request.query, request.headers, body, origin(request)))

    async def _download(self, request: web.Request, bucket: str, name: str) -> web.StreamResponse:
        refuse_unsupported(request.query, request.headers)
        stored, file = await self._store.open(bucket, name)
        with file:
            checked(request.query, request.headers, stored, bucket, name, reading=True)
            return await downloads.send(request, stored, file)

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
        refuse_unsupported(call.query, call.headers)
        buckets, objects = self._buckets, self._objects
        match call.method, *call.segments:
            case "GET", "storage", "v1", "b":
                return buckets.list(call)
            case "POST", "storage", "v1", "b":
                return buckets.insert(call)
            case "GET", "storage", "v1", "b", bucket:
                return buckets.get(call, bucket)
            case "DELETE", "storage", "v1", "b", bucket:
                return buckets.delete(call, bucket)
            case "GET", "storage", "v1", "b", bucket, "iam":
                return buckets.get_policy(bucket)
            case "PUT", "storage", "v1", "b", bucket, "iam":
                return buckets.set_policy(call, bucket)
            case "GET", "storage", "v1", "b", bucket, "iam", "testPermissions":
                return buckets.test_permissions(call, bucket)
            case "GET", "storage", "v1", "b", bucket, "o":
                return await objects.list(call, bucket)
            case "GET", "storage", "v1", "b", bucket, "o", name:
                return await objects.get(call, bucket, name)
            case "PATCH", "storage", "v1", "b", bucket, "o", name:
                return await objects.patch(call, bucket, name)
            case "PUT", "storage", "v1", "b", bucket, "o", name:
                return await objects.update(call, bucket, name)
            case "DELETE", "storage", "v1", "b", bucket, "o", name:
                return await objects.delete(call, bucket, name)
            case "POST", "storage", "v1", "b", bucket, "o", name, "compose":
                return await objects.compose(call, bucket, name)
            case "POST", "storage", "v1", "b", bucket, "o", name, "copyTo", "b", other, "o", copy:
                return await objects.copy(call, (bucket, name), (other, copy))
            case "POST", "storage", "v1", "b", bucket, "o", name, "rewriteTo", "b", other, "o", copy:
                return await objects.rewrite(call, (bucket, name), (other, copy))
        raise not_implemented(f"{call.method} /{'/'.join(call.segments)}")
