"""Locks and private files of the state folder."""

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from seatrial.localvertex.files import locked, remove_left_files, temporary_suffix, write_private

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


def test_the_temporary_files_of_a_killed_process_are_removed_and_no_others(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for name in (f"server.json.{ended.pid}.tmp", f".a.pem.x1.{ended.pid}.tmp", "server.json", "mine.tmp"):
        (tmp_path / name).touch()
    with tempfile.NamedTemporaryFile(dir=tmp_path, suffix=temporary_suffix()) as file:
        remove_left_files(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"server.json", "mine.tmp", Path(file.name).name}


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
