"""What is asked of a container engine, with a docker client that answers what the test says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex.runtimes import engine
from seatrial.localvertex.runtimes.engine import (
    Engine,
    EngineError,
    find_engine,
    remove_containers,
    will_have_containers,
)

INFO = {"NCPU": 2, "CpuCfsQuota": True, "SecurityOptions": ["name=seccomp,profile=default"]}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script in place of the docker client; returns the file that lists what it was called with."""

    def client(script: str) -> Path:
        calls, program = tmp_path / "calls", tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >> "{calls}"\n{script}\n')
        program.chmod(0o700)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return calls

    return client


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (INFO, Engine(2, True, False)),
        ({**INFO, "CpuCfsQuota": False, "SecurityOptions": None}, Engine(2, False, False)),
        ({**INFO, "SecurityOptions": ["name=seccomp", "name=rootless"]}, Engine(2, True, True)),
    ],
)
def test_an_engine_is_what_it_says_of_itself(info: dict[str, Any], expected: Engine, client: Any) -> None:
    client(f"echo '{json.dumps(info)}'")
    assert find_engine() == expected


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo Cannot connect to the Docker daemon >&2; exit 1", "`docker info` failed: Cannot connect to the Docker"),
        ("""echo '{"ServerErrors": ["Cannot connect"], "NCPU": 0}'""", "No container engine answers: Cannot connect"),
        ("exec sleep 60", "does not answer within 0.2 s"),
    ],
)
def test_an_engine_that_cannot_be_used_is_an_error(
    script: str, reason: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SECONDS_TO_ANSWER", 0.2 if "sleep" in script else 20)
    client(script)
    with pytest.raises(EngineError, match=reason):
        find_engine()


def test_a_state_folder_that_never_had_containers_asks_no_engine(client: Any, tmp_path: Path) -> None:
    calls = client("exit 1")
    remove_containers(tmp_path)
    assert not calls.exists()


def test_containers_that_could_not_be_removed_are_the_next_time(client: Any, tmp_path: Path) -> None:
    will_have_containers(tmp_path)
    client("echo it is down >&2; exit 1")
    with pytest.raises(EngineError, match="`docker ps` failed: it is down"):
        remove_containers(tmp_path)
    calls = client('[ "$1" = ps ] && printf "a\\nb\\n"; exit 0')
    for _ in range(2):  # the second time there is nothing to do
        remove_containers(tmp_path)
    assert calls.read_text().splitlines()[1:] == [
        f"ps --all --quiet --filter=label=seatrial.home={tmp_path}",
        "rm --force --volumes a b",
    ]
