"""Faults on demand, through Google's own clients."""

import concurrent.futures
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import aiplatform, storage
from google.cloud.aiplatform_v1 import Endpoint, EndpointServiceClient, JobServiceClient
from hypothesis import given
from hypothesis import strategies as st
from kfp import compiler, dsl

from seatrial.localvertex import injection, lifecycle
from seatrial.localvertex.api import METHODS
from seatrial.localvertex.dispatcher import HANDLERS
from seatrial.localvertex.environment import HOME_VARIABLE
from seatrial.localvertex.faults import Fault
from seatrial.localvertex.injection import inject
from seatrial.localvertex.lifecycle import LifecycleError, Running
from seatrial.localvertex.storage.service import METHODS as STORAGE_METHODS

PARENT = "projects/local-project/locations/us-central1"
SERVER = Path(__file__).with_name("model_server.py")
OPTIONS = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
CREATE = "EndpointService.CreateEndpoint"
INSERT = "storage.objects.insert"


@pytest.fixture(autouse=True)
def _found(vertex: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(HOME_VARIABLE, str(vertex.home))
    aiplatform.init(project="local-project", location="us-central1")
    yield
    assert injection.listed() == []


@pytest.fixture(params=["grpc", "rest"])
def endpoints(vertex: Running, request: pytest.FixtureRequest) -> EndpointServiceClient:
    return EndpointServiceClient(client_options=OPTIONS, transport=request.param)


def create(endpoints: EndpointServiceClient, name: str = "") -> Endpoint:
    return endpoints.create_endpoint(parent=PARENT, endpoint={"display_name": name or fresh()}).result()


def fresh() -> str:
    return f"faulty-{os.urandom(6).hex()}"


def count(endpoints: EndpointServiceClient, name: str) -> int:
    return len(list(endpoints.list_endpoints({"parent": PARENT, "filter": f'display_name="{name}"'})))


# Which calls are hit.


@given(nth=st.integers(1, 20), times=st.integers(0, 20))
def test_calls_from_the_nth_on_are_hit(nth: int, times: int) -> None:
    fault = Fault(CREATE, nth=nth, times=times)
    hit = [call for call in range(1, 60) if fault.hits(call)]
    assert hit == list(range(nth, nth + times if times else 60))


@given(fraction=st.floats(0.1, 0.9), seed=st.integers())
def test_a_fraction_is_decided_by_the_seed_and_the_number_of_the_call_alone(fraction: float, seed: int) -> None:
    calls = range(1, 1001)
    forwards = [Fault(CREATE, fraction=fraction, seed=seed).hits(call) for call in calls]
    backwards = [Fault(INSERT, "drop", fraction=fraction, seed=seed).hits(call) for call in reversed(calls)]
    assert forwards == backwards[::-1]
    assert abs(sum(forwards) / 1000 - fraction) < 0.12
    assert forwards != [Fault(CREATE, fraction=fraction, seed=seed + 1).hits(call) for call in calls]


def test_a_fraction_of_one_is_every_call_and_no_fault_says_which_means_the_next() -> None:
    assert all(Fault(CREATE, fraction=1.0, seed=3).hits(call) for call in range(1, 100))
    assert [call for call in range(1, 100) if Fault(CREATE).hits(call)] == [1]


def test_a_fraction_hits_the_same_calls_in_every_process() -> None:
    hit = [call for call in range(1, 31) if Fault(CREATE, fraction=0.2, seed=7).hits(call)]
    assert hit == [6, 16, 20, 28]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "explode"}, "action is 'explode'; expected one of fail, delay, drop"),
        ({"when": "during"}, "when is 'during'; expected one of before, after"),
        ({"code": "OK"}, "code is 'OK'; expected one of CANCELLED, "),
        ({"code": "Unavailable"}, "code is 'Unavailable'; expected one of"),
        ({"action": "delay"}, "seconds is 0; a delay takes more"),
        ({"action": "delay", "seconds": -1.0}, "seconds is -1; a delay takes more"),
        ({"nth": 0}, "nth is 0; the first call has the number 1"),
        ({"times": -1}, "times is -1; expected a number of calls, or 0"),
        ({"fraction": 0.0}, "fraction is 0; expected more than 0 and at most 1"),
        ({"fraction": 1.5}, "fraction is 1.5; expected more than 0 and at most 1"),
        ({"fraction": 0.5, "nth": 2}, "nth and times cannot be given as well"),
        ({"fraction": 0.5, "times": 2}, "nth and times cannot be given as well"),
    ],
)
def test_what_is_no_fault_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault(CREATE, **fields)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("EndpointService.UpdateEndpiont", "Did you mean EndpointService.UpdateEndpoint"),
        ("endpointservice.updateendpoint", "Did you mean EndpointService.UpdateEndpoint"),
        ("UpdateEndpoint", "Did you mean EndpointService.UpdateEndpoint"),
        ("storage.object.insert", "Did you mean storage.objects.insert"),
        ("", "Names are such as EndpointService.UpdateEndpoint and storage.objects.insert"),
        ("FeaturestoreService.CreateFeaturestore", "'FeaturestoreService.CreateFeaturestore' is no method"),
    ],
)
def test_a_method_that_is_not_emulated_is_refused_with_those_that_are_near(method: str, said: str) -> None:
    with pytest.raises(LifecycleError, match=said):
        injection.add(Fault(method))


def test_every_emulated_method_can_have_a_fault() -> None:
    assert set(HANDLERS) <= {method.key for method in METHODS.values()}
    for method in [*HANDLERS, *STORAGE_METHODS]:
        with inject(Fault(method)):
            pass


@pytest.mark.parametrize(
    "document", ["[]", "{", '{"method": ["x"]}', '{"method": "x", "colour": "red"}', '{"nth": "a"}']
)
def test_a_request_that_makes_no_sense_is_refused(vertex: Running, document: str) -> None:
    answer = requests.post(f"http://127.0.0.1:{vertex.port}/local/faults", data=document)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["faults", "kill-model", "directory-renames"])
def test_web_pages_may_not_ask_for_faults(vertex: Running, path: str) -> None:
    url = f"http://127.0.0.1:{vertex.port}/local/{path}"
    assert requests.post(url, json={"method": CREATE}, headers={"Origin": "null"}).status_code == 403


# What becomes of a call, by gRPC and by REST.


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_fails_before_or_after_its_effect(endpoints: EndpointServiceClient, when: str) -> None:
    name = fresh()
    with inject(Fault(CREATE, "fail", when, code="RESOURCE_EXHAUSTED")) as injected:
        with pytest.raises(exceptions.TooManyRequests, match=f"{CREATE} was told to fail {when} its effect"):
            create(endpoints, name)
        assert count(endpoints, name) == (when == "after")
        create(endpoints)
    assert (injected.seen, injected.hit) == (2, 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_dropped_call_breaks_the_connection_before_or_after_its_effect(
    endpoints: EndpointServiceClient, when: str
) -> None:
    name = fresh()
    with inject(Fault(CREATE, "drop", when)) as injected:
        with pytest.raises((exceptions.ServiceUnavailable, requests.ConnectionError)) as broken:
            create(endpoints, name)
        assert "told" not in str(broken.value)  # it is the client's own transport that says so
        assert count(endpoints, name) == (when == "after")
        create(endpoints)
    assert (injected.seen, injected.hit) == (2, 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delayed_call_is_answered_in_the_end(endpoints: EndpointServiceClient, when: str) -> None:
    with inject(Fault(CREATE, "delay", when, seconds=0.01)) as injected:
        create(endpoints)
    assert (injected.seen, injected.hit) == (1, 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delay_holds_a_call_before_or_after_its_effect_until_the_fault_ends(
    endpoints: EndpointServiceClient, when: str
) -> None:
    name = fresh()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with inject(Fault(CREATE, "delay", when, seconds=3600)):
            call = pool.submit(create, endpoints, name)
            while not injection.listed()[0]["hit"]:
                time.sleep(0.01)
            assert count(endpoints, name) == (when == "after")
            assert not call.done()
        assert call.result().display_name == name
    assert count(endpoints, name) == 1


def test_the_nth_call_fails_and_the_others_do_not(endpoints: EndpointServiceClient) -> None:
    outcomes = []
    with inject(Fault(CREATE, nth=2, times=2)) as injected:
        for _ in range(4):
            try:
                outcomes.append(bool(create(endpoints)))
            except exceptions.ServiceUnavailable:
                outcomes.append(False)
    assert outcomes == [True, False, False, True]
    assert (injected.seen, injected.hit) == (4, 2)


def test_a_fault_concerns_its_method_alone_and_ends_alone(endpoints: EndpointServiceClient) -> None:
    other = injection.add(Fault("EndpointService.DeleteEndpoint", times=0))
    with inject(Fault(CREATE, times=0)) as injected:
        assert {fault["id"] for fault in injection.listed()} == {other["id"], injected.id}
        list(endpoints.list_endpoints(parent=PARENT))
        for _ in range(2):
            with pytest.raises(exceptions.ServiceUnavailable):
                create(endpoints)
    assert (injected.seen, injected.hit) == (2, 2)
    assert [fault["id"] for fault in injection.listed()] == [other["id"]]
    created = create(endpoints)
    with pytest.raises(exceptions.ServiceUnavailable):
        endpoints.delete_endpoint(name=created.name)
    assert [(fault["seen"], fault["hit"]) for fault in injection.clear()] == [(1, 1)]
    endpoints.delete_endpoint(name=created.name)


def test_the_answer_of_a_call_that_failed_by_itself_can_be_lost_too(endpoints: EndpointServiceClient) -> None:
    with inject(Fault("EndpointService.GetEndpoint", when="after", code="RESOURCE_EXHAUSTED")):
        with pytest.raises(exceptions.TooManyRequests):
            endpoints.get_endpoint(name=f"{PARENT}/endpoints/404", retry=None)
        with pytest.raises(exceptions.NotFound):
            endpoints.get_endpoint(name=f"{PARENT}/endpoints/404", retry=None)


def test_a_fault_that_is_gone_cannot_be_removed() -> None:
    with pytest.raises(LifecycleError, match="There is no fault 'gone'; a restarted server has none"):
        injection.remove("gone")


def test_where_no_server_runs_there_are_no_faults(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=f"{tmp_path} does not run. Start it with `seatrial local start`"):
        injection.listed(home=tmp_path)


def test_faults_end_with_their_server(tmp_path: Path) -> None:
    lifecycle.start(tmp_path, ephemeral=False)
    try:
        with inject(Fault(CREATE), home=tmp_path) as injected:
            lifecycle.stop(tmp_path)
            lifecycle.start(tmp_path, ephemeral=False)
            assert injection.listed(home=tmp_path) == []
        assert (injected.seen, injected.hit) == (0, 0)
    finally:
        lifecycle.stop(tmp_path)


# Cloud Storage.


@pytest.mark.parametrize("action", ["fail", "drop"])
def test_a_retried_upload_has_happened_once_when_the_first_did_not(bucket: str, action: str) -> None:
    blob = storage.Client().bucket(bucket).blob("object")
    with inject(Fault(INSERT, action, "before")) as injected:
        blob.upload_from_string("content", if_generation_match=0)
    assert (injected.seen, injected.hit) == (2, 1)
    assert blob.download_as_bytes() == b"content"


@pytest.mark.parametrize("action", ["fail", "drop"])
def test_a_retried_upload_whose_answer_was_lost_meets_its_own_object(bucket: str, action: str) -> None:
    """What a client on the real service has to expect, too: 412 does not say that somebody else was first."""
    blob = storage.Client().bucket(bucket).blob("object")
    with inject(Fault(INSERT, action, "after")) as injected, pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string("content", if_generation_match=0)
    assert (injected.seen, injected.hit) == (2, 1)
    assert blob.download_as_bytes() == b"content"


@pytest.mark.parametrize(
    ("action", "when"), [("fail", "before"), ("fail", "after"), ("drop", "before"), ("drop", "after")]
)
def test_without_retries_a_call_of_cloud_storage_ends_with_the_fault(bucket: str, action: str, when: str) -> None:
    blob = storage.Client().bucket(bucket).blob("object")
    errors = {"fail": exceptions.ServiceUnavailable, "drop": requests.ConnectionError}
    with inject(Fault(INSERT, action, when)) as injected, pytest.raises(errors[action]):
        blob.upload_from_string("content", retry=None)
    assert (injected.seen, injected.hit) == (1, 1)
    assert blob.exists() == (when == "after")


def test_a_failure_is_an_error_as_cloud_storage_words_it(bucket: str) -> None:
    client = storage.Client()
    with inject(Fault("storage.buckets.get", code="PERMISSION_DENIED")):
        answer = client._http.get(f"https://storage.googleapis.com/storage/v1/b/{bucket}")
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (403, "storage.buckets.get was told to fail before its effect.")
    assert error["errors"][0]["domain"] == "global"


@pytest.mark.parametrize("action", ["fail", "drop"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resumable_upload_survives_the_loss_of_any_of_its_requests(bucket: str, action: str, when: str) -> None:
    content = os.urandom(600 * 1024)
    for nth in (1, 2, 3, 4):  # its start and three chunks
        blob = storage.Client().bucket(bucket).blob(f"object-{nth}", chunk_size=256 * 1024)
        with inject(Fault(INSERT, action, when, nth=nth)) as injected:
            blob.upload_from_file(io.BytesIO(content))
        assert injected.hit == 1
        assert blob.download_as_bytes() == content


@pytest.mark.parametrize("action", ["fail", "drop"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_download_survives_too(bucket: str, action: str, when: str) -> None:
    blob = storage.Client().bucket(bucket).blob("object")
    blob.upload_from_string("content")
    with inject(Fault("storage.objects.get", action, when)) as injected:
        assert blob.download_as_bytes() == b"content"
    assert (injected.seen, injected.hit) == (2, 1)


def test_a_fault_hits_a_call_within_a_batch(bucket: str) -> None:
    client = storage.Client()
    blobs = [client.bucket(bucket).blob(name) for name in ("a", "b", "c")]
    for blob in blobs:
        blob.upload_from_string("content")
    fault = Fault("storage.objects.delete", nth=2)
    with inject(fault) as injected, pytest.raises(exceptions.ServiceUnavailable), client.batch():
        for blob in blobs:
            blob.delete()
    assert (injected.seen, injected.hit) == (3, 1)
    assert [blob.exists() for blob in blobs] == [False, True, False]


# Served models.


@pytest.fixture
def served(vertex: Running) -> Iterator[aiplatform.Endpoint]:
    endpoint = aiplatform.Endpoint.create(display_name="to be killed")
    yield endpoint
    endpoint.delete(force=True)


def deploy(endpoint: aiplatform.Endpoint) -> str:
    model = aiplatform.Model.upload(
        display_name="served",
        serving_container_image_uri="registry/serving:tag",
        serving_container_command=[sys.executable, str(SERVER)],
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    name = fresh()
    endpoint.deploy(model, deployed_model_display_name=name, traffic_percentage=100)
    return next(deployed.id for deployed in endpoint.list_models() if deployed.display_name == name)


def test_a_fault_of_a_call_that_starts_an_operation_leaves_the_operation_alone(served: aiplatform.Endpoint) -> None:
    fault = Fault("EndpointService.DeployModel", "drop", "after")
    with inject(fault) as injected, pytest.raises(exceptions.ServiceUnavailable):
        deploy(served)
    assert injected.hit == 1
    assert predict_when_ready(served) == ["x"]


def predict_when_ready(endpoint: aiplatform.Endpoint) -> list[str]:
    while True:
        try:
            return endpoint.predict(["x"]).predictions
        except (exceptions.ServiceUnavailable, exceptions.FailedPrecondition):  # not deployed yet
            time.sleep(0.05)


def test_a_killed_model_is_served_again(served: aiplatform.Endpoint, tmp_path: Path) -> None:
    deployed = deploy(served)
    started = tmp_path / "started"
    parameters = {"started": str(started), "wait_for": str(tmp_path / "never")}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pending = pool.submit(served.predict, ["x"], parameters)
        while not started.exists():
            time.sleep(0.01)
        assert injection.kill_model(served.resource_name) == deployed
        with pytest.raises(exceptions.ServiceUnavailable, match=f"The connection to DeployedModel {deployed} broke"):
            pending.result()
    assert predict_when_ready(served) == ["x"]


def test_of_several_models_the_one_to_be_killed_is_named(served: aiplatform.Endpoint) -> None:
    ids = sorted([deploy(served), deploy(served)])
    with pytest.raises(LifecycleError, match=f"has the deployed models {ids[0]}, {ids[1]}: name one"):
        injection.kill_model(served.name)
    with pytest.raises(LifecycleError, match="DeployedModel 5 of the endpoint .* is not served. .*" + ids[0]):
        injection.kill_model(served.name, "5")
    assert injection.kill_model(served.name, ids[0]) == ids[0]
    predict_when_ready(served)


def test_an_endpoint_that_serves_nothing_has_no_process_to_kill(served: aiplatform.Endpoint) -> None:
    with pytest.raises(LifecycleError, match="is not served. Deployed models that are: "):
        injection.kill_model(served.resource_name)


# Renames of directories.


def job(*command: str) -> Any:
    """A custom job that has ended."""
    client = JobServiceClient(client_options=OPTIONS)
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "image", "command": list(command)},
    }
    document = {"display_name": "renames", "job_spec": {"worker_pool_specs": [pool]}}
    name = client.create_custom_job(parent=PARENT, custom_job=document).name
    while not (ended := client.get_custom_job(name=name)).end_time:
        pass  # the call itself waits for the end
    return ended


@pytest.fixture
def renames_forbidden(vertex: Running) -> Iterator[None]:
    try:
        with injection.forbid_directory_renames():
            yield
    except LifecycleError as error:
        pytest.skip(str(error))


def test_a_custom_job_cannot_rename_a_directory_of_a_bucket_but_a_file(
    renames_forbidden: None, vertex: Running, bucket: str
) -> None:
    folder = vertex.home / "buckets" / bucket
    (folder / "full").mkdir()
    (folder / "full" / "file").touch()
    there = f"/gcs/{bucket}" if Path(f"/proc/{vertex.pid}/root/gcs/{bucket}").exists() else str(folder)
    failed = job("mv", f"{there}/full", f"{there}/other")
    assert failed.state.name == "JOB_STATE_FAILED"
    assert "exited with a non-zero status of 1" in failed.error.message
    assert "Too many open files" in failed.error.message
    assert job("mv", f"{there}/full/file", f"{there}/file").state.name == "JOB_STATE_SUCCEEDED"
    assert sorted(os.listdir(folder)) == ["file", "full"]
    assert "status of 7" in job("sh", "-c", "exit 7").error.message


def test_a_directory_that_is_an_output_of_a_pipeline_task_cannot_be_renamed(
    renames_forbidden: None, vertex: Running, bucket: str, tmp_path: Path
) -> None:
    @dsl.component
    def renames(output: dsl.Output[dsl.Artifact]) -> str:  # type: ignore[valid-type]
        import os

        os.makedirs(f"{output.path}/new/below")
        try:
            os.rename(f"{output.path}/new", f"{output.path}/ready")
        except OSError as error:
            return os.strerror(error.errno)
        return "renamed"

    compiler.Compiler().compile(renames, str(tmp_path / "pipeline.yaml"))
    submitted = aiplatform.PipelineJob(
        display_name="renames", template_path=str(tmp_path / "pipeline.yaml"), pipeline_root=f"gs://{bucket}/root"
    )
    submitted.submit()
    while not submitted.done():
        time.sleep(0.05)
    executions = [dict(task.execution.metadata) for task in submitted.task_details]
    outputs = {metadata["output:Output"] for metadata in executions if "output:Output" in metadata}
    assert outputs == {"Too many open files"}


def test_renames_are_as_before_when_the_block_has_ended(vertex: Running, bucket: str) -> None:
    try:
        with injection.forbid_directory_renames():
            with injection.forbid_directory_renames():
                assert injection.directory_renames_forbidden()
            assert injection.directory_renames_forbidden()
    except LifecycleError as error:
        pytest.skip(str(error))
    assert not injection.directory_renames_forbidden()
    folder = vertex.home / "buckets" / bucket
    (folder / "full" / "below").mkdir(parents=True)
    assert job("mv", str(folder / "full"), str(folder / "other")).state.name == "JOB_STATE_SUCCEEDED"
