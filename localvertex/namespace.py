"""Gives the server and the processes it starts a root folder in which `/gcs` holds the local buckets.

Compiled pipelines read `gs://BUCKET/…` at `/gcs/BUCKET/…`. On Linux a mount namespace shows the buckets' folder there
and leaves the machine as it is: its root is a folder in memory on which everything of the real one is mounted again.
"""

import contextlib
import ctypes
import logging
import os
import sys
from pathlib import Path

_CLONE_NEWNS = 0x20000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 0x1000
_MS_MOVE = 0x2000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MNT_DETACH = 2
_SHOWN_AT = "gcs"
_logger = logging.getLogger(__name__)


def enter_private_root(buckets: Path) -> bool:
    """Moves this process, which must have one thread, to a root folder where `/gcs` is the buckets' folder.

    Args:
        buckets: The folder; it is made if needed. The folder above it has to be writable.

    Returns:
        Whether it was done. If not, nothing has changed and the log says why.
    """
    if sys.platform != "linux":
        _logger.warning("/gcs cannot be shown: mount namespaces are a part of Linux, this is %s.", sys.platform)
        return False
    if len(os.listdir("/proc/self/task")) > 1:  # those of extensions count, which `threading` does not know
        _logger.warning("/gcs cannot be shown: this process has already started threads.")
        return False
    buckets = buckets.resolve()
    buckets.mkdir(parents=True, exist_ok=True)
    # Without a user namespace everything stays as root is used to; an ordinary user can only have both.
    as_root = [_CLONE_NEWNS] if os.geteuid() == 0 else []
    refusal = ""
    for flags in (*as_root, _CLONE_NEWNS | _CLONE_NEWUSER):
        refusal = _try_in_child(flags, buckets)
        if not refusal:
            _enter(flags, buckets)
            return True
    _logger.warning("/gcs cannot be shown: %s.", refusal)
    return False


def _try_in_child(flags: int, buckets: Path) -> str:
    """Enters in a child process that ends at once, and returns what the kernel refused, or an empty text.

    A namespace that has been entered cannot be left: this process must not find out half-way.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        refusal = ""
        try:
            _enter(flags, buckets)
        except BaseException as error:
            refusal = str(error)
        os.write(write_end, refusal.encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as answers:
        refusal = answers.read().decode()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        _mount_point(buckets).rmdir()
    return f"the attempt ended with status {status}" if status else refusal


def _mount_point(buckets: Path) -> Path:
    return buckets.with_name(f"{buckets.name}.root")


def _enter(flags: int, buckets: Path) -> None:
    working_folder = os.getcwd()
    _unshare(flags)
    root = _mount_point(buckets)
    root.mkdir(exist_ok=True)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("seatrial", root, "tmpfs", 0, "mode=0755")
    for entry in os.scandir("/"):
        _show(entry, root / entry.name)
    (root / _SHOWN_AT).mkdir()
    _mount(buckets, root / _SHOWN_AT, None, _MS_BIND | _MS_REC)
    # Moved onto the old root, the new one is the namespace's root: programs may make namespaces of their own, which the
    # kernel forbids below a chroot, and nothing depends on the folder any more.
    os.chdir(root)
    _mount(".", "/", None, _MS_MOVE)
    os.chroot(".")
    _check(_libc().umount2(os.fsencode(root), _MNT_DETACH), f"{root} cannot be unmounted")
    root.rmdir()
    os.chdir(working_folder)


def _show(entry: os.DirEntry[str], target: Path) -> None:
    """Makes an entry of the real root folder appear in the new one."""
    if entry.name == _SHOWN_AT:
        return
    if entry.is_symlink():
        target.symlink_to(os.readlink(entry.path))
        return
    if entry.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount(entry.path, target, None, _MS_BIND | _MS_REC)


def _unshare(flags: int) -> None:
    user, group = os.geteuid(), os.getegid()
    _check(_libc().unshare(flags), "no mount namespace can be made")
    if flags & _CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _mount(source: str | Path | None, target: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc().mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _check(result, f"{source or target} cannot be mounted at {target}")


def _check(result: int, failure: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{failure}: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
