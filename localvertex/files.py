"""Files of the state folder that several processes share: locks and private files."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file for the block, after waiting for the process that holds it. The kernel frees it at a kill."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", suffix=temporary_suffix(), delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def temporary_suffix() -> str:
    """How the names of this process's temporary files end."""
    return f".{os.getpid()}.tmp"


def remove_left_files(folder: Path) -> None:
    """Removes the temporary files of processes that were killed."""
    for path in folder.glob("*.tmp"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not _lives(int(process)):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True
