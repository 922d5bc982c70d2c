"""The private root folder, with real processes and the real kernel."""

import ctypes
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex.namespace import enter_private_root

NOBODY = 65534
PR_SET_PDEATHSIG = 1
PR_GET_PDEATHSIG = 2
PR_SET_DUMPABLE = 4
CLONE_NEWUSER = 0x10000000


def in_child(work: Callable[[], Any]) -> Any:
    """What a function returns in a forked child: a namespace cannot be left."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, json.dumps(answer).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end) as answers:
        content = answers.read()
    os.waitpid(child, 0)
    return json.loads(content)


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as a program of that user is after its start


def as_is() -> None:
    pass


@pytest.fixture(params=["as this user", "as an ordinary user"])
def become(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Makes a child the user of the test. Skips where even `unshare` of util-linux makes no such namespace for it."""
    if request.param == "as an ordinary user" and os.geteuid() != 0:
        pytest.skip("this user is an ordinary one: the other case covers it")
    become_user = become_nobody if request.param == "as an ordinary user" else as_is
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("there is no unshare to tell what this kernel allows")

    def attempt() -> list[Any]:
        become_user()
        done = subprocess.run([program, "-Urm", "true"], capture_output=True, text=True)
        return [done.returncode, done.stderr]

    code, error = in_child(attempt)
    if code:
        pytest.skip(f"this kernel forbids mount namespaces {request.param}: {error}")
    return become_user


@pytest.fixture
def buckets() -> Iterator[Path]:
    """A folder of buckets that every user can write to."""
    home = Path(tempfile.mkdtemp(prefix="a state folder "))
    home.chmod(0o777)
    folder = home / "buckets"
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(home)


def test_gcs_is_the_folder_of_buckets_inside_and_does_not_exist_outside(
    become: Callable[[], None], buckets: Path
) -> None:
    gcs_outside, mounts_outside = os.path.exists("/gcs"), Path("/proc/self/mountinfo").read_text()
    (buckets / "bucket").mkdir(mode=0o755)
    (buckets / "bucket" / "object").write_text("from outside")

    def work() -> list[Any]:
        become()
        entered = enter_private_root(buckets)
        Path("/gcs/made").write_text("from inside")
        return [entered, Path("/gcs/bucket/object").read_text(), os.geteuid()]

    *answer, user = in_child(work)
    assert answer == [True, "from outside"]
    assert (buckets / "made").read_text() == "from inside"
    assert (buckets / "made").stat().st_uid == user
    assert os.path.exists("/gcs") == gcs_outside
    assert Path("/proc/self/mountinfo").read_text() == mounts_outside
    assert os.listdir(buckets.parent) == ["buckets"]


def test_everything_else_is_as_before(become: Callable[[], None], buckets: Path) -> None:
    entries, here = sorted({*os.listdir("/"), "gcs"}), os.getcwd()
    links = {entry.name: os.readlink(entry.path) for entry in os.scandir("/") if entry.is_symlink()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def work() -> dict[str, Any]:
            become()
            ids = [os.getpid(), os.getppid(), os.geteuid(), os.getegid()]
            assert enter_private_root(buckets)
            with socket.socket() as connection:
                connection.connect(("127.0.0.1", port))
            Path("/dev/null").write_text("x")
            return {
                "ids": ids == [os.getpid(), os.getppid(), os.geteuid(), os.getegid()],
                "entries": sorted(os.listdir("/")),
                "links": {entry.name: os.readlink(entry.path) for entry in os.scandir("/") if entry.is_symlink()},
                "here": os.getcwd(),
                "self": os.readlink("/proc/self") == str(os.getpid()),
                "parent": os.path.exists(f"/proc/{os.getppid()}"),
            }

        answer = in_child(work)
    assert answer == {
        "ids": True,
        "entries": entries,
        "links": links,
        "here": here,
        "self": True,
        "parent": True,
    }


def test_programs_that_are_started_inside_see_it_too_and_may_make_namespaces_of_their_own(
    become: Callable[[], None], buckets: Path
) -> None:
    (buckets / "object").write_text("content")

    def work() -> list[Any]:
        become()
        assert enter_private_root(buckets)
        seen = subprocess.run(["cat", "/gcs/object"], capture_output=True, text=True)
        nested = subprocess.run(["unshare", "-Urm", "cat", "/gcs/object"], capture_output=True, text=True)
        return [seen.stdout, nested.stdout or nested.stderr]

    assert in_child(work) == ["content", "content"]


def test_the_process_still_gets_the_signal_that_its_parent_has_died(become: Callable[[], None], buckets: Path) -> None:
    def work() -> int:
        become()
        libc, number = ctypes.CDLL(None), ctypes.c_int()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        assert enter_private_root(buckets)
        libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
        return number.value

    assert in_child(work) == signal.SIGTERM


def test_it_works_inside_of_itself(become: Callable[[], None], buckets: Path) -> None:
    inner = buckets.parent / "inner"
    inner.mkdir()
    inner.chmod(0o777)

    def work() -> list[Any]:
        become()
        return [enter_private_root(buckets), enter_private_root(inner), os.path.samefile("/gcs", inner)]

    assert in_child(work) == [True, True, True]


def test_the_folder_can_be_removed_while_it_is_shown(become: Callable[[], None], buckets: Path) -> None:
    def work() -> list[Any]:
        become()
        assert enter_private_root(buckets)
        os.rmdir(buckets)
        return [os.listdir("/gcs"), Path("/proc/self/comm").exists()]

    buckets.parent.chmod(0o777)
    assert in_child(work) == [[], True]


def test_where_the_kernel_refuses_nothing_changes_and_the_log_says_why(
    become: Callable[[], None], buckets: Path
) -> None:
    def work() -> list[Any]:
        become()
        user, group = os.geteuid(), os.getegid()
        assert ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        for kind in ("mnt", "user"):
            Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("0")
        before = [os.listdir("/"), os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/user")]
        records: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("seatrial.localvertex.namespace").addHandler(handler)
        entered = enter_private_root(buckets)
        after = [os.listdir("/"), os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/user")]
        return [entered, before == after, records]

    entered, unchanged, records = in_child(work)
    assert (entered, unchanged) == (False, True)
    assert len(records) == 1
    assert records[0].startswith("/gcs cannot be shown: [Errno 28] no mount namespace can be made")
    assert os.listdir(buckets.parent) == ["buckets"]


def test_a_process_with_threads_is_left_as_it_is(become: Callable[[], None], buckets: Path) -> None:
    def work() -> list[Any]:
        become()
        finish = threading.Event()
        thread = threading.Thread(target=finish.wait)
        thread.start()
        namespace = os.readlink("/proc/self/ns/mnt")
        answer = [enter_private_root(buckets), os.readlink("/proc/self/ns/mnt") == namespace]
        finish.set()
        thread.join()
        return answer

    assert in_child(work) == [False, True]
