"""How values flow through loops and DAGs."""

import pytest

from seatrial.localvertex.api import message
from seatrial.localvertex.execution.flow import collected, dag_outputs, failure, iterations
from seatrial.localvertex.execution.ir import ArtifactSlot, Component, Dag, Loop, Parameter, Selector
from seatrial.localvertex.execution.outcome import Outcome, TaskError, Values

_ONE, _TWO = (message("Artifact")(name=name) for name in ("one", "two"))


@pytest.mark.parametrize(
    "loop", [Loop("item", False, [1, "a"], "", 0), Loop("item", False, None, "items", 0)], ids=["constant", "parameter"]
)
@pytest.mark.parametrize("items", [[1, "a"], '[1, "a"]'], ids=["list", "text"])
def test_each_iteration_gets_an_item_and_what_the_loop_gets(loop: Loop, items: object) -> None:
    inputs = Values({"items": items, "x": True}, {"model": [_ONE]})
    assert iterations(loop, inputs) == [
        Values({"items": items, "x": True, "item": 1}, {"model": [_ONE]}),
        Values({"items": items, "x": True, "item": "a"}, {"model": [_ONE]}),
    ]


def test_a_loop_over_artifacts_gives_each_iteration_one() -> None:
    inputs = Values({}, {"models": [_ONE, _TWO]})
    items = [values.artifacts["item"] for values in iterations(Loop("item", True, None, "models", 0), inputs)]
    assert items == [[_ONE], [_TWO]]


@pytest.mark.parametrize("items", [{"a": 1}, "text", None, 3])
def test_a_loop_over_anything_but_a_list_is_an_error(items: object) -> None:
    with pytest.raises(TaskError, match="expected a list"):
        iterations(Loop("item", False, None, "items", 0), Values({"items": items}))


def _body() -> Component:
    return Component({}, {}, {"n": Parameter("LIST")}, {"data": ArtifactSlot("system.Dataset", "0.0.1")}, None, {})


def test_the_outputs_of_iterations_are_collected_in_order() -> None:
    outcomes = [
        Outcome("SUCCEEDED", Values({"n": [1, 2]}, {"data": [_ONE]})),
        Outcome("SUCCEEDED", Values({"n": []}, {"data": [_TWO]})),
    ]
    assert collected(_body(), outcomes) == Values({"n": [[1, 2], []]}, {"data": [_ONE, _TWO]})


def test_iterations_that_gave_nothing_are_left_out_and_no_iterations_give_empty_lists() -> None:
    assert collected(_body(), [Outcome("SUCCEEDED")]) == Values({"n": []}, {"data": []})
    assert collected(_body(), []) == Values({"n": []}, {"data": []})


def test_an_output_of_a_dag_comes_from_the_first_of_its_tasks_that_has_it() -> None:
    selectors = (Selector("a", "x"), Selector("b", "y"), Selector("c", "z"))
    dag = Dag((), {"n": selectors}, {"data": selectors})
    outcomes = {
        "a": Outcome("NOT_TRIGGERED"),
        "b": Outcome("SUCCEEDED", Values({"y": 1}, {"y": [_ONE]})),
        "c": Outcome("SUCCEEDED", Values({"z": 2}, {"z": [_TWO]})),
    }
    assert dag_outputs(dag, outcomes) == Values({"n": 1}, {"data": [_ONE]})


def test_an_output_that_no_task_gave_is_missing() -> None:
    dag = Dag((), {"n": (Selector("a", "x"),)}, {"data": (Selector("a", "x"),)})
    assert dag_outputs(dag, {"a": Outcome("NOT_TRIGGERED")}) == Values()


def test_a_dag_fails_with_the_names_of_its_failed_tasks_and_the_reasons_within_them() -> None:
    inner = failure({"train": Outcome.failed("no rows", {"train": "no rows"})})
    assert inner is not None
    copied = Outcome.failed("no disk", {"copy": "no disk"})
    outer = failure({"check": Outcome("SUCCEEDED"), "group": inner, "copy": copied})
    assert outer is not None
    assert outer.state == "FAILED"
    assert outer.error == (
        "The DAG failed because some tasks failed. The failed tasks are: [group, copy]. train: no rows copy: no disk"
    )
    assert failure({"a": Outcome("SUCCEEDED"), "b": Outcome("NOT_TRIGGERED")}) is None
