"""The model server as Vertex AI sees it: a process with an environment, reached over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seatrial.components.prediction.models import load_model
from seatrial.components.prediction.server import (
    LARGEST_REQUEST_BYTES,
    LONGEST_TEXT_CHARACTERS,
    MOST_INSTANCES,
    Settings,
    answer,
)
from seatrial.components.runtime import InputError

HEALTH, PREDICT = "/v1/endpoints/7", "/v1/endpoints/7/deployedModels/8:predict"
_PATIENCE_SECONDS = 30


class Client:
    """A running server, the port that it listens on, and what it logged until then."""

    def __init__(self, process: subprocess.Popen, port: int, log: list[dict]) -> None:
        self.process, self.port, self.log = process, port, log

    def request(self, method: str, path: str, body: bytes | str = b"") -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def predict(self, request: object) -> tuple[int, dict]:
        return self.request("POST", PREDICT, json.dumps(request))

    def wait_for_health(self, status: int) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.request("GET", HEALTH)[0] != status:
            assert time.monotonic() < deadline, f"the health route never answered {status}"
            time.sleep(0.02)


def environment(storage_uri: str, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "AIP_STORAGE_URI": storage_uri,
        "AIP_HTTP_PORT": "0",
        "AIP_HEALTH_ROUTE": HEALTH,
        "AIP_PREDICT_ROUTE": PREDICT,
        "SEATRIAL_HTTP_HOST": "127.0.0.1",
        **more,
    }


def start(storage_uri: str, **more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "seatrial.components.prediction.server"]
    # Not buffered: what is read ahead of a line would be missing from what communicate() returns later.
    return subprocess.Popen(command, env=environment(storage_uri, **more), stderr=subprocess.PIPE, bufsize=0)


@contextmanager
def serving(storage_uri: str, **variables: str) -> Iterator[Client]:
    process = start(storage_uri, **variables)
    try:
        assert process.stderr is not None
        log = [json.loads(process.stderr.readline())]
        while "port" not in log[-1]:
            log.append(json.loads(process.stderr.readline()))
        yield Client(process, log[-1]["port"], log)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def server(linear_model: Path) -> Iterator[Client]:
    with serving(str(linear_model)) as client:
        client.wait_for_health(200)
        yield client


def test_texts_are_answered_in_their_order_in_both_forms(server, linear_model):
    status, body = server.predict({"instances": ["fine", {"text": "awful", "id": 3}], "parameters": None})

    (bad, good), _ = load_model(linear_model).predict_probabilities(["fine", "awful"]).tolist()
    assert status == 200
    assert body == {
        "predictions": [
            {"label": "good", "probability": good, "probabilities": {"bad": bad, "good": good}},
            {"label": "bad", "probability": good, "probabilities": {"bad": good, "good": bad}},
        ]
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is no JSON document"),
        (b"{", "is no JSON document"),
        (b"\xff", "is no JSON document"),
        (b"[" * 100_000, "is no JSON document"),
        (b'["fine"]', "is a JSON list"),
        (b"null", "is a JSON null"),
        (b"{}", "lacks `instances`"),
        (b'{"instances": []}', "has instances that are no list of one or more"),
        (b'{"instances": "fine"}', "has instances that are no list of one or more"),
        (b'{"instances": ["fine", 3]}', "instances[1] is a number"),
        (b'{"instances": [["fine"]]}', "instances[0] is a list"),
        (b'{"instances": ["fine", {"review": "fine"}]}', "instances[1] is an object without text"),
        (b'{"instances": [{"text": null}]}', "instances[0] is an object whose text is a null"),
        (b'{"instances": [true]}', "instances[0] is a boolean"),
        (b'{"instances": ["fine"], "parameters": {"top": 1}}', "has parameters; this model takes none"),
        (
            json.dumps({"instances": ["x" * (LONGEST_TEXT_CHARACTERS + 1)]}).encode(),
            "instances[0] has 100,001 characters",
        ),
        (json.dumps({"instances": ["x"] * 1001}).encode(), "has 1,001 instances; expected at most 1,000"),
    ],
)
def test_a_request_that_cannot_be_answered_is_explained(linear_model, body, message):
    with pytest.raises(InputError) as error:
        answer(load_model(linear_model), body)

    assert message in str(error.value)


def test_every_refusal_has_its_status_and_names_the_problem(server):
    assert server.predict({"instances": [3]}) == (
        400,
        {"error": 'instances[0] is a number; expected a string or {"text": "…"}.'},
    )
    assert server.request("GET", PREDICT)[0] == 405
    assert server.request("POST", HEALTH)[0] == 405
    assert server.request("GET", "/")[0] == 404
    status, body = server.request("POST", PREDICT, b" " * (LARGEST_REQUEST_BYTES + 1))
    assert status == 413
    assert "larger than 1,500,000 bytes" in body["error"]
    assert server.predict({"instances": ["fine"]})[0] == 200


def test_a_request_of_the_largest_size_is_answered(server):
    text = "x" * (LONGEST_TEXT_CHARACTERS - 100)
    request = json.dumps({"instances": [text] * 14})

    status, body = server.request("POST", PREDICT, request + " " * (LARGEST_REQUEST_BYTES - len(request)))

    assert status == 200
    assert len(body["predictions"]) == 14


def test_health_is_answered_while_requests_are_under_way(server):
    words = " ".join(f"word{number} fine" for number in range(100))
    texts = [words] * MOST_INSTANCES
    answers = []
    worker = threading.Thread(target=lambda: answers.append(server.predict({"instances": texts})[0]))
    worker.start()
    while worker.is_alive():
        assert server.request("GET", HEALTH)[0] == 200
    worker.join()

    assert answers == [200]


def test_after_sigterm_health_is_503_and_the_request_under_way_is_answered(server):
    body = json.dumps({"instances": ["fine"]}).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE_SECONDS) as under_way:
        under_way.sendall(head + body[:5])
        assert server.predict({"instances": ["awful"]})[0] == 200  # by now the first request is being read

        server.process.send_signal(signal.SIGTERM)
        server.wait_for_health(503)
        assert server.predict({"instances": ["late"]})[0] == 200
        under_way.sendall(body[5:])

        assert under_way.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.process.wait(timeout=_PATIENCE_SECONDS) == 0


def test_a_request_that_never_ends_does_not_keep_the_process(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE_SECONDS) as under_way:
        under_way.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode())
        assert server.predict({"instances": ["awful"]})[0] == 200

        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(timeout=_PATIENCE_SECONDS) == 0


def test_before_the_model_is_there_the_server_listens_and_is_not_ready(linear_model):
    # A named pipe in the place of a file holds up loading until the test writes to it.
    manifest = linear_model / "_MANIFEST.json"
    content = manifest.read_text()
    manifest.unlink()
    os.mkfifo(manifest)
    with serving(str(linear_model)) as client:
        assert client.request("GET", HEALTH) == (503, {"status": "loading"})
        assert client.predict({"instances": ["fine"]})[0] == 503

        manifest.write_text(content)

        client.wait_for_health(200)
        assert client.predict({"instances": ["fine"]})[0] == 200


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AIP_STORAGE_URI": ""}, "AIP_STORAGE_URI is not set"),
        ({"AIP_STORAGE_URI": "/no/such/model"}, "There is no folder /no/such/model"),
        ({"AIP_HTTP_PORT": "http"}, "AIP_HTTP_PORT is 'http'; expected a port number"),
        ({"AIP_PREDICT_ROUTE": "predict"}, "AIP_PREDICT_ROUTE is 'predict'; expected a path"),
        ({"SEATRIAL_DRILL": "fire"}, "drill is 'fire'; expected 'wrong_labels', 'slow', 'crash', or an empty text"),
        ({"SEATRIAL_HTTP_HOST": "no.such.host.invalid"}, "Cannot listen on SEATRIAL_HTTP_HOST 'no.such.host.invalid'"),
    ],
)
def test_a_server_that_cannot_work_ends_with_one_clear_line(variables, message):
    process = start(**{"storage_uri": "/no/such/model", **variables})
    errors = process.communicate(timeout=_PATIENCE_SECONDS)[1].decode()

    lines = [json.loads(line) for line in errors.splitlines()]
    problems = [line for line in lines if line["severity"] != "INFO"]
    assert process.returncode == 1
    assert len(problems) == 1
    assert problems[0]["severity"] == "ERROR"
    assert message in problems[0]["message"]


def test_no_request_is_logged(server):
    server.predict({"instances": ["fine"]})
    server.predict({"instances": [3]})
    server.process.send_signal(signal.SIGTERM)

    log = server.process.communicate(timeout=_PATIENCE_SECONDS)[1].decode()

    assert [json.loads(line)["message"] for line in log.splitlines()] == ["model loaded", "prediction server finished"]


def test_by_default_it_keeps_to_the_contract_of_vertex_ai():
    assert Settings.read({"AIP_STORAGE_URI": "gs://bucket/model"}) == Settings(
        storage_uri="gs://bucket/model",
        host="0.0.0.0",
        port=8080,
        health_route="/health",
        predict_route="/predict",
        drill="",
    )


def upload(folder: Path, bucket: str, prefix: str) -> str:
    from google.cloud import storage

    for path in folder.iterdir():
        storage.Client().bucket(bucket).blob(f"{prefix}/{path.name}").upload_from_filename(path)
    return f"gs://{bucket}/{prefix}"


def test_a_model_in_cloud_storage_is_served(bucket, linear_model):
    upload(linear_model, bucket, "models/reviews-old")

    with serving(upload(linear_model, bucket, "models/reviews")) as client:
        client.wait_for_health(200)
        _, body = client.predict({"instances": ["fine"]})

    assert body["predictions"][0]["label"] == "good"


@pytest.mark.parametrize(
    ("prefix", "message"), [("models/none", "There is no model under gs://"), ("models/part", "has no _MANIFEST.json")]
)
def test_a_cloud_storage_folder_that_is_no_model_ends_the_server(bucket, linear_model, prefix, message):
    (linear_model / "_MANIFEST.json").unlink()
    upload(linear_model, bucket, "models/part")

    process = start(f"gs://{bucket}/{prefix}")
    errors = process.communicate(timeout=_PATIENCE_SECONDS)[1].decode()

    assert process.returncode == 1
    assert message in json.loads(errors.splitlines()[-1])["message"]


def test_a_transformer_in_cloud_storage_is_served(bucket, transformer_model):
    with serving(upload(transformer_model, bucket, "models/transformer")) as client:
        client.wait_for_health(200)
        status, body = client.predict({"instances": ["so fine", {"text": "so awful"}, "", "tea " * 10_000, "🍵"]})

    labels = [prediction["label"] for prediction in body["predictions"]]
    assert status == 200
    assert len(labels) == 5
    assert labels[:2] == ["good", "bad"]
    assert all(sum(prediction["probabilities"].values()) == pytest.approx(1) for prediction in body["predictions"])


def test_a_drill_of_wrong_labels_answers_with_other_labels(linear_model):
    with serving(str(linear_model), SEATRIAL_DRILL="wrong_labels") as client:
        client.wait_for_health(200)
        status, body = client.predict({"instances": ["fine", "awful"]})

    assert status == 200
    assert [prediction["label"] for prediction in body["predictions"]] == ["bad", "good"]


def test_a_drill_of_a_crash_ends_the_process_with_the_4th_request(linear_model):
    with serving(str(linear_model), SEATRIAL_DRILL="crash") as client:
        client.wait_for_health(200)
        for _ in range(3):
            assert client.predict({"instances": ["fine"]})[0] == 200
        assert client.request("GET", HEALTH)[0] == 200

        with pytest.raises((http.client.HTTPException, ConnectionError)):
            client.predict({"instances": ["fine"]})

        assert client.process.wait(timeout=_PATIENCE_SECONDS) == 1


def test_a_server_without_a_drill_outlives_the_4th_request(server):
    assert [server.predict({"instances": ["fine"]})[0] for _ in range(6)] == [200] * 6


def test_a_drill_is_logged_at_the_start(linear_model):
    with serving(str(linear_model), SEATRIAL_DRILL="slow") as client:
        assert [line["drill"] for line in client.log if "drill" in line] == ["slow"]
