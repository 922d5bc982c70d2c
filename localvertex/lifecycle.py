"""Starts, finds and stops the server of a state folder.

At most one server runs for a state folder. Its supervisor holds `supervisor.lock`, so that it is known without a doubt
whether one runs and as which process; `server.json` says the rest. Whoever starts or stops one holds `lock`.
"""

import contextlib
import datetime
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..components import images
from ..components.artifacts import write_json, write_text
from .environment import MARKER_VARIABLE, PROXY_VARIABLES, client_environment
from .files import locked
from .front import LEASE_GRANTED, LEASE_REQUEST
from .names import RuntimeName
from .proc import parents
from .runtimes.engine import EngineError, find_engine
from .supervisor import SECONDS_TO_END

SERVER = (sys.executable, "-P", "-m", "seatrial.localvertex.server")
_SUPERVISOR = (sys.executable, "-P", "-m", "seatrial.localvertex.supervisor")
_SECONDS_TO_START = 120.0
_SECONDS_TO_ANSWER = 5.0
_SECONDS_BETWEEN_LOOKS = 0.05
_LEASE_ATTEMPTS = 3
_LOG_BYTES = 10_000_000
_LOG_LINES_SHOWN = 20


class LifecycleError(RuntimeError):
    """The local Vertex AI cannot be used. The text says why and what to do."""


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        home: Its state folder.
        port: Its port on 127.0.0.1.
        pid: Its process.
        supervisor: The process that started it.
        started: When it was ready (ISO 8601, UTC).
        source_hash: What it runs: see `source_hash`.
        python: The interpreter that it runs on.
        ephemeral: Whether it stops when nobody holds a lease.
        leases: How many clients hold one.
        running_jobs: How many jobs are being executed.
        runtime: What runs the containers of tasks.
    """

    home: Path
    port: int
    pid: int
    supervisor: int
    started: str
    source_hash: str
    python: str
    ephemeral: bool
    leases: int
    running_jobs: int
    runtime: RuntimeName = "process"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Google's clients reach it."""
        return client_environment(self.home, self.port)


def start(
    home: Path, *, ephemeral: bool, runtime: RuntimeName | None = None, server: Sequence[str] = SERVER
) -> Running:
    """Starts the server of a state folder, or finds the one that runs.

    A server of other source code, another Python environment or another runtime is replaced, unless it is in use.

    Args:
        home: State folder; it is made if needed.
        ephemeral: Whether the server is to stop when nobody holds a lease. One that stays is never made ephemeral.
        runtime: What is to run the containers of tasks; None for that of the running server, or else processes.
        server: Command of the server, to which `--home`, `--port`, `--runtime` and `--ephemeral` are added.

    Raises:
        LifecycleError: If the server does not start, does not answer, or is in use and has to be replaced, or if no
            container engine answers and `runtime` needs one.
    """
    with _locked(home.absolute()):
        return _start(home.absolute(), ephemeral, runtime, server)


def stop(home: Path) -> bool:
    """Stops the server of a state folder with everything that it started, and says whether there was one."""
    if not home.is_dir():
        return False
    with locked(home / "lock"):
        return _stop(home)


def status(home: Path) -> Running | None:
    """The server of a state folder, None when there is none that answers."""
    home = home.absolute()
    supervisor = _supervisor(home)
    return None if supervisor is None else _running(home, supervisor)


@contextlib.contextmanager
def lease(home: Path, *, runtime: RuntimeName | None = None, server: Sequence[str] = SERVER) -> Iterator[Running]:
    """Keeps a server up for the block: the one that runs, or else one that ends with the last lease.

    Args:
        home: State folder; it is made if needed.
        runtime: What is to run the containers of tasks: see `start`.
        server: Command of the server: see `start`.

    Raises:
        LifecycleError: As `start` does.
    """
    with _locked(home.absolute()):
        running, connection = _take_lease(home.absolute(), runtime, server)
    try:
        yield running
    finally:
        _give_back(connection)
        _wait_for_end_unless_used(running)


def write_server_file(home: Path, *, port: int, ephemeral: bool, runtime: RuntimeName) -> None:
    """Says where the server is. It calls this itself when it is ready, and when it has become permanent.

    Args:
        home: State folder.
        port: The port that it listens on.
        ephemeral: Whether it stops when nobody holds a lease.
        runtime: What runs the containers of tasks.
    """
    document = {
        "port": port,
        "pid": os.getpid(),
        "supervisor": os.getppid(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source_hash": source_hash(),
        "python": sys.executable,
        "ephemeral": ephemeral,
        "runtime": runtime,
    }
    write_json(home / "server.json", document)


def source_hash() -> str:
    """Twelve hexadecimal digits that change when the source of the local Vertex AI or of a component does."""
    folder = Path(__file__).parent
    digest = hashlib.sha256(images.source_hash().encode())
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".binpb")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(PermissionError):  # it belongs to somebody else
        home.chmod(0o700)
    with locked(home / "lock"):
        if not (home / ".gitignore").exists():
            write_text(home / ".gitignore", "*\n")
        yield


def _start(home: Path, ephemeral: bool, runtime: RuntimeName | None, server: Sequence[str]) -> Running:
    if runtime == "docker":
        _check_engine()
    running = _wait_until_ready(home)
    if running is not None and (difference := _difference(running, runtime)):
        _refuse_if_used(running, difference)
        ephemeral = ephemeral and running.ephemeral
        runtime = runtime or running.runtime
        _stop(home)
        running = None
    if running is None:
        return _launch(home, ephemeral, runtime or "process", server)
    if running.ephemeral and not ephemeral:
        try:
            _request(running.port, "POST", "/local/persist")
        except (OSError, http.client.HTTPException):  # its last lease has just ended, and so does the server
            _stop(home)
            return _launch(home, ephemeral, running.runtime, server)
        return replace(running, ephemeral=False)
    return running


def _check_engine() -> None:
    try:
        find_engine()
    except EngineError as error:
        raise LifecycleError(f"The docker runtime cannot be used. {error}") from None


def _difference(running: Running, runtime: RuntimeName | None) -> str:
    """Why a server is not the one that is asked for; "" if it is."""
    if running.source_hash != source_hash() or running.python != sys.executable:
        return f"runs other source code or another Python ({running.python}) than this command ({sys.executable})"
    if runtime not in (None, running.runtime):
        return f"has the {running.runtime} runtime, not the {runtime} runtime"
    return ""


def _launch(home: Path, ephemeral: bool, runtime: RuntimeName, server: Sequence[str]) -> Running:
    log = home / "server.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        os.replace(log, home / "server.log.1")
    previous = _read_server_file(home)
    port = 0 if previous is None else previous["port"]  # environments that were handed out stay valid
    command = [*server, "--home", str(home), "--port", str(port), "--runtime", runtime]
    command += ["--ephemeral"] if ephemeral else []
    with log.open("ab") as output:
        start_of_log = output.tell()
        try:
            # The supervisor goes to the background: this ends at once.
            subprocess.run(
                [*_SUPERVISOR, str(home / "supervisor.lock"), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_server_environment(),
                start_new_session=True,
                check=False,
            )
            running = _wait_until_ready(home)
        except BaseException:
            _stop(home)
            raise
    if running is None:
        with log.open("rb") as file:
            file.seek(start_of_log)
            lines = file.read().decode(errors="replace").strip().splitlines()[-_LOG_LINES_SHOWN:]
        raise LifecycleError("\n".join([f"The local Vertex AI did not start. The end of its log, {log}:", *lines]))
    return running


def _server_environment() -> dict[str, str]:
    """The environment of this process without a proxy that is a local Vertex AI: it would become its own proxy."""
    local = os.environ.get(MARKER_VARIABLE)
    return {
        name: value for name, value in os.environ.items() if not (name in PROXY_VARIABLES and value and value == local)
    }


def _wait_until_ready(home: Path) -> Running | None:
    """The server as soon as it answers; None when none runs, or it has ended."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while (supervisor := _supervisor(home)) is not None:
        running = _running(home, supervisor)
        # One that has lost its supervisor is about to end, too; without /proc it is not told to.
        if running is not None and parents().get(running.pid, supervisor) == supervisor:
            return running
        if time.monotonic() > deadline:
            raise LifecycleError(
                f"The local Vertex AI of {home} (process {supervisor}) does not answer. Look at {home / 'server.log'} "
                "and stop it with `seatrial local stop`."
            )
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return None


def _refuse_if_used(running: Running, difference: str) -> None:
    if running.leases or running.running_jobs:
        raise LifecycleError(
            f"The local Vertex AI of {running.home} {difference}, and is in use: {running.leases} clients, "
            f"{running.running_jobs} jobs. Wait until they have ended, or end it with `seatrial local stop`."
        )


def _stop(home: Path) -> bool:
    supervisor = _supervisor(home)
    if supervisor is None:
        return False
    document = _read_server_file(home)
    # A server whose supervisor was killed holds the lock until it has ended, too.
    server = [document["pid"]] if document is not None and document["supervisor"] == supervisor else []
    # The number of a dead supervisor may be that of another process by now.
    is_orphan = bool(server) and parents().get(server[0], supervisor) != supervisor
    first = server if is_orphan else [supervisor]
    for number, processes in ((signal.SIGTERM, first), (signal.SIGKILL, [*first, *server])):
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, number)
        deadline = time.monotonic() + SECONDS_TO_END
        while time.monotonic() < deadline:
            if _supervisor(home) != supervisor:
                return True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise LifecycleError(f"The process {supervisor} of the local Vertex AI of {home} cannot be ended.")


def _supervisor(home: Path) -> int | None:
    """The process that took the lock of supervisors, None when neither it nor its server holds it any more.

    A process that got the number of a dead one does not hold it.
    """
    deadline = time.monotonic() + _SECONDS_TO_ANSWER
    try:
        file = (home / "supervisor.lock").open()
    except FileNotFoundError:
        return None
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if process := file.read():
                    return int(process)
                if time.monotonic() > deadline:
                    raise LifecycleError(
                        f"A process holds {file.name} without having written its number there. End that process."
                    ) from None
                time.sleep(_SECONDS_BETWEEN_LOOKS)  # it is about to write its number
            else:
                return None


def _running(home: Path, supervisor: int) -> Running | None:
    document = _read_server_file(home)
    if document is None or document["supervisor"] != supervisor:
        return None
    try:
        health = _request(document["port"], "GET", "/healthz")
    except (OSError, ValueError, http.client.HTTPException):
        return None
    live = {name: health[name] for name in ("ephemeral", "leases", "running_jobs")}
    return Running(home, **{**document, **live})


def _read_server_file(home: Path) -> dict[str, Any] | None:
    try:
        return json.loads((home / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _request(port: int, method: str, path: str) -> Any:
    """Asks the server itself, whatever proxies the environment names."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS_TO_ANSWER)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        if response.status >= 400:
            raise OSError(f"The server refuses {method} {path}: {response.status} {response.reason}")
        return json.load(response)


def _take_lease(home: Path, runtime: RuntimeName | None, server: Sequence[str]) -> tuple[Running, socket.socket]:
    for _ in range(_LEASE_ATTEMPTS):
        running = _start(home, True, runtime, server)
        connection = _ask_for_lease(running.port)
        if connection is not None:
            return running, connection
        # The last lease of the server has just ended, and so does the server.
    raise LifecycleError(f"The local Vertex AI of {home} grants no lease. Look at {home / 'server.log'}.")


def _ask_for_lease(port: int) -> socket.socket | None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), _SECONDS_TO_ANSWER))
        connection.sendall(LEASE_REQUEST)
        if connection.recv(len(LEASE_GRANTED)) == LEASE_GRANTED:
            stack.pop_all()
            return connection
    return None


def _give_back(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1024):  # it ends when the server has counted the lease back
            pass


def _wait_for_end_unless_used(running: Running) -> None:
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline and _supervisor(running.home) == running.supervisor:
        current = _running(running.home, running.supervisor)
        if current is not None and (current.leases or not current.ephemeral):
            return
        time.sleep(_SECONDS_BETWEEN_LOOKS)
