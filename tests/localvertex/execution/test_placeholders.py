"""Placeholders in values, commands and arguments."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.localvertex.execution.placeholders import Placeholders

EXECUTOR_INPUT: dict[str, Any] = {
    "inputs": {
        "parameterValues": {
            "text": "it's",
            "count": 3,
            "rate": 0.5,
            "flag": True,
            "pools": [{"replicas": 1}],
            "empty": "",
        },
        "artifacts": {
            "model": {
                "artifacts": [
                    {
                        "name": "projects/p/artifacts/1",
                        "type": {"schemaTitle": "system.Model"},
                        "uri": "gs://bucket/model",
                        "metadata": {"resourceName": "projects/p/models/2", "rows": 7},
                    }
                ]
            }
        },
    },
    "outputs": {
        "parameters": {"result": {"outputFile": "/gcs/bucket/task/result"}},
        "artifacts": {
            "data": {"artifacts": [{"name": "n", "type": {}, "uri": "gs://bucket/task/data", "metadata": {}}]}
        },
        "outputFile": "/gcs/bucket/task/executor_output.json",
    },
}


@pytest.fixture
def placeholders() -> Placeholders:
    constants = {"pipeline_job_name": "job-1", "pipeline_google_cloud_project_id": "project-1"}
    return Placeholders(constants, EXECUTOR_INPUT, lambda uri: uri.replace("gs://", "/gcs/"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{$.inputs.parameters['text']}}", "it's"),
        ("{{$.inputs.parameters['count']}}", "3"),
        ("{{$.inputs.parameters['rate']}} {{$.inputs.parameters['flag']}}", "0.5 true"),
        ("{{$.inputs.parameters['pools']}}", '[{"replicas": 1}]'),
        ("{{$.inputs.parameters['missing']}}", "null"),
        ("{{$.inputs.artifacts['model'].uri}}", "gs://bucket/model"),
        ("{{$.inputs.artifacts['model'].path}}", "/gcs/bucket/model"),
        ("{{$.inputs.artifacts['model'].name}}", "projects/p/artifacts/1"),
        ("{{$.inputs.artifacts['model'].metadata['resourceName']}}", "projects/p/models/2"),
        ("{{$.inputs.artifacts['model'].metadata['rows']}}", "7"),
        ("{{$.inputs.artifacts['model'].metadata}}", '{"resourceName": "projects/p/models/2", "rows": 7}'),
        ("{{$.outputs.parameters['result'].output_file}}", "/gcs/bucket/task/result"),
        ("{{$.outputs.artifacts['data'].uri}}", "gs://bucket/task/data"),
        ("{{$.outputs.artifacts['data'].path}}", "/gcs/bucket/task/data"),
        ("{{$.outputs.output_file}}", "/gcs/bucket/task/executor_output.json"),
        ("{{$.outputMetadataUri}}", "/gcs/bucket/task/executor_output.json"),
        ("{{$.inputs.artifacts['model'].metadata['missing']}}", "{{$.inputs.artifacts['model'].metadata['missing']}}"),
        ("run-{{$.pipeline_job_name}}-in-{{$.pipeline_google_cloud_project_id}}", "run-job-1-in-project-1"),
    ],
)
def test_a_placeholder_becomes_its_value(placeholders: Placeholders, text: str, expected: str) -> None:
    assert placeholders.in_arguments([text]) == [expected]


def test_the_executor_input_is_json(placeholders: Placeholders) -> None:
    (text,) = placeholders.in_arguments(["{{$}}"])
    assert json.loads(text) == EXECUTOR_INPUT


def test_json_escape_makes_a_value_fit_for_a_json_text(placeholders: Placeholders) -> None:
    (once, twice) = placeholders.in_arguments(['{"input": "{{$.json_escape[1]}}"}', '"{{$.json_escape[2]}}"'])
    assert json.loads(json.loads(once)["input"]) == EXECUTOR_INPUT
    assert json.loads(json.loads(f'"{json.loads(twice)}"')) == EXECUTOR_INPUT
    assert placeholders.in_arguments(["{{$.inputs.parameters['pools'].json_escape[0]}}"]) == ['[{"replicas": 1}]']


@pytest.mark.parametrize(
    "text",
    ["{{$.unknown}}", "{{$.inputs.artifacts['unknown'].uri}}", "{{ jinja }}", "{{$foo}}", "${{ matrix }}", "{{$"],
)
def test_what_is_no_placeholder_stays_as_it_is(placeholders: Placeholders, text: str) -> None:
    assert placeholders.in_arguments([text]) == [text]


def test_an_artifact_is_a_json_object_and_a_list_of_artifacts_a_json_list() -> None:
    text, artifacts = "{{$.inputs.artifacts['model']}}", EXECUTOR_INPUT["inputs"]["artifacts"]["model"]["artifacts"]
    (single,) = Placeholders({}, EXECUTOR_INPUT, str).in_arguments([text])
    (several,) = Placeholders({}, EXECUTOR_INPUT, str, lists=["model"]).in_arguments([text])
    assert (json.loads(single), json.loads(several)) == (artifacts[0], artifacts)


def test_all_texts_of_a_json_value_are_replaced(placeholders: Placeholders) -> None:
    value = {"machine": ["{{$.pipeline_job_name}}", 1, None], "{{$.inputs.parameters['text']}}": True}
    assert placeholders.in_value(value) == {"machine": ["job-1", 1, None], "it's": True}


def _with_parameters(templates: list[str], **parameters: str) -> Placeholders:
    inputs = {"parameterValues": parameters, "artifacts": {}}
    return Placeholders({"pipeline_job_name": "job-1"}, {**EXECUTOR_INPUT, "inputs": inputs}, str, (), templates)


def test_what_an_author_wrote_may_hold_the_executor_input() -> None:
    placeholders = _with_parameters(["pools"], pools='["{{$.json_escape[1]}}"]')
    (text,) = placeholders.in_arguments(["{{$.inputs.parameters['pools']}}"])
    assert json.loads(json.loads(text)[0])["inputs"]["parameterValues"] == {"pools": '["{{$.json_escape[1]}}"]'}


@given(st.text() | st.sampled_from(["{{$}}", "{{$.pipeline_job_name}}", "{{$.inputs.parameters['data']}}"]))
def test_data_stays_data(data: str) -> None:
    placeholders = _with_parameters(["template"], data=data, template=f"<{data}>" if data != "{{$}}" else "")
    assert placeholders.in_arguments(["{{$.inputs.parameters['data']}}"]) == [data]
    if data != "{{$}}":
        assert placeholders.in_arguments(["{{$.inputs.parameters['template']}}"]) == [f"<{data}>"]


def test_the_executor_input_is_not_searched_for_placeholders() -> None:
    (text,) = _with_parameters([], prompt="{{$.pipeline_job_name}}").in_arguments(["{{$}}"])
    assert json.loads(text)["inputs"]["parameterValues"]["prompt"] == "{{$.pipeline_job_name}}"


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"Concat": ["--text=", "{{$.inputs.parameters['text']}}"]}, ["--text=it's"]),
        (
            {"IfPresent": {"InputName": "count", "Then": ["--count", "{{$.inputs.parameters['count']}}"]}},
            ["--count", "3"],
        ),
        ({"IfPresent": {"InputName": "model", "Then": "--model"}}, ["--model"]),
        ({"IfPresent": {"InputName": "empty", "Then": "--empty"}}, ["--empty"]),
        ({"IfPresent": {"InputName": "missing", "Then": ["--missing"]}}, []),
        ({"IfPresent": {"InputName": "missing", "Then": ["--missing"], "Else": ["--else", "x"]}}, ["--else", "x"]),
        ({"Concat": ["a", {"IfPresent": {"InputName": "missing", "Then": "b", "Else": "c"}}, "d"]}, ["acd"]),
        (
            {"IfPresent": {"InputName": "count", "Then": [{"Concat": ["n=", "{{$.inputs.parameters['count']}}"]}]}},
            ["n=3"],
        ),
    ],
)
def test_structures_in_arguments(placeholders: Placeholders, structure: object, expected: list[str]) -> None:
    assert placeholders.in_arguments([json.dumps(structure)]) == expected
