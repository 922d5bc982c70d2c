"""Receives objects: in one request (media, or multipart with metadata), or resumably in several."""

import json
import re
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import aiohttp
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from .errors import StorageError, invalid, json_response, required
from .files import DEFAULT_CONTENT_TYPE, READ_SIZE
from .names import check_object_name
from .preconditions import Preconditions
from .requests import json_object, origin, refuse_unsupported
from .resources import merged, object_resource, requested_object_fields
from .store import Destination, Store, StoredObject, check_generations

_CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,18})-(?P<last>\d{1,18})|\*)/(?:(?P<total>\d{1,18})|\*)")
_QUOTED_BOUNDARY = re.compile(r"boundary='([^']*)'")
_CHUNK_UNIT = 256 * 1024
_SESSION_LIFE_US = 7 * 24 * 3600 * 1_000_000


class Uploads:
    """The upload endpoints of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = _Sessions(store)

    async def insert(self, request: web.Request, bucket: str) -> web.Response:
        """Answers the request that starts an upload, and is all of it when it is not resumable.

        Raises:
            StorageError: As `Store.commit`.
        """
        refuse_unsupported(request.query, request.headers)
        match request.query.get("uploadType"):
            case "media":
                return await self._insert_media(request, bucket)
            case "multipart":
                return await self._insert_multipart(request, bucket)
            case "resumable":
                return await self._start(request, bucket)
            case other:
                raise invalid(f"Invalid value for uploadType: {other!r} is none of media, multipart and resumable.")

    async def resume(self, request: web.Request) -> web.Response:
        """Answers a request to a resumable upload's own URL: a chunk of it, a question how far it is, or its end.

        Raises:
            StorageError: 404 when there is no such upload, 503 when another request is at it, or as `Store.commit`.
        """
        with self._sessions.taken(request.query.get("upload_id", "")) as session:
            if request.method == "DELETE":
                self._sessions.remove(session)
                return web.Response(status=499)
            if session.finished is None:
                total = await _receive(request, session.path)
                if total is None or total != _size(session.path):
                    return _incomplete(_size(session.path))
                session = await self._finish(session, request.headers)
            assert session.finished is not None
            return json_response(object_resource(session.finished, origin(request)))

    async def _insert_media(self, request: web.Request, bucket: str) -> web.Response:
        content_type = request.headers.get("Content-Type")
        destination = await self._destination(request, bucket, {}, content_type)
        return await self._store_body(request, request.content.iter_any(), destination)

    async def _insert_multipart(self, request: web.Request, bucket: str) -> web.Response:
        with _refusing_malformed():
            reader = await _multipart_reader(request)
            metadata = await reader.next()
            text = bytes(await metadata.read()) if isinstance(metadata, BodyPartReader) else b""
            content = await reader.next()
        if not isinstance(content, BodyPartReader):
            raise invalid("A multipart upload needs two parts: an object resource in JSON, then the content.")
        destination = await self._destination(request, bucket, json_object(text), content.headers.get("Content-Type"))
        return await self._store_body(request, _chunks(reader, content), destination)

    async def _store_body(
        self, request: web.Request, body: AsyncIterable[bytes], destination: Destination
    ) -> web.Response:
        with self._store.temporary() as path:
            with path.open("xb", buffering=READ_SIZE) as file:
                async for chunk in body:
                    file.write(chunk)
            stored = await self._store.commit(path, destination)
        return json_response(object_resource(stored, origin(request)))

    async def _start(self, request: web.Request, bucket: str) -> web.Response:
        resource = json_object(await request.read())
        content_type = request.headers.get("X-Upload-Content-Type")
        destination = await self._destination(request, bucket, resource, content_type)
        session_id = self._sessions.create(destination)
        url = f"{origin(request)}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={session_id}"
        return web.Response(headers={"Location": url, "X-GUploader-UploadID": session_id})

    async def _destination(
        self, request: web.Request, bucket: str, resource: Mapping, content_type: str | None
    ) -> Destination:
        """Reads where an upload is to go, and refuses early what would be refused at its end."""
        name = request.query.get("name") or resource.get("name")
        if not isinstance(name, str):
            raise required("name")
        check_object_name(name)
        defaults = {
            "contentType": content_type or DEFAULT_CONTENT_TYPE,
            "contentEncoding": request.query.get("contentEncoding"),
        }
        fields = merged(requested_object_fields(defaults), requested_object_fields(resource))
        preconditions = Preconditions.from_query(request.query)
        check_generations(preconditions, await self._store.look(bucket, name))
        expected = Destination(bucket, name, fields, preconditions, resource.get("crc32c"), resource.get("md5Hash"))
        return _with_expected(expected, request.headers)

    async def _finish(self, session: "_Session", headers: Mapping[str, str]) -> "_Session":
        session.path.touch()  # an upload of no bytes has left no file
        try:
            stored = await self._store.commit(
                session.path,
                _with_expected(session.destination, headers),
                lambda stored: self._sessions.finish(session, stored),
            )
        except StorageError:
            self._sessions.remove(session)  # the bytes will not get better
            raise
        return replace(session, finished=stored)


@dataclass(frozen=True)
class _Session:
    """A resumable upload; `path` holds what has been received until it is finished."""

    id: str
    path: Path
    destination: Destination
    finished: StoredObject | None


class _Sessions:
    """The resumable uploads. They are kept in the store's database, and so outlive the server's process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._busy: set[str] = set()
        oldest_us = time.time_ns() // 1000 - _SESSION_LIFE_US
        store.database.execute("DELETE FROM uploads WHERE created_us < ?", (oldest_us,))
        store.remove_temporaries(keep={row["id"] for row in store.database.execute("SELECT id FROM uploads")})

    def create(self, destination: Destination) -> str:
        """Starts an upload and returns its id."""
        session_id = uuid.uuid4().hex
        row = (session_id, json.dumps(asdict(destination)), time.time_ns() // 1000)
        self._store.database.execute("INSERT INTO uploads VALUES (?, ?, ?, NULL)", row)
        return session_id

    @contextmanager
    def taken(self, session_id: str) -> Iterator[_Session]:
        """Gives an upload to one request alone.

        Raises:
            StorageError: 404 when it does not exist, 503 when another request has it.
        """
        row = self._store.database.execute("SELECT * FROM uploads WHERE id = ?", (session_id,)).fetchone()
        if row is None:
            raise StorageError(404, "notFound", f"No such upload: {session_id!r}. It ended, or it never began.")
        if session_id in self._busy:
            raise StorageError(503, "backendError", "An earlier request to this upload is still under way.")
        destination = json.loads(row["destination"])
        destination["preconditions"] = Preconditions(**destination["preconditions"])
        path = self._store.temporary_path(session_id)
        # While the file is still there, the object has not appeared: the server was killed just before.
        has_finished = row["finished"] and not path.exists()
        finished = StoredObject(**json.loads(row["finished"])) if has_finished else None
        self._busy.add(session_id)
        try:
            yield _Session(session_id, path, Destination(**destination), finished)
        finally:
            self._busy.discard(session_id)

    def finish(self, session: _Session, stored: StoredObject) -> None:
        """Remembers the outcome, for a client that did not get the answer and asks again."""
        finished = json.dumps(asdict(stored))
        self._store.database.execute("UPDATE uploads SET finished = ? WHERE id = ?", (finished, session.id))

    def remove(self, session: _Session) -> None:
        """Ends an upload without an object."""
        self._store.database.execute("DELETE FROM uploads WHERE id = ?", (session.id,))
        session.path.unlink(missing_ok=True)


async def _receive(request: web.Request, path: Path) -> int | None:
    """Appends what a request brings to the bytes received so far.

    Returns:
        How many bytes the whole upload has, None where the client does not say so yet.
    """
    header = request.headers.get("Content-Range")
    if header is None:  # all of the rest, in this request
        await _append(request, path, 0)
        return _size(path)
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise invalid(f"Invalid Content-Range {header!r}: expected bytes FIRST-LAST/TOTAL, * standing for unknown.")
    total = int(match["total"]) if match["total"] else None
    if match["first"] is None:
        return total
    first, last = int(match["first"]), int(match["last"])
    if request.content_length not in (None, last + 1 - first):
        raise invalid(f"Invalid Content-Range {header!r}: the body has {request.content_length} bytes.")
    if total != last + 1 and (last + 1 - first) % _CHUNK_UNIT:
        raise invalid(
            f"Invalid Content-Range {header!r}: chunks before the last have multiples of {_CHUNK_UNIT} bytes."
        )
    if first > _size(path):
        message = (
            f"Invalid request. According to the Content-Range header, the upload offset is {first} byte(s), which"
            f" exceeds already uploaded size of {_size(path)} byte(s)."
        )
        raise StorageError(503, "backendError", message)
    await _append(request, path, first)
    return total


async def _append(request: web.Request, path: Path, first: int) -> None:
    """Appends a body whose first byte has the offset `first`; bytes that are there already are dropped."""
    with path.open("ab", buffering=READ_SIZE) as file:
        position = first
        async for chunk in request.content.iter_any():
            file.write(chunk[max(0, file.tell() - position) :])
            position += len(chunk)


def _incomplete(size: int) -> web.Response:
    headers = {"Range": f"bytes=0-{size - 1}"} if size else {}
    return web.Response(status=308, reason="Resume Incomplete", headers=headers)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _multipart_reader(request: web.Request) -> MultipartReader:
    """Reads a multipart body, also that of gsutil: a boundary between single quotes, lines that end without CR.

    gsutil sends more than 8 MiB resumably, so that its bodies can be held in memory.
    """
    content_type = request.headers.get("Content-Type", "")
    quoted = _QUOTED_BOUNDARY.search(content_type)
    if quoted is None:
        return MultipartReader(request.headers, request.content)
    boundary = quoted[1].encode()
    parts = (b"\n" + await request.read()).split(b"\n--" + boundary)
    content = aiohttp.StreamReader(request.protocol, 2**16)
    for part in parts[1:-1]:
        head, _, body = part.partition(b"\n\n")
        content.feed_data(b"--%b%b\r\n\r\n%b\r\n" % (boundary, head.replace(b"\n", b"\r\n"), body))
    content.feed_data(b"--%b%b\r\n" % (boundary, parts[-1]))
    content.feed_eof()
    return MultipartReader({"Content-Type": _QUOTED_BOUNDARY.sub(r'boundary="\1"', content_type)}, content)


async def _chunks(reader: MultipartReader, last_part: BodyPartReader) -> AsyncIterator[bytes]:
    with _refusing_malformed():
        while chunk := await last_part.read_chunk(READ_SIZE):
            yield chunk
        if await reader.next() is not None:  # which also finds that the closing boundary is missing
            raise invalid("A multipart upload has two parts, and more were sent.")


@contextmanager
def _refusing_malformed() -> Iterator[None]:
    """Makes 400 of what aiohttp says to a multipart body without its boundaries."""
    try:
        yield
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise invalid(f"Invalid multipart body: {error}") from None


def _with_expected(destination: Destination, headers: Mapping[str, str]) -> Destination:
    """Adds the checksums that a request's headers announce."""
    announced = dict(part.strip().partition("=")[::2] for part in headers.get("X-Goog-Hash", "").split(","))
    md5 = headers.get("Content-MD5", announced.get("md5", destination.md5))
    return replace(destination, crc32c=announced.get("crc32c", destination.crc32c), md5=md5)
