"""The parent of the server: it leaves no process or container of the server behind, however the server ends.

    python -m seatrial.localvertex.supervisor LOCK COMMAND…

It goes to the background and holds LOCK, a file of the state folder which contains its process id, for as long as it
lives. The server holds it, too: when only the supervisor is killed, no second server starts on the same state before
the first has ended. Orphans below the supervisor become its children instead of init's, so that it finds them all,
whatever session or group they made for themselves. The server in turn gets SIGTERM when its supervisor dies.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from .proc import marked, parents, private_folders
from .runtimes.engine import SECONDS_TO_REMOVE, EngineError, remove_containers

_GRACE_SECONDS = 10
_SECONDS_TO_DIE = 10
SECONDS_TO_END = _GRACE_SECONDS + _SECONDS_TO_DIE + 2 * SECONDS_TO_REMOVE + 5
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(lock: str, *command: str) -> None:
    """Goes to the background, runs the command there and ends what it left."""
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o644)  # open, and so locked, until the process has ended
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.truncate(descriptor, 0)
    if os.fork():
        os._exit(0)
    os.write(descriptor, str(os.getpid()).encode())
    os.set_inheritable(descriptor, True)  # by the server; it passes no descriptors on to its children
    home = Path(lock).parent.resolve()  # as the server calls it
    # What was left when both were killed.
    _kill_marked(private_folders(home))
    _remove_containers(home)
    status = _supervise(command)
    _kill_descendants()
    _remove_containers(home)
    if status:
        print(f"The server ended with exit code {status}.", file=sys.stderr, flush=True)


def _remove_containers(home: Path) -> None:
    try:
        remove_containers(home)
    except EngineError as error:
        print(f"Containers may be left: {error}", file=sys.stderr, flush=True)


def _supervise(command: tuple[str, ...]) -> int:
    """Runs a command and returns its exit code; SIGTERM is passed on, and has to be obeyed in time."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    supervisor = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    server = os.fork()
    if server == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        if os.getppid() == supervisor:
            os.execv(command[0], command)  # noqa: S606
        os._exit(1)

    def end_server(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGTERM if number == signal.SIGTERM else signal.SIGKILL)
        signal.alarm(_GRACE_SECONDS)

    signal.signal(signal.SIGTERM, end_server)
    signal.signal(signal.SIGALRM, end_server)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while True:
        process, status = os.waitpid(-1, 0)
        if process == server:
            signal.alarm(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            return os.waitstatus_to_exitcode(status)


def _kill_descendants() -> None:
    """Kills the children until there are none: the children of a killed one become ours."""
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline:
        for child in (process for process, parent in parents().items() if parent == os.getpid()):
            with contextlib.suppress(PermissionError):  # it runs as another user
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.01)
            continue
        return


def _kill_marked(folder: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while (processes := marked(folder)) and time.monotonic() < deadline:
        for process in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":  # no other system has it; there, orphans of a killed server stay
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
