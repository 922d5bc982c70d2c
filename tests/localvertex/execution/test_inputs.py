"""What a task takes in, from constants, its DAG, other tasks and defaults."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from seatrial.localvertex.api import message
from seatrial.localvertex.execution.inputs import complete, task_inputs
from seatrial.localvertex.execution.ir import ArtifactSlot, Component, Parameter, Retry, Task
from seatrial.localvertex.execution.outcome import Outcome, TaskError, Values

_JOB = "projects/p/locations/l/pipelineJobs/j"


def _replace(value: Any, parameters: Mapping[str, Any]) -> Any:
    return value.format(**parameters) if isinstance(value, str) else value


def _inputs(
    parameters: dict[str, Any] | None = None,
    artifacts: dict[str, Any] | None = None,
    scope: Values | None = None,
    **upstream: Outcome,
) -> Values:
    task = Task("t", "t", "c", parameters or {}, artifacts or {}, (), "", False, None, False, Retry(0, 0, 2, 0))
    return task_inputs(task, scope or Values(), upstream, _replace, _JOB)


def _output(task: str, name: str) -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": name}}


def test_a_constant_may_name_other_inputs() -> None:
    parameters = {"a": {"runtimeValue": {"constant": "hello {name}"}}, "name": {"componentInputParameter": "user"}}
    assert _inputs(parameters, scope=Values({"user": "Ada"})).parameters == {"a": "hello Ada", "name": "Ada"}


def test_what_a_task_has_put_out_is_taken_as_it_is() -> None:
    outcome = Outcome("SUCCEEDED", Values({"text": "{name}"}))
    assert _inputs({"a": _output("producer", "text")}, producer=outcome).parameters == {"a": "{name}"}


@pytest.mark.parametrize("item", [{"a": {"b": 1}}, '{"a": {"b": 1}}'], ids=["object", "text"])
def test_a_field_of_a_loop_item(item: Any) -> None:
    source = {"componentInputParameter": "item", "parameterExpressionSelector": 'parseJson(string_value)["a"]["b"]'}
    assert _inputs({"x": source}, scope=Values({"item": item})).parameters == {"x": 1}


@pytest.mark.parametrize("item", ["abc", "3", "", 3, [1]])
def test_an_item_that_is_no_object_is_named_with_the_field_it_lacks(item: Any) -> None:
    source = {"componentInputParameter": "item", "parameterExpressionSelector": 'parseJson(string_value)["a"]'}
    with pytest.raises(TaskError, match=re.escape(f"The loop item {json.dumps(item)} has no field 'a'.")):
        _inputs({"x": source}, scope=Values({"item": item}))


@pytest.mark.parametrize("selector", ['parseJson(string_value)["z"]', "size(string_value)"])
def test_a_field_that_cannot_be_found_is_an_error(selector: str) -> None:
    source = {"componentInputParameter": "item", "parameterExpressionSelector": selector}
    with pytest.raises(TaskError, match="z|size"):
        _inputs({"x": source}, scope=Values({"item": {"a": 1}}))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome("SUCCEEDED"), {"state": "SUCCEEDED", "error": {}}),
        (Outcome("SKIPPED"), {"state": "SUCCEEDED", "error": {}}),
        (Outcome.failed("broken", {}), {"state": "FAILED", "error": {"code": 9, "message": "broken"}}),
    ],
)
def test_the_final_status_of_a_task(outcome: Outcome, status: dict[str, Any]) -> None:
    inputs = _inputs({"status": {"taskFinalStatus": {"producerTask": "producer"}}}, producer=outcome)
    expected = {**status, "pipelineJobResourceName": _JOB, "pipelineTaskName": "producer"}
    assert inputs.parameters == {"status": expected}


def test_artifacts_come_from_the_dag_or_from_other_tasks() -> None:
    artifact = message("Artifact")(name="a")
    from_task = {"taskOutputArtifact": {"producerTask": "producer", "outputArtifactKey": "data"}}
    from_dag = {"componentInputArtifact": "model"}
    outcome = Outcome("SUCCEEDED", Values({}, {"data": [artifact]}))
    inputs = _inputs({}, {"x": from_task, "y": from_dag}, Values({}, {"model": [artifact]}), producer=outcome)
    assert inputs.artifacts == {"x": [artifact], "y": [artifact]}
    assert _inputs({}, {"y": from_dag}).artifacts == {}


def _complete(declared: dict[str, Parameter], given: dict[str, Any]) -> dict[str, Any]:
    return complete(Component(declared, {}, {}, {}, None, {}), Values(given), _replace).parameters


def test_defaults_stand_for_missing_values_and_for_nothing() -> None:
    declared = {"a": Parameter("STRING", has_default=True, default="x {b}"), "b": Parameter("STRING")}
    assert _complete(declared, {"b": "y"}) == {"a": "x y", "b": "y"}
    assert _complete(declared, {"a": None, "b": "y"}) == {"a": "x y", "b": "y"}
    assert _complete(declared, {"a": "z", "b": "y"}) == {"a": "z", "b": "y"}


def test_an_optional_value_may_be_missing() -> None:
    assert _complete({"a": Parameter("STRING", optional=True)}, {}) == {}
    assert _complete({"a": Parameter("STRING", optional=True, has_default=True)}, {"a": None}) == {}


def test_values_are_converted_to_the_declared_type() -> None:
    declared = {"a": Parameter("NUMBER_INTEGER"), "b": Parameter("STRING")}
    assert _complete(declared, {"a": "3", "b": 4, "extra": 1.5}) == {"a": 3, "b": "4", "extra": 1.5}


@pytest.mark.parametrize(
    ("declared", "given", "reason"),
    [
        (Parameter("STRING"), {}, r"'a' \(STRING\) has no value"),
        (Parameter("NUMBER_INTEGER"), {"a": "x"}, "'a' is \"x\"; expected a value of type NUMBER_INTEGER"),
        (Parameter("STRING", literals=("x", "y")), {"a": "z"}, "expected one of"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(declared: Parameter, given: dict[str, Any], reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        _complete({"a": declared}, given)


def test_a_missing_artifact_is_named_unless_it_is_optional() -> None:
    def component(optional: bool) -> Component:
        return Component({}, {"model": ArtifactSlot("system.Model", "0.0.1", optional=optional)}, {}, {}, None, {})

    complete(component(optional=True), Values(), _replace)
    with pytest.raises(TaskError, match="'model' is missing"):
        complete(component(optional=False), Values(), _replace)
