"""What a user's program asks of the docker runtime: `python user_program.py CPU_IMAGE SERVING_IMAGE BUCKET WHEEL`.

A program of its own, because gRPC reads the trusted authorities once a process. It prints one JSON object.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from google.cloud import aiplatform
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Output

CPU, SERVING, BUCKET, WHEEL = sys.argv[1:]


WRITE = """
cat /sys/fs/cgroup/memory.max 2>/dev/null > "$0" || cat /sys/fs/cgroup/memory/memory.limit_in_bytes > "$0"
printf "%s" "$MINE" >> "$0"
"""


@dsl.container_component
def write(data: Output[Dataset]) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=CPU, command=["sh", "-c", WRITE], args=[data.path])


@dsl.component(base_image=CPU, install_kfp_package=False)
def read(data: Input[Dataset], text: str) -> dict:  # type: ignore[type-arg]
    from google.cloud import storage

    with open(data.path) as file:
        found = file.read()
    return {
        "data": found,
        "same": storage.Blob.from_string(data.uri, storage.Client()).download_as_text(),
        "length": len(text),
    }


@dsl.container_component
def fail() -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image=CPU, command=["sh", "-c", "echo this is why >&2; exit 3"])


@dsl.pipeline(name="containers")
def pipeline(text: str, memory: str) -> None:
    written = write().set_env_variable("MINE", "from the environment").set_memory_limit(memory).set_cpu_limit("500m")
    read(data=written.outputs["data"], text=text)
    fail()


def run_pipeline() -> dict[str, Any]:
    compiler.Compiler().compile(pipeline, "pipeline.yaml")
    parameters = {"text": "ä'\"\n$(x) " * 60_000, "memory": "1Gi"}
    job = aiplatform.PipelineJob("test", "pipeline.yaml", parameter_values=parameters)
    job.submit()
    while "RUNNING" in job.state.name or "PENDING" in job.state.name:
        time.sleep(0.05)
    details = {detail.task_name: detail for detail in job.gca_resource.job_detail.task_details}
    return {
        "state": job.state.name,
        "fail": details["fail"].error.message,
        "read": dict(details["read"].execution.metadata["output:Output"]),
    }


def run_custom_job() -> dict[str, Any]:
    """Two replicas that find each other: the worker says over the network which cluster it is in."""
    script = """
import json, os, socket
mine = json.loads(os.environ["CLUSTER_SPEC"])
host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if mine["task"]["type"] == "workerpool0":
    with socket.create_server((host, port)) as server:
        text = server.accept()[0].makefile().read()
    open(os.environ["AIP_MODEL_DIR"].replace("gs://", "/gcs/") + "said", "w").write(text)
else:
    import time
    while True:
        try:
            connection = socket.create_connection((host, port))
            break
        except OSError:
            time.sleep(0.05)
    connection.sendall(json.dumps(mine["task"]).encode())
"""
    command = ["sh", "-c", 'mkdir -p "/gcs/$0/job/model" && exec python3 -c "$1"', BUCKET, script]
    pool = {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": 1,
        "container_spec": {"image_uri": CPU, "command": command},
    }
    job = aiplatform.CustomJob("test", [pool, pool], base_output_dir=f"gs://{BUCKET}/job")
    job.run()
    return {"state": job.state.name, "said": json.loads(Path(f"buckets/{BUCKET}/job/model/said").read_text())}


def run_package() -> str:
    """What the module of the wheel wrote."""
    package = {
        "executor_image_uri": CPU,
        "package_uris": [f"gs://{BUCKET}/{WHEEL}"],
        "python_module": "trainer.task",
        "args": [f"/gcs/{BUCKET}/written", "a b"],
    }
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "python_package_spec": package}
    aiplatform.CustomJob("test", [pool]).run()
    return Path(f"buckets/{BUCKET}/written").read_text()


def serve() -> dict[str, Any]:
    """A model whose image says what serves it."""
    model = aiplatform.Model.upload(
        display_name="test",
        artifact_uri=f"gs://{BUCKET}/model",
        serving_container_image_uri=SERVING,
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    endpoint = model.deploy(machine_type="n1-standard-4")
    labels = [found["label"] for found in endpoint.predict(["fine tea", "awful tea"]).predictions]
    return {"labels": labels, "endpoint": endpoint.resource_name}


aiplatform.init(project="local-project", location="us-central1", staging_bucket=f"gs://{BUCKET}")
seen = {"pipeline": run_pipeline(), "custom_job": run_custom_job(), "package": run_package(), "model": serve()}
print(json.dumps(seen))
