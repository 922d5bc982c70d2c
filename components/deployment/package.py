"""Describes a model folder as a Vertex AI model: which container serves it, and how."""

from typing import Any

from ..artifacts import read_manifest
from ..prediction.drill import VARIABLE, check_drill
from ..runtime import InputError
from .google_api import RETRY, Clients, explained, location_of

_SERVER = ["python", "-m", "seatrial.components.prediction.server"]
_PORT = 8080


def container_spec(model_folder: str, job: str, serving_image: str, drill: str = "") -> dict[str, Any]:
    """The container that serves a model folder, as `google.UnmanagedContainerModel` has it in its metadata.

    Args:
        model_folder: Path of the model folder; it must be complete.
        job: Resource name of the pipeline job that runs.
        serving_image: The image; if empty, the one of the job's tasks that run in an image called `serving`.
        drill: A fault on purpose; empty for none.

    Raises:
        InputError: If the folder is no complete model folder, the job does not tell which image to use, or there is no
            such drill.
    """
    check_drill(drill)
    read_manifest(model_folder, kind="model")
    return {
        "imageUri": serving_image or _serving_image_of(job),
        "command": _SERVER,
        "predictRoute": "/predict",
        "healthRoute": "/health",
        "ports": [{"containerPort": _PORT}],
        **({"env": [{"name": VARIABLE, "value": drill}]} if drill else {}),
    }


def _serving_image_of(job: str) -> str:
    """Reads the image from the running job, so that compiled YAML names images in its `image:` lines only."""
    clients = Clients(location_of(job, "pipelineJobs", "job"))
    with explained(f"Pipeline job {job}"):
        found = clients.pipelines.get_pipeline_job(name=job, retry=RETRY)
    executors = found.pipeline_spec.get("deploymentSpec", {}).get("executors", {})
    images = {executor["container"]["image"] for executor in executors.values() if "container" in executor}
    serving = sorted(image for image in images if _target(image) == "serving")
    if len(serving) != 1:
        raise InputError(
            f"The tasks of pipeline job {job} use {len(serving)} images called 'serving' "
            f"({', '.join(serving) or 'none'}); expected one, that of batch_predict. Give serving_image."
        )
    return serving[0]


def _target(image: str) -> str:
    """`serving` of `REGISTRY:PORT/REPOSITORY/serving:TAG` and of `…/serving@sha256:DIGEST`."""
    return image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
