"""Endpoints and the models deployed to them, through Google's clients and with real model servers."""

import concurrent.futures
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api import httpbody_pb2
from google.api_core import exceptions
from google.api_core.exceptions import Cancelled, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import (
    Endpoint,
    EndpointServiceClient,
    ModelServiceClient,
    PredictionServiceClient,
    RawPredictRequest,
)
from google.longrunning import operations_pb2
from google.protobuf import field_mask_pb2, struct_pb2

PARENT = "projects/local-project/locations/us-central1"
SERVER = Path(__file__).parents[1] / "model_server.py"
OPTIONS = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}


@pytest.fixture(autouse=True)
def _sdk(vertex: object) -> None:
    aiplatform.init(project="local-project", location="us-central1")


@pytest.fixture
def client(vertex: object) -> EndpointServiceClient:
    return EndpointServiceClient(client_options=OPTIONS)


@pytest.fixture(params=["grpc", "rest"])
def prediction_client(vertex: object, request: pytest.FixtureRequest) -> PredictionServiceClient:
    return PredictionServiceClient(client_options=OPTIONS, transport=request.param)


def upload(*arguments: str, **options: object) -> aiplatform.Model:
    """A model whose server runs with these arguments."""
    return aiplatform.Model.upload(
        display_name="served",
        serving_container_image_uri="registry/serving:tag",
        serving_container_command=[sys.executable, str(SERVER)],
        serving_container_args=list(arguments),
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
        **options,
    )


@pytest.fixture(scope="module")
def model(vertex: object) -> aiplatform.Model:
    aiplatform.init(project="local-project", location="us-central1")
    return upload()


@pytest.fixture(scope="module")
def shared_endpoint(model: aiplatform.Model) -> Iterator[aiplatform.Endpoint]:
    """An endpoint with one deployed model, for tests that only ask it."""
    endpoint = aiplatform.Endpoint.create(display_name="shared")
    endpoint.deploy(model)
    yield endpoint
    endpoint.delete(force=True)


@pytest.fixture
def endpoint(vertex: object) -> Iterator[aiplatform.Endpoint]:
    endpoint = aiplatform.Endpoint.create(display_name="own")
    yield endpoint
    endpoint.delete(force=True)


def deploy(endpoint: aiplatform.Endpoint, model: aiplatform.Model, **arguments: object) -> str:
    """Deploys a model and returns the id of the deployed model."""
    before = {deployed.id for deployed in endpoint.list_models()}
    endpoint.deploy(model, **arguments)
    (new,) = {deployed.id for deployed in endpoint.list_models()} - before
    return new


def mask(*paths: str) -> field_mask_pb2.FieldMask:
    return field_mask_pb2.FieldMask(paths=paths)


def value(content: object) -> struct_pb2.Value:
    parsed = struct_pb2.Value()
    parsed.struct_value.update(content)
    return parsed


def answering(endpoint: aiplatform.Endpoint, requests: int = 40) -> set[str]:
    """Ids of the deployed models that answer."""
    return {endpoint.predict(instances=[1]).deployed_model_id for _ in range(requests)}


# Endpoints


def test_an_endpoint_is_created_found_changed_and_deleted():
    name = f"endpoint {uuid.uuid4()}"
    endpoint = aiplatform.Endpoint.create(display_name=name, labels={"team": "search"})
    (found,) = aiplatform.Endpoint.list(filter=f'display_name="{name}" AND labels.team=search')
    assert found.resource_name == endpoint.resource_name
    assert [found.name for found in aiplatform.Endpoint.list(filter=f"endpoint={endpoint.name}")] == [endpoint.name]
    assert endpoint.update(description="text").gca_resource.description == "text"
    endpoint.delete()
    assert aiplatform.Endpoint.list(filter=f'display_name="{name}"') == []


@pytest.mark.parametrize("endpoint_id", ["Upper", "ends-", "0123", "1234567890", "a" * 64])
def test_an_endpoint_id_that_breaks_a_rule_is_refused(client: EndpointServiceClient, endpoint_id: str):
    with pytest.raises(InvalidArgument):
        client.create_endpoint(parent=PARENT, endpoint=Endpoint(display_name="x"), endpoint_id=endpoint_id)


def test_an_endpoint_needs_a_display_name(client: EndpointServiceClient):
    with pytest.raises(InvalidArgument, match="display_name"):
        client.create_endpoint(parent=PARENT, endpoint=Endpoint())


def test_an_update_with_an_old_etag_is_refused_and_one_without_an_etag_overwrites(client: EndpointServiceClient):
    name = aiplatform.Endpoint.create(display_name="etag").resource_name
    first, second = client.get_endpoint(name=name), client.get_endpoint(name=name)
    first.description, second.description = "first", "second"
    client.update_endpoint(endpoint=first, update_mask=mask("description"))
    with pytest.raises(exceptions.Aborted, match="etag"):
        client.update_endpoint(endpoint=second, update_mask=mask("description"))
    second.etag = ""
    client.update_endpoint(endpoint=second, update_mask=mask("description"))
    assert client.get_endpoint(name=name).description == "second"


@pytest.mark.parametrize("paths", [[], ["deployed_models"], ["etag"], ["nonsense"]])
def test_other_fields_of_an_endpoint_are_not_updated(client: EndpointServiceClient, paths: list[str]):
    name = aiplatform.Endpoint.create(display_name="fields").resource_name
    with pytest.raises(InvalidArgument):
        client.update_endpoint(endpoint=Endpoint(name=name), update_mask=mask(*paths))


# Deployment and traffic


def test_the_first_deployed_model_gets_the_traffic_that_the_request_gives_it(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    deployed = deploy(endpoint, model)
    assert endpoint.traffic_split == {deployed: 100}
    (shown,) = endpoint.list_models()
    assert (shown.model, shown.model_version_id) == (model.resource_name, model.version_id)
    assert shown.display_name == "served"


def test_a_model_knows_where_it_is_deployed_and_is_not_deleted_while_it_is(endpoint: aiplatform.Endpoint):
    model = upload()
    deployed = deploy(endpoint, model)
    shown = ModelServiceClient(client_options=OPTIONS).get_model(name=model.resource_name)
    assert [(place.endpoint, place.deployed_model_id) for place in shown.deployed_models] == [
        (endpoint.resource_name, deployed)
    ]
    with pytest.raises(FailedPrecondition, match=endpoint.resource_name):
        model.delete()
    endpoint.undeploy_all()
    model.delete()


def test_requests_go_to_all_deployed_models_with_traffic_and_to_no_other(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    first = deploy(endpoint, model)
    second = deploy(endpoint, model, traffic_percentage=50)
    third = deploy(endpoint, model, traffic_split={first: 50, second: 50, "0": 0})
    assert endpoint.traffic_split == {first: 50, second: 50, third: 0}
    assert answering(endpoint) == {first, second}
    endpoint.update(traffic_split={third: 100})
    assert answering(endpoint, requests=5) == {third}


def test_the_traffic_split_of_a_deployment_replaces_the_old_one(endpoint: aiplatform.Endpoint, model: aiplatform.Model):
    deploy(endpoint, model)
    second = deploy(endpoint, model, traffic_split={"0": 100})
    assert endpoint.traffic_split == {second: 100}


@pytest.mark.parametrize("split", [{"0": 99}, {"0": 101}, {"0": 50, "7": 50}])
def test_a_deployment_with_a_wrong_traffic_split_is_refused_before_it_starts(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model, split: dict[str, int]
):
    deployed = {"model": model.resource_name, "automatic_resources": {"min_replica_count": 1}}
    with pytest.raises(InvalidArgument, match="traffic_split"):
        client.deploy_model(endpoint=endpoint.resource_name, deployed_model=deployed, traffic_split=split)
    assert endpoint.list_models() == []


@pytest.mark.parametrize("shares", [(100, 1), (60, 60), (150, -50)])
def test_a_wrong_traffic_split_is_refused_and_the_old_one_stays(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model, shares: tuple[int, int]
):
    first, second = deploy(endpoint, model), deploy(endpoint, model, traffic_percentage=10)
    split = {first: shares[0], second: shares[1]}
    with pytest.raises(InvalidArgument, match="traffic_split"):
        client.update_endpoint(
            endpoint=Endpoint(name=endpoint.resource_name, traffic_split=split), update_mask=mask("traffic_split")
        )
    assert endpoint.traffic_split == {first: 90, second: 10}


def test_a_chosen_deployed_model_id_is_kept(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    deployed = {"id": "42", "model": model.resource_name, "automatic_resources": {"min_replica_count": 1}}
    client.deploy_model(endpoint=endpoint.resource_name, deployed_model=deployed, traffic_split={"0": 100}).result()
    assert endpoint.predict(instances=[1]).deployed_model_id == "42"
    with pytest.raises(exceptions.AlreadyExists):
        client.deploy_model(endpoint=endpoint.resource_name, deployed_model=deployed)


@pytest.mark.parametrize(
    "deployed",
    [{"id": "x", "automatic_resources": {"min_replica_count": 1}}, {"id": "12345678901"}, {"display_name": "none"}],
)
def test_a_deployed_model_that_breaks_a_rule_is_refused(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model, deployed: dict
):
    with pytest.raises(InvalidArgument):
        client.deploy_model(endpoint=endpoint.resource_name, deployed_model={**deployed, "model": model.resource_name})


def test_a_model_with_traffic_is_not_undeployed_as_long_as_there_are_others(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    first, second = deploy(endpoint, model), deploy(endpoint, model, traffic_percentage=50)
    with pytest.raises(FailedPrecondition, match="50 %"):
        client.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id=first)
    client.undeploy_model(
        endpoint=endpoint.resource_name, deployed_model_id=first, traffic_split={second: 100}
    ).result()
    assert answering(endpoint, requests=3) == {second}


def test_undeploying_the_last_model_leaves_an_empty_traffic_split(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    deployed = deploy(endpoint, model)
    client.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id=deployed).result()
    assert endpoint.traffic_split == {}
    assert endpoint.list_models() == []
    with pytest.raises(FailedPrecondition, match="doesn't have traffic_split"):
        endpoint.predict(instances=[1])


def test_what_is_not_deployed_is_not_undeployed(client: EndpointServiceClient, endpoint: aiplatform.Endpoint):
    with pytest.raises(NotFound):
        client.undeploy_model(endpoint=endpoint.resource_name, deployed_model_id="7")


def test_an_endpoint_with_deployed_models_is_not_deleted(endpoint: aiplatform.Endpoint, model: aiplatform.Model):
    deploy(endpoint, model)
    with pytest.raises(FailedPrecondition, match="Undeploy"):
        endpoint.delete()


def test_a_request_under_way_is_answered_when_its_model_is_undeployed(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model, tmp_path: Path
):
    deployed = deploy(endpoint, model)
    started, may_finish = tmp_path / "started", tmp_path / "may_finish"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parameters = {"started": str(started), "wait_for": str(may_finish)}
        answer = pool.submit(endpoint.predict, instances=["last"], parameters=parameters)
        while not started.exists():
            concurrent.futures.wait([answer], timeout=0.01)
        undeployed = pool.submit(endpoint.undeploy_all)
        while endpoint.list_models():
            concurrent.futures.wait([undeployed], timeout=0.01)
        assert not undeployed.done()
        may_finish.touch()
        assert (answer.result().predictions, answer.result().deployed_model_id) == (["last"], deployed)
        undeployed.result()


@pytest.mark.parametrize(
    ("mode", "reason"), [("never-ready", "never became ready"), ("crash", "exited unexpectedly with status 1")]
)
def test_a_model_that_does_not_get_ready_is_not_deployed_and_says_why(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model, mode: str, reason: str
):
    first = deploy(endpoint, model)
    with pytest.raises(FailedPrecondition, match=f"(?s){reason}.*a model server in mode '{mode}'"):
        endpoint.deploy(upload(mode, serving_container_deployment_timeout=1), traffic_percentage=100)
    assert [deployed.id for deployed in endpoint.list_models()] == [first]
    assert endpoint.traffic_split == {first: 100}
    assert answering(endpoint, requests=3) == {first}


def test_a_deployment_whose_traffic_split_no_longer_fits_when_the_model_is_ready_is_undone(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model, tmp_path: Path
):
    first = deploy(endpoint, model)
    variables = {"STARTS_WITH": str(tmp_path / "starts_with")}
    patient = upload("patient", serving_container_environment_variables=variables)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        deployment = pool.submit(endpoint.deploy, patient, traffic_split={first: 50, "0": 50})
        aiplatform.Endpoint(endpoint.resource_name).undeploy_all()
        (tmp_path / "starts_with").touch()
        with pytest.raises(InvalidArgument, match=first):
            deployment.result()
    assert endpoint.list_models() == []


def test_a_model_without_a_command_is_not_deployed_and_the_error_says_what_is_missing(endpoint: aiplatform.Endpoint):
    model = aiplatform.Model.upload(display_name="image only", serving_container_image_uri="registry/image")
    with pytest.raises(FailedPrecondition, match="set the command, or use the docker runtime"):
        endpoint.deploy(model)


def test_a_command_that_is_not_there_is_named(endpoint: aiplatform.Endpoint):
    model = aiplatform.Model.upload(
        display_name="no program", serving_container_image_uri="image", serving_container_command=["no-such-program"]
    )
    with pytest.raises(FailedPrecondition, match="no-such-program"):
        endpoint.deploy(model)


def test_replica_counts_of_a_deployed_model_are_changed_and_its_model_is_not(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    deployed = deploy(endpoint, model, machine_type="n1-standard-4")
    change = {"id": deployed, "model": "other", "dedicated_resources": {"max_replica_count": 3}}
    path = "dedicated_resources.max_replica_count"
    client.mutate_deployed_model(
        endpoint=endpoint.resource_name, deployed_model=change, update_mask=mask(path)
    ).result()
    (shown,) = endpoint.list_models()
    assert shown.dedicated_resources.max_replica_count == 3
    assert shown.dedicated_resources.machine_spec.machine_type == "n1-standard-4"
    with pytest.raises(InvalidArgument, match="model"):
        client.mutate_deployed_model(endpoint=endpoint.resource_name, deployed_model=change, update_mask=mask("model"))


# Predictions


def test_a_prediction_says_who_made_it(shared_endpoint: aiplatform.Endpoint, model: aiplatform.Model):
    answer = PredictionServiceClient(client_options=OPTIONS).predict(
        endpoint=shared_endpoint.resource_name, instances=[value({"text": "good"})]
    )
    (deployed,) = shared_endpoint.list_models()
    assert (answer.deployed_model_id, answer.model_display_name) == (deployed.id, "served")
    assert (answer.model, answer.model_version_id) == (model.resource_name, "1")


def test_instances_reach_the_model_as_the_json_they_were(
    prediction_client: PredictionServiceClient, shared_endpoint: aiplatform.Endpoint
):
    instance = {"whole": 3, "half": 0.5, "text": "é", "flag": True, "nothing": None, "list": [1, [2.5]], "map": {}}
    answer = prediction_client.predict(
        endpoint=shared_endpoint.resource_name,
        instances=[value(instance)],
        parameters=value({"environment": ["AIP_MODE"]}),
    )
    assert json.loads(json.dumps(shared_endpoint.predict(instances=[instance]).predictions)) == [instance]
    assert dict(answer.predictions[0])["whole"] == 3
    assert dict(answer.metadata) == {"AIP_MODE": "PREDICTION"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, exceptions.InvalidArgument),
        (422, exceptions.InvalidArgument),
        (429, exceptions.ResourceExhausted),
        (500, exceptions.InternalServerError),
        (503, exceptions.ServiceUnavailable),
    ],
)
def test_an_error_of_the_model_server_reaches_the_caller_with_its_text(
    shared_endpoint: aiplatform.Endpoint, status: int, error: type[Exception]
):
    with pytest.raises(error, match="refused by the model"):
        shared_endpoint.predict(instances=[1], parameters={"status": status})


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"predictions": 1}'])
def test_an_answer_that_is_no_prediction_is_an_error(shared_endpoint: aiplatform.Endpoint, text: str):
    with pytest.raises(exceptions.InternalServerError, match="predictions"):
        shared_endpoint.predict(instances=[1], parameters={"text": text})


def test_a_request_above_the_limit_is_refused(shared_endpoint: aiplatform.Endpoint):
    with pytest.raises(InvalidArgument, match="1.500MB"):
        shared_endpoint.predict(instances=["x" * 1_600_000])


def test_a_model_server_that_takes_too_long_is_not_waited_for(
    client: EndpointServiceClient, model: aiplatform.Model, tmp_path: Path
):
    impatient = Endpoint(display_name="impatient", client_connection_config={"inference_timeout": {"seconds": 1}})
    endpoint = aiplatform.Endpoint(client.create_endpoint(parent=PARENT, endpoint=impatient).result().name)
    endpoint.deploy(model)
    with pytest.raises(exceptions.DeadlineExceeded, match="did not answer within 1 s"):
        endpoint.predict(instances=[1], parameters={"wait_for": str(tmp_path / "never")})
    (tmp_path / "never").touch()
    endpoint.delete(force=True)


def test_a_crashed_model_server_is_unavailable_and_soon_there_again(
    endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    deploy(endpoint, model)
    with pytest.raises(exceptions.ServiceUnavailable):
        endpoint.predict(instances=[1], parameters={"exit": True})
    outcomes: Counter[str] = Counter()
    while not outcomes["answered"]:
        try:
            endpoint.predict(instances=[1])
            outcomes["answered"] += 1
        except exceptions.ServiceUnavailable:
            outcomes["unavailable"] += 1
    assert outcomes["unavailable"]


def test_a_raw_prediction_passes_bytes_through(shared_endpoint: aiplatform.Endpoint):
    body = httpbody_pb2.HttpBody(content_type="text/plain", data=b"raw \x00 bytes")
    answer = PredictionServiceClient(client_options=OPTIONS).raw_predict(
        request=RawPredictRequest(endpoint=shared_endpoint.resource_name, http_body=body)
    )
    assert (answer.data, answer.content_type) == (b"setyb \x00 war", "text/plain")


def test_a_raw_prediction_by_rest_has_headers_that_say_who_made_it(
    shared_endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    response = shared_endpoint.raw_predict(b"raw \x00 bytes", headers={"Content-Type": "text/plain"})
    (deployed,) = shared_endpoint.list_models()
    assert (response.content, response.headers["Content-Type"]) == (b"setyb \x00 war", "text/plain")
    assert response.headers["X-Vertex-AI-Endpoint-Id"] == shared_endpoint.name
    assert response.headers["X-Vertex-AI-Deployed-Model-Id"] == deployed.id
    assert response.headers["X-Vertex-AI-Model"] == model.resource_name
    assert response.headers["X-Vertex-AI-Model-Version-Id"] == "1"
    assert shared_endpoint.predict(instances=[5], use_raw_predict=True).deployed_model_id == deployed.id


def test_an_error_of_a_raw_prediction_is_an_error_by_rest(shared_endpoint: aiplatform.Endpoint):
    body = json.dumps({"instances": [1], "parameters": {"status": 400}}).encode()
    response = shared_endpoint.raw_predict(body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_a_dedicated_endpoint_answers_under_its_own_host_name(model: aiplatform.Model):
    endpoint = aiplatform.Endpoint.create(display_name="dedicated", dedicated_endpoint_enabled=True)
    endpoint.deploy(model)
    endpoint = aiplatform.Endpoint(endpoint.resource_name)
    assert endpoint.dedicated_endpoint_dns.endswith(".prediction.vertexai.goog")
    assert endpoint.predict(instances=["here"]).predictions == ["here"]
    endpoint.delete(force=True)


def test_explanations_are_not_emulated(shared_endpoint: aiplatform.Endpoint):
    with pytest.raises(exceptions.MethodNotImplemented, match="Explain"):
        shared_endpoint.explain(instances=[1])


# Operations


def test_a_model_of_another_location_is_not_deployed(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint, model: aiplatform.Model
):
    copy = model.copy("europe-west4")
    deployed = {"model": copy.resource_name, "dedicated_resources": {"min_replica_count": 1}}
    with pytest.raises(InvalidArgument, match="must be in the location of"):
        client.deploy_model(endpoint=endpoint.resource_name, deployed_model=deployed)


def test_a_deployment_that_is_cancelled_leaves_nothing_behind(
    client: EndpointServiceClient, endpoint: aiplatform.Endpoint
):
    deployed = {"model": upload("never-ready").resource_name, "dedicated_resources": {"min_replica_count": 1}}
    operation = client.deploy_model(endpoint=endpoint.resource_name, deployed_model=deployed, timeout=2)
    name = operation.operation.name
    assert not client.get_operation({"name": name}, timeout=2).done
    with pytest.raises(FailedPrecondition, match="not done"):
        client.delete_operation({"name": name})
    waited = client.wait_operation({"name": name}, timeout=2)  # which this client does not decode
    assert not operations_pb2.Operation.FromString(waited).done
    client.cancel_operation({"name": name})
    with pytest.raises(Cancelled):
        operation.result()
    assert endpoint.list_models() == []
    done = client.list_operations({"name": PARENT, "filter": "done=true", "page_size": 1000}).operations
    assert name in {found.name for found in done}
    client.delete_operation({"name": name})


def test_operations_are_listed_and_forgotten_when_done(client: EndpointServiceClient):
    operation = client.create_endpoint(parent=PARENT, endpoint=Endpoint(display_name="operation")).operation
    names = {found.name for found in client.list_operations({"name": PARENT, "page_size": 1000}).operations}
    assert operation.name in names
    client.cancel_operation({"name": operation.name})
    client.delete_operation({"name": operation.name})
    with pytest.raises(NotFound):
        client.get_operation({"name": operation.name})
