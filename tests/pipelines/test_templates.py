"""Finding compiled pipelines and reading parameters from what a person typed."""

import json

import pytest

from seatrial.pipelines.templates import (
    UsageError,
    declared_parameters,
    find_template,
    load_template,
    parse_parameters,
)

TEMPLATE = {
    "pipelineInfo": {"name": "example"},
    "root": {
        "inputDefinitions": {
            "parameters": {
                "uri": {"parameterType": "STRING"},
                "seed": {"parameterType": "NUMBER_INTEGER", "defaultValue": 0},
                "rate": {"parameterType": "NUMBER_DOUBLE", "isOptional": True},
                "steps": {"parameterType": "LIST", "defaultValue": [10]},
                "options": {"parameterType": "STRUCT", "isOptional": True},
                "dry": {"parameterType": "BOOLEAN", "isOptional": True},
            }
        }
    },
}


def test_values_get_the_type_that_the_pipeline_declares():
    texts = ["uri=gs://a=b", "seed=7", "rate=1", "steps=[1, 2]", 'options={"a": 1}', "dry=True"]

    assert parse_parameters(TEMPLATE, None, texts) == {
        "uri": "gs://a=b",
        "seed": 7,
        "rate": 1,
        "steps": [1, 2],
        "options": {"a": 1},
        "dry": True,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=1.5", "'seed' is of type NUMBER_INTEGER; '1.5' is not"),
        ("seed=true", "'seed' is of type NUMBER_INTEGER"),
        ("rate=fast", "'rate' is of type NUMBER_DOUBLE"),
        ("steps=10", "'steps' is of type LIST"),
        ("options=[]", "'options' is of type STRUCT"),
        ("dry=1", "'dry' is of type BOOLEAN"),
        ("sead=1", "no parameter 'sead'; it has uri, seed"),
        ("seed", "is not key=value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_type(text, message):
    with pytest.raises(UsageError, match=message):
        parse_parameters(TEMPLATE, None, ["uri=x", text])


def test_a_missing_value_is_named():
    with pytest.raises(UsageError, match="needs a value for uri: pass -p uri="):
        parse_parameters(TEMPLATE, None, [])


def test_a_file_gives_values_and_the_command_line_wins(tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text("uri: gs://file\nseed: 3\n")

    assert parse_parameters(TEMPLATE, file, ["seed=4"]) == {"uri": "gs://file", "seed": 4}


@pytest.mark.parametrize("content", ["- 1\n", "a: [", "sead: 1\n", "seed: many\n", "uri: 2026-01-01\n"])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path, content):
    file = tmp_path / "parameters.yaml"
    file.write_text(content)

    with pytest.raises(UsageError):
        parse_parameters(TEMPLATE, file, ["uri=x"])


def test_our_pipelines_are_found_by_name_and_others_by_path(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps(TEMPLATE))

    assert load_template(find_template("train_and_deploy"))["pipelineInfo"]["name"] == "train-and-deploy"
    assert find_template(str(other)) == other
    assert declared_parameters(load_template(other))["uri"].required


def test_an_unknown_pipeline_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match="Name one of .*train_and_deploy"):
        find_template("no_such_pipeline")


def test_settings_for_kubernetes_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("pipelineInfo: {name: x}\nroot: {}\n---\nplatforms: {}\n")

    with pytest.raises(UsageError, match="settings for Kubernetes"):
        load_template(path)


@pytest.mark.parametrize("content", ["a: [", "just text", "a: 1", "pipelineInfo: {name: x}\nroot: null", ""])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path, content):
    path = tmp_path / "x.yaml"
    path.write_text(content)

    with pytest.raises(UsageError, match=r"is no (YAML|compiled KFP pipeline)"):
        load_template(path)
