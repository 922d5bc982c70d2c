"""What /proc tells of processes: who started them, and whose they are when their parents have gone.

Each process of a server is marked with its private folder. On systems without /proc nothing is known.
"""

import contextlib
from pathlib import Path

# What a process starts inherits this variable, also in a session of its own.
_VARIABLE = "SEATRIAL_PROCESS"


def private_folders(home: Path) -> Path:
    """The folder of the private folders of a state folder's processes."""
    return home / "tasks"


def mark(folder: Path) -> dict[str, str]:
    """The variable that marks a process, and all that it starts, with its private folder."""
    return {_VARIABLE: f"{folder}/"}


def marked(folder: Path) -> list[int]:
    """The processes whose private folder is this one or below it."""
    entry, found = f"\0{_VARIABLE}={folder}/".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if entry in b"\0" + (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def parents() -> dict[int, int]:
    """The parent of each process."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return found
