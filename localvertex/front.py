"""The one port of the local Vertex AI.

A connection is one of: a request to the server itself (plain HTTP); a proxy request, by which Google's clients come in
under Google's host names (CONNECT, then TLS whose ALPN separates gRPC from REST) and others go out; TLS without a proxy
request; a lease, held by a client for as long as it needs the server. Nothing is ever sent on to a host of Google.
"""

import asyncio
import base64
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from .hosts import is_google, normalized

if TYPE_CHECKING:
    from .certificates import Certificates

LEASE_REQUEST = b"LEASE\n"
LEASE_GRANTED = b"OK\n"
_CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_LOOPBACK = "127.0.0.1"
_TLS_HANDSHAKE = b"\x16"
_LINE_BYTES = 64 * 1024
_HEADER_LINES = 256
_BACKLOG = 1024
_SECONDS_BETWEEN_ADDRESSES = 0.25
_SECONDS_TO_READ_A_REFUSAL = 2.0
_SECONDS_WITHOUT_FILE_DESCRIPTORS = 0.2
# What concerns one connection only. A forwarded request gets a connection of its own.
_HOP_HEADERS = (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization")
_logger = logging.getLogger(__name__)


class _RefusedError(Exception):
    """A request that is answered with an error instead of being passed on."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Front:
    """Listens on one port and passes each connection to where it belongs.

    Args:
        certificates: Certificates for Google's host names.
        grpc_port: Finds the local port of the gRPC server (HTTP/2 without TLS) of a host.
        http_port: Local port of the HTTP server (HTTP/1.1 without TLS).
        emulated: Tells whether a host of Google, in lower case, is answered by these two.
        on_lease_change: Called with the number of leases whenever it changes.
    """

    def __init__(
        self,
        certificates: "Certificates",
        grpc_port: Callable[[str], Awaitable[int]],
        http_port: int,
        emulated: Callable[[str], bool],
        on_lease_change: Callable[[int], None],
    ) -> None:
        self._certificates = certificates
        self._grpc_port, self._http_port = grpc_port, http_port
        self._emulated, self._on_lease_change = emulated, on_lease_change
        self._proxies = getproxies_environment()
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._clients: dict[int, _Side] = {}  # by the port from which the gRPC or HTTP server gets what they send
        self._leases = 0

    @property
    def leases(self) -> int:
        """How many clients hold a lease."""
        return self._leases

    async def start(self, port: int) -> int:
        """Listens on 127.0.0.1, on another port when the wanted one is taken or 0, and returns the port."""
        self._listener = _listen(port)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self._listener.getsockname()[1]

    def stop_listening(self) -> None:
        """Takes no further connection and grants no further lease; the connections that are open stay."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """Stops listening and ends every connection."""
        self.stop_listening()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def drop(self, port: int) -> None:
        """Breaks the connection of a client, which a server behind this one knows by the port it comes from."""
        if port in self._clients:
            self._clients[port].transport.abort()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _logger.warning("No connection can be accepted for a moment: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(_SECONDS_WITHOUT_FILE_DESCRIPTORS, self._accept_again)
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(self._serve(client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    async def _serve(self, client: socket.socket) -> None:
        try:
            await self._route(client)
        except _RefusedError as refusal:
            _logger.warning("%s", refusal)
            await _refuse(client, refusal)
        except (ValueError, OSError) as error:  # what arrived makes no sense, or the connection broke
            _logger.debug("A connection ended early: %s", error)
        finally:
            client.close()

    async def _route(self, client: socket.socket) -> None:
        await _readable(client)
        if client.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            return await self._answer_tls(client, host="")
        line = await _read_line(client)
        if line == LEASE_REQUEST:
            return await self._hold_lease(client)
        method, target, version = _request_line(line)
        if method == "CONNECT":
            await _read_header_lines(client)
            return await self._connect(client, target)
        if target.startswith("/") or target == "*":
            return await self._answer(client, line)
        return await self._forward(client, method, target, version)

    async def _hold_lease(self, client: socket.socket) -> None:
        if self._listener is None:
            return
        self._count_leases(1)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, LEASE_GRANTED)
            while await loop.sock_recv(client, _LINE_BYTES):
                pass
        finally:
            self._count_leases(-1)

    def _count_leases(self, change: int) -> None:
        self._leases += change
        self._on_lease_change(self._leases)

    async def _connect(self, client: socket.socket, target: str) -> None:
        host, port = _host_and_port(f"//{target}", 443)
        if is_google(host):
            self._refuse_unless_emulated(host)
            await asyncio.get_running_loop().sock_sendall(client, _CONNECTED)
            return await self._answer_tls(client, host)
        with await _reach_outside(host, port, self._proxy_for(host, "https")) as backend:
            await asyncio.get_running_loop().sock_sendall(client, _CONNECTED)
            with await _take_over(client) as side:
                await _join(side, backend)

    async def _answer_tls(self, client: socket.socket, host: str) -> None:
        try:
            side = await _take_over(client, self._certificates.context)
        except ssl.SSLError as error:
            _logger.warning("A client's TLS failed: %s. Does it trust what `seatrial local env` names?", error)
            return
        with side:
            protocol = side.transport.get_extra_info("ssl_object").selected_alpn_protocol()
            port = await self._grpc_port(host) if protocol == "h2" else self._http_port
            with await _reach(_LOOPBACK, port) as backend:
                own_port = backend.transport.get_extra_info("sockname")[1]
                self._clients[own_port] = side
                try:
                    await _join(side, backend)
                finally:
                    del self._clients[own_port]

    async def _answer(self, client: socket.socket, line: bytes) -> None:
        with await _reach(_LOOPBACK, self._http_port) as backend, await _take_over(client) as side:
            backend.transport.write(line)
            await _join(side, backend)

    async def _forward(self, client: socket.socket, method: str, target: str, version: str) -> None:
        """Passes one plain HTTP request on to a host that is not Google's."""
        headers = await _read_header_lines(client)
        host, port = _host_and_port(target, 80)
        if is_google(host):
            self._refuse_unless_emulated(host)
            raise _RefusedError("403 Forbidden", f"{host} is reached by https only through the local Vertex")
        if urlsplit(target).scheme != "http":
            raise ValueError(f"{target} is no URL of a proxy request")
        kept = [line for line in headers if line.partition(b":")[0].strip().lower() not in _HOP_HEADERS]
        proxy = self._proxy_for(host, "http")
        if proxy is None:
            target = _origin_form(target)
        else:
            host, port = _proxy_address(proxy)
            kept += _proxy_authorization(proxy)
        # The client may ask for another host next: the connection ends with the answer.
        head = [f"{method} {target} {version}\r\n".encode("latin-1"), *kept, b"Connection: close\r\n\r\n"]
        with await _reach_outside(host, port, None) as backend, await _take_over(client) as side:
            backend.transport.write(b"".join(head))
            await _join(side, backend)

    def _refuse_unless_emulated(self, host: str) -> None:
        if not self._emulated(host):
            raise _RefusedError(
                "403 Forbidden", f"{host} is not emulated by the local Vertex and is never contacted from it"
            )

    def _proxy_for(self, host: str, scheme: str) -> SplitResult | None:
        """The proxy that the server's own environment names for a host."""
        url = self._proxies.get(scheme)
        local = host == "localhost" or host.startswith("127.") or host == "::1"
        if not url or local or proxy_bypass_environment(host, self._proxies):
            return None
        proxy = urlsplit(url if "//" in url else f"http://{url}")
        if proxy.scheme != "http" or not proxy.hostname:
            raise _RefusedError(
                "502 Bad Gateway", f"{scheme}_proxy is no http:// URL with a host; no other can be chained"
            )
        return proxy


class _Side(asyncio.Protocol):
    """One of two connections that are joined: what arrives here is written to the other. Leaving its block ends it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.other: _Side | None = None
        self.ended = False
        self.closed = asyncio.get_running_loop().create_future()

    def __enter__(self) -> "_Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()  # until there is another side

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        assert self.other is not None
        self.ended = True
        if self.other.ended or not self.other.transport.can_write_eof():
            self.other.transport.close()
            return False
        self.other.transport.write_eof()
        return self.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if self.other is not None:
            end = self.other.transport.abort if error else self.other.transport.close  # close sends what is left
            end()


async def _join(client: _Side, backend: _Side) -> None:
    """Passes everything between two connections until both are closed."""
    if client.closed.done() or backend.closed.done():
        return
    client.other, backend.other = backend, client
    client.transport.resume_reading()
    backend.transport.resume_reading()
    await asyncio.wait([client.closed, backend.closed])


async def _take_over(client: socket.socket, context: ssl.SSLContext | None = None) -> _Side:
    _, side = await asyncio.get_running_loop().connect_accepted_socket(_Side, client, ssl=context)
    return side


async def _reach(host: str, port: int) -> _Side:
    _, side = await asyncio.get_running_loop().create_connection(
        _Side, host, port, happy_eyeballs_delay=_SECONDS_BETWEEN_ADDRESSES
    )
    return side


async def _reach_outside(host: str, port: int, proxy: SplitResult | None) -> _Side:
    try:
        return await (_reach(host, port) if proxy is None else _reach_through(proxy, host, port))
    except OSError as error:
        raise _RefusedError("502 Bad Gateway", f"{host}:{port} cannot be reached: {error}") from None


async def _reach_through(proxy: SplitResult, host: str, port: int) -> _Side:
    """Has another proxy open a tunnel."""
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = (await loop.getaddrinfo(*_proxy_address(proxy), type=socket.SOCK_STREAM))[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = [f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode(), *_proxy_authorization(proxy), b"\r\n"]
        await loop.sock_sendall(connection, b"".join(request))
        status = (await _read_line(connection)).decode("latin-1").strip()
        await _read_header_lines(connection)
        if status.split()[1:2] != ["200"]:
            raise OSError(f"the proxy {proxy.hostname} answered {status!r}")
        return (await loop.create_connection(_Side, sock=connection))[1]
    except BaseException:
        connection.close()
        raise


def _proxy_address(proxy: SplitResult) -> tuple[str, int]:
    return proxy.hostname or "", proxy.port or 80


def _proxy_authorization(proxy: SplitResult) -> list[bytes]:
    if proxy.username is None:
        return []
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [b"Proxy-Authorization: Basic " + base64.b64encode(user.encode()) + b"\r\n"]


def _listen(port: int) -> socket.socket:
    for candidate in (port, 0):
        try:
            listener = socket.create_server((_LOOPBACK, candidate), backlog=_BACKLOG)
        except OSError:
            if candidate == 0:
                raise
        else:
            listener.setblocking(False)
            return listener
    raise AssertionError("unreachable")


async def _refuse(client: socket.socket, refusal: _RefusedError) -> None:
    body = f"{refusal}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status}: {refusal}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        await loop.sock_sendall(client, head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        # Closing with unread data would take the answer back from the client.
        async with asyncio.timeout(_SECONDS_TO_READ_A_REFUSAL):
            while await loop.sock_recv(client, _LINE_BYTES):
                pass


async def _readable(connection: socket.socket) -> None:
    """Waits until something has arrived, without taking it from the socket."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(connection, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(connection)


async def _read_line(connection: socket.socket) -> bytes:
    """Reads one line and nothing beyond it, so that the rest can be handed on with the socket."""
    line = b""
    while not line.endswith(b"\n"):
        await _readable(connection)
        seen = connection.recv(_LINE_BYTES - len(line), socket.MSG_PEEK)
        if not seen:
            raise ConnectionError("it ended in the middle of a line, or the line is too long")
        line += connection.recv(seen.find(b"\n") + 1 or len(seen))
    return line


async def _read_header_lines(connection: socket.socket) -> list[bytes]:
    lines: list[bytes] = []
    while (line := await _read_line(connection)).strip():
        lines.append(line)
        if len(lines) > _HEADER_LINES:
            raise ValueError("it has too many header lines")
    return lines


def _request_line(line: bytes) -> tuple[str, str, str]:
    method, target, version = line.decode("latin-1").split()
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{version} is no version of HTTP that a proxy request can have")
    return method, target, version


def _host_and_port(url: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url} names no host")
    return normalized(parts.hostname), default_port if parts.port is None else parts.port


def _origin_form(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
