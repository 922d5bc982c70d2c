"""`make run`, as a newcomer sees it: real reviews, the real clients, a process of its own, and nothing left behind.

Up to the linear model, which takes a second to train; CI runs the whole of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seatrial.pipelines.demo import _before

pytestmark = pytest.mark.timeout(600)


def start_demo(home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "SEATRIAL_HOME": str(home), "COLUMNS": "200"}
    command = [sys.executable, "-m", "seatrial.pipelines.demo", "--estimator", "logistic_regression"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def processes_of(home: Path) -> list[str]:
    """Command lines of all processes that know the home of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            if f"SEATRIAL_HOME={home}\0".encode() in environment:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first_run(home):
    demo = start_demo(home)
    output, _ = demo.communicate()
    assert demo.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def second_run(home, first_run):
    demo = start_demo(home)
    output, _ = demo.communicate()
    assert demo.returncode == 0, output
    return output


def report_of(output: str) -> str:
    line = next(line for line in output.splitlines() if line.startswith("report"))
    return Path(line.split(maxsplit=1)[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("last", "serving", "before"),
    [
        ("transformer", None, ("majority_class", "logistic_regression")),
        ("transformer", "majority_class", ("logistic_regression",)),
        ("transformer", "linear", ()),
        ("transformer", "transformer", ()),
        ("logistic_regression", None, ("majority_class",)),
        ("logistic_regression", "majority_class", ()),
        ("logistic_regression", "transformer", ()),
    ],
)
def test_a_run_that_was_interrupted_goes_on_from_the_model_that_serves(last, serving, before):
    assert _before(last, serving) == before


def test_the_linear_model_beats_the_trivial_champion_and_takes_the_traffic(first_run):
    assert "verdict     promote" in first_run
    assert "before version 1 100 %, after version 2 100 %" in first_run
    assert "answered by model version 2" in first_run


def test_the_report_says_what_curation_removed(first_run):
    report = report_of(first_run)

    assert "20 exact duplicates and 7 test rows that also were in train" in " ".join(report.split())
    assert "<script" not in report


def test_a_second_run_is_cached_and_an_unchanged_model_is_held(second_run):
    assert "hold: identical" in second_run
    for task in ("ingest-table", "curate-text", "train-linear", "batch-predict"):
        assert any("cached" in line and f"  {task} " in line for line in second_run.splitlines()), task
    assert "before version 2 100 %, after version 2 100 %" in second_run


def test_nothing_is_left_running(home, second_run):
    assert processes_of(home) == []


@pytest.mark.parametrize("marker", ["rows, uploaded", "curate-text", "deploy-canary"])
def test_an_interrupt_leaves_no_process_and_a_state_that_works(tmp_path, marker):
    demo = start_demo(tmp_path)
    for line in demo.stdout:
        if marker in line:
            break
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)

    assert demo.returncode == 130
    assert wait_until_empty(tmp_path) == []
    if marker == "deploy-canary":
        again = start_demo(tmp_path)
        output, _ = again.communicate()
        assert again.returncode == 0, output


def wait_until_empty(home: Path) -> list[str]:
    deadline = time.monotonic() + 10
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def test_a_killed_run_takes_its_server_and_tasks_with_it(tmp_path):
    demo = start_demo(tmp_path)
    for line in demo.stdout:
        if "curate-text" in line:
            break
    demo.kill()
    demo.communicate()

    assert wait_until_empty(tmp_path) == []


def test_the_json_of_a_run_is_its_last_line(tmp_path):
    template = tmp_path / "hello.yaml"
    compile_hello(template)
    environment = {**os.environ, "SEATRIAL_HOME": str(tmp_path / "home")}
    command = [str(Path(sys.executable).with_name("seatrial")), "run", str(template), "--json", "-p", "name=sea"]
    runs = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate()[0] for run in runs]
    results = [json.loads(output.splitlines()[-1]) for output in outputs]

    assert [run.returncode for run in runs] == [0, 0]
    assert results[0]["job"] != results[1]["job"]
    for result in results:
        assert result["state"] == "SUCCEEDED"
        assert result["tasks"] == {"greet": "SUCCEEDED"}
        assert result["error"] == ""
    assert wait_until_empty(tmp_path / "home") == []


def compile_hello(path: Path) -> None:
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def greet(name: str, note: dsl.Output[dsl.Artifact]):
        with open(note.path, "w") as file:
            file.write(f"hello {name}")

    @dsl.pipeline(name="hello")
    def hello(name: str):
        greet(name=name).set_caching_options(False)

    compiler.Compiler().compile(hello, str(path))
