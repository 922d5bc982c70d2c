"""Custom jobs, through Google's own client: replicas really run."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform, aiplatform_v1

from seatrial.localvertex import lifecycle

PARENT = "projects/local-project/locations/us-central1"
_DUMP = """
import json, os, sys
name = "CLUSTER_SPEC MASTER_ADDR MASTER_PORT WORLD_SIZE RANK AIP_MODEL_DIR AIP_CHECKPOINT_DIR AIP_TENSORBOARD_LOG_DIR A"
values = {key: os.environ.get(key) for key in name.split()}
task = json.loads(values["CLUSTER_SPEC"])["task"]
json.dump(values, open(f"{sys.argv[1]}/{task['type']}-{task['index']}.json", "w"))
"""


@pytest.fixture(scope="module")
def client(vertex: lifecycle.Running) -> aiplatform_v1.JobServiceClient:
    return aiplatform_v1.JobServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})


@pytest.fixture
def create(client: aiplatform_v1.JobServiceClient) -> Callable[..., aiplatform_v1.CustomJob]:
    def create(*pools: dict[str, Any], **spec: Any) -> aiplatform_v1.CustomJob:
        job = {"display_name": "test", "job_spec": {"worker_pool_specs": list(pools), **spec}}
        return client.create_custom_job(parent=PARENT, custom_job=job)

    return create


@pytest.fixture
def wait(client: aiplatform_v1.JobServiceClient) -> Callable[[str], aiplatform_v1.CustomJob]:
    def wait(name: str) -> aiplatform_v1.CustomJob:
        while not (job := client.get_custom_job(name=name)).end_time:
            pass  # the call itself waits for the end
        return job

    return wait


def _pool(*command: str, count: int = 1, **container: Any) -> dict[str, Any]:
    return {
        "machine_spec": {"machine_type": "n1-standard-4"},
        "replica_count": count,
        "container_spec": {"image_uri": "python:3.11", "command": list(command), **container},
    }


def test_replicas_find_their_cluster_and_their_folders(create: Any, wait: Any, tmp_path: Path, bucket: str) -> None:
    env = [{"name": "A", "value": "b"}]
    pools = [_pool("python3", "-c", _DUMP, count=count, args=[str(tmp_path)], env=env) for count in (1, 2)]
    job = wait(create(*pools, base_output_directory={"output_uri_prefix": f"gs://{bucket}/out"}).name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert set(found) == {"workerpool0-0", "workerpool1-0", "workerpool1-1"}
    clusters = {json.dumps(json.loads(values["CLUSTER_SPEC"])["cluster"]) for values in found.values()}
    assert len(clusters) == 1
    cluster = json.loads(clusters.pop())
    assert [len(cluster[pool]) for pool in ("workerpool0", "workerpool1")] == [1, 2]
    primary = found["workerpool0-0"]
    assert cluster["workerpool0"] == [f"{primary['MASTER_ADDR']}:{primary['MASTER_PORT']}"]
    assert sorted(values["RANK"] for values in found.values()) == ["0", "1", "2"]
    assert primary["WORLD_SIZE"] == "3"
    assert primary["AIP_MODEL_DIR"] == f"gs://{bucket}/out/model/"
    assert primary["AIP_CHECKPOINT_DIR"] == f"gs://{bucket}/out/checkpoints/"
    assert primary["AIP_TENSORBOARD_LOG_DIR"] == f"gs://{bucket}/out/logs/"
    assert primary["A"] == "b"


def test_a_replica_that_fails_ends_the_job_with_its_reason(create: Any, wait: Any) -> None:
    failing = _pool("sh", "-c", "echo no disk >&2; exit 3")
    job = wait(create(_pool("sleep", "600"), failing).name)
    assert job.state.name == "JOB_STATE_FAILED"
    assert job.error.message == "The replica workerpool1-0 exited with a non-zero status of 3. no disk"


def test_the_job_has_succeeded_when_its_primary_replica_has(create: Any, wait: Any, tmp_path: Path) -> None:
    marker = tmp_path / "done"
    slow = _pool("sh", "-c", 'sleep 1; touch "$0"', str(marker))
    assert wait(create(_pool("true"), slow).name).state.name == "JOB_STATE_SUCCEEDED"
    assert marker.exists()


def test_a_job_that_takes_too_long_fails(create: Any, wait: Any) -> None:
    job = wait(create(_pool("sleep", "600"), scheduling={"timeout": "1s"}).name)
    assert job.state.name == "JOB_STATE_FAILED"
    assert "longer than its timeout of 1 s" in job.error.message


def test_a_job_is_cancelled(client: Any, create: Any, wait: Any) -> None:
    job = create(_pool("sleep", "600"))
    client.cancel_custom_job(name=job.name)
    assert wait(job.name).state.name == "JOB_STATE_CANCELLED"
    with pytest.raises(exceptions.FailedPrecondition, match="has ended"):
        client.cancel_custom_job(name=job.name)


def test_a_job_is_deleted_once_it_has_ended(client: Any, create: Any, wait: Any) -> None:
    job = create(_pool("sleep", "600"))
    with pytest.raises(exceptions.FailedPrecondition, match="Cancel it first"):
        client.delete_custom_job(name=job.name)
    client.cancel_custom_job(name=job.name)
    wait(job.name)
    client.delete_custom_job(name=job.name).result()
    with pytest.raises(exceptions.NotFound):
        client.get_custom_job(name=job.name)


def test_an_image_without_a_command_fails_with_what_to_do(create: Any, wait: Any) -> None:
    job = wait(create(_pool()).name)
    assert job.state.name == "JOB_STATE_FAILED"
    assert "set the command, or use the docker runtime" in job.error.message


@pytest.mark.parametrize(
    ("pools", "spec", "error", "reason"),
    [
        ([], {}, "InvalidArgument", "worker_pool_specs"),
        ([_pool("true", count=2)], {}, "InvalidArgument", "replica_count must be 1"),
        ([_pool("true", image_uri="")], {}, "InvalidArgument", "image_uri is required"),
        ([{**_pool("true"), "machine_spec": {}}], {}, "InvalidArgument", "machine_type is required"),
        ([_pool("true")], {"scheduling": {"max_wait_duration": "60s"}}, "InvalidArgument", "FLEX_START"),
        (
            [_pool("true")],
            {"base_output_directory": {"output_uri_prefix": "/tmp"}},
            "InvalidArgument",
            "output_uri_prefix",
        ),
        (
            [{"replica_count": 1, "python_package_spec": {"executor_image_uri": "image", "python_module": "m"}}],
            {},
            "InvalidArgument",
            r"worker_pool_specs\[0\].python_package_spec.package_uris is required",
        ),
    ],
)
def test_a_job_that_cannot_run_is_refused(
    create: Any, pools: list[dict[str, Any]], spec: dict[str, Any], error: str, reason: str
) -> None:
    with pytest.raises(getattr(exceptions, error), match=reason):
        create(*pools, **spec)


_END_TWICE = 'echo x >> "$0/$CLOUD_ML_JOB_ID-$RANK"; test $(wc -l < "$0/$CLOUD_ML_JOB_ID-$RANK") -gt 2 || kill -9 $$'


def _starts(folder: Path) -> dict[str, int]:
    """How often each replica of the only job was started, by its rank."""
    return {file.name.split("-")[1]: len(file.read_text().split()) for file in folder.iterdir()}


def test_a_lost_replica_is_restarted_alone(create: Any, wait: Any, tmp_path: Path) -> None:
    other = _pool("sh", "-c", 'echo x >> "$0/$CLOUD_ML_JOB_ID-$RANK"', str(tmp_path))
    job = wait(create(_pool("sh", "-c", _END_TWICE, str(tmp_path)), other).name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    assert _starts(tmp_path) == {"0": 3, "1": 1}


def test_all_replicas_are_restarted_with_a_lost_one_if_that_is_wanted(create: Any, wait: Any, tmp_path: Path) -> None:
    other = _pool("sh", "-c", 'echo x >> "$0/$CLOUD_ML_JOB_ID-$RANK"; sleep 600', str(tmp_path))
    # The primary one is lost only once the other has started.
    wait_first = 'until test "$(cat "$0"/*-1 | wc -l)" -gt "$(cat "$0"/*-0 | wc -l)"; do sleep 0.05; done; '
    primary = _pool("sh", "-c", wait_first + _END_TWICE + "; exit 0", str(tmp_path))
    scheduling = {"restart_job_on_worker_restart": True, "timeout": "60s"}
    job = create(primary, other, scheduling=scheduling)
    client_states = wait(job.name)
    assert _starts(tmp_path) == {"0": 3, "1": 3}, client_states.error


def test_without_retries_a_lost_replica_ends_the_job(create: Any, wait: Any, tmp_path: Path) -> None:
    scheduling = {"restart_job_on_worker_restart": True, "disable_retries": True}
    job = wait(create(_pool("sh", "-c", _END_TWICE, str(tmp_path)), scheduling=scheduling).name)
    assert job.state.name == "JOB_STATE_FAILED"
    assert "non-zero status of 137" in job.error.message
    assert _starts(tmp_path) == {"0": 1}


def test_a_replica_that_is_lost_again_and_again_ends_the_job(create: Any, wait: Any, tmp_path: Path) -> None:
    job = wait(create(_pool("sh", "-c", 'echo x >> "$0/a-0"; kill -9 $$', str(tmp_path))).name)
    assert job.state.name == "JOB_STATE_FAILED"
    assert _starts(tmp_path) == {"0": 6}


def test_a_python_package_is_installed_apart_and_its_module_run(
    create: Any, wait: Any, vertex: lifecycle.Running, bucket: str, wheel: Path, tmp_path: Path
) -> None:
    shutil.copy(wheel, vertex.home / "buckets" / bucket)
    package = {
        "executor_image_uri": "python:3.11",
        "package_uris": [f"gs://{bucket}/{wheel.name}"],
        "python_module": "trainer.task",
        "args": [str(tmp_path / "written"), "--rate", "a b"],
    }
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "python_package_spec": package}
    job = wait(create(pool).name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    file, _, arguments = (tmp_path / "written").read_text().partition(" ")
    assert Path(file).is_relative_to(vertex.home / "tasks")
    assert arguments == "--rate a b"


def test_a_job_of_an_experiment_gets_a_run_of_its_own(create: Any, wait: Any, bucket: str, tmp_path: Path) -> None:
    aiplatform.init(project="local-project", location="us-central1")
    experiment = aiplatform.Experiment.create(bucket)
    pool = _pool("sh", "-c", 'echo "$AIP_EXPERIMENT_NAME $AIP_EXPERIMENT_RUN_NAME" > "$0"', str(tmp_path / "out"))
    job = wait(create(pool, experiment=experiment.resource_name).name)
    run = job.job_spec.experiment_run
    assert (tmp_path / "out").read_text().split() == [bucket, run]
    assert run == f"{experiment.resource_name}-{job.name.rsplit('/', 1)[1]}"
    found = aiplatform.ExperimentRun(job.name.rsplit("/", 1)[1], experiment=experiment)
    assert found.state == aiplatform.gapic.Execution.State.RUNNING


def test_flex_start_may_wait(create: Any, wait: Any) -> None:
    scheduling = {"strategy": "FLEX_START", "max_wait_duration": "60s"}
    assert wait(create(_pool("true"), scheduling=scheduling).name).state.name == "JOB_STATE_SUCCEEDED"


def test_a_custom_training_job_of_google_cloud_pipeline_components(tmp_path: Path, bucket: str) -> None:
    from google_cloud_pipeline_components.v1.custom_job import CustomTrainingJobOp
    from kfp import compiler, dsl

    @dsl.pipeline(name="training")
    def pipeline(marker: str) -> None:
        pool = {
            "machine_spec": {"machine_type": "n1-standard-4"},
            "replica_count": 1,
            "container_spec": {"image_uri": "python:3.11", "command": ["touch"], "args": [marker]},
        }
        CustomTrainingJobOp(display_name="train", worker_pool_specs=[pool])

    compiler.Compiler().compile(pipeline, str(tmp_path / "training.yaml"))
    job = aiplatform.PipelineJob(
        display_name="training",
        template_path=str(tmp_path / "training.yaml"),
        job_id=f"training-{time.time_ns()}",
        pipeline_root=f"gs://{bucket}",
        parameter_values={"marker": str(tmp_path / "marker")},
        project="local-project",
        location="us-central1",
    )
    job.submit()
    while not job.done():
        time.sleep(0.05)
    assert job.state.name == "PIPELINE_STATE_SUCCEEDED", job.gca_resource.error
    assert (tmp_path / "marker").exists()
