"""The one port, with real sockets, real TLS, and the clients that Google's libraries are built on."""

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from aiohttp import web

from seatrial.localvertex.certificates import Certificates
from seatrial.localvertex.environment import client_environment
from seatrial.localvertex.front import LEASE_GRANTED, LEASE_REQUEST, Front

VERTEX = "us-central1-aiplatform.googleapis.com"
DEDICATED = "1234567890123456789.northamerica-northeast1-123456789012.prediction.vertexai.goog"
EMULATED = (VERTEX, "storage.googleapis.com", DEDICATED)
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
PATIENCE = 30.0
MEBIBYTE = bytes(range(256)) * 4096


class LoopThread:
    """An event loop in a thread, as the server has one in its process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


class Backend:
    """What is behind the front: gRPC and HTTP servers that say what they got."""

    def __init__(self) -> None:
        self.finished, self.stalled = threading.Event(), threading.Event()
        self.settled = threading.Event()

    async def start(self) -> tuple[int, int]:
        self._grpc = grpc.aio.server()
        self._grpc.add_generic_rpc_handlers((_Echo(),))
        grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        await self._grpc.start()
        application = web.Application(client_max_size=2**30)
        application.add_routes(
            [
                web.get("/large", self._large),
                web.get("/endless", self._endless),
                web.route("*", "/{path:.*}", self._describe),
            ]
        )
        self._runner = web.AppRunner(application, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return grpc_port, self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._grpc.stop(None)
        await self._runner.cleanup()

    async def _describe(self, request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(
            {
                "method": request.method,
                "target": request.raw_path,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "sha256": hashlib.sha256(body).hexdigest(),
            }
        )

    async def _large(self, _: web.Request) -> web.Response:
        return web.Response(body=MEBIBYTE * 32)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        """Writes a gibibyte, and notices when nobody takes it."""
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1024):
            try:
                async with asyncio.timeout(1.0):
                    await response.write(MEBIBYTE)
            except TimeoutError:
                self.stalled.set()
                break
        self.settled.set()
        return response


class _Echo(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def echo(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
            return details.method.encode() + request

        return grpc.unary_unary_rpc_method_handler(echo)


class Installation:
    """A front with its backend, and what a client of it needs."""

    def __init__(self, thread: LoopThread, home: Path) -> None:
        self.thread, self.backend = thread, Backend()
        self.lease_counts: list[int] = []
        self._lease_changed = threading.Condition()
        self._port, self.http_port = thread.call(self.backend.start())
        self.front = Front(Certificates(home), self._grpc_port, self.http_port, EMULATED.__contains__, self._count)
        self.port = thread.call(self.front.start(0))
        self.url = f"http://127.0.0.1:{self.port}"
        self.bundle = client_environment(home, self.port)["REQUESTS_CA_BUNDLE"]

    async def _grpc_port(self, host: str) -> int:
        return self._port

    def _count(self, leases: int) -> None:
        with self._lease_changed:
            self.lease_counts.append(leases)
            self._lease_changed.notify_all()

    def wait_for_lease_counts(self, *counts: int) -> None:
        with self._lease_changed:
            assert self._lease_changed.wait_for(lambda: self.lease_counts == list(counts), PATIENCE), self.lease_counts

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"http": self.url, "https": self.url}
        session.verify = self.bundle
        return session

    def close(self) -> None:
        self.thread.call(self.front.close())
        self.thread.call(self.backend.close())


@pytest.fixture
def install(
    loop_thread: LoopThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Installation]]:
    """Makes a front whose server was started with the given proxies in its environment."""
    installations: list[Installation] = []

    def make(**environment: str) -> Installation:
        for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        installations.append(Installation(loop_thread, tmp_path))
        return installations[-1]

    yield make
    for installation in installations:
        installation.close()


@pytest.fixture
def front(install: Callable[..., Installation]) -> Installation:
    return install()


class Peer:
    """A server outside: answers each connection with what a function makes of the bytes up to a blank line."""

    def __init__(self, answer: Callable[[bytes, socket.socket], None]) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb", buffering=0) as stream:
                head = b""
                for line in stream:
                    head += line
                    if not line.strip():
                        break
                self.heads.append(head)
                self._answer(head, connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(answer: Callable[[bytes, socket.socket], None]) -> Peer:
        peers.append(Peer(answer))
        return peers[-1]

    yield make
    for each in peers:
        each.close()


def say_hello(_: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def open_tunnel(_: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nVia: a proxy\r\n\r\nfirst words ")
    connection.sendall(connection.recv(1024).upper())


def read_all(connection: socket.socket) -> bytes:
    content = b""
    while part := connection.recv(65536):
        content += part
    return content


def ask(front: Installation, request: bytes) -> bytes:
    with front.connect() as connection:
        connection.sendall(request)
        return read_all(connection)


@pytest.mark.parametrize("host", EMULATED)
def test_https_under_an_emulated_name_of_google_reaches_the_http_server(front: Installation, host: str) -> None:
    with front.session() as session:
        got = session.get(f"https://{host}/v1/models/ID%401?a=b").json()
    assert (got["method"], got["target"], got["headers"]["host"]) == ("GET", "/v1/models/ID%401?a=b", host)


def test_a_connection_serves_many_requests(front: Installation) -> None:
    with front.session() as session:
        targets = [session.get(f"https://{VERTEX}/v1/{number}").json()["target"] for number in range(20)]
    assert targets == [f"/v1/{number}" for number in range(20)]


@pytest.mark.parametrize("host", EMULATED)
def test_grpc_under_an_emulated_name_of_google_reaches_the_grpc_server(front: Installation, host: str) -> None:
    credentials = grpc.ssl_channel_credentials(Path(front.bundle).read_bytes())
    with grpc.secure_channel(f"{host}:443", credentials, options=[("grpc.http_proxy", front.url)]) as channel:
        answer = channel.unary_unary("/service/Method")(b"?", timeout=PATIENCE)
    assert answer == b"/service/Method?"


def test_names_are_compared_without_case_and_trailing_dot(front: Installation) -> None:
    answer = front.connect()
    with answer:
        answer.sendall(f"CONNECT {VERTEX.upper()}.:443 HTTP/1.1\r\n\r\n".encode())
        assert answer.recv(1024).startswith(b"HTTP/1.1 200 ")


def test_tls_is_served_without_a_proxy_request_too(front: Installation) -> None:
    context = ssl.create_default_context(cafile=front.bundle)
    with front.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(b"GET /direct HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'"target": "/direct"' in read_all(connection)


def test_plain_requests_to_the_port_itself_reach_the_http_server(front: Installation) -> None:
    got = requests.post(f"{front.url}/token", data=b"abc").json()
    assert (got["method"], got["target"]) == ("POST", "/token")
    assert got["sha256"] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    "host",
    [
        "bigquery.googleapis.com",
        "BigQuery.GoogleAPIs.com.",
        "googleapis.com",
        "accounts.google.com",
        "us-docker.pkg.dev",
        "metadata.google.internal",
        "169.254.169.254",
        "[fd20:ce::254]",
    ],
)
def test_other_hosts_of_google_are_refused_with_the_reason(front: Installation, host: str) -> None:
    answer = ask(front, f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).decode()
    name = host.strip("[]").rstrip(".").lower()
    reason = f"{name} is not emulated by the local Vertex and is never contacted from it"
    assert answer.startswith(f"HTTP/1.1 403 Forbidden: {reason}\r\n")
    assert answer.endswith(f"\r\n\r\n{reason}\n")


def test_the_reason_of_a_refusal_is_in_the_error_that_a_client_raises(front: Installation) -> None:
    with front.session() as session, pytest.raises(requests.exceptions.ProxyError, match="is not emulated by the loc"):
        session.get("https://bigquery.googleapis.com/bigquery/v2/projects")


@pytest.mark.parametrize("host", ["metadata.google.internal", "bigquery.googleapis.com", VERTEX])
def test_plain_http_to_a_host_of_google_is_refused(front: Installation, host: str) -> None:
    with front.session() as session:
        answer = session.post(f"http://{host}/computeMetadata/v1/", data=MEBIBYTE)
    assert answer.status_code == 403
    assert host in answer.text


def test_a_tunnel_to_another_host_carries_both_directions_and_each_end_of_them(
    front: Installation, peer: Callable[..., Peer]
) -> None:
    def answer_at_the_end(_: bytes, connection: socket.socket) -> None:
        connection.sendall(b"you sent " + read_all(connection).upper())

    outside = peer(answer_at_the_end)
    with front.connect() as connection:
        connection.sendall(f"CONNECT localhost:{outside.port} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(len(CONNECTED)) == CONNECTED
        connection.sendall(b"\r\nhalf and half")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b"you sent HALF AND HALF"


def test_plain_http_to_another_host_is_forwarded_as_one_request(front: Installation, peer: Callable[..., Peer]) -> None:
    outside = peer(say_hello)
    with front.session() as session:
        answer = session.get(f"http://127.0.0.1:{outside.port}/path?q=1", headers={"Proxy-Connection": "keep-alive"})
    head = outside.heads[0].decode()
    assert answer.text == "hello"
    assert head.startswith("GET /path?q=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{outside.port}\r\n" in head
    assert head.endswith("Connection: close\r\n\r\n")
    assert head.lower().count("connection:") == 1


@pytest.mark.parametrize("request_line", ["CONNECT localhost:{port} HTTP/1.1", "GET http://localhost:{port}/ HTTP/1.1"])
def test_a_host_that_cannot_be_reached_is_a_bad_gateway(front: Installation, request_line: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = ask(front, f"{request_line.format(port=port)}\r\n\r\n".encode()).decode()
    assert answer.startswith(f"HTTP/1.1 502 Bad Gateway: localhost:{port} cannot be reached: ")


@pytest.mark.parametrize("host", ["example.test", "evilgoogleapis.com", "googleapis.com.example.test"])
def test_a_tunnel_to_another_host_goes_through_the_proxy_that_the_user_has(
    install: Callable[..., Installation], peer: Callable[..., Peer], host: str
) -> None:
    proxy = peer(open_tunnel)
    front = install(https_proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    with front.connect() as connection:
        connection.sendall(f"CONNECT {host}:8443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert connection.recv(len(CONNECTED)) == CONNECTED
        connection.sendall(b"shout")
        assert read_all(connection) == b"first words SHOUT"
    assert proxy.heads == [
        f"CONNECT {host}:8443 HTTP/1.1\r\nHost: {host}:8443\r\n".encode()
        + b"Proxy-Authorization: Basic "
        + base64.b64encode(b"me:p@ss")
        + b"\r\n\r\n"
    ]


def test_plain_http_goes_through_the_proxy_that_the_user_has(
    install: Callable[..., Installation], peer: Callable[..., Peer]
) -> None:
    proxy = peer(say_hello)
    front = install(http_proxy=f"me:secret@127.0.0.1:{proxy.port}")
    with front.session() as session:
        assert session.get("http://example.test/path").text == "hello"
    head = proxy.heads[0]
    assert head.startswith(b"GET http://example.test/path HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:secret") + b"\r\n" in head


def test_hosts_that_the_user_excepts_and_this_machine_are_reached_without_that_proxy(
    install: Callable[..., Installation], peer: Callable[..., Peer]
) -> None:
    proxy, outside = peer(open_tunnel), peer(say_hello)
    front = install(http_proxy=f"http://127.0.0.1:{proxy.port}", https_proxy=f"http://127.0.0.1:{proxy.port}")
    with front.session() as session:
        assert session.get(f"http://localhost:{outside.port}/").text == "hello"
    assert proxy.heads == []
    excepting = install(http_proxy=f"http://127.0.0.1:{proxy.port}", no_proxy="example.test")
    assert b" 502 Bad Gateway: example.test:1 " in ask(excepting, b"GET http://example.test:1/ HTTP/1.1\r\n\r\n")
    assert proxy.heads == []


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Authentication Required\r\n\r\n", b"nonsense\r\n\r\n", b""])
def test_a_proxy_that_refuses_is_a_bad_gateway(
    install: Callable[..., Installation], peer: Callable[..., Peer], answer: bytes
) -> None:
    proxy = peer(lambda _, connection: connection.sendall(answer))
    front = install(https_proxy=f"http://127.0.0.1:{proxy.port}")
    assert ask(front, b"CONNECT example.test:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 502 Bad Gateway: ")


def test_a_proxy_of_another_kind_is_named_as_the_reason(install: Callable[..., Installation]) -> None:
    front = install(https_proxy="socks5://127.0.0.1:1080")
    answer = ask(front, b"CONNECT example.test:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway: https_proxy is no http:// URL")


@pytest.mark.parametrize(
    "content",
    [
        b"\0\1\2\3\n",
        b"\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16" * 100_000,
        b"x" * 100_000,
        b"CONNECT\n",
        b"CONNECT :443 HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:port HTTP/1.1\r\n\r\n",
        b"CONNECT localhost:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT [::1 HTTP/1.1\r\n\r\n",
        b"CONNECT " + b"a" * 300 + b":443 HTTP/1.1\r\n\r\n",
        b"GET ftp://localhost/ HTTP/1.1\r\n\r\n",
        b"GET http:/// HTTP/1.1\r\n\r\n",
        b"GET http://localhost/ HTTP/1.1\r\n" + b"a: b\r\n" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"LEASE please\n",
    ],
)
def test_what_makes_no_sense_ends_its_connection_and_nothing_else(front: Installation, content: bytes) -> None:
    with front.connect() as connection:
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            assert b" 200 " not in read_all(connection)
        except OSError:
            pass
    assert requests.get(f"{front.url}/healthz").status_code == 200
    assert front.lease_counts == []


@pytest.mark.parametrize("end", [b"", b"G", b"GET / HT", b"CONNECT localhost:1 HTTP/1.1\r\nHost", b"LEASE", b"\x16\3"])
def test_a_client_may_leave_at_any_point(front: Installation, end: bytes) -> None:
    with front.connect() as connection:
        connection.sendall(end)
    assert requests.get(f"{front.url}/healthz").status_code == 200


def test_a_head_may_arrive_in_pieces(front: Installation) -> None:
    with front.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"CONNECT {VERTEX}:443 HTTP/1.1\r\nHost: {VERTEX}\r\n\r\n".encode():
            connection.sendall(bytes([byte]))
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("url", [f"https://{VERTEX}/upload", "http://127.0.0.1:{port}/upload"])
def test_large_bodies_arrive_whole_in_both_directions(front: Installation, url: str) -> None:
    body = MEBIBYTE * 32
    with front.session() as session:
        sent = session.post(url.format(port=front.port), data=body).json()
        got = session.get(url.format(port=front.port).replace("upload", "large")).content
    assert sent["sha256"] == hashlib.sha256(body).hexdigest()
    assert got == body


def test_nothing_piles_up_for_a_client_that_does_not_read(front: Installation) -> None:
    with front.session() as session, session.get(f"https://{VERTEX}/endless", stream=True):
        assert front.backend.settled.wait(PATIENCE)
        assert front.backend.stalled.is_set()


def test_a_lease_lasts_until_its_connection_ends(front: Installation) -> None:
    with front.connect() as first, front.connect() as second:
        for count, connection in enumerate((first, second), start=1):
            connection.sendall(LEASE_REQUEST)
            assert connection.recv(16) == LEASE_GRANTED
            assert front.front.leases == count
        second.shutdown(socket.SHUT_WR)
        assert second.recv(16) == b"", "the port ends it too, once it has counted"
        assert front.front.leases == 1
    front.wait_for_lease_counts(1, 2, 1, 0)


def test_no_lease_is_granted_to_one_who_asks_after_the_end_of_listening(front: Installation) -> None:
    with front.connect() as early, front.connect() as holder:
        holder.sendall(LEASE_REQUEST)
        assert holder.recv(16) == LEASE_GRANTED

        async def stop_listening() -> None:
            front.front.stop_listening()

        front.thread.call(stop_listening())
        early.sendall(LEASE_REQUEST)
        assert early.recv(16) == b""
        with pytest.raises(ConnectionRefusedError):
            front.connect()
        assert front.front.leases == 1


def test_the_wanted_port_is_taken_if_it_is_free_and_else_another(
    front: Installation, loop_thread: LoopThread, tmp_path: Path
) -> None:
    def again() -> Front:
        return Front(Certificates(tmp_path), front._grpc_port, front.http_port, EMULATED.__contains__, lambda _: None)

    second, third = again(), again()
    other = loop_thread.call(second.start(front.port))
    assert other != front.port
    loop_thread.call(front.front.close())
    assert loop_thread.call(third.start(front.port)) == front.port
    loop_thread.call(second.close())
    loop_thread.call(third.close())


def test_closing_ends_every_connection_and_leaves_no_task(front: Installation, peer: Callable[..., Peer]) -> None:
    outside = peer(lambda _, connection: read_all(connection) and None)
    idle, lease, tunnel, tls = (front.connect() for _ in range(4))
    session = front.session()
    with idle, lease, tunnel, tls, session:
        lease.sendall(LEASE_REQUEST)
        assert lease.recv(16) == LEASE_GRANTED
        tunnel.sendall(f"CONNECT localhost:{outside.port} HTTP/1.1\r\n\r\n".encode())
        assert tunnel.recv(1024).startswith(b"HTTP/1.1 200 ")
        tls.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert session.get(f"https://{VERTEX}/keep-alive").status_code == 200
        front.thread.call(front.front.close())
        assert [connection.recv(16) for connection in (idle, lease, tunnel)] == [b""] * 3

        async def names_of_tasks() -> list[str]:
            return [str(task.get_coro()) for task in asyncio.all_tasks()]

        assert [name for name in front.thread.call(names_of_tasks()) if "Front." in name] == []
