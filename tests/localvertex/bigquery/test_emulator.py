"""The process behind BigQuery: when it starts, and that it ends with its server while its tables stay."""

import concurrent.futures
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from seatrial.localvertex import lifecycle
from seatrial.localvertex.proc import marked, private_folders

PROJECT = "https://bigquery.googleapis.com/bigquery/v2/projects/local-project"
WITHOUT_THE_EXTRA = "import sys; sys.modules['bqemulator'] = None; from seatrial.localvertex.server import main; main()"
PATIENCE = 60.0


def ask(running: lifecycle.Running, method: str, path: str, document: Any = None) -> requests.Response:
    """Asks BigQuery by REST: Google's clients of this process belong to another server."""
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": running.environment["https_proxy"]}
        session.verify = running.environment["REQUESTS_CA_BUNDLE"]
        return session.request(method, PROJECT + path, json=document)


def query(running: lifecycle.Running, sql: str) -> list[list[str]]:
    answer = ask(running, "POST", "/queries", {"query": sql, "useLegacySql": False})
    assert answer.ok, answer.text
    return [[cell["v"] for cell in row["f"]] for row in answer.json()["rows"]]


def processes(home: Path) -> list[int]:
    """The emulator's processes."""
    return marked(private_folders(home))


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("bigquery")
    yield home
    lifecycle.stop(home)


def test_it_starts_once_when_it_is_first_asked_for(home: Path) -> None:
    running = lifecycle.start(home, ephemeral=False)
    assert processes(home) == []
    assert not (home / "bigquery").exists()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: query(running, "SELECT 1"), range(6))) == [[["1"]]] * 6
    assert len(processes(home)) == 1
    assert "seatrial.localvertex.bigquery" in Path(f"/proc/{processes(home)[0]}/cmdline").read_text()


def test_tables_outlive_a_killed_emulator_and_its_server(home: Path) -> None:
    running = lifecycle.start(home, ephemeral=False)
    assert ask(running, "POST", "/datasets", {"datasetReference": {"datasetId": "kept"}}).ok
    query(running, "CREATE TABLE kept.numbers AS SELECT 7 AS seven")
    (process,) = processes(home)
    os.kill(process, signal.SIGKILL)
    eventually(lambda: process not in processes(home))
    assert query(running, "SELECT seven FROM kept.numbers") == [["7"]]
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: not processes(home))
    restarted = lifecycle.start(home, ephemeral=False)
    assert query(restarted, "SELECT seven FROM kept.numbers") == [["7"]]
    assert lifecycle.stop(home)
    assert processes(home) == []


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    server = (sys.executable, "-P", "-c", WITHOUT_THE_EXTRA)
    with lifecycle.lease(tmp_path / "home", server=server) as running:
        answer = ask(running, "POST", "/queries", {"query": "SELECT 1"})
        (error,) = answer.json()["error"]["errors"]
        assert (answer.status_code, error["reason"]) == (501, "notImplemented")
        assert "pip install 'seatrial[bigquery-local]'" in error["message"]
