"""Becomes a command whose renames, and those of all that it starts, the kernel asks the server about.

`python rename_filter.py DESCRIPTOR CMD …` installs a seccomp filter with user notification and sends the descriptor on
which the kernel asks through the socket DESCRIPTOR. Process id, signals and exit status are those of the command.
It is run by its path in an interpreter without packages, which starts quickly, and imports nothing of ours.
"""

import ctypes
import os
import platform
import signal
import socket
import struct
import sys

_SET_NO_NEW_PRIVILEGES = 38
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
# Only the death of a process ends its question then, no signal that it handles. Since Linux 5.19.
_WAIT_KILLABLE = 1 << 5
_RETURN_ALLOW = 0x7FFF0000
_RETURN_ASK = 0x7FC00000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_OF_CALL, _OFFSET_OF_ARCHITECTURE = 0, 4
# What seccomp calls the machine, the number of the call `seccomp`, and those of rename, renameat and renameat2.
_MACHINES = {
    "x86_64": (0xC000003E, 317, (82, 264, 316)),
    "aarch64": (0xC00000B7, 277, (38, 276)),
}


def main() -> None:
    """Installs the filter and becomes the command."""
    here, command = socket.socket(fileno=int(sys.argv[1])), sys.argv[2:]
    here.set_inheritable(False)
    try:
        listener = _install()
    except OSError as error:
        sys.exit(f"Renames of directories cannot be forbidden: {error}.")
    socket.send_fds(here, [b"x"], [listener])
    os.close(listener)
    # As it was before the interpreter started: that ignores signals and may set LC_CTYPE.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with open("/proc/self/environ", "rb") as file:
        environment = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if entry)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (there is no shell, that is the point)
    except OSError as error:
        sys.exit(f"{command[0]!r} cannot be started: {error}")


def _install() -> int:
    """Makes the kernel ask about renames and returns the file descriptor on which it does."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        raise OSError(f"this is {sys.platform} on {platform.machine()}, not Linux on {' or '.join(_MACHINES)}")
    architecture, seccomp, calls = _MACHINES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _OFFSET_OF_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 1 + len(calls), architecture),
        (_LOAD, 0, 0, _OFFSET_OF_CALL),
        *((_JUMP_IF_EQUAL, len(calls) - position, 0, call) for position, call in enumerate(calls)),
        (_RETURN, 0, 0, _RETURN_ALLOW),
        (_RETURN, 0, 0, _RETURN_ASK),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    filter_program = struct.pack("HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)  # without it the kernel takes filters from administrators only
    listener = -1
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        if listener < 0:
            listener = libc.syscall(seccomp, _SET_MODE_FILTER, flags, filter_program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter that asks")
    return listener


if __name__ == "__main__":
    main()
