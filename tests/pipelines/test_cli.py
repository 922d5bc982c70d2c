"""The command `seatrial`, run as a process, as people run it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import compiler, dsl

SEATRIAL = str(Path(sys.executable).with_name("seatrial"))
COMMANDS = [
    [],
    ["run"],
    ["submit"],
    ["compile"],
    ["catalog"],
    ["logs"],
    ["local"],
    *(["local", name] for name in ("start", "stop", "status", "env", "run")),
]


@pytest.fixture
def seatrial(tmp_path):
    """Runs the command with a state folder of its own, outside any other local Vertex AI's environment."""

    def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if key != "SEATRIAL_LOCAL_VERTEX"}
        environment = {**inherited, "SEATRIAL_HOME": str(tmp_path / "state"), "COLUMNS": "200", **variables}
        return subprocess.run([SEATRIAL, *arguments], env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(seatrial, command):
    finished = seatrial(*command, "-h")

    assert finished.returncode == 0
    assert "Usage: seatrial" in finished.stdout


def test_the_catalogue_lists_components_and_explains_one(seatrial):
    assert "curate_text" in seatrial("catalog").stdout

    described = seatrial("catalog", "curate_text").stdout
    assert "near_duplicate_threshold" in described
    assert "ledger of every removed row" in described


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "no_such_pipeline"], "train_and_deploy"),
        (["run", "train_and_deploy", "-p", "train_uri"], "is not key=value"),
        (["run", "train_and_deploy"], "pass -p endpoint_display_name="),
        (["catalog", "no_such_component"], "curate_text"),
        (["logs", "no-such-job"], "no logs of the job 'no-such-job'"),
        (["local", "env"], "seatrial local start"),
        (["local", "run", "--", "no-such-program"], "'no-such-program' cannot be run"),
        (
            ["submit", "train_and_deploy", "--project", "p", "--region", "r", "--pipeline-root", "/tmp"],
            "must be a gs:// folder",
        ),
    ],
)
def test_what_a_user_can_correct_is_one_line_and_exit_code_2(seatrial, arguments, said):
    finished = seatrial(*arguments)

    assert finished.returncode == 2
    assert said in finished.stderr
    assert "Traceback" not in finished.stderr


def test_submit_refuses_to_run_inside_the_local_environment(seatrial):
    where = ["--project", "p", "--region", "us-central1", "--pipeline-root", "gs://b"]
    finished = seatrial("submit", "train_and_deploy", *where, SEATRIAL_LOCAL_VERTEX="http://127.0.0.1:1")

    assert finished.returncode == 2
    assert "that of the local Vertex AI" in finished.stderr


def test_a_started_server_is_reached_through_its_environment_until_it_is_stopped(seatrial):
    assert seatrial("local", "status").returncode == 1
    try:
        assert seatrial("local", "start").returncode == 0
        status = seatrial("local", "status").stdout
        assert "listening on 127.0.0.1" in status
        assert "process runtime" in status
        assert "export https_proxy=http://127.0.0.1:" in seatrial("local", "env").stdout
        program = "from google.cloud import storage; print(storage.Client().create_bucket('from-the-shell').name)"
        assert seatrial("local", "run", "--", sys.executable, "-c", program).stdout == "from-the-shell\n"
    finally:
        assert seatrial("local", "stop").stdout == "stopped\n"
    assert seatrial("local", "status").returncode == 1


@pytest.mark.parametrize("command", [["local", "start"], ["local", "run", "--", "true"]], ids=" ".join)
def test_the_docker_runtime_needs_an_engine(seatrial, command):
    position = command.index("--") if "--" in command else len(command)
    command = [*command[:position], "--runtime", "docker", *command[position:]]
    finished = seatrial(*command, DOCKER_HOST="unix:///nowhere")

    assert finished.returncode == 2
    assert "The docker runtime cannot be used." in finished.stderr


def test_a_program_gives_its_exit_code_on(seatrial):
    assert seatrial("local", "run", "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7


INTERRUPTED = """
import time
try:
    print("ready", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(1)  # longer than subprocess.run would wait
    print("saved", flush=True)
    raise SystemExit(7)
"""


def test_an_interrupted_program_ends_in_its_own_time(tmp_path):
    command = [SEATRIAL, "local", "run", "--", sys.executable, "-c", INTERRUPTED]
    environment = {**os.environ, "SEATRIAL_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout.readline() == "ready\n"
        os.killpg(running.pid, signal.SIGINT)
        assert running.stdout.read() == "saved\n"
    assert running.returncode == 7


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def describe(count: int, data: dsl.Output[dsl.Dataset]) -> dict:
    with open(data.path, "w") as file:
        file.write("x")
    print("counted", count)
    return {"count": count, "half": count / 2}


@dsl.pipeline(name="described")
def described(count: int = 3) -> dict:
    return describe(count=count).outputs["Output"]


def test_a_run_shows_the_logs_and_prints_what_tasks_and_the_pipeline_put_out(seatrial, tmp_path):
    compiler.Compiler().compile(described, str(tmp_path / "described.yaml"))
    finished = seatrial("run", str(tmp_path / "described.yaml"), "-p", "count=4", "--json")

    assert finished.returncode == 0, finished.stderr
    assert "describe-2 │ counted 4" in finished.stderr
    assert "KFP Executor" not in finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert (result["state"], result["tasks"], result["error"]) == ("SUCCEEDED", {"describe": "SUCCEEDED"}, "")
    value = {"count": 4, "half": 2}
    assert result["outputs"].pop("describe.data").startswith("gs://")
    assert result["outputs"] == {"describe.Output": value, "Output": value}


def test_a_run_can_leave_the_logs_out(seatrial, tmp_path):
    compiler.Compiler().compile(described, str(tmp_path / "described.yaml"))
    finished = seatrial("run", str(tmp_path / "described.yaml"), "--no-logs")

    assert finished.returncode == 0, finished.stderr
    assert "counted" not in finished.stderr
    assert "succeeded" in finished.stderr
