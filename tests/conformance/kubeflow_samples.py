"""Runs the compiled sample pipelines that kubeflow/pipelines keeps for its own SDK on the local Vertex AI.

    seatrial local run -- python tests/conformance/kubeflow_samples.py CHECKOUT [--only TEXT] [--json]

CHECKOUT is a checkout of https://github.com/kubeflow/pipelines. Its samples install packages: this needs a package
index, and takes about ten minutes. A sample is as expected if its job succeeds, or fails where it is made to fail.
Those that cannot run here are left out, each with its reason below.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.api_core.exceptions import Conflict
from google.cloud import aiplatform, storage

SAMPLES = "test_data/sdk_compiled_pipelines/valid"
TIMEOUT_SECONDS = 1500
MADE_TO_FAIL = (
    "failing/",
    "local_execution_pipeline_with_ignore_upstream_failure",
    "pipeline_as_exit_task",
    "pipeline_with_task_final_status.yaml",
    "pipeline_with_task_using_ignore_upstream_failure",
)
KUBERNETES = "needs Kubernetes: volumes, secrets, pod metadata or services of its cluster"
KUBEFLOW = "asserts values that only Kubeflow's own backend has"
IMAGE = "needs a program of its image, which the process runtime does not use"
CANNOT_RUN = {
    "container_io.yaml": IMAGE,
    "container_with_artifact_output": IMAGE,
    "container_with_concat_placeholder": IMAGE,
    "container_with_if_placeholder": IMAGE,
    "container_with_placeholder_in_fstring": IMAGE,
    "containerized_python_component": IMAGE,
    "pipeline_with_concat_placeholder": IMAGE,
    "pipeline_with_importer_and_gcpc_types": IMAGE,
    "pipeline_with_various_io_types": IMAGE,
    "xgboost_sample_pipeline": IMAGE,
    "create_pod_metadata_complex": KUBERNETES,
    "env-var.yaml": KUBERNETES,
    "modelcar": KUBERNETES,
    "parallel_for_mount_pvc": KUBERNETES,
    "pipeline_with_pod_metadata": KUBERNETES,
    "pipeline_with_secret_as": KUBERNETES,
    "pipeline_with_volume": KUBERNETES,
    "pvc_mount": KUBERNETES,
    "ray_integration": KUBERNETES,
    "upload_download": KUBERNETES,
    "pipeline_with_input_status_state": KUBEFLOW,
    "pipeline_with_placeholders": KUBEFLOW,
    "embedded_artifact": "needs a version of kfp that is not the one that it installs",
    "pipeline_with_artifact_custom_path": "needs a version of kfp that is not the one that it installs",
    "pipeline_with_google_artifact_type": "installs a package that does not exist",
    "pipeline_with_artifact_upload_download": "downloads from a model hub",
    "component_with_task_final_status": "crashes in kfp's executor, which gets no final status",
    "dynamic_task_output_custom_training_job": "its launcher refuses the number that is a text within a worker pool",
}
# Where the stand-in for a value of the parameter's type would not do.
ARGUMENTS = {
    "take_nap": {"naptime_secs": 2},
    "sequential_v2": {"url": "gs://ml-pipeline-playground/shakespeare1.txt"},
    "local_execution_pipeline_with_retry": {"counter_path": f"/tmp/seatrial-retries-{time.time_ns()}"},
}
STAND_INS = {
    "STRING": "text",
    "NUMBER_INTEGER": 3,
    "NUMBER_DOUBLE": 0.5,
    "BOOLEAN": True,
    "LIST": [1, 2],
    "STRUCT": {"a": 1},
}


def look_up(table: dict[str, Any], sample: str, default: Any) -> Any:
    """The entry of a table whose key is part of a sample's path."""
    return next((value for part, value in table.items() if part in sample), default)


def read(path: Path) -> Any:
    """The pipeline spec of a sample, without the document on Kubernetes that may follow it."""
    return next(document for document in yaml.safe_load_all(path.read_text()) if "pipelineInfo" in (document or {}))


def submit(path: Path, sample: str, number: int) -> aiplatform.PipelineJob:
    """Submits a sample, with stand-ins for the inputs that it needs."""
    spec = read(path)
    inputs = spec["root"].get("inputDefinitions", {})
    needed = {
        name: STAND_INS[declared["parameterType"]]
        for name, declared in inputs.get("parameters", {}).items()
        if "defaultValue" not in declared and not declared.get("isOptional")
    }
    artifacts = {
        name: aiplatform.Artifact.create(
            schema_title=declared["artifactType"]["schemaTitle"], uri="gs://ml-pipeline-playground/shakespeare1.txt"
        ).name
        for name, declared in inputs.get("artifacts", {}).items()
        if not declared.get("isOptional")
    }
    job = aiplatform.PipelineJob(
        display_name=sample[:128],
        template_path=write_template(spec, number),
        job_id=f"sample-{number}-{time.time_ns()}",
        pipeline_root="gs://samples/root",
        parameter_values=needed | look_up(ARGUMENTS, sample, {}),
        input_artifacts=artifacts,
    )
    job.submit()
    return job


def write_template(spec: Any, number: int) -> str:
    """Puts a spec into the bucket, from where the SDK takes it."""
    blob = storage.Client().bucket("samples").blob(f"templates/{number}.json")
    blob.upload_from_string(json.dumps(spec))
    return f"gs://samples/templates/{number}.json"


def prepare() -> None:
    """Makes the buckets, and the public objects that samples read."""
    for name in ("samples", "ml-pipeline-playground"):
        try:
            storage.Client().create_bucket(name)
        except Conflict:
            continue
    for name in ("shakespeare1.txt", "shakespeare2.txt"):
        text = storage.Client().bucket("ml-pipeline-playground").blob(name)
        text.upload_from_string("It was a lover and his lass")
    aiplatform.init(project="local-project", location="us-central1")


def ended(jobs: dict[str, aiplatform.PipelineJob]) -> Iterator[tuple[str, str]]:
    """Each sample with the state of its job as soon as that has ended, or the time is over."""
    waiting, deadline = dict(jobs), time.monotonic() + TIMEOUT_SECONDS
    while waiting:
        for sample, job in list(waiting.items()):
            state = job.state.name.removeprefix("PIPELINE_STATE_")
            if state in ("SUCCEEDED", "FAILED", "CANCELLED") or time.monotonic() > deadline:
                del waiting[sample]
                yield sample, state
        time.sleep(1)


def main() -> int:
    """Runs the samples and says which did not end as expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", default="", help="only samples with this text in their path")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    folder = arguments.checkout / SAMPLES
    samples = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.yaml"))}
    samples = {sample: path for sample, path in samples.items() if arguments.only in sample}
    left_out = {sample: reason for sample in samples if (reason := look_up(CANNOT_RUN, sample, ""))}
    prepare()
    jobs = {sample: submit(samples[sample], sample, n) for n, sample in enumerate(samples) if sample not in left_out}
    unexpected = {}
    for sample, state in ended(jobs):
        expected = "FAILED" if any(part in sample for part in MADE_TO_FAIL) else "SUCCEEDED"
        print(f"{'ok' if state == expected else 'NOT OK':>6}  {state:<10} {sample}", file=sys.stderr, flush=True)
        if state != expected:
            unexpected[sample] = f"{state}: {jobs[sample].gca_resource.error.message}"
    for sample, reason in left_out.items():
        print(f"{'-':>6}  {'left out':<10} {sample}: {reason}", file=sys.stderr)
    for sample, reason in unexpected.items():
        print(f"NOT OK {sample} {reason}", file=sys.stderr)
    summary = {"run": len(jobs), "as_expected": len(jobs) - len(unexpected), "left_out": len(left_out)}
    print(json.dumps(summary) if arguments.json else summary)
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main())
