"""The server process of the local Vertex AI: `python -m seatrial.localvertex.server --home FOLDER`.

One process and one event loop hold everything: the front port, the gRPC and REST faces, Cloud Storage, the pipeline
engine and the processes behind deployed models. `lifecycle.py` starts and stops it.
"""

import argparse
import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
from aiohttp import web

from . import administration, operations, rest
from .api import ApiError
from .bigquery import service as bigquery
from .certificates import Certificates
from .dispatcher import GrpcHandler
from .environment import authority_file, buckets_folder, client_environment
from .execution import custom_job
from .execution.outcome import STOPPED
from .execution.pipeline import PipelineRunner
from .files import remove_left_files
from .front import Front
from .lifecycle import write_server_file
from .names import DEFAULT_PROJECT, RuntimeName
from .namespace import enter_private_root
from .projects import remember_project
from .requests import location_of_host
from .runtimes.container import Runtime
from .runtimes.docker import DockerRuntime
from .runtimes.process import ProcessRuntime
from .services import endpoints, jobs, metadata, models, pipelines, projects, tensorboards  # noqa: F401 (registers)
from .services import operations as operations_service  # noqa: F401 (registers)
from .serving import Serving
from .standing_faults import DroppedError, StandingFaults
from .storage.service import Storage
from .store import Store
from .vertex import Vertex

_RUNTIMES: dict[RuntimeName, Callable[[Vertex], Runtime]] = {"process": ProcessRuntime, "docker": DockerRuntime}
_SECONDS_UNTIL_FIRST_LEASE = 10.0
_VERTEX_HOSTS = ("aiplatform.googleapis.com", "cloudresourcemanager.googleapis.com")
# Browsers add them to what a web page sends: a page of another site could ask for something, too.
_BROWSER_HEADERS = ("Origin", "Sec-Fetch-Site")
_STORAGE_HOST = "storage.googleapis.com"
_OAUTH_HOST = "oauth2.googleapis.com"
# google-auth asks there whether its account is bound to regions; the answer is that nothing is known of it.
_IAM_HOST = "iamcredentials.googleapis.com"


def emulated(host: str) -> bool:
    """Whether requests to a Google host are answered here; all other hosts of Google are refused."""
    return (
        host in (*_VERTEX_HOSTS, _STORAGE_HOST, _OAUTH_HOST, _IAM_HOST, *bigquery.HOSTS, bigquery.STORAGE_HOST)
        or host.endswith("-aiplatform.googleapis.com")
        or host.endswith(".prediction.vertexai.goog")
    )


class Server:
    """One running local Vertex AI.

    Args:
        home: Folder of everything that is kept.
        ephemeral: Whether the server stops when no client holds a lease any more.
        runtime: What runs the containers.
        private_root: Whether `/gcs` shows the buckets to them.
    """

    def __init__(self, home: Path, *, ephemeral: bool, runtime: RuntimeName, private_root: bool) -> None:
        self._home, self._ephemeral, self._runtime, self._private_root = home, ephemeral, runtime, private_root
        self._leases = self._port = 0
        self._stop = asyncio.Event()

    async def run(self, port: int) -> None:
        """Serves until a signal or, when ephemeral, the end of the last lease."""
        self._vertex = vertex = self._build()
        self._bigquery = bigquery.BigQuery(vertex)
        grpc_servers = _GrpcServers(vertex, self._bigquery, self._drop)
        http_runner, http_port = await _start_http(self._handle)
        self._front = Front(Certificates(self._home), grpc_servers.port, http_port, emulated, self._leases_changed)
        self._port = await self._front.start(port)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        vertex.environment.update(client_environment(self._home, self._port))
        self._resume()
        write_server_file(self._home, port=self._port, ephemeral=self._ephemeral, runtime=self._runtime)
        if self._ephemeral:
            asyncio.get_running_loop().call_later(_SECONDS_UNTIL_FIRST_LEASE, self._stop_unless_leased)
        await self._stop.wait()
        vertex.faults.clear()  # or else the calls that they delay would delay the end
        # All at once: each ends its processes politely, and the supervisor's patience is for the whole.
        await asyncio.gather(
            vertex.pipelines.close(), vertex.serving.close(), vertex.tasks.close(), self._bigquery.close()
        )
        await self._front.close()
        await grpc_servers.stop()
        await http_runner.cleanup()
        await vertex.tasks.close()
        vertex.storage.close()
        vertex.store.close()

    def _build(self) -> Vertex:
        store = Store(self._home / "vertex.sqlite")
        number = remember_project(store, DEFAULT_PROJECT)
        faults = StandingFaults()
        storage = Storage(buckets_folder(self._home), self._home / "storage.sqlite", number, faults)
        vertex = Vertex(self._home, store, storage, environment={}, private_root=self._private_root, faults=faults)
        vertex.runtime = _RUNTIMES[self._runtime](vertex)
        vertex.serving = Serving(vertex)
        vertex.pipelines = PipelineRunner(vertex)
        return vertex

    def _resume(self) -> None:
        operations.interrupt_unfinished(self._vertex.store, STOPPED)
        self._vertex.pipelines.recover()
        custom_job.recover(self._vertex)
        self._vertex.serving.resume()

    def _leases_changed(self, count: int) -> None:
        self._leases = count
        if self._ephemeral:
            self._stop_unless_leased()

    def _stop_unless_leased(self) -> None:
        if self._ephemeral and not self._leases:
            self._end()

    def _end(self) -> None:
        self._front.stop_listening()  # a lease that is granted from here on would be broken
        self._stop.set()

    def _drop(self, peer: str) -> None:
        """Breaks the connection of a client, whose name at the gRPC server ends with a port of the front."""
        self._front.drop(int(peer.rpartition(":")[2]))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except DroppedError:
            if request.transport:
                request.transport.abort()
            return web.Response()  # nobody hears it

    async def _route(self, request: web.Request) -> web.StreamResponse:
        host = request.host.rpartition(":")[0] or request.host
        if host == _STORAGE_HOST:
            return await self._vertex.storage.handle(request)
        if host in bigquery.HOSTS:
            return await self._bigquery.handle(request)
        if host in ("127.0.0.1", "localhost", _OAUTH_HOST):
            return await self._handle_local(request)
        if emulated(host) and host != _IAM_HOST:
            return await rest.handle(self._vertex, request)
        return rest.error_response(ApiError("NOT_FOUND", f"{host} has nothing here."))

    async def _handle_local(self, request: web.Request) -> web.Response:
        if request.path.startswith("/local/") and any(header in request.headers for header in _BROWSER_HEADERS):
            return rest.error_response(ApiError("PERMISSION_DENIED", "Web pages may not ask for this."))
        match request.method, request.path:
            case "POST", "/token":
                return web.json_response({"access_token": "local", "token_type": "Bearer", "expires_in": 3600})
            case "GET", "/healthz":
                return web.json_response(
                    {
                        "leases": self._leases,
                        "running_jobs": self._vertex.pipelines.running(),
                        "ephemeral": self._ephemeral,
                    }
                )
            case "POST", "/local/persist":
                if self._stop.is_set():
                    return web.json_response({"error": "The server is stopping."}, status=503)
                self._ephemeral = False
                write_server_file(self._home, port=self._port, ephemeral=False, runtime=self._runtime)
                return web.json_response({})
        return await administration.handle(self._vertex, request)


class _GrpcServers:
    """The gRPC servers, one for each location: gRPC does not tell a handler which host a client has called.

    BigQuery's is in a process of its own.
    """

    def __init__(self, vertex: Vertex, bigquery: bigquery.BigQuery, drop: Callable[[str], None]) -> None:
        self._vertex, self._bigquery, self._drop = vertex, bigquery, drop
        self._servers: dict[str | None, tuple[grpc.aio.Server, int]] = {}
        self._starting = asyncio.Lock()

    async def port(self, host: str) -> int:
        """The port of the server that answers for a host; it is started if it does not run yet."""
        if host == bigquery.STORAGE_HOST:
            return await self._bigquery.grpc_port()
        location = location_of_host(host)
        async with self._starting:
            if location not in self._servers:
                server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
                server.add_generic_rpc_handlers((GrpcHandler(self._vertex, location, self._drop),))
                port = server.add_insecure_port("127.0.0.1:0")
                await server.start()
                self._servers[location] = server, port
        return self._servers[location][1]

    async def stop(self) -> None:
        """Ends all servers when they have answered what they have, or after a second."""
        await asyncio.gather(*(server.stop(grace=1.0) for server, _ in self._servers.values()))


async def _start_http(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, int]:
    application = web.Application(client_max_size=2**40)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


def main() -> None:
    """Runs the server until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of everything that is kept")
    parser.add_argument("--port", type=int, default=0, help="port to listen on at 127.0.0.1; 0 picks a free one")
    parser.add_argument("--ephemeral", action="store_true", help="stop when the last client is gone")
    parser.add_argument("--runtime", choices=_RUNTIMES, required=True, help="what runs the containers of tasks")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    home = arguments.home.resolve()
    buckets_folder(home).mkdir(parents=True, exist_ok=True)
    for folder in (home, authority_file(home).parent):
        remove_left_files(folder)
    runtime: RuntimeName = arguments.runtime
    # A container has a root folder of its own.
    private_root = runtime == "docker" or enter_private_root(buckets_folder(home))

    async def serve() -> None:
        server = Server(home, ephemeral=arguments.ephemeral, runtime=runtime, private_root=private_root)
        await server.run(arguments.port)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
