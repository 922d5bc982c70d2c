"""Forbids renaming directories of buckets, as Cloud Storage FUSE does in buckets with a flat namespace.

There a directory is renamed only object by object, and not at all above a limit that is 0 unless it is set: the program
gets EMFILE, unless there is nothing in the directory.
https://github.com/GoogleCloudPlatform/gcsfuse/blob/master/docs/semantics.md

Of the processes that are started meanwhile the kernel asks this server about every rename, see `rename_filter.py`.
"""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import select
import shutil
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Any

from .api import ApiError

_logger = logging.getLogger(__name__)
_FILTER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("rename_filter.py")))
_NOTHING = (sys.executable, "-I", "-S", "-c", "")
# linux/seccomp.h: struct seccomp_notif (id, thread, …, call, …, its arguments), struct seccomp_notif_resp (id, value,
# error, flags), and the requests that receive and send them.
_QUESTION = struct.Struct("=QI4xi4x8x6Q")
_ANSWER = struct.Struct("=QqiI")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_LONGEST_PATH = 4096
_RENAME = 82  # of x86_64: the one of the calls whose paths have no directories to start from
_WORKING_DIRECTORY = -100


class Renames:
    """Whether directories of the buckets can be renamed by the processes that are started."""

    def __init__(self) -> None:
        self._buckets: os.stat_result | None = None

    @property
    def forbidden(self) -> bool:
        """Whether they cannot."""
        return self._buckets is not None

    async def forbid(self, buckets: Path) -> None:
        """Forbids it to the processes that are started from now on.

        Args:
            buckets: The folder of the buckets.

        Raises:
            ApiError: FAILED_PRECONDITION where the system has no way to.
        """
        process = await self._start_asking(*_NOTHING, stderr=asyncio.subprocess.PIPE)
        _, errors = await process.communicate()
        if process.returncode:
            raise ApiError("FAILED_PRECONDITION", errors.decode(errors="replace").strip().splitlines()[-1])
        self._buckets = buckets.stat()

    def allow(self) -> None:
        """Allows it again, also to the processes that run."""
        self._buckets = None

    async def start(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        """Starts a process as `asyncio.create_subprocess_exec` does, with the options `env` and `cwd`."""
        program = arguments[0]
        place = os.path.join(options["cwd"], program) if os.path.dirname(program) else program
        if self.forbidden and shutil.which(place, path=options["env"].get("PATH")):
            return await self._start_asking(*arguments, **options)
        return await asyncio.create_subprocess_exec(*arguments, **options)

    async def _start_asking(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair()
        with theirs:
            asyncio.get_running_loop().add_reader(ours, self._listen, ours)
            return await asyncio.create_subprocess_exec(
                *_FILTER, str(theirs.fileno()), *arguments, pass_fds=[theirs.fileno()], **options
            )

    def _listen(self, process: socket.socket) -> None:
        """Takes the descriptor on which the kernel asks about a process; none comes if it could not be started."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(process)
        with process, contextlib.suppress(ConnectionError):
            for listener in socket.recv_fds(process, 1, 1)[1]:
                loop.add_reader(listener, self._answer, listener)

    def _answer(self, listener: int) -> None:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        if not any(event & select.POLLIN for _, event in poll.poll(0)):  # all the processes have ended
            asyncio.get_running_loop().remove_reader(listener)
            os.close(listener)
            return
        question = bytearray(_QUESTION.size)
        with contextlib.suppress(OSError):  # the one that asked was killed
            fcntl.ioctl(listener, _RECEIVE, question)
            identity, thread, call, *arguments = _QUESTION.unpack(question)
            forbidden = self._forbids(thread, call, arguments)
            if forbidden:
                _logger.info("Thread %d may not rename a directory.", thread)
            outcome = (-errno.EMFILE, 0) if forbidden else (0, _CONTINUE)
            fcntl.ioctl(listener, _SEND, _ANSWER.pack(identity, 0, *outcome))

    def _forbids(self, thread: int, call: int, arguments: list[int]) -> bool:
        if self._buckets is None:
            return False
        if call == _RENAME:
            arguments = [_WORKING_DIRECTORY, arguments[0], _WORKING_DIRECTORY, arguments[1]]
        try:
            old, new = _path(thread, *arguments[0:2]), _path(thread, *arguments[2:4])
            if not stat.S_ISDIR(os.lstat(old).st_mode) or not os.listdir(old):
                return False
            return all(_is_within(os.path.dirname(path.rstrip("/")), self._buckets) for path in (old, new))
        except (OSError, OverflowError):  # it makes no sense to the kernel either, or we may not look
            return False


RENAMES = Renames()  # the processes of a server are started in many places


def _path(thread: int, start: int, address: int) -> str:
    """A path in the memory of a thread, as it is for us."""
    memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
    try:
        path = os.fsdecode(os.pread(memory, _LONGEST_PATH, address).partition(b"\0")[0])
    finally:
        os.close(memory)
    if not path:
        raise FileNotFoundError
    if path.startswith("/"):
        return f"/proc/{thread}/root{path}"
    descriptor = ctypes.c_int(start).value
    return f"/proc/{thread}/{'cwd' if descriptor == _WORKING_DIRECTORY else f'fd/{descriptor}'}/{path}"


def _is_within(folder: str, ancestor: os.stat_result) -> bool:
    """Whether a folder is another or below it, by whatever way: `/gcs` shows the buckets' folder a second time."""
    here = os.stat(folder)
    while not os.path.samestat(here, ancestor):
        folder += "/.."
        below, here = here, os.stat(folder)
        if os.path.samestat(below, here):
            return False
    return True
