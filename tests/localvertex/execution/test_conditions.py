"""Conditions of tasks, in the form in which KFP compiles them."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl

from seatrial.localvertex.api import ApiError
from seatrial.localvertex.execution.conditions import check, is_met
from seatrial.localvertex.execution.ir import Component, Parameter
from seatrial.localvertex.execution.outcome import TaskError, Values

_VALUE = "inputs.parameter_values['pipelinechannel--x']"


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def nothing() -> None:
    pass


def _component(*names: str) -> Component:
    return Component({name: Parameter("STRING", optional=True) for name in names}, {}, {}, {}, None, {})


def _evaluate(condition: str, **parameters: Any) -> bool:
    values = {f"pipelinechannel--{name}": value for name, value in parameters.items()}
    return is_met(condition, _component("pipelinechannel--x"), Values(values))


def _compiled(kind: type, compare: Callable[[Any], Any]) -> str:
    """The condition that KFP makes of `with dsl.If(compare(x))`, where x is a pipeline parameter."""

    def pipeline(x) -> None:  # type: ignore[no-untyped-def]
        with dsl.If(compare(x)):
            nothing()

    pipeline.__annotations__["x"] = kind
    spec = dsl.pipeline(name="conditions")(pipeline).pipeline_spec
    return str(spec.root.dag.tasks["condition-1"].trigger_policy.condition)


@pytest.mark.parametrize(
    "text",
    [
        "promote",
        "it's",
        "don't 'quote' me",
        'say "hi"',
        r"C:\data",
        "ends with \\",
        "two\nlines",
        "tab\tand ünï🚢",
        "a && b",
        "(in parentheses)",
        "",
    ],
)
def test_a_text_is_equal_to_itself_and_to_no_other(text: str) -> None:
    equal = _compiled(str, lambda x: x == text)
    assert _evaluate(equal, x=text)
    assert not _evaluate(equal, x=text + "?")
    assert not _evaluate(_compiled(str, lambda x: x != text), x=text)


def test_escapes_that_make_valid_cel_are_read_as_cel() -> None:
    assert _evaluate(rf"{_VALUE} == 'it\'s'", x="it's")


@given(st.text(), st.text())
def test_any_two_texts_are_compared_as_they_are(left: str, right: str) -> None:
    condition = f"{_VALUE} == inputs.parameter_values['pipelinechannel--y']"
    assert _evaluate(condition, x=left, y=right) == (left == right)


@given(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53))
def test_whole_numbers_are_compared_as_whole_numbers(left: int, right: int) -> None:
    assert _evaluate(f"int({_VALUE}) < {right}", x=left) == (left < right)


@pytest.mark.parametrize(
    ("kind", "compare", "value", "expected"),
    [
        (int, lambda x: x == 3, 3, True),
        (int, lambda x: x > 3, 3, False),
        (int, lambda x: x >= 3, 3, True),
        (int, lambda x: x != -3, 3, True),
        (int, lambda x: x == 3.0, 3, True),
        (float, lambda x: x < 0.5, 0.25, True),
        (float, lambda x: x == 1, 1.0, True),
        (float, lambda x: x <= 1e-5, 1e-5, True),
        (bool, lambda x: x == True, True, True),  # noqa: E712 (KFP compiles the comparison)
        (bool, lambda x: x == True, False, False),  # noqa: E712
        (str, lambda x: x < "b", "a", True),
    ],
)
def test_comparisons_that_kfp_compiles(
    kind: type, compare: Callable[[Any], Any], value: object, expected: bool
) -> None:
    assert _evaluate(_compiled(kind, compare), x=value) is expected


def test_the_else_branch_negates_the_branches_before_it() -> None:
    @dsl.pipeline(name="branches")
    def pipeline(x: str) -> None:
        with dsl.If(x == "it's"):
            nothing()
        with dsl.Elif(x == "b"):
            nothing()
        with dsl.Else():
            nothing()

    branches = pipeline.pipeline_spec.components["comp-condition-branches-1"].dag.tasks
    conditions = [task.trigger_policy.condition for _, task in sorted(branches.items())]
    assert [[_evaluate(condition, x=x) for condition in conditions] for x in ("it's", "b", "c")] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_a_missing_optional_parameter_is_null() -> None:
    assert not _evaluate(f"{_VALUE} == 'a'")
    assert _evaluate(f"{_VALUE} == null")


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.parameter_values['unknown'] == 'a'",
        f"{_VALUE} >",
        f"{_VALUE} + 1",
        "1",
        "1 / 0 == 1",
        "9223372036854775807 + 1 == 0",
        "[1][3] == 1",
    ],
)
def test_a_condition_that_is_not_true_or_false_is_an_error(condition: str) -> None:
    with pytest.raises(TaskError, match="condition"):
        _evaluate(condition, x="a")


def test_an_expression_that_is_none_is_refused_before_anything_runs() -> None:
    check(f"{_VALUE} == 'it's'")
    with pytest.raises(ApiError, match="cannot be read"):
        check(f"{_VALUE} == ")
    with pytest.raises(ApiError, match="cannot be read"):
        check("' == '" * 20_001)
