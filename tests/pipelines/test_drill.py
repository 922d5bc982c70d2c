"""Rollbacks that are rehearsed: a good model that does harm in service is taken back, and users hardly notice."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import aiplatform, storage

from seatrial.pipelines.submit import RunStatus, follow, submit
from seatrial.pipelines.templates import find_template

pytestmark = pytest.mark.timeout(600)
BUCKET = "drills"
ROWS = "".join(
    f"{'lovely' if number % 2 else 'awful'} tea number {number} from garden {number % 7},{number % 2}\n"
    for number in range(1, 601)
)


@pytest.fixture(scope="module")
def champion(vertex) -> aiplatform.Endpoint:
    """The endpoint, with the trivial model in service."""
    client = storage.Client()
    client.create_bucket(BUCKET)
    client.bucket(BUCKET).blob("train.csv").upload_from_string("text,label\n" + ROWS)
    assert run(estimator="majority_class").state == "SUCCEEDED"
    aiplatform.init(project="local-project", location="us-central1")
    (endpoint,) = aiplatform.Endpoint.list(filter='display_name="drills"')
    return endpoint


def run(**changes) -> RunStatus:
    parameters = {
        "train_uri": f"gs://{BUCKET}/train.csv",
        "text_column": "text",
        "label_column": "label",
        "endpoint_display_name": "drills",
        "model_display_name": "drills",
        "latency_floor_ms": 1500.0,  # how fast a loaded machine answers is not what is tested
        **changes,
    }
    where = {"project": "local-project", "location": "us-central1", "pipeline_root": f"gs://{BUCKET}/runs"}
    return follow(submit(find_template("train_and_deploy"), parameters, **where), lambda status: None, local=True)


@contextmanager
def users(endpoint: aiplatform.Endpoint) -> Iterator[list[str]]:
    """Somebody who asks the endpoint all the time; yields the errors that they get."""
    errors: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            try:
                endpoint.predict(instances=[{"text": "a lovely tea"}])
            except GoogleAPICallError as error:
                errors.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


def rollout_of(status: RunStatus) -> dict:
    (uri,) = {task.outputs["rollout"] for task in status.tasks if "rollout" in task.outputs}
    return json.loads(storage.Blob.from_uri(uri, client=storage.Client()).download_as_bytes())


@pytest.mark.parametrize(
    ("drill", "reasons"),
    [("wrong_labels", {"quality"}), ("slow", {"latency"}), ("crash", {"errors", "no_evidence"})],
)
def test_a_model_that_does_harm_is_taken_back_and_users_lose_only_what_it_answered(champion, drill, reasons):
    before = dict(champion.traffic_split)
    (serving,) = before

    with users(champion) as errors:
        status = run(estimator="logistic_regression", drill=drill)

    rollout = rollout_of(status)
    assert status.state == "SUCCEEDED", status.error
    assert rollout["outcome"] == "rolled_back"
    assert rollout["reason"]["code"] in reasons, rollout["reason"]
    assert rollout["split_after"] == rollout["split_before"]
    assert champion.traffic_split == before
    assert [model.id for model in champion.list_models()] == [serving]
    failed = {found for error in errors for found in re.findall(r"DeployedModel (\d+)", error) or [error]}
    assert serving not in failed
    assert len(failed) == (1 if errors else 0), errors
    if drill != "crash":
        assert errors == []
