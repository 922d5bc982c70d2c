"""BigQuery behind the front port: the emulator's process, started when it is first asked for, and the way to it.

It is started as tasks are, so that it ends with the server however that ends; its state outlives both.
"""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from ..api import ApiError, http_status
from ..environment import buckets_folder, logs_folder
from ..processes import Command, private_folder, run
from ..vertex import Vertex

HOSTS = ("bigquery.googleapis.com", "www.googleapis.com")
STORAGE_HOST = "bigquerystorage.googleapis.com"
_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.05
# The emulator closes idle connections after 5 s; reusing one as it closes would fail the request.
_KEEPALIVE_SECONDS = 3.0
_LOG_TAIL_CHARACTERS = 2_000
# What concerns one connection only, and the length, which is that of the body that is sent.
_HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "proxy-connection"}
_PROJECT = "/bigquery/v2/projects"
_DATASETS = f"{_PROJECT}/*/datasets"
_TABLES = f"{_DATASETS}/*/tables"
_ROUTES = {
    f"GET {_PROJECT}": "bigquery.projects.list",
    f"GET {_PROJECT}/*/serviceAccount": "bigquery.projects.getServiceAccount",
    f"GET {_DATASETS}": "bigquery.datasets.list",
    f"POST {_DATASETS}": "bigquery.datasets.insert",
    f"GET {_DATASETS}/*": "bigquery.datasets.get",
    f"PATCH {_DATASETS}/*": "bigquery.datasets.patch",
    f"PUT {_DATASETS}/*": "bigquery.datasets.update",
    f"DELETE {_DATASETS}/*": "bigquery.datasets.delete",
    f"GET {_TABLES}": "bigquery.tables.list",
    f"POST {_TABLES}": "bigquery.tables.insert",
    f"GET {_TABLES}/*": "bigquery.tables.get",
    f"PATCH {_TABLES}/*": "bigquery.tables.patch",
    f"PUT {_TABLES}/*": "bigquery.tables.update",
    f"DELETE {_TABLES}/*": "bigquery.tables.delete",
    f"GET {_TABLES}/*/data": "bigquery.tabledata.list",
    f"POST {_TABLES}/*/insertAll": "bigquery.tabledata.insertAll",
    f"GET {_DATASETS}/*/routines": "bigquery.routines.list",
    f"POST {_DATASETS}/*/routines": "bigquery.routines.insert",
    f"GET {_DATASETS}/*/routines/*": "bigquery.routines.get",
    f"PUT {_DATASETS}/*/routines/*": "bigquery.routines.update",
    f"DELETE {_DATASETS}/*/routines/*": "bigquery.routines.delete",
    f"POST {_PROJECT}/*/queries": "bigquery.jobs.query",
    f"GET {_PROJECT}/*/queries/*": "bigquery.jobs.getQueryResults",
    f"GET {_PROJECT}/*/jobs": "bigquery.jobs.list",
    f"POST {_PROJECT}/*/jobs": "bigquery.jobs.insert",
    f"POST /upload{_PROJECT}/*/jobs": "bigquery.jobs.insert",
    f"PUT /upload{_PROJECT}/*/jobs": "bigquery.jobs.insert",
    f"GET {_PROJECT}/*/jobs/*": "bigquery.jobs.get",
    f"POST {_PROJECT}/*/jobs/*/cancel": "bigquery.jobs.cancel",
    f"DELETE {_PROJECT}/*/jobs/*/delete": "bigquery.jobs.delete",
}
_PATTERNS = [(re.compile(re.escape(route).replace(r"\*", "[^/]+")), name) for route, name in _ROUTES.items()]
METHODS = frozenset(_ROUTES.values())
_PACKAGES = ("bqemulator", "duckdb_extensions", "duckdb_extension_spatial")
_NOT_INSTALLED = (
    "BigQuery is not installed in the Python environment of the local Vertex AI. Install it there with "
    "`pip install 'seatrial[bigquery-local]'`, then try again."
)
_logger = logging.getLogger(__name__)


class BigQueryError(Exception):
    """An error in the form of BigQuery.

    Args:
        status: The HTTP status.
        reason: BigQuery's machine-readable reason: "notFound".
        message: What a person reads.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message

    def response(self) -> web.Response:
        """The HTTP response."""
        details = [{"domain": "global", "reason": self.reason, "message": self.message}]
        body = {"error": {"code": self.status, "message": self.message, "errors": details}}
        return web.json_response(body, status=self.status)


class BigQuery:
    """The local BigQuery. Make it inside the running event loop.

    Args:
        vertex: The emulator of which it is a part.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex
        self._starting = asyncio.Lock()
        # The emulator's own methods share a connection to its database, and do not expect each other.
        self._turn = asyncio.Lock()
        self._process: asyncio.Task[Any] | None = None
        self._ports: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def handle(self, request: web.Request) -> web.Response:
        """Answers a request to the REST API.

        Raises:
            DroppedError: If a fault takes the answer away.
        """
        try:
            method = _method(request)
            body = await request.read()
            async with self._vertex.faults.around(method):
                return await self._pass_on(request, body)
        except BigQueryError as error:
            return error.response()
        except ApiError as error:  # of a fault
            return BigQueryError(http_status(error), "backendError", error.message).response()

    async def grpc_port(self) -> int:
        """The port of the Storage API; 0, where nothing listens, if there is no emulator."""
        try:
            return (await self._started())["grpc"]
        except BigQueryError as error:
            _logger.error("%s", error.message)
            return 0

    async def close(self) -> None:
        """Ends the emulator for good."""
        self._closed = True
        if self._process is not None:
            self._process.cancel()
            await asyncio.wait([self._process])
        if self._session is not None:
            await self._session.close()

    async def _pass_on(self, request: web.Request, body: bytes) -> web.Response:
        port = (await self._started())["rest"]
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=_KEEPALIVE_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        url = f"http://{_HOST}:{port}"
        try:
            async with (
                self._turn,
                self._session.request(
                    request.method,
                    URL(f"{url}{request.rel_url.raw_path_qs}", encoded=True),
                    data=body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=None),
                    allow_redirects=False,
                ) as response,
            ):
                answer = await response.read()
        except aiohttp.ClientError as error:
            text = f"The emulator of BigQuery ended: {error!r}. {self._tail()}"
            raise BigQueryError(503, "backendError", text) from None
        kept = {name: value for name, value in response.headers.items() if name.lower() not in _HOP_HEADERS}
        return web.Response(status=response.status, body=answer, headers=kept)

    async def _started(self) -> dict[str, int]:
        """The ports of the emulator, which is started unless it runs."""
        async with self._starting:
            if self._closed:
                raise BigQueryError(503, "backendError", "The local Vertex AI is stopping.")
            if self._process is None or self._process.done():
                if not all(importlib.util.find_spec(package) for package in _PACKAGES):
                    raise BigQueryError(501, "notImplemented", _NOT_INSTALLED)
                await self._start()
            return self._ports

    async def _start(self) -> None:
        ready: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        self._process = process = asyncio.create_task(self._run(ready), name="BigQuery")
        futures: list[asyncio.Future[Any]] = [process, ready]
        await asyncio.wait(futures, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            process.cancel()
            await asyncio.wait([process])
            raise BigQueryError(503, "backendError", f"The emulator of BigQuery did not start. {self._tail()}")
        self._ports = ready.result()

    async def _run(self, ready: asyncio.Future[dict[str, int]]) -> None:
        """Runs the emulator; its ports are known when it is ready."""
        state = self._vertex.home / "bigquery"
        state.mkdir(exist_ok=True)
        async with private_folder(self._vertex) as folder:
            ports = folder / "ports.json"
            folders = {"--state": state, "--buckets": buckets_folder(self._vertex.home), "--ready": ports}
            options = [str(part) for option in folders.items() for part in option]
            program = [sys.executable, "-P", "-m", "seatrial.localvertex.bigquery.emulator", *options]
            environment = {name: value for name, value in os.environ.items() if not name.startswith("BQEMU_")}
            watch = asyncio.create_task(_watch(ports, ready))
            try:
                status = await run(Command(program, {**environment, "PYTHONUNBUFFERED": "1"}, folder, self._log))
                _logger.error("The emulator of BigQuery ended with status %s; see %s.", status, self._log)
            finally:
                watch.cancel()

    @property
    def _log(self) -> Path:
        return logs_folder(self._vertex.home) / "bigquery.log"

    def _tail(self) -> str:
        text = self._log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if self._log.exists() else ""
        return f"Its log is {self._log}; it ends with:\n{text.strip() or '(nothing)'}"


async def _watch(ports: Path, ready: asyncio.Future[dict[str, int]]) -> None:
    while not ports.exists():
        await asyncio.sleep(_POLL_SECONDS)
    with contextlib.suppress(asyncio.InvalidStateError):
        ready.set_result(json.loads(ports.read_text()))


def _method(request: web.Request) -> str:
    """The name of the method that a request calls.

    Raises:
        BigQueryError: If it is none that is emulated.
    """
    path = request.rel_url.raw_path
    call = f"{request.method} {path.rstrip('/')}"
    for pattern, name in _PATTERNS:
        if pattern.fullmatch(call):
            return name
    raise BigQueryError(501, "notImplemented", f"{request.method} {path} is not a method that is emulated.")
