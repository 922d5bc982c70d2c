"""What a server that is killed leaves, and what the next one makes of it.

One server is killed together with its supervisor while all kinds of work are under way, each at a moment that a fault
or the work itself holds; the next ones are killed while they start, when the seed says. All tests look at the last one.
They use the REST API: Google's clients of this process belong to another server.
"""

import base64
import contextlib
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.protobuf import json_format
from kfp import dsl

from seatrial.localvertex import injection, lifecycle
from seatrial.localvertex.execution.outcome import STOPPED
from seatrial.localvertex.faults import Fault
from seatrial.localvertex.proc import marked, parents, private_folders

PARENT = "projects/local-project/locations/us-central1"
SEED, KILLS_AT_START = 8, 2
MODEL_SERVER = [sys.executable, str(Path(__file__).with_name("model_server.py"))]
CHUNK = 256 * 1024
PATIENCE = 60.0


@dsl.container_component
def write(text: str, data: dsl.Output[dsl.Dataset]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="any", command=["sh", "-c", 'printf %s "$0" > "$1"', text, data.path])


@dsl.container_component
def hang(data: dsl.Input[dsl.Dataset], marker: str) -> dsl.ContainerSpec:
    script = 'trap "" TERM; setsid sleep 600 & touch "$0"; wait; sleep 600'
    return dsl.ContainerSpec(image="any", command=["sh", "-c", script, marker, data.path])


@dsl.pipeline(name="short")
def short(text: str) -> None:
    write(text=text)


@dsl.pipeline(name="long")
def long(text: str, marker: str) -> None:
    with dsl.ParallelFor([1, 2]):
        hang(data=write(text=text).outputs["data"], marker=marker)


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.02)
    return found


@dataclass
class Crashed:
    """A state folder, and what was known of it before its server was killed.

    Attributes:
        home: The state folder.
        running: The server that answers.
        known: What the API said of resources, and other things to remember, by a name of this test.
    """

    home: Path
    running: lifecycle.Running
    known: dict[str, Any] = field(default_factory=dict)

    def session(self) -> AuthorizedSession:
        """A session that reaches the server."""
        session = AuthorizedSession(AnonymousCredentials())
        session.trust_env = False
        session.proxies = {"https": self.running.environment["https_proxy"]}
        session.verify = self.running.environment["REQUESTS_CA_BUNDLE"]
        return session

    def ask(self, method: str, url: str, **options: Any) -> requests.Response:
        """Sends a request; an URL without a host is one of Vertex AI."""
        url = url if url.startswith("https:") else f"https://us-central1-aiplatform.googleapis.com/v1/{url}"
        with self.session() as session:
            return session.request(method, url, timeout=PATIENCE, **options)

    def get(self, name: str) -> Any:
        """A resource of Vertex AI."""
        answer = self.ask("GET", name)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, url: str, document: Any) -> Any:
        """The answer to a call of Vertex AI."""
        answer = self.ask("POST", url, json=document)
        assert answer.ok, answer.text
        return answer.json()

    def put_aside(self, method: str, url: str, **options: Any) -> None:
        """Makes a call that the kill answers."""

        def call() -> None:
            with contextlib.suppress(requests.RequestException):
                self.ask(method, url, **options)

        threading.Thread(target=call, daemon=True).start()

    def unfinished(self) -> list[str]:
        """The operations that are not done."""
        found = self.get(f"{PARENT}/operations").get("operations", [])
        return [operation["name"] for operation in found if not operation.get("done")]

    def submit(self, pipeline: Any, job_id: str, **parameters: str) -> str:
        """Submits a pipeline and returns the job's name."""
        config = {"gcsOutputDirectory": "gs://bucket/root", "parameterValues": parameters}
        spec = json_format.MessageToDict(pipeline.pipeline_spec)
        self.post(f"{PARENT}/pipelineJobs?pipelineJobId={job_id}", {"pipelineSpec": spec, "runtimeConfig": config})
        return f"{PARENT}/pipelineJobs/{job_id}"

    def custom_job(self, script: str, **scheduling: bool) -> str:
        """Creates a custom job of a shell script and returns its name."""
        pool = {
            "replicaCount": 1,
            "machineSpec": {"machineType": "n1-standard-4"},
            "containerSpec": {"imageUri": "any", "command": ["sh", "-c", script]},
        }
        document = {"displayName": "test", "jobSpec": {"workerPoolSpecs": [pool], "scheduling": scheduling}}
        return str(self.post(f"{PARENT}/customJobs", document)["name"])

    def ended(self, name: str) -> Any:
        """A job as soon as it has ended."""
        return eventually(lambda: (job := self.get(name)).get("endTime") and job)


UPLOADS = "https://storage.googleapis.com/upload/storage/v1/b/bucket/o"
OBJECTS = "https://storage.googleapis.com/storage/v1/b/bucket/o"


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashed]:
    """A server after one that was killed, and others that were killed as they started."""
    home = tmp_path_factory.mktemp("crashed") / "home"
    try:
        state = Crashed(home, lifecycle.start(home, ephemeral=False))
        keep_everything_busy(state)
        kill(state.running.supervisor, state.running.pid)
        moments = random.Random(SEED)
        for _ in range(KILLS_AT_START):
            kill_as_it_starts(home, moments.uniform(0, 1.5))
        state.running = lifecycle.start(home, ephemeral=False)
        yield state
    finally:
        lifecycle.stop(home)
    assert marked(private_folders(home)) == []


def kill(*processes: int) -> None:
    """Kills processes as if at once: none has the time to act upon the death of another."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def kill_as_it_starts(home: Path, seconds: float) -> None:
    """Starts a server and kills it and its supervisor so many seconds after the latter is there."""

    def start() -> None:
        with contextlib.suppress(lifecycle.LifecycleError):
            lifecycle.start(home, ephemeral=False)

    eventually(lambda: lifecycle._supervisor(home) is None)
    thread = threading.Thread(target=start)
    thread.start()
    supervisor = eventually(lambda: lifecycle._supervisor(home))
    time.sleep(seconds)
    server = [process for process, parent in parents().items() if parent == supervisor]
    kill(supervisor, *server)
    thread.join()


def keep_everything_busy(state: Crashed) -> None:
    """Has work done, and other work under way."""
    state.known["port"] = state.running.port
    state.ask("POST", "https://storage.googleapis.com/storage/v1/b?project=local-project", json={"name": "bucket"})
    upload(state)
    deploy(state)
    run_jobs(state)
    state.known["files"] = {path.name for folder in (state.home, state.home / "tls") for path in folder.iterdir()}


def upload(state: Crashed) -> None:
    """Leaves an object, an upload that is half done, and one that is done but whose answer the kill takes away."""
    kept = state.ask("POST", f"{UPLOADS}?uploadType=media&name=kept", data=b"kept").json()
    state.known["kept"] = state.ask("PATCH", f"{OBJECTS}/kept", json={"metadata": {"a": "b"}}).json()
    assert state.known["kept"]["generation"] == kept["generation"]
    for name in ("half", "unanswered"):
        started = state.ask("POST", f"{UPLOADS}?uploadType=resumable&name={name}&ifGenerationMatch=0")
        state.known[name] = started.headers["Location"]
    state.ask("PUT", state.known["half"], data=b"a" * CHUNK, headers={"Content-Range": f"bytes 0-{CHUNK - 1}/*"})
    fault = injection.add(Fault("storage.objects.insert", "delay", when="after", seconds=3600), home=state.home)
    state.put_aside("PUT", state.known["unanswered"], data=b"abc", headers={"Content-Range": "bytes 0-2/3"})
    eventually(lambda: state.ask("GET", f"{OBJECTS}/unanswered").ok)
    assert injection.listed(home=state.home)[0]["id"] == fault["id"]


def deploy(state: Crashed) -> None:
    """Leaves an endpoint that serves, a deployment and an undeployment that go on."""
    container = {"imageUri": "any", "command": MODEL_SERVER}
    for name, arguments in (("ready", []), ("patient", ["patient"])):
        waits = [{"name": "STARTS_WITH", "value": str(state.home / "never")}]
        spec = {**container, "args": arguments, "env": waits}
        state.post(f"{PARENT}/models:upload", {"modelId": name, "model": {"displayName": name, "containerSpec": spec}})
    created = state.post(f"{PARENT}/endpoints", {"displayName": "test"})
    state.known["endpoint name"] = endpoint = created["response"]["name"]
    for model_id, split in (("1", {"1": 100}), ("2", {"1": 70, "2": 30})):
        state.post(f"{endpoint}:deployModel", deployment("ready", model_id, split))
    started = state.home / "started"
    forever = {"started": str(started), "wait_for": str(state.home / "never")}
    state.post(f"{endpoint}:deployModel", deployment("ready", "3", {"3": 100}))
    state.put_aside("POST", f"{endpoint}:predict", json={"instances": [1], "parameters": forever})
    eventually(started.exists)
    state.put_aside(
        "POST", f"{endpoint}:undeployModel", json={"deployedModelId": "3", "trafficSplit": {"1": 70, "2": 30}}
    )
    state.put_aside("POST", f"{endpoint}:deployModel", json=deployment("patient", "4", {}))
    state.known["operations"] = eventually(lambda: len(found := state.unfinished()) == 2 and found)
    state.known["endpoint"] = state.get(endpoint)
    aliased = state.post(f"{PARENT}/models/ready:mergeVersionAliases", {"versionAliases": ["champion"]})
    state.known["model"] = state.get(aliased["name"])


def deployment(model: str, model_id: str, split: dict[str, int]) -> dict[str, Any]:
    resources = {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}
    model = f"{PARENT}/models/{model}"
    return {"deployedModel": {"model": model, "id": model_id, "dedicatedResources": resources}, "trafficSplit": split}


def run_jobs(state: Crashed) -> None:
    """Leaves jobs that have ended, run, and are being cancelled."""
    state.known["succeeded"] = state.ended(state.submit(short, "succeeded", text="a"))
    for name in ("running", "cancelling"):
        state.known[name] = state.submit(long, name, text=name, marker=str(state.home / name))
    mark = f'echo >> "{state.home}/%s"; test $(wc -l < "{state.home}/%s") -gt 1 || sleep 600'
    for name, restart in (("lost", False), ("restarted", True)):
        state.known[name] = state.custom_job(mark % (name, name), restartJobOnWorkerRestart=restart)
    for name in ("running", "cancelling", "lost", "restarted"):
        eventually((state.home / name).exists)
    state.post(f"{state.known['cancelling']}:cancel", {})
    for name in ("running", "cancelling", "lost", "restarted"):
        state.known[f"{name} before"] = state.get(state.known[name])
        assert "endTime" not in state.known[f"{name} before"], state.known[f"{name} before"]


def test_the_port_is_the_same(crashed: Crashed) -> None:
    assert crashed.running.port == crashed.known["port"]


def test_an_object_is_as_it_was(crashed: Crashed) -> None:
    assert crashed.ask("GET", f"{OBJECTS}/kept").json() == crashed.known["kept"]
    assert crashed.ask("GET", f"{OBJECTS}/kept?alt=media").content == b"kept"


def test_an_upload_goes_on_where_it_was(crashed: Crashed) -> None:
    url, size = crashed.known["half"], CHUNK + 1
    answer = crashed.ask("PUT", url, headers={"Content-Range": "bytes */*"})
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    answer = crashed.ask("PUT", url, data=b"b", headers={"Content-Range": f"bytes {CHUNK}-{CHUNK}/{size}"})
    checksum = google_crc32c.Checksum(b"a" * CHUNK + b"b").digest()
    assert answer.json()["crc32c"] == base64.b64encode(checksum).decode()


def test_an_upload_whose_answer_was_lost_is_answered(crashed: Crashed) -> None:
    answer = crashed.ask("PUT", crashed.known["unanswered"], headers={"Content-Range": "bytes */3"})
    assert answer.json() == crashed.ask("GET", f"{OBJECTS}/unanswered").json()


def test_endpoints_and_models_are_as_they_were(crashed: Crashed) -> None:
    assert crashed.get(crashed.known["endpoint name"]) == crashed.known["endpoint"]
    assert crashed.get(crashed.known["model"]["name"]) == crashed.known["model"]


def test_deployed_models_serve_again(crashed: Crashed) -> None:
    found = set()
    while found != {"1", "2"}:
        answer = crashed.post(f"{crashed.known['endpoint name']}:predict", {"instances": ["a"]})
        assert answer["predictions"] == ["a"]
        found.add(answer["deployedModelId"])


def test_all_operations_end_and_an_undeployment_is_done(crashed: Crashed) -> None:
    assert crashed.unfinished() == []
    found = [crashed.get(name) for name in crashed.known["operations"]]
    assert sorted(operation.get("error", {}).get("message", "") for operation in found) == ["", STOPPED]


def test_a_job_that_had_succeeded_is_as_it_was(crashed: Crashed) -> None:
    assert crashed.get(crashed.known["succeeded"]["name"]) == crashed.known["succeeded"]


def test_a_task_of_a_job_that_had_succeeded_is_taken_from_the_cache(crashed: Crashed) -> None:
    job = crashed.ended(crashed.submit(short, "again", text="a"))
    assert [task["state"] for task in job["jobDetail"]["taskDetails"]] == ["SUCCEEDED", "SKIPPED"]


@pytest.mark.parametrize(
    ("name", "state", "error"),
    [("running", "FAILED", STOPPED), ("cancelling", "CANCELLED", "The pipeline job was cancelled.")],
)
def test_jobs_that_ran_have_ended_with_all_their_tasks(crashed: Crashed, name: str, state: str, error: str) -> None:
    job = crashed.get(crashed.known[name])
    assert (job["state"], job["error"]["message"]) == (f"PIPELINE_STATE_{state}", error)
    tasks = job["jobDetail"]["taskDetails"]
    assert {task["state"] for task in tasks if task["taskName"] != "write"} == {state}
    assert {task["state"] for task in tasks if task["taskName"] == "write"} == {"SUCCEEDED"}
    for task in tasks:
        assert task["endTime"]
        assert crashed.get(task["execution"]["name"]) == task["execution"]


def test_no_execution_runs(crashed: Crashed) -> None:
    assert "executions" not in crashed.get(f'{PARENT}/metadataStores/default/executions?filter=state="RUNNING"')


def test_custom_jobs_have_failed_unless_they_are_to_be_restarted(crashed: Crashed) -> None:
    lost = crashed.get(crashed.known["lost"])
    assert (lost["state"], lost["error"]["message"]) == ("JOB_STATE_FAILED", STOPPED)
    restarted = crashed.ended(crashed.known["restarted"])
    assert restarted["startTime"] == crashed.known["restarted before"]["startTime"]


def test_nothing_is_left_lying_about(crashed: Crashed) -> None:
    crashed.ended(crashed.known["restarted"])
    eventually(lambda: len(list(private_folders(crashed.home).iterdir())) == 2)  # those of the deployed models
    eventually(lambda: len(marked(private_folders(crashed.home))) == 2)
    found = {path.name for folder in (crashed.home, crashed.home / "tls") for path in folder.iterdir()}
    assert found <= crashed.known["files"]


@pytest.mark.parametrize("database", ["vertex.sqlite", "storage.sqlite"])
def test_the_databases_are_sound(crashed: Crashed, database: str) -> None:
    with contextlib.closing(sqlite3.connect(crashed.home / database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_client_that_tries_again_survives_a_restart(crashed: Crashed) -> None:
    session = crashed.session()
    client = storage.Client("local-project", credentials=AnonymousCredentials(), _http=session)
    blob = client.bucket("bucket").blob("during a restart")
    kill(crashed.running.pid)
    writer = threading.Thread(target=lambda: blob.upload_from_string("written", if_generation_match=0))
    writer.start()
    crashed.running = lifecycle.start(crashed.home, ephemeral=False)
    writer.join(PATIENCE)
    assert blob.download_as_text() == "written"
