"""Models, endpoints and held-out rows on the local Vertex AI, made with Google's own clients."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1 import types

from seatrial.components.deployment.canary import deploy_canary
from seatrial.components.deployment.champion import readable, version_name
from seatrial.components.deployment.decision import Limits
from seatrial.components.deployment.google_api import Clients
from seatrial.components.deployment.plan import Plan
from seatrial.components.deployment.replay import Row

PARENT = "projects/local-project/locations/us-central1"
SERVER = str(Path(__file__).parent / "model_server.py")
ROWS = [
    Row(number, f"review {number} {label}", label) for number in range(150) for label in [("good", "bad")[number % 2]]
]
# How long an answer takes on a loaded machine says nothing: only what `model_server.py` does when it is slow is harm.
LIMITS = Limits(latency_floor_ms=900)
QUICK = Plan(steps=[25, 100], requests_per_step=40, limits=LIMITS)
RESOURCES = types.DedicatedResources(machine_spec={"machine_type": "n1-standard-2"}, min_replica_count=1)


@dataclass
class Registry:
    """The test's own registered model and endpoint."""

    clients: Clients
    display_name: str
    endpoint: str
    model: str = ""

    def upload(self, *behaviour: str, seconds_to_get_ready: int = 60, artifact_uri: str = "gs://models/reviews") -> str:
        """Uploads a version whose server behaves so, as the pipeline does, and returns its name with the version."""
        model = types.Model(
            display_name=self.display_name,
            artifact_uri=artifact_uri,
            container_spec=types.ModelContainerSpec(
                image_uri="serving",
                command=[sys.executable, SERVER, *behaviour],
                predict_route="/predict",
                health_route="/health",
                deployment_timeout={"seconds": seconds_to_get_ready},
            ),
            version_aliases=["challenger"],
        )
        request = {"parent": PARENT, "model": model, "parent_model": self.model}
        response = self.clients.models.upload_model(request=request).result()
        self.model = response.model
        return f"{response.model}@{response.model_version_id}"

    def deploy(self, model: str, percent: int = 100) -> str:
        """Deploys a version by hand, with traffic; returns the id of the deployed model."""
        split = dict.fromkeys(self.read().traffic_split, 100 - percent) | {"0": percent}
        deployed = types.DeployedModel(model=model, dedicated_resources=RESOURCES)
        request = {"endpoint": self.endpoint, "deployed_model": deployed, "traffic_split": split}
        return self.clients.endpoints.deploy_model(request=request).result().deployed_model.id

    def read(self) -> types.Endpoint:
        return self.clients.endpoints.get_endpoint(name=self.endpoint)

    def update(self, **fields: Any) -> None:
        """Changes fields of the endpoint without an etag, as somebody else would."""
        self.clients.endpoints.update_endpoint(
            endpoint=types.Endpoint(name=self.endpoint, **fields), update_mask={"paths": list(fields)}
        )

    def split(self) -> dict[str, int]:
        """The traffic by model version."""
        endpoint = self.read()
        names = {deployed.id: readable(version_name(deployed)) for deployed in endpoint.deployed_models}
        return {names[model_id]: percent for model_id, percent in endpoint.traffic_split.items() if percent}

    def deployed(self) -> list[str]:
        """The deployed versions."""
        return sorted(readable(version_name(deployed)) for deployed in self.read().deployed_models)

    def aliases(self, model: str) -> set[str]:
        return set(self.clients.models.get_model(name=model).version_aliases) - {"default"}

    def roll_out(
        self,
        model: str,
        *,
        job: str = "rollout",
        plan: Plan = QUICK,
        rows: list[Row] = ROWS,
        operation_started: Callable[[str], None] = lambda url: None,
    ) -> dict[str, Any]:
        """Rolls a version out, as the component does."""
        return deploy_canary(
            self.endpoint,
            model,
            rows,
            plan,
            job=f"{PARENT}/pipelineJobs/{job}",
            task_name="deploy-canary",
            operation_started=operation_started,
        )


def run_job(bucket: str, *images: str) -> str:
    """Runs a pipeline job with a task that does nothing in each image; its resource name once it has ended."""
    numbers = range(len(images))
    spec = {
        "pipelineInfo": {"name": "images"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "components": {f"comp-{number}": {"executorLabel": f"exec-{number}"} for number in numbers},
        "deploymentSpec": {
            "executors": {
                f"exec-{number}": {"container": {"image": image, "command": ["true"]}}
                for number, image in enumerate(images)
            }
        },
        "root": {
            "dag": {
                "tasks": {
                    f"task-{number}": {
                        "cachingOptions": {},
                        "taskInfo": {"name": f"task-{number}"},
                        "componentRef": {"name": f"comp-{number}"},
                    }
                    for number in numbers
                }
            }
        },
    }
    client = Clients("us-central1").pipelines
    runtime = types.PipelineJob.RuntimeConfig(gcs_output_directory=f"gs://{bucket}/jobs")
    job = types.PipelineJob(display_name="images", pipeline_spec=spec, runtime_config=runtime)
    name = client.create_pipeline_job(
        parent=PARENT, pipeline_job=job, pipeline_job_id=f"job-{os.urandom(6).hex()}"
    ).name
    while client.get_pipeline_job(name=name).state < types.PipelineState.PIPELINE_STATE_SUCCEEDED:
        time.sleep(0.05)
    return name


@pytest.fixture
def registry(vertex: object) -> Iterator[Registry]:
    """A registered model without versions and an endpoint without models; what is deployed ends with the test."""
    clients = Clients("us-central1")
    display_name = f"reviews-{os.urandom(4).hex()}"
    created = clients.endpoints.create_endpoint(parent=PARENT, endpoint=types.Endpoint(display_name=display_name))
    registry = Registry(clients, display_name, created.result().name)
    yield registry
    registry.update(traffic_split={})
    for deployed in registry.read().deployed_models:
        clients.endpoints.undeploy_model(endpoint=registry.endpoint, deployed_model_id=deployed.id).result()


@pytest.fixture
def serving(registry: Registry) -> Callable[..., str]:
    """Uploads a version and gives it all traffic, as the champion."""

    def serve(*behaviour: str) -> str:
        model = registry.upload(*behaviour)
        registry.deploy(model)
        registry.clients.models.merge_version_aliases(name=model, version_aliases=["champion", "-challenger"])
        return model

    return serve
