"""Loops: what each iteration gets, how many run at once, and what comes out of them."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, List, NamedTuple  # noqa: UP035 (KFP knows these)

import pytest
from kfp import dsl
from kfp.dsl import Collected, Dataset, Else, If, Input, OneOf, Output, ParallelFor

Submit = Callable[..., Any]


def _copy(value: Any, path: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, path])


@dsl.container_component
def text(value: str, out: dsl.OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def whole(value: int, out: dsl.OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def real(value: float, out: dsl.OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def flag(value: bool, out: dsl.OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def several(value: list, out: dsl.OutputPath(list)):
    return _copy(value, out)


@dsl.container_component
def fields(value: dict, out: dsl.OutputPath(dict)):
    return _copy(value, out)


@dsl.container_component
def multiply(a: int, b: int, out: dsl.OutputPath(int)):
    command = ["sh", "-c", 'printf %s "$(($0 * $1))" > "$2"']
    return dsl.ContainerSpec(image="busybox", command=command, args=[a, b, out])


@dsl.container_component
def join(a: str, b: str, c: int, out: dsl.OutputPath(str)):
    return _copy(dsl.ConcatPlaceholder([a, b, c]), out)


@dsl.container_component
def write(value: str, data: Output[Dataset]):
    return _copy(value, data.path)


@dsl.container_component
def read(data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="busybox", command=["cp", data.path, out])


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def read_all(parts: Input[List[Dataset]]) -> list:  # noqa: UP006
    return [open(part.path).read() for part in parts]


_TEXTS = ["a", "b c", "it's", 'ü"q', "", "1", "2.0", "true", "null", "[1, 2]", '{"a": 1}', "{{$}}", "$(HOME)"]
_ITEMS = {
    "texts": (text, _TEXTS, _TEXTS),
    "whole numbers": (whole, [1, 2, -30], ["1", "2", "-30"]),
    "real numbers": (real, [1.5, 1e-7], ["1.5", "1e-07"]),
    "lists": (several, [[1, 2.5, "a"], []], [[1, 2.5, "a"], []]),
    "objects": (fields, [{"a": 1}, {"b": {"c": [True, None]}}], [{"a": 1}, {"b": {"c": [True, None]}}]),
}


def test_items_of_all_types_reach_the_iterations_as_they_are_and_come_back_in_order(run: Submit) -> None:
    @dsl.pipeline(name="items")
    def pipeline(flags: List[bool] = [True, False]):  # noqa: UP006, B006
        for name, (component, items, _) in _ITEMS.items():
            with ParallelFor(items) as item:
                shown = component(value=item)
            several(value=Collected(shown.outputs["out"])).set_display_name(name)
        with ParallelFor(flags) as item:
            shown = flag(value=item)
        several(value=Collected(shown.outputs["out"])).set_display_name("flags")

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert {name: job.output(name, "out") for name in _ITEMS} == {name: items[2] for name, items in _ITEMS.items()}
    assert job.output("flags", "out") == ["true", "false"]


@pytest.mark.parametrize("source", ["a parameter", "the output of a task"])
def test_fields_of_the_items_keep_their_types(run: Submit, source: str) -> None:
    @dsl.pipeline(name="fields")
    def pipeline(records: list):
        items = records if source == "a parameter" else several(value=records).outputs["out"]
        with ParallelFor(items) as item:
            who, n, numbers, more = (
                text(value=item.who),
                whole(value=item.n),
                several(value=item.l),
                fields(value=item.d),
            )
        for name, task in {"who": who, "n": n, "l": numbers, "d": more}.items():
            several(value=Collected(task.outputs["out"])).set_display_name(name)

    records = [{"who": "it's", "n": 1, "l": [1, 2], "d": {"k": {"m": 3}}}, {"who": 'ü"', "n": 2, "l": [], "d": {}}]
    job = run(pipeline, {"records": records})
    assert job.state == "SUCCEEDED", job.error
    collected = {name: job.output(name, "out") for name in records[0]}
    assert collected == {name: [record[name] for record in records] for name in records[0]} | {"n": ["1", "2"]}


def test_a_loop_over_a_parameter_has_as_many_iterations_as_it_has_items(run: Submit) -> None:
    @dsl.pipeline(name="echo-all")
    def echo_all(items: List[str] = ["by", "default"]) -> list:  # noqa: UP006, B006
        with ParallelFor(items) as item:
            echoed = text(value=item)
        return Collected(echoed.outputs["out"])

    @dsl.pipeline(name="counts")
    def pipeline(many: list, none: list = []) -> list:  # noqa: B006
        echo_all().set_display_name("default")
        echo_all(items=none).set_display_name("none")
        echo_all(items=["one"]).set_display_name("one")
        return echo_all(items=many).output

    many = [f"item {number}" for number in range(50)]
    job = run(pipeline, {"many": many})
    assert job.state == "SUCCEEDED", job.error
    assert [job.output(name) for name in ("default", "none", "one", "")] == [["by", "default"], [], ["one"], many]
    assert job.states["none.for-loop-1"] == "SUCCEEDED"
    assert sum("iteration" in name for name in job.states) == 2 * (2 + 0 + 1 + 50)


def test_loops_within_loops_nest_what_they_collect(run: Submit) -> None:
    @dsl.pipeline(name="nested-loops")
    def pipeline(rows: List[List[int]] = [[1, 2], [], [3]], prefix: str = "p") -> List[Dataset]:  # noqa: UP006, B006
        outside, data = text(value="o"), write(value="d")
        with ParallelFor([1, 2]) as i, ParallelFor([10, 20, 30]) as j:
            product = multiply(a=i, b=j)
        with ParallelFor(rows) as row, ParallelFor(row) as number:
            of_row = whole(value=number)
        with ParallelFor(["x", "y"]) as i, ParallelFor(["z"]) as j, ParallelFor([0, 1]) as k:
            deep = join(a=prefix, b=outside.outputs["out"], c=k)
            read(data=data.outputs["data"])
        with ParallelFor([2, 3]) as n:
            with ParallelFor([1, 2]) as m:
                inner = multiply(a=n, b=m)
            outer = several(value=Collected(inner.outputs["out"]))
        with ParallelFor(["a", "b"]) as i, ParallelFor(["1", "2"]) as j:
            written = write(value=i)
        collected = {"products": product, "rows": of_row, "deep": deep, "inner": outer}
        for name, task in collected.items():
            several(value=Collected(task.outputs["out"])).set_display_name(name)
        return Collected(written.outputs["data"])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert {name: job.output(name, "out") for name in ("products", "rows", "deep", "inner")} == {
        "products": [[10, 20, 30], [20, 40, 60]],
        "rows": [["1", "2"], [], ["3"]],
        "deep": [[["po0", "po1"]], [["po0", "po1"]]],
        "inner": [[2, 4], [3, 6]],
    }
    assert [job.output(name, "out") for name in job.states if name.endswith("read")] == ["d"] * 4
    written = [job.artifacts(name, "data")[0].name for name in sorted(job.states) if name.endswith(".write-2")]
    assert [artifact.name for artifact in job.artifacts("", "Output")] == written


def test_artifacts_go_through_pipelines_loops_and_loops_over_what_these_gave(run: Submit) -> None:
    class Outputs(NamedTuple):
        size: int
        data: Dataset

    @dsl.pipeline(name="make")
    def make(n: int) -> Outputs:
        size = multiply(a=n, b=2)
        return Outputs(size.outputs["out"], write(value=f"n{n}").outputs["data"])

    @dsl.pipeline(name="make-all")
    def make_all(numbers: list) -> List[Dataset]:  # noqa: UP006
        with ParallelFor(numbers) as n:
            made = make(n=n)
        several(value=Collected(made.outputs["size"])).set_display_name("sizes")
        return Collected(made.outputs["data"])

    @dsl.pipeline(name="artifacts")
    def pipeline():
        all_made = make_all(numbers=[1, 2, 3])
        with ParallelFor(all_made.output) as data:
            one_read = read(data=data)
        several(value=Collected(one_read.outputs["out"])).set_display_name("one by one")
        read_all(parts=all_made.output)

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("make-all.sizes", "out") == [2, 4, 6]
    assert job.output("one by one", "out") == job.output("read-all") == ["n1", "n2", "n3"]
    inputs = job.details["read-all"].inputs["parts"].artifacts
    assert [artifact.name for artifact in inputs] == [made.name for made in job.artifacts("make-all", "Output")]


def test_each_iteration_takes_its_own_branches(run: Submit) -> None:
    @dsl.pipeline(name="branches-in-loops")
    def pipeline(on: bool = True, numbers: list = [1, 5, 9]):  # noqa: B006
        with (
            If(on == True, name="on"),  # noqa: E712
            ParallelFor(numbers, name="each") as i,
            If(i == "5", name="five"),
            ParallelFor(["x", "y"], name="letters") as letter,
        ):
            text(value=letter)
        with ParallelFor([1, 2, 3], name="sizes") as i:
            with If(i > 1):
                large = text(value=f"large {i}")
            with Else():
                small = text(value=f"small {i}")
            size = text(value=OneOf(large.outputs["out"], small.outputs["out"]))
        several(value=Collected(size.outputs["out"])).set_display_name("collected")

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("collected", "out") == ["small 1", "large 2", "large 3"]
    assert {name: state for name, state in job.states.items() if name.endswith(".five")} == {
        "on.each.each-iteration-0.five": "NOT_TRIGGERED",
        "on.each.each-iteration-1.five": "SUCCEEDED",
        "on.each.each-iteration-2.five": "NOT_TRIGGERED",
    }
    of_letters = [name for name in job.states if ".letters-iteration" in name and name.endswith(".text")]
    assert [job.output(name, "out") for name in of_letters] == ["x", "y"]


def test_parallelism_is_how_many_iterations_run_at_once(run: Submit, tmp_path: Path) -> None:
    @dsl.container_component
    def sh(script: str):
        return dsl.ContainerSpec(image="busybox", command=["sh", "-c", script])

    @dsl.pipeline(name="parallelism")
    def pipeline(scripts: list):
        with ParallelFor([1, 2, 3], name="alone", parallelism=1) as i:
            whole(value=i)
        # Either end of a pipe waits for the other one.
        with ParallelFor(scripts, name="together", parallelism=2) as script:
            sh(script=script)

    os.mkfifo(tmp_path / "pipe")
    job = run(pipeline, {"scripts": [f"cat < {tmp_path}/pipe", f"echo > {tmp_path}/pipe"]})
    assert job.state == "SUCCEEDED", job.error
    alone = [job.details[f"alone.alone-iteration-{number}"] for number in range(3)]
    assert all(first.end_time <= second.start_time for first, second in pairwise(alone))


@pytest.mark.parametrize("policy", ["slow", "fast"])
def test_a_failed_iteration_leaves_the_others_alone_and_what_comes_after_the_loop_undone(
    run: Submit, policy: str
) -> None:
    @dsl.container_component
    def refuse_two(value: int, out: dsl.OutputPath(int)):
        command = ["sh", "-c", 'test "$0" != 2 && printf %s "$0" > "$1"']
        return dsl.ContainerSpec(image="busybox", command=command, args=[value, out])

    @dsl.pipeline(name="failing-iteration")
    def pipeline():
        with ParallelFor([1, 2, 3], name="each", parallelism=1) as i:
            checked = whole(value=refuse_two(value=i).outputs["out"])
        several(value=Collected(checked.outputs["out"]))

    job = run(pipeline, failure_policy=policy)
    assert job.state == "FAILED"
    third = {
        "slow": {
            **{"each.each-iteration-2": "SUCCEEDED", "each.each-iteration-2.refuse-two": "SUCCEEDED"},
            "each.each-iteration-2.whole": "SUCCEEDED",
        },
        "fast": {"each.each-iteration-2": "NOT_TRIGGERED"},
    }
    assert job.states == {
        "each": "FAILED",
        **{"each.each-iteration-0": "SUCCEEDED", "each.each-iteration-0.refuse-two": "SUCCEEDED"},
        **{"each.each-iteration-0.whole": "SUCCEEDED"},
        **{"each.each-iteration-1": "FAILED", "each.each-iteration-1.refuse-two": "FAILED"},
        **{"each.each-iteration-1.whole": "NOT_TRIGGERED"},
        **third[policy],
        "several": "NOT_TRIGGERED",
    }
    assert "The failed tasks are: [each]. refuse-two: The replica" in job.error
    assert "The failed tasks are: [each-iteration-1]." in job.details["each"].error.message


def test_a_text_that_holds_a_list_is_looped_over_and_any_other_is_an_error(run: Submit) -> None:
    @dsl.pipeline(name="texts-of-lists")
    def pipeline(good: list = [], bad: list = []):  # noqa: B006
        for name, items in {"good": good, "bad": bad}.items():
            with ParallelFor(items, name=name) as item:
                text(value=item)

    def declare_texts(spec: Any) -> None:
        for component in (spec["root"], *spec["components"].values()):
            for name, parameter in component["inputDefinitions"]["parameters"].items():
                if parameter["parameterType"] == "LIST":
                    parameter["parameterType"] = "STRING"
                    if "defaultValue" in parameter:
                        parameter["defaultValue"] = {"good": '["a", "\\u00fc"]', "bad": '{"a": 1}'}[name]

    job = run(pipeline, edit=declare_texts)
    assert (job.states["good"], job.states["bad"]) == ("SUCCEEDED", "FAILED")
    assert [job.output(name, "out") for name in job.states if name.endswith(".text")] == ["a", "ü"]
    assert "expected a list" in job.error
