"""`seatrial local faults`, run as people run it, against a server of the tests."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import storage

from seatrial.localvertex import injection
from seatrial.localvertex.lifecycle import Running

SEATRIAL = str(Path(sys.executable).with_name("seatrial"))
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def faults(vertex: Running) -> Iterator[Call]:
    def call(*arguments: str, home: Path = vertex.home) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SEATRIAL_HOME": str(home), "COLUMNS": "200"}
        command = [SEATRIAL, "local", "faults", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    yield call
    injection.clear(home=vertex.home)


@pytest.mark.parametrize(
    "command", [[], ["add"], ["list"], ["clear"], ["kill-model"], ["directory-renames"]], ids=" ".join
)
def test_every_command_explains_itself(faults: Call, command: list[str]) -> None:
    finished = faults(*command, "-h")
    assert finished.returncode == 0
    assert "Usage: seatrial local faults" in finished.stdout


def test_a_fault_is_added_listed_and_cleared(faults: Call, bucket: str) -> None:
    added = faults("add", "storage.objects.list", "--fail", "NOT_FOUND", "--nth", "2")
    identity = added.stdout.strip()
    client = storage.Client()
    list(client.list_blobs(bucket))
    with pytest.raises(exceptions.NotFound):
        list(client.list_blobs(bucket))
    (line,) = [line for line in faults("list").stdout.splitlines() if identity in line]
    assert line.split() == [identity, "storage.objects.list", "fail", "NOT_FOUND", "before", "2", "2", "1"]
    assert faults("clear").stdout == f"{identity}: storage.objects.list, 2 calls seen, 1 hit\n"
    assert faults("list").stdout == "no faults\n"


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ([], {"action": "fail", "code": "UNAVAILABLE", "when": "before", "nth": None, "times": 1}),
        (["--delay", "0.5", "--when", "after"], {"action": "delay", "seconds": 0.5, "when": "after"}),
        (["--drop", "--nth", "3", "--times", "0"], {"action": "drop", "nth": 3, "times": 0}),
        (["--fraction", "0.25", "--seed", "7"], {"action": "fail", "fraction": 0.25, "seed": 7}),
    ],
)
def test_options_say_what_goes_wrong(faults: Call, arguments: list[str], listed: dict[str, object]) -> None:
    identity = faults("add", "PipelineService.CreatePipelineJob", *arguments).stdout.strip()
    (fault,) = json.loads(faults("list", "--json").stdout)
    assert fault["id"] == identity
    assert {name: fault[name] for name in listed} == listed
    assert faults("clear", identity).returncode == 0


def test_renames_of_directories_are_forbidden_until_they_are_allowed(faults: Call) -> None:
    if (finished := faults("directory-renames", "forbid")).returncode:
        assert "cannot be forbidden" in finished.stderr
        pytest.skip(finished.stderr)
    assert faults("list").stdout == "no faults\nrenames of directories are forbidden\n"
    assert faults("directory-renames", "allow").returncode == 0
    assert faults("list").stdout == "no faults\n"
    assert faults("directory-renames", "perhaps").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "EndpointService.UpdateEndpiont"], "Did you mean EndpointService.UpdateEndpoint"),
        (["add", "storage.objects.get", "--fail", "BROKEN"], "code is 'BROKEN'; expected one of"),
        (["add", "storage.objects.get", "--drop", "--delay", "1"], "--fail, --delay and --drop exclude each other"),
        (["add", "storage.objects.get", "--delay", "0"], "seconds is 0"),
        (["add", "storage.objects.get", "--fraction", "7"], "fraction is 7"),
        (["clear", "nothing"], "There is no fault 'nothing'"),
        (["kill-model", "404"], "The endpoint '404' is not served"),
    ],
)
def test_what_a_user_can_correct_is_one_line_and_exit_code_2(faults: Call, arguments: list[str], said: str) -> None:
    finished = faults(*arguments)
    assert finished.returncode == 2
    assert said in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_where_no_server_runs_it_is_said_how_to_start_one(faults: Call, tmp_path: Path) -> None:
    finished = faults("list", home=tmp_path)
    assert finished.returncode == 2
    assert "does not run. Start it with `seatrial local start`" in finished.stderr
