"""Pipelines that are refused before anything runs, as KFP compiles them."""

from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from kfp import dsl
from kfp.dsl import Dataset, If, Input, ParallelFor

from .components import read, text

Submit = Callable[..., Any]


# KFP 2.17 accepts these pipelines and compiles them to tasks that take what nothing gives.


@dsl.pipeline(name="two-items-in-a-text")
def two_items_in_a_text():
    with ParallelFor(["a", "b"]) as outer, ParallelFor(["c"]) as inner:
        text(value=f"{outer}{inner}")


@dsl.pipeline(name="field-in-a-text")
def field_in_a_text(records: list = [{"who": "a"}]):  # noqa: B006
    with ParallelFor(records) as record:
        text(value=f"who: {record.who}")


@pytest.mark.parametrize(
    ("pipeline", "missing"),
    [(two_items_in_a_text, "loop-item-param-3"), (field_in_a_text, "records-loop-item-subvar-who")],
)
def test_a_task_that_takes_what_nothing_gives_is_named(submit: Submit, pipeline: Any, missing: str) -> None:
    with pytest.raises(
        InvalidArgument, match=rf"task 'for-loop-\d' takes the parameter '{missing}', which its DAG does"
    ):
        submit(pipeline)


def test_a_condition_that_cannot_be_read_is_named(submit: Submit) -> None:
    @dsl.pipeline(name="unreadable")
    def pipeline(given: str = "a"):
        with If(given == "a"):
            text(value="a")

    def break_off(spec: Any) -> None:
        spec["root"]["dag"]["tasks"]["condition-1"]["triggerPolicy"]["condition"] = "inputs.parameter_values['a'] =="

    with pytest.raises(InvalidArgument, match=r"\['a'\] ==.* cannot be read"):
        submit(pipeline, edit=break_off)


def test_an_artifact_that_the_pipeline_needs_is_named(submit: Submit) -> None:
    @dsl.pipeline(name="without-its-artifact")
    def pipeline(data: Input[Dataset]):
        read(data=data)

    with pytest.raises(InvalidArgument, match=r"'data' \(system.Dataset\) of the pipeline is missing"):
        submit(pipeline)
