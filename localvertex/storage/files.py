"""Single files and folders: opening them safely, telling their contents apart, checksums."""

import base64
import errno
import hashlib
import mimetypes
import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

import google_crc32c

READ_SIZE = 1 << 20
DEFAULT_CONTENT_TYPE = "application/octet-stream"


def fingerprint(status: os.stat_result) -> str:
    """What tells one content of a file, or one folder, from another."""
    if stat.S_ISDIR(status.st_mode):
        return f"{status.st_ino}-folder"  # its time of change is that of its entries
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading, but no link, and without waiting where it has become a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise FileNotFoundError(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return os.fdopen(descriptor, "rb")


def read_checksums(path: Path) -> tuple[os.stat_result, str, str]:
    """Returns a file's status, and the CRC32C and MD5 of as many bytes as the status says, in base64."""
    crc32c, md5 = google_crc32c.Checksum(), hashlib.md5(usedforsecurity=False)
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        remaining = status.st_size
        while remaining and (chunk := file.read(min(READ_SIZE, remaining))):
            crc32c.update(chunk)
            md5.update(chunk)
            remaining -= len(chunk)
    return status, base64.b64encode(crc32c.digest()).decode(), base64.b64encode(md5.digest()).decode()


def concatenate(sources: list[BinaryIO], path: Path) -> None:
    """Writes the bytes of open files to a new one."""
    with path.open("xb") as target:
        for source in sources:
            shutil.copyfileobj(source, target, READ_SIZE)


def remove_empty_folders(folder: Path) -> bool:
    """Removes a folder that holds nothing but folders; returns False where it holds more."""
    try:
        for path, _, _ in os.walk(folder, topdown=False):
            os.rmdir(path)
    except OSError:
        return False
    return True


def guessed_content_type(name: str) -> str:
    """The content type of a file that did not come with one."""
    content_type, encoding = mimetypes.guess_type(name)
    return content_type if content_type and not encoding else DEFAULT_CONTENT_TYPE
