"""Locks and private files of the state folder."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial.localvertex.files import locked, write_private

HOLDER = """
import pathlib, sys, time
from seatrial.localvertex.files import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    pathlib.Path(sys.argv[2]).write_text("written by the holder")
"""


def test_a_lock_waits_for_the_process_that_holds_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.stdin.write("go\n")
        holder.stdin.flush()
        with locked(tmp_path / "lock"):
            assert (tmp_path / "file").read_text() == "written by the holder"


def test_a_lock_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        with locked(tmp_path / "lock"):
            assert not (tmp_path / "file").exists()


def test_a_private_file_appears_whole_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("before")
    write_private(path, "after")
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
