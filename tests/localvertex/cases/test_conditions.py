"""Branches: which are taken, which are left, and what comes out of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Elif, Else, If, Input, OneOf, Output

Submit = Callable[..., Any]


def _copy(value: Any, path: Any) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, path])


@dsl.container_component
def text(value: str, out: dsl.OutputPath(str)):
    return _copy(value, out)


@dsl.container_component
def whole(value: int, out: dsl.OutputPath(int)):
    return _copy(value, out)


@dsl.container_component
def real(value: float, out: dsl.OutputPath(float)):
    return _copy(value, out)


@dsl.container_component
def flag(value: bool, out: dsl.OutputPath(bool)):
    return _copy(value, out)


@dsl.container_component
def write(value: str, data: Output[Dataset]):
    return _copy(value, data.path)


@dsl.container_component
def read(data: Input[Dataset], out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="busybox", command=["cp", data.path, out])


@dsl.container_component
def nothing():
    return dsl.ContainerSpec(image="busybox", command=["true"])


def _conditions(taken: list[Any], left: list[Any]) -> None:
    """A branch for each condition, with a name that says what is compared and what is to become of it."""
    for verdict, conditions in (("taken", taken), ("left", left)):
        for condition in conditions:
            left_operand = condition.left_operand.full_name
            right_operand = getattr(condition.right_operand, "full_name", repr(condition.right_operand))
            with If(condition, name=f"{verdict}: {left_operand} {condition.operator} {right_operand}"):
                nothing()


def test_all_operators_compare_values_of_all_types_from_parameters_and_from_tasks(run: Submit) -> None:
    @dsl.pipeline(name="operators")
    def pipeline(s: str = "b", n: int = 10, x: float = 0.5, yes: bool = True, no: bool = False):
        t, five = text(value=s).outputs["out"], text(value="5").outputs["out"]
        i, nine = whole(value=n).outputs["out"], whole(value=9).outputs["out"]
        f, three = real(value=x).outputs["out"], real(value=3.0).outputs["out"]
        y, z = flag(value=yes).outputs["out"], flag(value=no).outputs["out"]
        total, zero, huge = (real(value=value).outputs["out"] for value in (0.1 + 0.2, -0.0, 1e22))
        _conditions(
            taken=[
                *(s == "b", s < "c", s <= "b", s > "a", s >= "b", t == "b", t == s, t != "c"),
                *(five == "5", five == 5, five != "5.0"),
                *(n == 10, n > -5, i == 10, i != 9, i < 11, i <= 10, i > 9, i >= 10, i == n, i > nine, i > 9.5),
                *(x == 0.5, f == 0.5, f < 0.50001, f <= 0.5, f > 0.4, f >= -1.5, f > 1e-05, f < 1, f < nine),
                *(three == 3, three == 3.0, three >= 3, total == 0.1 + 0.2, zero == 0.0, huge >= 1e22),
                *(yes == True, no == False, no != True, y == True, z != True, y != z),  # noqa: E712
            ],
            left=[
                *(s != "b", s < "b", s > "b", s >= "c", t == "c", t != s, five == "5.0"),
                *(n != 10, i != 10, i < 9, i > 10, i >= 100, i < nine),
                *(f != 0.5, f > 0.5, three < 3, total == 0.3),
                *(yes == False, no == True, z == True, y == z),  # noqa: E712
            ],
        )

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    branches = {name: state for name, state in job.states.items() if ": " in name and "nothing" not in name}
    assert branches == {name: "SUCCEEDED" if name.startswith("taken") else "NOT_TRIGGERED" for name in branches}
    assert sum("nothing" in name for name in job.states) == list(branches.values()).count("SUCCEEDED") == 43


def test_conditions_within_conditions(run: Submit) -> None:
    @dsl.pipeline(name="inner")
    def inner(a: int, b: str, c: bool):
        with dsl.Condition(a > 1, "a"), If(b == "x", "b"):
            with If(c == True, "c"):  # noqa: E712
                text(value=f"deep {a}")
            with Else("not c"):
                nothing()

    @dsl.pipeline(name="nested-conditions")
    def pipeline(one: int = 1):
        inner(a=2, b="x", c=True).set_display_name("all")
        inner(a=2, b="x", c=False).set_display_name("not c")
        inner(a=2, b="y", c=True).set_display_name("not b")
        inner(a=one, b="x", c=True).set_display_name("not a")

    job = run(pipeline)
    branches = "a.b.condition-branches-3"
    assert job.states == {
        **{"all": "SUCCEEDED", "all.a": "SUCCEEDED", "all.a.b": "SUCCEEDED", f"all.{branches}": "SUCCEEDED"},
        **{f"all.{branches}.c": "SUCCEEDED", f"all.{branches}.c.text": "SUCCEEDED"},
        **{f"all.{branches}.not c": "NOT_TRIGGERED"},
        **{"not c": "SUCCEEDED", "not c.a": "SUCCEEDED", "not c.a.b": "SUCCEEDED", f"not c.{branches}": "SUCCEEDED"},
        **{f"not c.{branches}.c": "NOT_TRIGGERED", f"not c.{branches}.not c": "SUCCEEDED"},
        **{f"not c.{branches}.not c.nothing": "SUCCEEDED"},
        **{"not b": "SUCCEEDED", "not b.a": "SUCCEEDED", "not b.a.b": "NOT_TRIGGERED"},
        **{"not a": "SUCCEEDED", "not a.a": "NOT_TRIGGERED"},
    }
    assert job.output(f"all.{branches}.c.text", "out") == "deep 2"


def test_outputs_of_the_branch_that_was_taken_are_those_of_its_pipeline(run: Submit) -> None:
    class Outputs(NamedTuple):
        said: str
        number: int
        data: Dataset

    @dsl.pipeline(name="by-case")
    def by_case(key: str) -> str:
        with If(key == "first"):
            first = text(value="1st")
        with Elif(key != "third"):
            second = text(value="neither first nor third")
        with Else():
            third = text(value="3rd")
        return OneOf(first.outputs["out"], second.outputs["out"], third.outputs["out"])

    @dsl.pipeline(name="choose")
    def choose(key: str) -> Outputs:
        with If(key == "none"):
            no_text, no_number, no_data = text(value="none"), whole(value=0), write(value="empty")
        with Else():
            some_text, some_number, some_data = by_case(key=key), whole(value=7), write(value="full")
        return Outputs(
            OneOf(no_text.outputs["out"], some_text.output),
            OneOf(no_number.outputs["out"], some_number.outputs["out"]),
            OneOf(no_data.outputs["data"], some_data.outputs["data"]),
        )

    @dsl.pipeline(name="choices")
    def pipeline() -> Outputs:
        for key in ("first", "second", "third"):
            choose(key=key).set_display_name(key)
        chosen = choose(key="none").set_display_name("none")
        read(data=chosen.outputs["data"])
        return Outputs(chosen.outputs["said"], chosen.outputs["number"], chosen.outputs["data"])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert {key: (job.output(key, "said"), job.output(key, "number")) for key in ("first", "second", "third", "")} == {
        **{"first": ("1st", 7), "second": ("neither first nor third", 7), "third": ("3rd", 7), "": ("none", 0)},
    }
    assert job.output("read", "out") == "empty"
    written = job.artifacts("none.condition-branches-1.condition-2.write", "data")
    assert [artifact.name for artifact in job.artifacts("", "data")] == [artifact.name for artifact in written]


def test_what_needs_the_output_of_a_branch_that_failed_does_not_run(run: Submit) -> None:
    @dsl.container_component
    def fail_to_say(out: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image="busybox", command=["false"], args=[out])

    @dsl.pipeline(name="failing-branch")
    def pipeline(key: str = "a"):
        with If(key == "a"):
            one = fail_to_say()
        with Else():
            other = text(value="b")
        text(value=OneOf(one.outputs["out"], other.outputs["out"]))

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {
        "condition-branches-1": "FAILED",
        "condition-branches-1.condition-2": "FAILED",
        "condition-branches-1.condition-2.fail-to-say": "FAILED",
        "condition-branches-1.condition-3": "NOT_TRIGGERED",
        "text-2": "NOT_TRIGGERED",
    }


_S, _N = (f"inputs.parameter_values['pipelinechannel--{name}']" for name in "sn")


def test_a_condition_may_be_any_expression_of_cel(run: Submit) -> None:
    expressions = {
        f"{_S}.startsWith('he')": True,
        f"size({_S}) == 5": True,
        f"{_N} in [1.0, 7.0]": True,
        f"{_N} > 5.0 ? true : false": True,
        f"{_S}.matches('^h.*o$')": True,
        f'!({_S} == "hello") || false': False,
        f"{_N} * 2.0 + 1.0 == 15.0": True,
    }

    @dsl.pipeline(name="expressions")
    def pipeline(s: str = "hello", n: int = 7):
        for expression in expressions:
            with If(s == "hello", name=expression), If(n == 7):
                nothing()

    def write_expressions(spec: Any) -> None:
        for task in spec["root"]["dag"]["tasks"].values():
            task["triggerPolicy"]["condition"] = task["taskInfo"]["name"]

    job = run(pipeline, edit=write_expressions)
    assert {expression: job.states[expression] == "SUCCEEDED" for expression in expressions} == expressions
