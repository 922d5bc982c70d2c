"""How a model folder becomes a model that Vertex AI can serve."""

import pytest

from seatrial.components.artifacts import write_folder
from seatrial.components.deployment.package import container_spec
from seatrial.components.runtime import InputError

from .conftest import PARENT, run_job


@pytest.fixture
def model(tmp_path) -> str:
    with write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        (folder / "config.json").write_text("{}")
    return str(tmp_path / "model")


@pytest.mark.parametrize(
    "image",
    ["seatrial/serving:0a1b", "europe-docker.pkg.dev/p/r/serving@sha256:0a1b", "localhost:5000/serving", "serving:1"],
)
def test_the_serving_image_is_that_of_the_running_job(bucket, model, image):
    job = run_job(bucket, "seatrial/cpu:0a1b", image, "gcr.io/not-serving/cpu:1")

    spec = container_spec(model, job, "")

    assert spec == {
        "imageUri": image,
        "command": ["python", "-m", "seatrial.components.prediction.server"],
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "ports": [{"containerPort": 8080}],
    }


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (["seatrial/cpu:1", "serving/cpu:1"], "use 0 images called 'serving'"),
        (["a/serving:1", "b/serving:1"], r"use 2 images called 'serving' \(a/serving:1, b/serving:1\)"),
    ],
)
def test_a_job_that_does_not_tell_the_image_is_refused(bucket, model, images, problem):
    with pytest.raises(InputError, match=problem):
        container_spec(model, run_job(bucket, *images), "")


def test_an_image_that_is_given_needs_no_job(model):
    assert container_spec(model, "", "my/server:1")["imageUri"] == "my/server:1"


def test_a_job_that_does_not_exist_is_a_clear_error(vertex, model):
    with pytest.raises(InputError, match=r"Pipeline job .*/no-such-job does not exist"):
        container_spec(model, f"{PARENT}/pipelineJobs/no-such-job", "")


def test_a_folder_that_is_no_model_is_refused_first(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        container_spec(str(tmp_path / "model"), "", "my/server:1")


def test_a_job_name_that_is_none_is_refused(model):
    with pytest.raises(InputError, match="job is 'train', which is no resource name"):
        container_spec(model, "train", "")


def test_a_drill_is_in_the_environment_of_the_serving_container(model):
    assert container_spec(model, "", "my/server:1", "slow")["env"] == [{"name": "SEATRIAL_DRILL", "value": "slow"}]


def test_a_drill_that_there_is_not_is_refused(model):
    with pytest.raises(InputError, match="drill is 'explode'; expected 'wrong_labels', 'slow', 'crash'"):
        container_spec(model, "", "my/server:1", "explode")
