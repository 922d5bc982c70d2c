"""The snapshot of the emulated APIs."""

from seatrial.localvertex import snapshot
from seatrial.localvertex.api import METHODS, SNAPSHOT, ApiError, from_dict, message, to_dict


def test_the_snapshot_is_what_the_installed_client_packages_say():
    assert snapshot.build() == SNAPSHOT.read_bytes(), "run python -m seatrial.localvertex.snapshot"


def test_methods_know_their_messages_and_rest_bindings():
    method = METHODS["/google.cloud.aiplatform.v1.ModelService/UploadModel"]

    assert method.key == "ModelService.UploadModel"
    assert method.request is message("UploadModelRequest")
    assert [(binding.verb, binding.template, binding.body) for binding in method.bindings] == [
        ("POST", "/v1/{parent=projects/*/locations/*}/models:upload", "*")
    ]


def test_messages_survive_their_json_form():
    job = from_dict({"displayName": "x", "pipelineSpec": {"a": [1, None]}}, message("PipelineJob")())

    assert to_dict(job) == {"displayName": "x", "pipelineSpec": {"a": [1.0, None]}}


def test_a_metric_that_is_no_number_has_a_json_form():
    artifact = message("Artifact")(name="a")
    artifact.metadata.update({"loss": float("nan"), "steps": [1.0, float("inf"), {"worst": float("-inf")}]})

    assert to_dict(artifact)["metadata"] == {"loss": "NaN", "steps": [1.0, "Infinity", {"worst": "-Infinity"}]}
    assert artifact.metadata["loss"] != artifact.metadata["loss"], "the message itself is as it was"


def test_an_unknown_field_is_refused():
    try:
        from_dict({"noSuchField": 1}, message("PipelineJob")())
    except ApiError as error:
        assert error.code.name == "INVALID_ARGUMENT"
        assert "noSuchField" in error.message
    else:
        raise AssertionError("accepted")
