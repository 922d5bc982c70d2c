"""Starting and stopping, with real processes, against a server that has nothing but the life cycle."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from seatrial.localvertex import lifecycle
from seatrial.localvertex.files import locked
from seatrial.localvertex.lifecycle import LifecycleError, Running, lease, start, status, stop

STUB = (sys.executable, "-P", str(Path(__file__).with_name("stub_server.py")))
PATIENCE = 60.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder with a long name full of spaces, whose server ends with the test."""
    monkeypatch.setenv("NO_PROXY", "*")
    folder = tmp_path / ("a long name " * 10).strip() / ("with many levels " * 5).strip() / "state"
    yield folder
    stop(folder)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Has the server start a process and that one another; returns a function that tells their numbers."""
    file = tmp_path / "children"
    monkeypatch.setenv("STUB_CHILDREN", str(file))

    def members() -> list[int]:
        eventually(lambda: file.exists() and file.read_text().endswith("\n"))
        return [int(number) for number in file.read_text().split()]

    return members


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_processes(running: Running, *others: int) -> list[int]:
    return [running.pid, running.supervisor, *others]


def none_lives(processes: list[int]) -> bool:
    return not any(lives(process) for process in processes)


def begin(home: Path, *, ephemeral: bool = False) -> Running:
    return start(home, ephemeral=ephemeral, server=STUB)


def test_a_started_server_answers_and_is_found_until_it_is_stopped(home: Path) -> None:
    assert status(home) is None
    running = begin(home)
    assert requests.get(f"http://127.0.0.1:{running.port}/healthz").json()["ephemeral"] is False
    assert status(home) == running
    assert (running.home, running.python) == (home, sys.executable)
    assert stop(home) is True
    assert status(home) is None
    assert none_lives(all_processes(running))
    assert stop(home) is False


def test_its_environment_leads_to_it(home: Path) -> None:
    running = begin(home)
    environment = running.environment
    assert environment["https_proxy"] == f"http://127.0.0.1:{running.port}"
    assert Path(environment["SSL_CERT_FILE"]).is_relative_to(home)


def test_the_state_folder_is_kept_out_of_version_control(home: Path) -> None:
    begin(home)
    assert (home / ".gitignore").read_text() == "*\n"


def test_nobody_else_may_look_into_the_state_folder(home: Path) -> None:
    home.mkdir(parents=True, mode=0o755)
    begin(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.parametrize("header", ["Origin", "sec-fetch-site"])
def test_a_web_page_cannot_make_a_server_permanent(vertex: Running, header: str) -> None:
    url = f"http://127.0.0.1:{vertex.port}"
    assert requests.post(f"{url}/local/persist", headers={header: "null"}).status_code == 403
    assert requests.get(f"{url}/healthz").json()["ephemeral"] is True


def test_a_second_start_finds_the_first_server(home: Path) -> None:
    assert begin(home) == begin(home)


def test_callers_that_race_get_the_same_server(home: Path) -> None:
    found: list[Running] = []
    threads = [threading.Thread(target=lambda: found.append(begin(home))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_the_port_stays_the_same_so_that_environments_stay_valid(home: Path) -> None:
    before = begin(home)
    stop(home)
    after = begin(home)
    assert after.port == before.port
    assert after.pid != before.pid


def test_the_server_is_not_in_the_session_of_its_starter(home: Path) -> None:
    running = begin(home)
    assert os.getsid(running.pid) not in (os.getsid(0), os.getpid())


@pytest.mark.parametrize("misbehaviour", ["", "STUB_LEAVES_CHILDREN"])
def test_stopping_ends_every_process_that_the_server_started(
    home: Path, family: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch, misbehaviour: str
) -> None:
    if misbehaviour:
        monkeypatch.setenv(misbehaviour, "yes")
    running = begin(home)
    processes = all_processes(running, *family())
    assert all(lives(process) for process in processes)
    stop(home)
    assert none_lives(processes)


def test_a_killed_server_leaves_no_process_behind(home: Path, family: Callable[[], list[int]]) -> None:
    running = begin(home)
    processes = all_processes(running, *family())
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: none_lives(processes))
    assert status(home) is None
    assert begin(home).port == running.port


def test_a_server_whose_supervisor_is_killed_ends_too(home: Path, family: Callable[[], list[int]]) -> None:
    running = begin(home)
    processes = all_processes(running, *family())
    os.kill(running.supervisor, signal.SIGKILL)
    eventually(lambda: none_lives(processes))
    assert status(home) is None


def test_what_outlives_a_server_killed_with_its_supervisor_ends_before_the_next_one_starts(
    home: Path, family: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, left = begin(home), family()
    os.kill(running.pid, signal.SIGSTOP)  # or else it might end its processes while its supervisor dies
    for process in (running.supervisor, running.pid):
        os.kill(process, signal.SIGKILL)
    eventually(lambda: none_lives(all_processes(running)))
    assert all(lives(process) for process in left)
    monkeypatch.delenv("STUB_CHILDREN")
    begin(home)
    assert none_lives(left)


def test_no_second_server_starts_while_one_whose_supervisor_was_killed_still_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_IGNORES_SIGTERM", "yes")
    running = begin(home)
    os.kill(running.supervisor, signal.SIGKILL)
    eventually(lambda: not lives(running.supervisor))
    monkeypatch.setattr(lifecycle, "_SECONDS_TO_START", 0.5)
    with pytest.raises(LifecycleError, match="does not answer"):
        begin(home)
    assert lives(running.pid)
    monkeypatch.setattr(lifecycle, "SECONDS_TO_END", 0.5)
    assert stop(home) is True
    assert none_lives(all_processes(running))


def test_an_interruption_while_a_server_starts_leaves_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = subprocess.run

    def interrupted(*arguments: Any, **options: Any) -> None:
        launch(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        begin(home)
    assert status(home) is None


def test_a_lock_without_a_number_is_an_error_instead_of_an_endless_wait(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(parents=True)
    monkeypatch.setattr(lifecycle, "_SECONDS_TO_ANSWER", 0.1)
    with locked(home / "supervisor.lock"), pytest.raises(LifecycleError, match="without having written its number"):
        status(home)


def test_a_server_that_does_not_obey_is_killed(
    home: Path, family: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_IGNORES_SIGTERM", "yes")
    running = begin(home)
    processes = all_processes(running, *family())
    assert stop(home) is True
    assert none_lives(processes)


def test_a_process_that_got_the_number_of_a_dead_server_is_left_alone(home: Path) -> None:
    running = begin(home)
    stop(home)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        document = json.loads((home / "server.json").read_text())
        for name in ("pid", "supervisor"):
            document[name] = stranger.pid
        (home / "server.json").write_text(json.dumps(document))
        (home / "supervisor.lock").write_text(str(stranger.pid))
        assert status(home) is None
        assert stop(home) is False
        assert begin(home).port == running.port
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_does_not_start_is_an_error_with_the_end_of_its_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(parents=True)
    (home / "server.log").write_text("of an earlier run\n")
    monkeypatch.setenv("STUB_FAILS", "yes")
    with pytest.raises(LifecycleError, match="did not start") as failure:
        begin(home)
    assert "the stub was told to fail\nThe server ended with exit code 1." in str(failure.value)
    assert "of an earlier run" not in str(failure.value)
    assert status(home) is None


def test_a_large_log_is_put_aside(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "server.log").write_bytes(b"x" * 10_000_001)
    begin(home)
    assert (home / "server.log.1").stat().st_size == 10_000_001
    assert (home / "server.log").stat().st_size < 10_000


@pytest.mark.parametrize("what", ["source_hash", "python"])
def test_an_idle_server_of_other_code_is_replaced(home: Path, what: str) -> None:
    before = begin(home)
    pretend(home, what, "another")
    after = begin(home)
    assert after.pid != before.pid
    assert after.port == before.port
    assert none_lives(all_processes(before))


def test_a_permanent_server_that_a_lease_replaces_stays_permanent(home: Path) -> None:
    before = begin(home)
    pretend(home, "source_hash", "another")
    with lease(home, server=STUB) as running:
        assert running.pid != before.pid
    assert status(home).ephemeral is False


def test_a_server_of_other_code_that_is_in_use_is_left_alone(home: Path) -> None:
    with lease(home, server=STUB) as running:
        pretend(home, "python", "/another/python")
        with pytest.raises(LifecycleError, match=r"another Python \(/another/python\).* in use: 1 clients, 0 jobs"):
            begin(home)
        assert lives(running.pid)


@pytest.fixture
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a container engine answer."""
    monkeypatch.setattr(lifecycle, "find_engine", lambda: None)


@pytest.mark.usefixtures("_engine")
def test_a_command_that_names_no_runtime_joins_what_runs(home: Path) -> None:
    before = start(home, ephemeral=False, runtime="docker", server=STUB)
    assert before.runtime == "docker"
    assert begin(home) == before
    pretend(home, "source_hash", "another")
    assert begin(home).runtime == "docker"


def test_a_server_has_the_process_runtime_unless_another_is_named(home: Path) -> None:
    assert begin(home).runtime == "process"


@pytest.mark.usefixtures("_engine")
def test_an_idle_server_with_another_runtime_is_replaced_and_stays_permanent(home: Path) -> None:
    before = begin(home)
    with lease(home, runtime="docker", server=STUB) as running:
        assert (running.runtime, running.port) == ("docker", before.port)
    assert (status(home).runtime, status(home).ephemeral) == ("docker", False)
    assert none_lives(all_processes(before))


@pytest.mark.usefixtures("_engine")
def test_a_server_with_another_runtime_that_is_in_use_is_left_alone(home: Path) -> None:
    with lease(home, server=STUB) as running:
        with pytest.raises(LifecycleError, match="has the process runtime, not the docker runtime, and is in use"):
            start(home, ephemeral=False, runtime="docker", server=STUB)
        assert lives(running.pid)


def test_without_a_container_engine_there_is_no_docker_runtime(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = begin(home)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(LifecycleError, match="docker runtime cannot be used. There is no docker on the PATH."):
        start(home, ephemeral=False, runtime="docker", server=STUB)
    assert status(home) == before


def pretend(home: Path, name: str, value: str) -> None:
    document = json.loads((home / "server.json").read_text())
    (home / "server.json").write_text(json.dumps({**document, name: value}))


def test_the_source_hash_is_that_of_the_components_and_of_the_local_vertex() -> None:
    assert len(lifecycle.source_hash()) == 12
    assert lifecycle.source_hash() == lifecycle.source_hash()


def test_a_server_started_for_a_lease_has_ended_when_the_lease_has(home: Path, family: Callable[[], list[int]]) -> None:
    with lease(home, server=STUB) as running:
        processes = all_processes(running, *family())
        assert status(home).leases == 1
        assert status(home).ephemeral
    assert none_lives(processes)


def test_a_server_started_for_a_lease_ends_with_the_last_of_them(home: Path) -> None:
    with contextlib.ExitStack() as outer:
        first = outer.enter_context(lease(home, server=STUB))
        with lease(home, server=STUB) as second:
            assert status(home).leases == 2
        assert second == dataclass_with(first, leases=1)
        assert status(home).leases == 1
    assert none_lives(all_processes(first))


def dataclass_with(running: Running, **changes: Any) -> Running:
    import dataclasses

    return dataclasses.replace(running, **changes)


def test_a_lease_of_a_permanent_server_leaves_it_running(home: Path) -> None:
    permanent = begin(home)
    with lease(home, server=STUB) as running:
        assert running == permanent
    assert status(home) == permanent


def test_a_server_that_is_made_permanent_outlives_its_leases(home: Path) -> None:
    with lease(home, server=STUB) as running:
        assert begin(home) == dataclass_with(running, ephemeral=False, leases=1)
    assert lives(running.pid)
    assert status(home).leases == 0


def test_a_server_that_ends_as_it_is_made_permanent_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = begin(home, ephemeral=True)
    request = lifecycle._request

    def end_first(port: int, method: str, path: str) -> Any:
        if path == "/local/persist":
            os.kill(ending.pid, signal.SIGTERM)
            eventually(lambda: not lives(ending.pid))
        return request(port, method, path)

    monkeypatch.setattr(lifecycle, "_request", end_first)
    running = begin(home)
    assert running.pid != ending.pid
    assert status(home).ephemeral is False


def test_a_refusal_to_become_permanent_is_noticed(vertex: Running) -> None:
    with pytest.raises(OSError, match="404"):
        lifecycle._request(vertex.port, "POST", "/local/no-such-thing")


HOLDER = """
import pathlib, sys, time
from seatrial.localvertex.lifecycle import lease
with lease(pathlib.Path(sys.argv[1]), server=sys.argv[2:]) as running:
    print(running.pid, running.supervisor, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_lease_of_a_client_that_is_killed_ends(home: Path, number: signal.Signals) -> None:
    holder = [sys.executable, "-c", HOLDER, str(home), *STUB]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as client:
        processes = [int(process) for process in client.stdout.readline().split()]
        client.send_signal(number)
    eventually(lambda: none_lives(processes))


def test_clients_that_come_and_go_at_once_all_get_a_server_and_leave_none(home: Path) -> None:
    pids: list[int] = []

    def come_and_go() -> None:
        for _ in range(3):
            with lease(home, server=STUB) as running:
                assert requests.get(f"http://127.0.0.1:{running.port}/healthz").json()["leases"] >= 1
                pids.extend(all_processes(running))

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 18
    assert none_lives(pids)


def test_a_server_started_within_the_environment_of_another_is_not_its_own_proxy(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(home)
    stop(home)
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    again = begin(home)
    assert again.port == running.port
    content = Path(f"/proc/{again.pid}/environ").read_bytes().decode().split("\0")
    assert not [line for line in content if line.lower().startswith(("http_proxy=", "https_proxy=", "grpc_proxy="))]
