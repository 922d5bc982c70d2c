"""What all methods share: how projects are named, and the answer to methods that are not emulated."""

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform_v1

OPTIONS = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
PARENT = "projects/local-project/locations/us-central1"


@pytest.fixture
def client(vertex: object) -> aiplatform_v1.JobServiceClient:
    return aiplatform_v1.JobServiceClient(client_options=OPTIONS)


def test_the_number_of_another_project_stays_in_what_is_no_address(client: aiplatform_v1.JobServiceClient) -> None:
    network = "projects/123456/global/networks/n"
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": "image", "command": ["true"], "args": [network]},
    }
    job = {"display_name": "test", "job_spec": {"worker_pool_specs": [pool], "network": network}}
    created = client.create_custom_job(parent=PARENT, custom_job=job)
    assert created.job_spec.network == network
    assert list(created.job_spec.worker_pool_specs[0].container_spec.args) == [network]


def test_an_address_in_another_project_is_refused(client: aiplatform_v1.JobServiceClient) -> None:
    with pytest.raises(exceptions.PermissionDenied, match="project 123456"):
        client.get_custom_job(name="projects/123456/locations/us-central1/customJobs/1")
    with pytest.raises(exceptions.PermissionDenied, match="project 123456"):
        client.list_custom_jobs(parent="projects/123456/locations/us-central1")


def test_methods_of_other_versions_are_refused_by_name(vertex: object) -> None:
    from google.cloud import aiplatform_v1beta1

    client = aiplatform_v1beta1.EndpointServiceClient(client_options=OPTIONS)
    with pytest.raises(exceptions.MethodNotImplemented, match="v1beta1.EndpointService/GetEndpoint is not emulated"):
        client.get_endpoint(name=f"{PARENT}/endpoints/1")
    with pytest.raises(exceptions.MethodNotImplemented, match="v1beta1.PredictionService/ServerStreamingPredict"):
        list(
            aiplatform_v1beta1.PredictionServiceClient(client_options=OPTIONS).server_streaming_predict(
                {"endpoint": "e"}
            )
        )
