"""The local Cloud Storage, used by Google's own client and as a folder of files."""

import asyncio
import base64
import hashlib
import http.client
import io
import json
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c
import pytest
import requests
from aiohttp import web
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from seatrial.localvertex.names import project_number
from seatrial.localvertex.storage.downloads import requested_range
from seatrial.localvertex.storage.errors import StorageError
from seatrial.localvertex.storage.listing import glob_pattern
from seatrial.localvertex.storage.service import Storage
from seatrial.localvertex.storage.store import Store

CHUNK = 256 * 1024


class KilledError(RuntimeError):
    """Ends a request where a kill ends the server."""


class Server:
    """A server in its own thread, which can be stopped and started again on the same folder."""

    def __init__(self, home: Path) -> None:
        self.folder, self._database = home / "buckets", home / "storage.sqlite"
        self.start()

    def start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(30)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = storage.Client(
            project="local-project", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.storage = Storage(self.folder, self._database, project_number("local-project"))
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self.storage.handle)
        runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        started.set()
        await self._stop.wait()
        await runner.cleanup()
        self.storage.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("storage"))
    yield server
    server.stop()


@pytest.fixture
def bucket(server: Server) -> storage.Bucket:
    return server.client.create_bucket(f"bucket-{uuid.uuid4().hex}")


@pytest.fixture
def folder(server: Server, bucket: storage.Bucket) -> Path:
    return server.folder / bucket.name


def put(bucket: storage.Bucket, *names: str) -> None:
    for name in names:
        bucket.blob(name).upload_from_string("" if name.endswith("/") else name)


def names(bucket: storage.Bucket, **options: object) -> list[str]:
    return [blob.name for blob in bucket.client.list_blobs(bucket, **options)]


def error_of(response: requests.Response) -> dict:
    return response.json()["error"]


class TestBuckets:
    def test_a_bucket_is_a_folder(self, server: Server) -> None:
        made = server.client.create_bucket("first-bucket", location="us-central1")
        found = server.client.get_bucket("first-bucket")
        assert (found.location, found.storage_class) == ("US-CENTRAL1", "STANDARD")
        assert datetime.now(UTC) - found.time_created < timedelta(minutes=1)
        assert found.metageneration == 1
        assert found.etag == made.etag
        assert (server.folder / "first-bucket").is_dir()

    @pytest.mark.parametrize("project", ["other-project", project_number("other-project")])
    def test_a_bucket_belongs_to_the_project_that_it_was_made_in(self, server: Server, project: str) -> None:
        name = f"in-{project}"
        server.client.create_bucket(name, project=project)
        assert server.client.get_bucket(name).project_number == int(project_number("other-project"))
        assert name in [bucket.name for bucket in server.client.list_buckets(project=project)]
        assert name not in [bucket.name for bucket in server.client.list_buckets()]

    def test_a_folder_made_behind_the_api_is_a_bucket(self, server: Server) -> None:
        (server.folder / "made-by-hand").mkdir()
        assert server.client.bucket("made-by-hand").exists()
        assert "made-by-hand" in [bucket.name for bucket in server.client.list_buckets()]

    def test_a_bucket_can_be_made_once(self, server: Server, bucket: storage.Bucket) -> None:
        with pytest.raises(exceptions.Conflict, match="already own it"):
            server.client.create_bucket(bucket.name)

    def test_a_missing_bucket_is_named_as_the_service_does(self, server: Server) -> None:
        for call in (
            lambda: server.client.get_bucket("missing-bucket"),
            lambda: list(server.client.list_blobs("missing-bucket")),
            lambda: server.client.bucket("missing-bucket").blob("a").upload_from_string("a"),
            lambda: server.client.bucket("missing-bucket").blob("a").download_as_bytes(),
        ):
            with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist."):
                call()
        assert server.client.lookup_bucket("missing-bucket") is None

    @pytest.mark.parametrize(
        "name", ["ab", "Upper", "-a-", "a..b", "192.168.0.1", "goog-a", "my-google", "a" * 64, ".uploads"]
    )
    def test_a_bucket_name_that_the_service_refuses_is_refused(self, server: Server, name: str) -> None:
        response = requests.post(f"{server.url}/storage/v1/b?project=p", json={"name": name})
        assert response.status_code == 400
        assert error_of(response) == {
            "code": 400,
            "message": f"Invalid bucket name: '{name}'",
            "errors": [{"domain": "global", "reason": "invalid", "message": f"Invalid bucket name: '{name}'"}],
        }

    def test_a_bucket_is_deleted_when_it_is_empty_and_not_before(self, bucket: storage.Bucket, folder: Path) -> None:
        put(bucket, "a/b")
        with pytest.raises(exceptions.Conflict, match="The bucket you tried to delete is not empty."):
            bucket.delete()
        bucket.blob("a/b").delete()
        (folder / "empty/folders").mkdir(parents=True)
        bucket.delete()
        assert not folder.exists()
        assert not bucket.exists()

    def test_a_bucket_can_be_deleted_with_its_objects(self, bucket: storage.Bucket) -> None:
        put(bucket, "a/", "a/b", "c")
        bucket.delete(force=True)
        assert not bucket.exists()

    def test_buckets_are_listed_by_prefix_and_in_pages(self, server: Server) -> None:
        made = [f"paged-{number}" for number in range(5)]
        for name in made:
            server.client.create_bucket(name)
        assert [found.name for found in server.client.list_buckets(prefix="paged-", page_size=2)] == made

    def test_permissions_are_all_granted_and_policies_are_kept(self, bucket: storage.Bucket) -> None:
        permissions = ["storage.objects.get", "storage.objects.list"]
        assert bucket.test_iam_permissions(permissions) == permissions
        policy = bucket.get_iam_policy()
        stale = bucket.get_iam_policy()
        policy["roles/storage.objectViewer"].add("serviceAccount:someone@example.com")
        bucket.set_iam_policy(policy)
        assert bucket.get_iam_policy()["roles/storage.objectViewer"] == {"serviceAccount:someone@example.com"}
        with pytest.raises(exceptions.PreconditionFailed):
            bucket.set_iam_policy(stale)

    def test_what_is_not_implemented_says_so(self, server: Server, bucket: storage.Bucket) -> None:
        with pytest.raises(
            exceptions.MethodNotImplemented, match=f"GET /storage/v1/b/{bucket.name}/notificationConfigs"
        ):
            list(bucket.list_notifications())
        bucket.versioning_enabled = True
        with pytest.raises(exceptions.MethodNotImplemented):
            bucket.patch()
        other = server.client.bucket("versioned-bucket")
        other.versioning_enabled = True
        with pytest.raises(exceptions.MethodNotImplemented, match="'versioning' of buckets"):
            other.create()
        encrypted = bucket.blob("a", encryption_key=b"0" * 32)
        with pytest.raises(exceptions.MethodNotImplemented, match="encryption keys"):
            encrypted.upload_from_string("a")
        assert requests.get(f"{server.url}/{bucket.name}/object-of-the-xml-api").status_code == 501


class TestContent:
    def test_a_string_comes_back_with_its_metadata(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("notes/first.txt")
        blob.metadata = {"made-by": "a test", "ö": "ü"}
        blob.cache_control = "no-store"
        blob.upload_from_string("naïve", content_type="text/plain; charset=utf-8")
        found = bucket.get_blob("notes/first.txt")
        content = "naïve".encode()
        assert found.download_as_text() == "naïve"
        assert found.content_type == "text/plain; charset=utf-8"
        assert (found.metadata, found.cache_control) == ({"made-by": "a test", "ö": "ü"}, "no-store")
        assert (found.size, found.metageneration, found.storage_class) == (len(content), 1, "STANDARD")
        assert found.md5_hash == base64.b64encode(hashlib.md5(content).digest()).decode()
        assert found.crc32c == base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        assert abs(found.generation / 1e6 - found.time_created.timestamp()) < 1
        assert found.etag == blob.etag

    @pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
    def test_a_resumable_upload_in_chunks_gives_the_same_bytes(self, bucket: storage.Bucket, size: int) -> None:
        content = random.Random(size).randbytes(size)
        with bucket.blob("chunked", chunk_size=CHUNK).open("wb") as file:
            file.write(content)
        assert bucket.blob("chunked").download_as_bytes() == content
        blob = bucket.blob("sized", chunk_size=CHUNK)
        blob.upload_from_file(io.BytesIO(content), size=size)
        assert bucket.blob("sized", chunk_size=CHUNK).download_as_bytes() == content
        assert bucket.get_blob("sized").content_type == "application/octet-stream"

    def test_files_are_uploaded_and_downloaded(self, bucket: storage.Bucket, tmp_path: Path) -> None:
        source, target = tmp_path / "source.json", tmp_path / "target.json"
        source.write_bytes(random.Random(0).randbytes(20_000_000))
        bucket.blob("data.json").upload_from_filename(source)
        found = bucket.get_blob("data.json")
        found.download_to_filename(target)
        assert target.read_bytes() == source.read_bytes()
        assert found.content_type == "application/json"

    @given(content=st.binary() | st.lists(st.sampled_from([b"\r\n", b"--", b"boundary", b"x", b"\n"])).map(b"".join))
    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_content_that_looks_like_a_boundary_is_kept(
        self, server: Server, bucket: storage.Bucket, content: bytes
    ) -> None:
        body = b'--boundary\r\nContent-Type: application/json\r\n\r\n{"name": "odd"}\r\n--boundary\r\n\r\n' + content
        assume(b"\r\n--boundary" not in content and not content.startswith(b"--boundary"))
        response = requests.post(
            f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
            data=body + b"\r\n--boundary--\r\n",
            headers={"Content-Type": "multipart/related; boundary=boundary"},
        )
        assert response.status_code == 200, response.text
        assert bucket.blob("odd").download_as_bytes() == content

    def test_what_gsutil_sends_is_understood(self, server: Server, bucket: storage.Bucket) -> None:
        """It puts the boundary between single quotes and ends lines without a carriage return."""
        part = "--==b==\nContent-Type: {}\nMIME-Version: 1.0\n\n{}\n"
        body = part.format("application/json", '{"name": "a"}') + part.format("text/csv", "abc\r\n\n") + "--==b==--"
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart"
        headers = {"Content-Type": "multipart/related; boundary='==b=='"}
        response = requests.post(url, data=body, headers=headers)
        assert response.status_code == 200, response.text
        assert bucket.get_blob("a").content_type == "text/csv"
        assert bucket.blob("a").download_as_bytes() == b"abc\r\n\n"
        assert requests.post(url, data=body.removesuffix("--"), headers=headers).status_code == 400
        assert requests.post(url, data="nonsense", headers=headers).status_code == 400

    def test_gsutil_starts_a_resumable_upload_at_a_path_of_its_own(
        self, server: Server, bucket: storage.Bucket
    ) -> None:
        url = f"{server.url}/resumable/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
        session = requests.post(url, json={"name": "a"}).headers["Location"]
        assert requests.put(session, data=b"abc", headers={"Content-Range": "bytes 0-2/3"}).status_code == 200
        assert bucket.blob("a").download_as_bytes() == b"abc"

    def test_media_uploads_take_the_body_as_it_is(self, server: Server, bucket: storage.Bucket) -> None:
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=a%2Fb"
        assert requests.post(url, data=b"abc", headers={"Content-Type": "text/csv"}).json()["size"] == "3"
        assert bucket.get_blob("a/b").content_type == "text/csv"
        wrong = requests.post(url, data=b"abc", headers={"X-Goog-Hash": "crc32c=AAAAAA=="})
        assert wrong.status_code == 400
        assert "doesn't match calculated CRC32C" in error_of(wrong)["message"]
        compressed = requests.post(url, data=b"abc", headers={"Content-Encoding": "gzip"})
        assert (compressed.status_code, "compressed" in error_of(compressed)["message"]) == (501, True)
        assert requests.post(url.replace("media", "other"), data=b"abc").status_code == 400
        assert requests.post(url.replace("&name=a%2Fb", ""), data=b"abc").status_code == 400
        assert bucket.blob("a/b").download_as_bytes() == b"abc"

    def test_a_multipart_body_without_its_parts_is_refused(self, server: Server, bucket: storage.Bucket) -> None:
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart&name=a"
        headers = {"Content-Type": "multipart/related; boundary=b"}
        part = "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n"
        for body in ("", "nonsense", part, f"{part}--b--", f"{part}--b\r\n\r\nnot closed", f"{3 * part}--b--"):
            assert requests.post(url, data=body, headers=headers).status_code == 400
        assert requests.post(url, data=part, headers={"Content-Type": "text/plain"}).status_code == 400
        assert names(bucket) == []

    @pytest.mark.parametrize("chunk_size", [None, CHUNK])
    @pytest.mark.parametrize("field", ["md5_hash", "crc32c"])
    def test_bytes_other_than_announced_are_refused(self, bucket: storage.Bucket, field: str, chunk_size: int) -> None:
        put(bucket, "a")
        blob = bucket.blob("a", chunk_size=chunk_size)
        setattr(blob, field, "AAAAAA==")
        with pytest.raises(exceptions.BadRequest, match="doesn't match calculated"):
            # A checksum of the client's own making would replace the wrong one.
            blob.upload_from_file(io.BytesIO(b"other"), checksum=None)
        assert bucket.blob("a").download_as_bytes() == b"a"

    def test_ranges_are_read_as_asked(self, server: Server, bucket: storage.Bucket) -> None:
        bucket.blob("a").upload_from_string("0123456789")
        blob = bucket.blob("a")
        assert blob.download_as_bytes(start=2, end=4) == b"234"
        assert blob.download_as_bytes(start=7) == b"789"
        assert blob.download_as_bytes(start=-3) == b"789"
        with pytest.raises(exceptions.RequestRangeNotSatisfiable):
            blob.download_as_bytes(start=10)
        with blob.open("rb") as file:
            file.seek(5)
            assert file.read() == b"56789"
        response = requests.get(blob.public_url.replace("https://storage.googleapis.com", server.url))
        assert response.status_code == 501
        url = f"{server.url}/storage/v1/b/{bucket.name}/o/a?alt=media"
        response = requests.get(url, headers={"Range": "bytes=0-3"})
        assert (response.status_code, response.headers["Content-Range"], response.content) == (
            206,
            "bytes 0-3/10",
            b"0123",
        )
        response = requests.get(url, headers={"Range": "bytes=20-"})
        assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */10")

    @given(header=st.from_regex(r"bytes=[0-9]{0,2}-[0-9]{0,2}", fullmatch=True), size=st.integers(0, 30))
    def test_a_range_lies_within_the_object(self, header: str, size: int) -> None:
        try:
            wanted = requested_range(header, size)
        except StorageError as error:
            assert error.code == 416
        else:
            assert wanted is None or 0 <= wanted[0] < wanted[1] <= size

    def test_a_download_tells_what_it_is_of(self, server: Server, bucket: storage.Bucket) -> None:
        blob = bucket.blob("a")
        blob.upload_from_string("abc", content_type="text/plain")
        headers = requests.get(f"{server.url}/download/storage/v1/b/{bucket.name}/o/a?alt=media").headers
        assert headers["X-Goog-Hash"] == f"crc32c={blob.crc32c},md5={blob.md5_hash}"
        assert headers["X-Goog-Generation"] == str(blob.generation)
        assert headers["X-Goog-Metageneration"] == "1"
        assert (headers["ETag"], headers["Content-Type"], headers["Content-Length"]) == (blob.etag, "text/plain", "3")
        assert requests.get(blob.media_link).content == b"abc"

    def test_an_open_download_is_not_disturbed_by_a_new_upload(self, bucket: storage.Bucket) -> None:
        old, new = b"o" * 30_000_000, b"n" * 30_000_000
        blob = bucket.blob("a")
        blob.upload_from_string(old)
        response = requests.get(blob.media_link, stream=True)
        blob.upload_from_string(new)
        assert response.raw.read() == old
        assert bucket.blob("a").download_as_bytes() == new

    def test_gzipped_content_is_sent_with_its_encoding(self, bucket: storage.Bucket) -> None:
        import gzip

        blob = bucket.blob("a.txt")
        blob.content_encoding = "gzip"
        blob.upload_from_string(gzip.compress(b"plain"), content_type="text/plain")
        assert bucket.blob("a.txt").download_as_bytes() == b"plain"


class TestResumableUploads:
    @staticmethod
    def start(server: Server, bucket: storage.Bucket, **query: str) -> str:
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o"
        response = requests.post(url, params={"uploadType": "resumable", **query}, json={"name": "big"})
        assert response.status_code == 200, response.text
        return response.headers["Location"]

    @staticmethod
    def send(url: str, content: bytes, content_range: str, **headers: str) -> requests.Response:
        return requests.put(url, data=content, headers={"Content-Range": content_range, **headers})

    def test_the_status_tells_what_has_arrived(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        status = self.send(url, b"", "bytes */*")
        assert (status.status_code, "Range" in status.headers) == (308, False)
        assert self.send(url, b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*").status_code == 308
        assert self.send(url, b"", "bytes */*").headers["Range"] == f"bytes=0-{CHUNK - 1}"
        assert not bucket.blob("big").exists()
        assert self.send(url, b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}").json()["size"] == str(CHUNK + 1)
        assert bucket.blob("big").download_as_bytes() == b"a" * CHUNK + b"b"

    def test_the_answer_to_a_finished_upload_can_be_had_again(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        first = self.send(url, b"abc", "bytes 0-2/3").json()
        assert self.send(url, b"", "bytes */3").json() == first
        assert self.send(url, b"abc", "bytes 0-2/3").json() == first

    def test_bytes_sent_twice_are_taken_once(self, server: Server, bucket: storage.Bucket) -> None:
        url, content = self.start(server, bucket), random.Random(1).randbytes(3 * CHUNK)
        self.send(url, content[:CHUNK], f"bytes 0-{CHUNK - 1}/*")
        self.send(url, content[: 2 * CHUNK], f"bytes 0-{2 * CHUNK - 1}/*")
        assert requests.put(url, data=content).status_code == 200
        assert bucket.blob("big").download_as_bytes() == content

    def test_a_gap_an_odd_chunk_and_a_wrong_length_are_refused(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        gap = self.send(url, b"a" * CHUNK, f"bytes {CHUNK}-{2 * CHUNK - 1}/*")
        assert (gap.status_code, "exceeds already uploaded size" in error_of(gap)["message"]) == (503, True)
        assert self.send(url, b"a" * 10, "bytes 0-9/*").status_code == 400
        assert self.send(url, b"a" * 10, "bytes 0-99/100").status_code == 400
        assert self.send(url, b"a", "nonsense").status_code == 400
        assert self.send(url, b"", "bytes */0").status_code == 200

    def test_a_cancelled_upload_is_gone(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        self.send(url, b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*")
        assert requests.delete(url).status_code == 499
        assert self.send(url, b"", "bytes */*").status_code == 404
        assert list((server.folder / ".uploads").iterdir()) == []

    def test_preconditions_hold_at_the_start_and_at_the_end(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket, ifGenerationMatch="0")
        put(bucket, "big")
        assert self.send(url, b"abc", "bytes 0-2/3").status_code == 412
        start = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&ifGenerationMatch=0"
        assert requests.post(start, json={"name": "big"}).status_code == 412
        assert bucket.blob("big").download_as_bytes() == b"big"

    def test_a_checksum_at_the_end_is_checked(self, server: Server, bucket: storage.Bucket) -> None:
        url = self.start(server, bucket)
        assert self.send(url, b"abc", "bytes 0-2/3", **{"X-Goog-Hash": "crc32c=AAAAAA=="}).status_code == 400
        assert not bucket.blob("big").exists()

    def test_an_upload_survives_a_restart_of_the_server(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        bucket = server.client.create_bucket("restarted")
        url = self.start(server, bucket)
        self.send(url, b"a" * CHUNK, f"bytes 0-{CHUNK - 1}/*")
        (server.folder / ".uploads" / "left-behind").write_text("by a request that a crash ended")
        server.stop()
        server.start()
        url = server.url + url[url.index("/upload") :]
        assert self.send(url, b"", "bytes */*").headers["Range"] == f"bytes=0-{CHUNK - 1}"
        assert self.send(url, b"b", f"bytes {CHUNK}-{CHUNK}/{CHUNK + 1}").status_code == 200
        assert server.client.bucket("restarted").blob("big").download_as_bytes() == b"a" * CHUNK + b"b"
        assert list((server.folder / ".uploads").iterdir()) == []
        server.stop()

    @pytest.mark.parametrize("name", ["big", "folder/"])
    def test_an_upload_that_a_kill_ended_just_before_its_answer_is_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        server = Server(tmp_path)
        bucket = server.client.create_bucket("killed")
        url = self.start(server, bucket, name=name)

        def kill(*_: Any, **__: Any) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(Store, "_forget", kill)  # the first thing that happens once the object is there
            content, range = (b"", "bytes */0") if name.endswith("/") else (b"abc", "bytes 0-2/3")
            assert self.send(url, content, range).status_code == 500
        generation = bucket.get_blob(name).generation
        server.stop()
        server.start()
        url = server.url + url[url.index("/upload") :]
        answer = self.send(url, b"", "bytes */3")
        assert (answer.status_code, answer.json()["generation"]) == (200, str(generation))
        server.stop()

    def test_an_upload_that_a_kill_ended_just_before_its_object_appeared_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = Server(tmp_path)
        bucket = server.client.create_bucket("killed")
        url = self.start(server, bucket, ifGenerationMatch="0")

        def kill(*_: Any) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", kill)
            assert self.send(url, b"abc", "bytes 0-2/3").status_code == 500
        server.stop()
        server.start()
        url = server.url + url[url.index("/upload") :]
        answer = self.send(url, b"", "bytes */*")
        assert (answer.status_code, answer.headers["Range"]) == (308, "bytes=0-2")
        assert not server.client.bucket("killed").blob("big").exists()
        assert self.send(url, b"", "bytes */3").status_code == 200
        assert server.client.bucket("killed").blob("big").download_as_bytes() == b"abc"
        server.stop()


class TestGenerations:
    def test_each_upload_has_a_larger_generation(self, bucket: storage.Bucket) -> None:
        blob, generations = bucket.blob("a"), []
        for _ in range(5):
            blob.upload_from_string("same")
            generations.append(blob.generation)
        assert generations == sorted(set(generations))

    def test_of_two_writers_who_expect_nothing_one_wins(self, server: Server, bucket: storage.Bucket) -> None:
        def write(content: str) -> str | None:
            try:
                bucket.blob("lock").upload_from_string(content, if_generation_match=0)
            except exceptions.PreconditionFailed:
                return None
            return content

        with ThreadPoolExecutor(8) as pool:
            winners = [content for content in pool.map(write, "abcdefgh") if content]
        assert len(winners) == 1
        assert bucket.blob("lock").download_as_text() == winners[0]

    def test_of_writers_who_count_up_none_is_lost(self, bucket: storage.Bucket) -> None:
        bucket.blob("count").upload_from_string("0")

        def count_up(_: int) -> None:
            while True:
                blob = bucket.blob("count")
                value = int(blob.download_as_text())
                try:
                    blob.upload_from_string(str(value + 1), if_generation_match=blob.generation)
                    return
                except exceptions.PreconditionFailed:
                    continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count_up, range(12)))
        assert bucket.blob("count").download_as_text() == "12"

    def test_an_unmet_precondition_changes_nothing(self, bucket: storage.Bucket) -> None:
        put(bucket, "a", "other")
        blob = bucket.get_blob("a")
        wrong = {"if_generation_match": blob.generation + 1}
        for call in (
            lambda: blob.upload_from_string("b", **wrong),
            lambda: blob.patch(**wrong),
            lambda: blob.update(**wrong),
            lambda: blob.delete(**wrong),
            lambda: blob.reload(**wrong),
            lambda: bucket.blob("a").download_as_bytes(**wrong),
            lambda: blob.compose([bucket.blob("other")], **wrong),
            lambda: blob.rewrite(bucket.blob("other"), **wrong),
            lambda: bucket.copy_blob(bucket.blob("other"), bucket, "a", **wrong),
            lambda: bucket.copy_blob(blob, bucket, "b", if_source_generation_match=1),
            lambda: bucket.blob("b").rewrite(bucket.blob("a"), if_source_metageneration_not_match=1),
            lambda: bucket.blob("a").upload_from_string("b", if_metageneration_match=2),
            lambda: bucket.blob("a").upload_from_string("b", if_generation_not_match=blob.generation),
            lambda: bucket.blob("new").upload_from_string("b", if_generation_not_match=0),
            lambda: bucket.blob("a").reload(if_etag_match="other"),
        ):
            with pytest.raises(exceptions.PreconditionFailed):
                call()
        assert bucket.blob("a").download_as_bytes() == b"a"
        assert names(bucket) == ["a", "other"]

    def test_a_reader_who_knows_what_is_live_gets_304(self, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        blob = bucket.get_blob("a")
        for condition in ({"if_generation_not_match": blob.generation}, {"if_metageneration_not_match": 1}):
            with pytest.raises(exceptions.NotModified):
                bucket.blob("a").reload(**condition)
            with pytest.raises(exceptions.NotModified):
                bucket.blob("a").download_as_bytes(**condition)
        with pytest.raises(exceptions.NotModified):
            bucket.blob("a").reload(if_etag_not_match=blob.etag)
        bucket.blob("a").reload(if_generation_not_match=1, if_etag_match=blob.etag)

    def test_a_generation_is_found_while_it_is_live(self, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        pinned = bucket.blob("a", generation=bucket.get_blob("a").generation)
        assert pinned.download_as_bytes() == b"a"
        put(bucket, "a")
        assert not pinned.exists()
        for call in (pinned.download_as_bytes, pinned.delete, pinned.patch):
            with pytest.raises(exceptions.NotFound, match=f"No such object: {bucket.name}/a"):
                call()
        assert bucket.blob("a").exists()

    def test_a_malformed_generation_is_refused(self, server: Server, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        for value in ("x", "-1", "1.5", "9" * 30):
            url = f"{server.url}/storage/v1/b/{bucket.name}/o/a?ifGenerationMatch={value}"
            assert requests.get(url).status_code == 400


class TestMetadata:
    def test_patching_changes_what_is_given_and_the_metageneration(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("a")
        blob.metadata = {"keep": "1", "drop": "2"}
        blob.upload_from_string("abc", content_type="text/plain")
        generation, etag = blob.generation, blob.etag
        blob.metadata = {"drop": None, "new": "3"}
        blob.content_type = "text/csv"
        blob.patch()
        found = bucket.get_blob("a")
        assert (found.metadata, found.content_type) == ({"keep": "1", "new": "3"}, "text/csv")
        assert (found.generation, found.metageneration) == (generation, 2)
        assert found.etag != etag
        assert found.updated > found.time_created
        assert found.download_as_bytes() == b"abc"

    def test_updating_replaces_all(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("a")
        blob.metadata, blob.cache_control = {"drop": "2"}, "no-store"
        blob.upload_from_string("abc")
        replacement = bucket.blob("a")
        replacement.metadata = {"new": "1"}
        replacement.update()
        found = bucket.get_blob("a")
        assert (found.metadata, found.cache_control, found.metageneration) == ({"new": "1"}, None, 2)
        found.update()
        assert bucket.get_blob("a").metadata == {"new": "1"}

    def test_what_cannot_be_kept_is_refused(self, server: Server, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        url = f"{server.url}/storage/v1/b/{bucket.name}/o/a"
        assert requests.patch(url, json={"temporaryHold": True}).status_code == 501
        assert requests.patch(url, json={"metadata": {"a": 1}}).status_code == 400
        assert requests.patch(url, json={"contentType": "text/plain\r\nX-Injected: 1"}).status_code == 400
        assert requests.patch(url, json=["no object"]).status_code == 400
        assert requests.patch(url, data="no json").status_code == 400
        assert bucket.get_blob("a").metageneration == 1


class TestListing:
    @pytest.fixture
    def filled(self, bucket: storage.Bucket) -> storage.Bucket:
        put(bucket, "a", "b-c", "b/1", "b/2/x", "b/2/y", "b0", "c/", "c/3", "é/ü")
        return bucket

    ALL = ("a", "b-c", "b/1", "b/2/x", "b/2/y", "b0", "c/", "c/3", "é/ü")

    def test_names_come_in_their_order_and_in_pages(self, filled: storage.Bucket) -> None:
        assert names(filled) == list(self.ALL)
        for page_size in range(1, 10):
            assert names(filled, page_size=page_size) == list(self.ALL)
        assert names(filled, max_results=3) == ["a", "b-c", "b/1"]
        assert names(filled, versions=True) == list(self.ALL)

    def test_a_delimiter_shows_folders_as_prefixes(self, filled: storage.Bucket) -> None:
        for page_size in (1, 2, 100):
            listing = filled.client.list_blobs(filled, delimiter="/", page_size=page_size)
            assert [blob.name for blob in listing] == ["a", "b-c", "b0"]
            assert listing.prefixes == {"b/", "c/", "é/"}
            listing = filled.client.list_blobs(filled, delimiter="/", prefix="b/", page_size=page_size)
            assert [blob.name for blob in listing] == ["b/1"]
            assert listing.prefixes == {"b/2/"}
            listing = filled.client.list_blobs(
                filled, delimiter="/", include_trailing_delimiter=True, page_size=page_size
            )
            assert [blob.name for blob in listing] == ["a", "b-c", "b0", "c/"]
            assert listing.prefixes == {"b/", "c/", "é/"}
        assert names(filled, delimiter="/", prefix="c/") == ["c/", "c/3"]

    def test_a_prefix_need_not_be_a_folder(self, filled: storage.Bucket) -> None:
        assert names(filled, prefix="b") == ["b-c", "b/1", "b/2/x", "b/2/y", "b0"]
        assert names(filled, prefix="b/2") == ["b/2/x", "b/2/y"]
        assert names(filled, prefix="../") == names(filled, prefix="/") == []

    def test_offsets_bound_the_names(self, filled: storage.Bucket) -> None:
        assert names(filled, start_offset="b/2", end_offset="c/") == ["b/2/x", "b/2/y", "b0"]
        assert names(filled, start_offset="b/2/y", end_offset="c/3") == ["b/2/y", "b0", "c/"]

    def test_a_glob_selects_names(self, filled: storage.Bucket) -> None:
        assert names(filled, match_glob="b*") == ["b-c", "b0"]
        assert names(filled, match_glob="b/**") == ["b/1", "b/2/x", "b/2/y"]
        assert names(filled, match_glob="**/{x,3}") == ["b/2/x", "c/3"]
        with pytest.raises(exceptions.BadRequest, match="Glob pattern"):
            names(filled, match_glob="b[")

    @given(
        content=st.sets(
            st.text("ab/-", min_size=1, max_size=5).filter(lambda name: "//" not in name and name[0] != "/")
        ),
        prefix=st.text("ab/-", max_size=3),
        delimiter=st.sampled_from(["", "/", "-", "a"]),
        start=st.text("ab/-", max_size=3),
        end=st.text("ab/-", max_size=3),
        trailing=st.booleans(),
        page_size=st.integers(1, 5),
    )
    @settings(max_examples=60, deadline=None)
    def test_a_listing_is_that_of_a_flat_list_of_names(
        self,
        server: Server,
        content: set[str],
        prefix: str,
        delimiter: str,
        start: str,
        end: str,
        trailing: bool,
        page_size: int,
    ) -> None:
        content = {name for name in content if not any(other.startswith(f"{name}/") for other in content)}
        bucket = server.client.create_bucket(f"bucket-{uuid.uuid4().hex}")
        for name in content:
            path = server.folder / bucket.name / name
            if name.endswith("/"):
                put(bucket, name)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        expected_names, expected_prefixes = [], set()
        for name in sorted(content):
            if not name.startswith(prefix) or name < start or (end and name >= end):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                expected_prefixes.add(prefix + head + found)
            if not found or (trailing and prefix + head + found == name):
                expected_names.append(name)
        listing = server.client.list_blobs(
            bucket,
            prefix=prefix or None,
            delimiter=delimiter or None,
            start_offset=start or None,
            end_offset=end or None,
            include_trailing_delimiter=trailing,
            page_size=page_size,
        )
        assert [blob.name for blob in listing] == expected_names
        assert listing.prefixes == expected_prefixes

    @pytest.mark.parametrize(
        ("glob", "matched", "unmatched"),
        [
            ("a*c", ["ac", "abc"], ["a/c", "abcd"]),
            ("a?c", ["abc"], ["ac", "a/c"]),
            ("a**c", ["ac", "a/b/c"], ["acd"]),
            ("a/**/c", ["a/c", "a/b/c"], ["ac"]),
            ("[a-c]x[!0]", ["axb", "cx1"], ["dxa", "ax0"]),
            ("{a,b{c,d}}.x", ["a.x", "bd.x"], ["b.x", "a,x"]),
            ("\\*[\\d].(x)", ["*d.(x)"], ["a1.(x)"]),
            ("a,b", ["a,b"], ["a"]),
        ],
    )
    def test_a_glob_means_what_the_service_documents(self, glob: str, matched: list[str], unmatched: list[str]) -> None:
        pattern = glob_pattern(glob)
        assert [name for name in matched if not pattern.fullmatch(name)] == []
        assert [name for name in unmatched if pattern.fullmatch(name)] == []

    @given(glob=st.text("a*?[]{}!^,\\/-"))
    def test_any_glob_is_taken_or_refused_clearly(self, glob: str) -> None:
        try:
            glob_pattern(glob)
        except StorageError as error:
            assert error.code == 400

    def test_a_made_up_page_token_is_refused(self, server: Server, bucket: storage.Bucket) -> None:
        assert requests.get(f"{server.url}/storage/v1/b/{bucket.name}/o?pageToken=é").status_code == 400


class TestCopies:
    def test_compose_joins_objects(self, bucket: storage.Bucket) -> None:
        put(bucket, "a", "b")
        target = bucket.blob("joined")
        target.content_type = "text/plain"
        target.compose([bucket.blob("a"), bucket.blob("b"), bucket.blob("a")])
        found = bucket.get_blob("joined")
        assert found.download_as_bytes() == b"aba"
        assert (found.component_count, found.md5_hash, found.content_type) == (3, None, "text/plain")
        found.compose([found, bucket.blob("b")])
        assert bucket.get_blob("joined").component_count == 4
        assert bucket.blob("joined").download_as_bytes() == b"abab"

    def test_compose_takes_the_generations_it_is_told_to(self, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        generation = bucket.get_blob("a").generation
        with pytest.raises(exceptions.PreconditionFailed):
            bucket.blob("b").compose([bucket.blob("a")], if_source_generation_match=[generation + 1])
        with pytest.raises(exceptions.NotFound):
            bucket.blob("b").compose([bucket.blob("a", generation=generation + 1)])
        with pytest.raises(exceptions.NotFound):
            bucket.blob("b").compose([bucket.blob("missing")])
        with pytest.raises(exceptions.BadRequest, match="source components"):
            bucket.blob("b").compose([bucket.blob("a")] * 33)
        bucket.blob("b").compose([bucket.blob("a")], if_source_generation_match=[generation])

    def test_a_copy_has_the_content_and_metadata_of_its_source(self, server: Server, bucket: storage.Bucket) -> None:
        other = server.client.create_bucket(f"bucket-{uuid.uuid4().hex}")
        source = bucket.blob("a")
        source.metadata = {"key": "value"}
        source.upload_from_string("abc", content_type="text/plain")
        copied = bucket.copy_blob(source, other, "b/c")
        assert (copied.metadata, copied.content_type, copied.metageneration) == ({"key": "value"}, "text/plain", 1)
        token, rewritten, size = other.blob("d").rewrite(source)
        assert (token, rewritten, size) == (None, 3, 3)
        assert other.get_blob("d").metadata == {"key": "value"}
        assert other.blob("b/c").download_as_bytes() == other.blob("d").download_as_bytes() == b"abc"

    def test_rewriting_changes_what_is_given(self, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        blob = bucket.get_blob("a")
        blob.update_storage_class("NEARLINE")
        found = bucket.get_blob("a")
        assert (found.storage_class, found.content_type) == ("NEARLINE", "text/plain")
        assert found.generation == blob.generation

    def test_renaming_leaves_nothing_behind(self, bucket: storage.Bucket, folder: Path) -> None:
        put(bucket, "old/name")
        bucket.rename_blob(bucket.blob("old/name"), "new/name")
        assert names(bucket) == ["new/name"]
        assert not (folder / "old").exists()


class TestBatches:
    def test_a_batch_does_all_its_calls(self, server: Server, bucket: storage.Bucket) -> None:
        put(bucket, "a", "b", "c ü/d")
        with server.client.batch():
            bucket.delete_blobs(["a", "c ü/d"])
            blob = bucket.blob("b")
            blob.metadata = {"key": "välue"}
            blob.patch()
        assert names(bucket) == ["b"]
        assert blob.metageneration == bucket.get_blob("b").metageneration == 2
        assert bucket.get_blob("b").metadata == {"key": "välue"}

    def test_a_failed_call_does_not_stop_the_others(self, server: Server, bucket: storage.Bucket) -> None:
        put(bucket, "a")
        with pytest.raises(exceptions.NotFound, match="No such object"), server.client.batch():
            bucket.blob("missing").delete()
            bucket.blob("a").delete()
        assert names(bucket) == []

    def test_what_is_no_batch_is_refused(self, server: Server) -> None:
        url = f"{server.url}/batch/storage/v1"
        assert requests.post(url, data="nonsense").status_code == 400
        headers = {"Content-Type": "multipart/mixed; boundary=x"}
        assert requests.post(url, data="--x\r\n\r\nnonsense\r\n--x--", headers=headers).status_code == 400


class TestFiles:
    def test_an_object_is_the_file_of_its_name(self, server: Server, bucket: storage.Bucket, folder: Path) -> None:
        bucket.blob("deep/er/file.txt").upload_from_string("written by the API")
        assert (folder / "deep/er/file.txt").read_text() == "written by the API"
        assert server.storage.path(f"gs://{bucket.name}/deep/er/file.txt") == folder / "deep/er/file.txt"
        assert server.storage.path(f"gs://{bucket.name}") == server.storage.path(f"gs://{bucket.name}/") == folder
        assert oct((folder / "deep/er/file.txt").stat().st_mode & 0o444) == "0o444"

    def test_a_file_is_the_object_of_its_name(self, bucket: storage.Bucket, folder: Path) -> None:
        (folder / "deep/er").mkdir(parents=True)
        (folder / "deep/er/file.txt").write_text("written by a task")
        assert names(bucket) == ["deep/er/file.txt"]
        found = bucket.get_blob("deep/er/file.txt")
        assert found.download_as_text() == "written by a task"
        assert (found.content_type, found.metageneration, found.metadata) == ("text/plain", 1, None)
        assert found.md5_hash == base64.b64encode(hashlib.md5(b"written by a task").digest()).decode()
        (folder / "deep/er/file.txt").unlink()
        assert not bucket.blob("deep/er/file.txt").exists()
        assert names(bucket) == []

    def test_an_unchanged_file_keeps_its_generation(self, tmp_path: Path) -> None:
        server = Server(tmp_path)
        bucket = server.client.create_bucket("unchanged")
        put(bucket, "by-api")
        (server.folder / "unchanged/by-task").write_text("x")
        generations = {blob.name: blob.generation for blob in bucket.list_blobs()}
        server.stop()
        server.start()
        assert {blob.name: blob.generation for blob in server.client.list_blobs("unchanged")} == generations
        assert set(generations) == {"by-api", "by-task"}
        server.stop()

    def test_a_file_that_changed_has_a_larger_generation(self, bucket: storage.Bucket, folder: Path) -> None:
        blob = bucket.blob("a")
        blob.metadata = {"key": "value"}
        blob.upload_from_string("old")
        for content in ("new", "newer", "newer"):
            before = bucket.get_blob("a").generation
            (folder / "a").write_text(content)
            found = bucket.get_blob("a")
            assert found.generation > before
            assert found.download_as_text() == content
            assert found.metadata is None

    def test_changes_in_quick_succession_are_all_seen(self, bucket: storage.Bucket, folder: Path) -> None:
        for number in range(50):
            (folder / "a").write_text(f"{number:02}")
            assert bucket.blob("a").download_as_text() == f"{number:02}"

    def test_a_change_by_a_task_fails_the_precondition_of_a_writer(self, bucket: storage.Bucket, folder: Path) -> None:
        blob = bucket.blob("a")
        blob.upload_from_string("old")
        (folder / "a").write_text("new")
        with pytest.raises(exceptions.PreconditionFailed):
            blob.upload_from_string("lost update", if_generation_match=blob.generation)
        (folder / "b").write_text("there already")
        with pytest.raises(exceptions.PreconditionFailed):
            bucket.blob("b").upload_from_string("overwritten", if_generation_match=0)

    def test_a_kill_as_a_bucket_is_made_leaves_none_or_all_of_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, url = Server(tmp_path), "/storage/v1/b?project=local-project"

        def kill(*_: Any) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", kill)
            document = {"name": "bucket", "labels": {"a": "b"}}
            assert requests.post(server.url + url, json=document).status_code == 500
        server.stop()
        server.start()
        assert [bucket.name for bucket in server.client.list_buckets()] == []
        assert list((server.folder / ".uploads").iterdir()) == []
        assert requests.post(server.url + url, json=document).json()["labels"] == {"a": "b"}
        server.stop()

    def test_a_kill_between_file_and_row_leaves_a_usable_object(self, bucket: storage.Bucket, folder: Path) -> None:
        bucket.blob("a").upload_from_string("old")
        before = bucket.get_blob("a").generation
        (folder / ".new").write_text("renamed, and no row")
        os.replace(folder / ".new", folder / "a")
        found = bucket.get_blob("a")
        assert found.generation > before
        assert found.download_as_text() == "renamed, and no row"

    def test_a_file_that_is_being_written_can_be_listed_and_read(self, bucket: storage.Bucket, folder: Path) -> None:
        done = threading.Event()
        (folder / "log").touch()

        def write() -> None:
            with (folder / "log").open("ab", buffering=0) as file:
                while not done.is_set():
                    file.write(b"line\n")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            sizes = [bucket.get_blob("log").size for _ in range(5)]
            assert names(bucket) == ["log"]
            content = bucket.blob("log").download_as_bytes()
        finally:
            done.set()
            writer.join()
        assert sizes == sorted(sizes)
        assert set(content.splitlines()[:-1]) == {b"line"}

    def test_folders_are_implied_by_objects_and_end_with_them(self, bucket: storage.Bucket, folder: Path) -> None:
        put(bucket, "a/b/c", "a/d")
        assert not bucket.blob("a/").exists()
        bucket.blob("a/b/c").delete()
        assert not (folder / "a/b").exists()
        (folder / "made/by/a/task").mkdir(parents=True)
        assert names(bucket) == ["a/d"]
        bucket.blob("a/d").delete()
        assert not (folder / "a").exists()

    def test_a_folder_marker_is_an_empty_object(self, bucket: storage.Bucket, folder: Path) -> None:
        put(bucket, "run/", "run/x")
        assert (folder / "run").is_dir()
        assert names(bucket) == ["run/", "run/x"]
        assert bucket.blob("run/").download_as_bytes() == b""
        assert bucket.get_blob("run/").size == 0
        with pytest.raises(exceptions.BadRequest, match="folder marker"):
            bucket.blob("run/").upload_from_string("content")
        bucket.copy_blob(bucket.blob("run/"), bucket, "copy/of/")
        bucket.blob("run/x").delete()
        assert (folder / "run").is_dir()
        bucket.blob("run/").delete()
        assert not (folder / "run").exists()
        assert names(bucket) == ["copy/of/"]

    def test_one_name_cannot_be_both_a_file_and_a_folder(self, bucket: storage.Bucket, folder: Path) -> None:
        put(bucket, "a", "b/c", "d/")
        for name in ("a/b", "a/b/c", "a/", "b", "d"):
            with pytest.raises(exceptions.Conflict, match="cannot be both a file and a folder"):
                bucket.blob(name).upload_from_string("")
        assert names(bucket) == ["a", "b/c", "d/"]
        (folder / "empty/folder").mkdir(parents=True)
        put(bucket, "empty")
        assert (folder / "empty").read_text() == "empty"

    @pytest.mark.parametrize(
        "name",
        [
            "..",
            "../other/a",
            "a/../../b",
            ".",
            "./a",
            "a//b",
            "/etc/passwd",
            "a\0b",
            "a\nb",
            "x" * 256,
            "y/" * 513,
            "//",
        ],
    )
    def test_a_name_that_is_no_path_is_refused(self, server: Server, bucket: storage.Bucket, name: str) -> None:
        before = sorted(server.folder.parent.iterdir())
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o"
        response = requests.post(url, params={"uploadType": "media", "name": name}, data=b"x")
        assert response.status_code == 400
        assert "Invalid object name" in error_of(response)["message"]
        response = requests.post(url, params={"uploadType": "resumable"}, data=json.dumps({"name": name}))
        assert response.status_code == 400
        put(bucket, "source")
        with pytest.raises(exceptions.GoogleAPICallError):  # not always 400: the client shortens paths with dots
            bucket.copy_blob(bucket.blob("source"), bucket, name)
        with pytest.raises(StorageError):
            server.storage.path(f"gs://{bucket.name}/{name}")
        connection = http.client.HTTPConnection("127.0.0.1", server.port)  # it leaves dots in paths as they are
        connection.request("GET", f"/storage/v1/b/{bucket.name}/o/{quote(name, safe='')}?alt=media")
        assert connection.getresponse().status == 404
        connection.close()
        assert names(bucket) == ["source"]
        assert sorted(server.folder.parent.iterdir()) == before

    def test_a_name_that_is_not_unicode_is_refused(self, server: Server, bucket: storage.Bucket, folder: Path) -> None:
        url = f"{server.url}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable"
        assert requests.post(url, data='{"name": "\\ud800"}').status_code == 400
        assert requests.get(f"{server.url}/storage/v1/b/{bucket.name}/o/%ff").status_code == 400
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_text("no object")
        assert names(bucket) == []

    @given(name=st.text(max_size=20))
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_name_gives_an_object_or_a_refusal(self, server: Server, bucket: storage.Bucket, name: str) -> None:
        assume(name)
        try:
            bucket.blob(name).upload_from_string("")
        except (exceptions.BadRequest, exceptions.Conflict):
            assert name not in names(bucket)
        else:
            assert names(bucket) == [name]
            bucket.blob(name).delete()
        assert list((server.folder / bucket.name).iterdir()) == []

    def test_links_lead_nowhere(self, server: Server, bucket: storage.Bucket, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("outside")
        (folder / "file").symlink_to(tmp_path / "secret")
        (folder / "outside").symlink_to(tmp_path)
        (server.folder / "linked-bucket").symlink_to(tmp_path)
        assert names(bucket) == []
        assert not server.client.bucket("linked-bucket").exists()
        for name in ("file", "outside/secret"):
            with pytest.raises(exceptions.NotFound):
                bucket.blob(name).download_as_bytes()
            with pytest.raises(StorageError, match="through a link"):
                server.storage.path(f"gs://{bucket.name}/{name}")
        with pytest.raises(exceptions.Conflict):
            bucket.blob("outside/new").upload_from_string("x")
        bucket.blob("file").upload_from_string("inside")
        assert (tmp_path / "secret").read_text() == "outside"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]

    def test_what_is_no_file_is_no_object(self, bucket: storage.Bucket, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        assert names(bucket) == []
        assert not bucket.blob("pipe").exists()


def test_the_client_is_told_addresses_that_it_can_reach(server: Server, bucket: storage.Bucket) -> None:
    put(bucket, "a")
    url = f"{server.url}/storage/v1/b/{bucket.name}/o/a"
    assert requests.get(url).json()["selfLink"] == url
    behind_tls = requests.get(url, headers={"Host": "storage.googleapis.com"}).json()
    assert behind_tls["mediaLink"].startswith("https://storage.googleapis.com/download/storage/v1/b/")


NAMES = st.sampled_from(["a", "a/", "a/x", "a/x/1", "b", "b/x", "b/x/", "c"])
CONTENTS = st.binary(max_size=3)


class Model(RuleBasedStateMachine):
    """A bucket under random calls and random changes to its files is what a dictionary of objects is."""

    server: Server

    @initialize()
    def make_bucket(self) -> None:
        self.bucket = self.server.client.create_bucket(f"bucket-{uuid.uuid4().hex}")
        self.folder = self.server.folder / self.bucket.name
        self.content: dict[str, bytes] = {}
        self.generations: dict[str, int] = {}

    def in_the_way(self, name: str) -> bool:
        is_folder_of = not name.endswith("/") and any(other.startswith(f"{name}/") for other in self.content)
        return is_folder_of or any(name.startswith(f"{other}/") for other in self.content if other[-1] != "/")

    def expect_written(self, name: str, content: bytes, write: Callable[[], None]) -> None:
        if self.in_the_way(name):
            with pytest.raises(exceptions.Conflict):
                write()
        else:
            write()
            self.content[name] = content
            assert self.bucket.get_blob(name).generation > self.generations.get(name, 0)
            self.generations[name] = self.bucket.get_blob(name).generation

    @rule(name=NAMES, content=CONTENTS)
    def upload(self, name: str, content: bytes) -> None:
        content = b"" if name.endswith("/") else content
        self.expect_written(name, content, lambda: self.bucket.blob(name).upload_from_string(content))

    @rule(name=NAMES, content=CONTENTS)
    def upload_if_absent(self, name: str, content: bytes) -> None:
        content = b"" if name.endswith("/") else content
        if name in self.content:
            with pytest.raises(exceptions.PreconditionFailed):
                self.bucket.blob(name).upload_from_string(content, if_generation_match=0)
        else:
            self.expect_written(
                name, content, lambda: self.bucket.blob(name).upload_from_string(content, if_generation_match=0)
            )

    @rule(name=NAMES, other=NAMES)
    def copy(self, name: str, other: str) -> None:
        content = self.content.get(name)
        if content is None:
            with pytest.raises(exceptions.NotFound):
                self.bucket.blob(other).rewrite(self.bucket.blob(name))
        elif not (other.endswith("/") and content):
            self.expect_written(
                other, content, lambda: self.bucket.blob(other).rewrite(self.bucket.blob(name)) and None
            )

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name in self.content:
            self.bucket.blob(name).delete()
            del self.content[name]
        else:
            with pytest.raises(exceptions.NotFound):
                self.bucket.blob(name).delete()

    @rule(name=NAMES.filter(lambda name: name[-1] != "/"), content=CONTENTS)
    def write_file(self, name: str, content: bytes) -> None:
        path = self.folder / name
        if not self.in_the_way(name) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.expect_written(name, content, lambda: path.write_bytes(content) and None)

    @rule(name=NAMES.filter(lambda name: name[-1] != "/"))
    def remove_file(self, name: str) -> None:
        if name in self.content:
            (self.folder / name).unlink()
            del self.content[name]

    @rule(name=NAMES)
    def patch(self, name: str) -> None:
        if name in self.content:
            blob = self.bucket.get_blob(name)
            metageneration = blob.metageneration
            blob.metadata = {"key": "value"}
            blob.patch()
            assert self.bucket.get_blob(name).metageneration == metageneration + 1

    @invariant()
    def the_bucket_is_the_dictionary(self) -> None:
        found = {blob.name: blob for blob in self.bucket.list_blobs()}
        assert list(found) == sorted(self.content)
        for name, content in self.content.items():
            assert found[name].generation == self.generations[name]
            assert self.bucket.blob(name).download_as_bytes() == content
            assert name.endswith("/") or (self.folder / name).read_bytes() == content


def test_a_bucket_is_what_a_dictionary_of_objects_is(server: Server) -> None:
    Model.server = server
    run_state_machine_as_test(Model, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))
