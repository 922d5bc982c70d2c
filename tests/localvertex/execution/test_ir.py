"""Reading compiled pipelines."""

from typing import Any

import pytest
from google.protobuf import json_format
from kfp import dsl

from seatrial.localvertex.api import ApiError
from seatrial.localvertex.execution.ir import Retry, Selector, Task, read_pipeline


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def add(a: int, b: int = 2) -> int:
    return a + b


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def final(status: dsl.PipelineTaskFinalStatus) -> None:
    pass


def _compiled(pipeline: Any) -> dict[str, Any]:
    return json_format.MessageToDict(dsl.pipeline(name="sample")(pipeline).pipeline_spec)


def _root_tasks(pipeline: Any) -> dict[str, Task]:
    dag = read_pipeline(_compiled(pipeline)).root.dag
    assert dag is not None
    return {task.key: task for task in dag.tasks}


def test_tasks_come_after_those_that_they_wait_for() -> None:
    def pipeline() -> None:
        last = add(a=1)
        first = add(a=2)
        middle = add(a=first.output)
        last.after(middle)

    tasks = _root_tasks(pipeline)
    assert list(tasks) == ["add-2", "add-3", "add"]
    assert tasks["add"].upstream == ("add-3",)
    assert tasks["add-3"].upstream == ("add-2",)


def test_parameters_know_their_types_and_defaults() -> None:
    def pipeline(count: int, name: str = "x") -> None:
        add(a=count)

    read = read_pipeline(_compiled(pipeline))
    assert (read.root.parameters["count"].type, read.root.parameters["count"].has_default) == ("NUMBER_INTEGER", False)
    assert (read.root.parameters["name"].type, read.root.parameters["name"].default) == ("STRING", "x")
    assert read.components["comp-add"].output_parameters["Output"].type == "NUMBER_INTEGER"


def test_retries_have_seconds() -> None:
    def pipeline() -> None:
        add(a=1).set_retry(
            num_retries=2, backoff_duration="90 seconds", backoff_factor=3.0, backoff_max_duration="2 minutes"
        )
        add(a=1)

    tasks = _root_tasks(pipeline)
    assert tasks["add"].retry == Retry(2, 90.0, 3.0, 120.0)
    assert tasks["add-2"].retry.count == 0


def test_loops_know_their_items_and_how_many_run_at_once() -> None:
    def pipeline(items: list) -> None:  # type: ignore[type-arg]
        with dsl.ParallelFor([1, 2], parallelism=3) as item:
            add(a=item)
        with dsl.ParallelFor(items) as item:
            add(a=item)

    loops = [task.loop for task in _root_tasks(pipeline).values() if task.loop]
    constant, of_parameter = sorted(loops, key=lambda loop: loop.source)
    assert (constant.constant, constant.parallelism, constant.over_artifacts) == ([1, 2], 3, False)
    assert (of_parameter.constant, of_parameter.source, of_parameter.parallelism) == (None, "pipelinechannel--items", 0)


def test_an_exit_task_runs_whatever_happens_and_has_caching_off_if_told_so() -> None:
    def pipeline() -> None:
        with dsl.ExitHandler(final()):
            add(a=1).set_caching_options(False)

    tasks = _root_tasks(pipeline)
    assert tasks["final"].runs_after_failure
    assert tasks["final"].cached
    assert not tasks["exit-handler-1"].runs_after_failure


def test_an_output_may_come_from_one_of_several_tasks() -> None:
    def pipeline(x: int) -> int:
        with dsl.If(x == 1):
            one = add(a=1)
        with dsl.Else():
            other = add(a=2)
        return dsl.OneOf(one.output, other.output)

    read = read_pipeline(_compiled(pipeline))
    branches = read.components["comp-condition-branches-1"].dag
    assert branches is not None
    (selectors,) = branches.output_parameters.values()
    assert selectors == (
        Selector("condition-2", "pipelinechannel--add-Output"),
        Selector("condition-3", "pipelinechannel--add-2-Output"),
    )


def _broken(change: Any) -> dict[str, Any]:
    def pipeline() -> None:
        add(a=add(a=1).output)

    spec = _compiled(pipeline)
    change(spec)
    return spec


_COMPONENT_IN_ITSELF = {
    "dag": {
        "tasks": {"again": {"componentRef": {"name": "comp-add"}}},
        "outputs": {
            "parameters": {
                "Output": {"valueFromParameter": {"producerSubtask": "again", "outputParameterKey": "Output"}}
            }
        },
    },
    "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
}


def _container(spec: dict[str, Any]) -> Any:
    return spec["deploymentSpec"]["executors"]["exec-add"]["container"]


def _inputs_of_add_2(spec: dict[str, Any]) -> Any:
    return spec["root"]["dag"]["tasks"]["add-2"]["inputs"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: spec.update(schemaVersion="2.0.0"), "schemaVersion '2.0.0'"),
        (lambda spec: spec.clear(), "schemaVersion"),
        (lambda spec: spec.pop("root"), "root"),
        (lambda spec: spec.pop("pipelineInfo"), "pipelineInfo"),
        (lambda spec: spec.update(schemaVersion=2.0), "schemaVersion '2.0'"),
        (
            lambda spec: spec["root"]["dag"]["tasks"].update({"../a": spec["root"]["dag"]["tasks"]["add"]}),
            "task key '../a'",
        ),
        (lambda spec: spec["root"]["dag"]["tasks"]["add"].update(iteratorPolicy={"parallelismLimit": -1}), "-1"),
        (lambda spec: spec["root"].pop("dag"), "no dag"),
        (lambda spec: spec["root"].update(dag={}), "no tasks"),
        (lambda spec: spec["components"].pop("comp-add"), "'comp-add', which is no component"),
        (lambda spec: spec["deploymentSpec"]["executors"].pop("exec-add"), "'exec-add'"),
        (lambda spec: spec["root"]["dag"]["tasks"].pop("add"), "'add', which is no task"),
        (lambda spec: spec["root"]["dag"]["tasks"]["add"].update(dependentTasks=["add-2"]), "cycle"),
        (lambda spec: spec["root"]["dag"]["tasks"]["add"].update(dependentTasks=["add"]), "cycle"),
        (
            lambda spec: spec["root"]["dag"]["tasks"]["add"].update(dependentTasks=["x"]),
            "waits for 'x', which is no task",
        ),
        (lambda spec: spec["root"]["dag"]["tasks"]["add"].pop("componentRef"), "componentRef"),
        (
            lambda spec: _inputs_of_add_2(spec)["parameters"].update(a={"componentInputParameter": "x"}),
            "input 'a' of task 'add-2' takes the parameter 'x', which its DAG does not have",
        ),
        (
            lambda spec: _inputs_of_add_2(spec).update(artifacts={"d": {"componentInputArtifact": "x"}}),
            "input 'd' of task 'add-2' takes the artifact 'x'",
        ),
        (
            lambda spec: _inputs_of_add_2(spec)["parameters"].pop("a"),
            "task 'add-2' does not give 'a', which 'comp-add-2' needs",
        ),
        (lambda spec: _container(spec).pop("image"), "executor 'exec-add' has no image"),
        (lambda spec: _container(spec).update(image=""), "executor 'exec-add' has no image"),
        (lambda spec: spec["pipelineInfo"].update(name="Bad Name!"), "'Bad Name!'"),
        (
            lambda spec: spec["root"]["dag"].update(
                outputs={
                    "parameters": {
                        "o": {"valueFromParameter": {"producerSubtask": "none", "outputParameterKey": "Output"}}
                    }
                }
            ),
            "output 'o' is to be 'Output' of the task 'none', which is not there",
        ),
        (
            lambda spec: spec["components"].update({"comp-add": _COMPONENT_IN_ITSELF}),
            "a component contains itself",
        ),
        (
            lambda spec: spec["components"]["comp-add"].pop("outputDefinitions"),
            "takes the output parameter 'Output', which the task 'add' does not have",
        ),
    ],
)
def test_a_spec_that_cannot_be_run_is_refused(change: Any, reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as error:
        read_pipeline(_broken(change))
    assert error.value.code.name == "INVALID_ARGUMENT"
