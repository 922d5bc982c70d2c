"""What runs after what, and how failures, retries, cancellation and the cache change it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import pytest
from kfp import dsl
from kfp.dsl import Dataset, ExitHandler, If, Input, Output, ParallelFor

Submit = Callable[..., Any]


@dsl.container_component
def text(value: str, out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, out])


@dsl.container_component
def sh(script: str):
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", script])


@dsl.container_component
def write(value: str, data: Output[Dataset]):
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, data.path])


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def tell(status: dsl.PipelineTaskFinalStatus, note: str) -> list:
    return [note, status.pipeline_task_name, status.state, status.error_code, status.error_message]


# What runs after what


def test_tasks_start_after_those_that_they_wait_for(run: Submit) -> None:
    @dsl.pipeline(name="diamond")
    def pipeline() -> str:
        first = text(value="a")
        left, right = text(value=first.outputs["out"]), text(value=first.outputs["out"])
        joined = text(value=f"{left.outputs['out']}{right.outputs['out']}")
        last = text(value="last").after(joined)
        for number in range(10):
            last = text(value=f"{last.outputs['out']}{number}")
        return last.outputs["out"]

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert (job.output("text-4", "out"), job.output("")) == ("aa", "last0123456789")
    for before, after in [("text", "text-2"), ("text", "text-3"), ("text-3", "text-4"), ("text-4", "text-5")]:
        assert job.details[before].end_time <= job.details[after].start_time
    root = job.details[""]
    assert {detail.parent_task_id for name, detail in job.details.items() if name} == {root.task_id}
    for detail in job.details.values():
        assert root.create_time <= detail.create_time <= detail.start_time <= detail.end_time <= root.end_time


# Failures


def test_a_failure_reaches_what_surrounds_it_and_what_comes_after_and_nothing_else(run: Submit) -> None:
    @dsl.pipeline(name="innermost")
    def innermost():
        sh(script="echo no rows >&2; exit 4")

    @dsl.pipeline(name="middle")
    def middle():
        text(value="after").after(innermost())

    @dsl.pipeline(name="failures")
    def pipeline():
        failed = middle()
        after = text(value="after").after(failed)
        text(value=after.outputs["out"])
        text(value=text(value="beside").outputs["out"])

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {
        **{"middle": "FAILED", "middle.innermost": "FAILED", "middle.innermost.sh": "FAILED"},
        **{"middle.text": "NOT_TRIGGERED", "text": "NOT_TRIGGERED", "text-2": "NOT_TRIGGERED"},
        **{"text-3": "SUCCEEDED", "text-4": "SUCCEEDED"},
    }
    reason = "sh: The replica workerpool0-0 exited with a non-zero status of 4. no rows"
    for name, failed in {"": "middle", "middle": "innermost", "middle.innermost": "sh"}.items():
        error = job.details[name].error
        assert (error.code, error.message) == (
            9,
            f"The DAG failed because some tasks failed. The failed tasks are: [{failed}]. {reason}",
        )
    assert job.job.gca_resource.error.code == 9


def test_a_task_fails_with_how_its_process_ended(run: Submit) -> None:
    @dsl.container_component
    def unknown():
        return dsl.ContainerSpec(image="busybox", command=["no-such-program"])

    scripts = {
        "status": "echo to stdout ü; echo to stderr 漢 >&2; exit 137",
        "signal": "kill -9 $$",
        "not text": "printf '\\377\\n'; exit 1",
    }

    @dsl.pipeline(name="ends")
    def pipeline():
        unknown().set_display_name("unknown")
        for name, script in scripts.items():
            sh(script=script).set_display_name(name)

    job = run(pipeline)
    assert set(job.states.values()) == {"FAILED"}
    ended = "The replica workerpool0-0 exited with a non-zero status of"
    assert {name: job.details[name].error.message for name in job.states} == {
        "unknown": "The command 'no-such-program' was not found. "
        "It is run in the current environment, not in its image: install it here.",
        "status": f"{ended} 137. to stderr 漢",
        "signal": f"{ended} 137.",
        "not text": f"{ended} 1. \N{REPLACEMENT CHARACTER}",
    }
    assert job.log("status") == "to stdout ü\nto stderr 漢\n"


def test_a_task_that_ignores_upstream_failures_runs_with_what_there_is(run: Submit) -> None:
    @dsl.container_component
    def read(out: dsl.OutputPath(str), data: Optional[Input[Dataset]] = None):  # noqa: UP045
        given = dsl.IfPresentPlaceholder("data", then=[data.path], else_=["no data"])
        command = ["sh", "-c", 'if [ -e "$1" ]; then cat "$1" > "$0"; else printf %s "$1" > "$0"; fi']
        return dsl.ContainerSpec(image="busybox", command=command, args=[out, given])

    @dsl.container_component
    def fail_to_write(data: Output[Dataset]):
        return dsl.ContainerSpec(image="busybox", command=["false"], args=[data.path])

    @dsl.pipeline(name="ignoring-failures")
    def pipeline():
        failed = fail_to_write()
        read(data=failed.outputs["data"]).ignore_upstream_failure()
        read(data=write(value="real").outputs["data"]).ignore_upstream_failure()
        read().after(failed)

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {
        **{"fail-to-write": "FAILED", "read": "SUCCEEDED", "read-3": "NOT_TRIGGERED"},
        **{"write": "SUCCEEDED", "read-2": "SUCCEEDED"},
    }
    assert (job.output("read", "out"), job.output("read-2", "out")) == ("no data", "real")


# Exit tasks


def test_exit_tasks_run_however_their_group_ends_and_are_told(run: Submit) -> None:
    @dsl.pipeline(name="exits")
    def pipeline(bad: int = 2):
        with ExitHandler(tell(note="failed"), name="a group"):
            text(value="never").after(sh(script="exit 3"))
        with ExitHandler(tell(note="succeeded")):
            text(value="a")
        with ExitHandler(tell(note="deep"), name="loop"), ParallelFor([1, 2]) as i, If(i == bad):
            sh(script="exit 4")

    job = run(pipeline)
    assert job.state == "FAILED"
    outer = {name: state for name, state in job.states.items() if "." not in name}
    assert outer == {
        **{"a group": "FAILED", "exit-handler-2": "SUCCEEDED", "loop": "FAILED"},
        **{"tell": "SUCCEEDED", "tell-2": "SUCCEEDED", "tell-3": "SUCCEEDED"},
    }
    assert job.states["a group.text"] == "NOT_TRIGGERED"
    failed, succeeded, deep = (job.output(name) for name in ("tell", "tell-2", "tell-3"))
    assert failed[:4] == ["failed", "exit-handler-1", "FAILED", 9]
    assert failed[4].startswith("The DAG failed because some tasks failed. The failed tasks are: [sh].")
    assert succeeded == ["succeeded", "exit-handler-2", "SUCCEEDED", None, None]
    assert deep[:3] == ["deep", "exit-handler-3", "FAILED"]


def test_pipelines_have_exit_tasks_and_are_exit_tasks(run: Submit) -> None:
    @dsl.pipeline(name="guarded")
    def guarded():
        with ExitHandler(text(value="inner")):
            sh(script="exit 5")

    @dsl.pipeline(name="clean-up")
    def clean_up(what: str):
        text(value=what)

    @dsl.pipeline(name="nested-exits")
    def pipeline(what: str = "rubbish"):
        with ExitHandler(clean_up(what=what)):
            text(value="after").after(guarded())

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {
        **{"exit-handler-1": "FAILED", "exit-handler-1.guarded": "FAILED", "exit-handler-1.text": "NOT_TRIGGERED"},
        **{"exit-handler-1.guarded.exit-handler-1": "FAILED", "exit-handler-1.guarded.exit-handler-1.sh": "FAILED"},
        **{"exit-handler-1.guarded.text": "SUCCEEDED", "clean-up": "SUCCEEDED", "clean-up.text": "SUCCEEDED"},
    }
    assert job.output("clean-up.text", "out") == "rubbish"


def test_a_pipeline_fails_with_its_exit_task(run: Submit) -> None:
    @dsl.pipeline(name="failing-exit")
    def pipeline():
        with ExitHandler(sh(script="exit 6")):
            text(value="a")

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {"exit-handler-1": "SUCCEEDED", "exit-handler-1.text": "SUCCEEDED", "sh": "FAILED"}


# Retries


def test_each_iteration_is_tried_again_on_its_own_and_later_each_time(run: Submit, tmp_path: Path) -> None:
    @dsl.pipeline(name="tried-again")
    def pipeline(marks: list):
        with ParallelFor(marks) as mark:
            sh(script=mark).set_retry(num_retries=1, backoff_duration="0s")
        sh(script="exit 7").set_retry(num_retries=2, backoff_duration="1s", backoff_factor=0.5)

    job = run(pipeline, {"marks": [f"mkdir {tmp_path}/{name} && exit 1 || exit 0" for name in ("a", "b")]})
    assert job.state == "FAILED"
    assert "exited with a non-zero status of 7" in job.error
    statuses = {name: list(detail.pipeline_task_status) for name, detail in job.details.items()}
    for number in range(2):
        states = [status.state.name for status in statuses[f"for-loop-1.for-loop-1-iteration-{number}.sh"]]
        assert states == ["PENDING", "RUNNING", "PENDING", "RUNNING", "SUCCEEDED"]
    attempts = statuses["sh-2"]
    assert [status.state.name for status in attempts] == [*["PENDING", "RUNNING"] * 3, "FAILED"]
    pauses = [attempts[n + 1].update_time - attempts[n].update_time for n in (2, 4)]
    assert [pause.total_seconds() >= least for pause, least in zip(pauses, (1, 0.5), strict=True)] == [True, True]


# The cache


def test_what_ran_before_is_taken_from_the_cache_at_any_place_and_depth(run: Submit, bucket: str) -> None:
    @dsl.container_component
    def keep(options: dict, out: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[options, out])

    @dsl.pipeline(name="cached-inner")
    def inner(value: str) -> str:
        return text(value=value).outputs["out"]

    @dsl.pipeline(name="cached-in-loops")
    def pipeline(items: list, options: dict, seed: str) -> str:
        with ParallelFor(items, name="each") as item:
            text(value=item)
        keep(options=options)
        sh(script=f": {seed}").set_caching_options(False)
        return inner(value=seed).output

    x, y, z = (f"{bucket} {letter}" for letter in "xyz")
    first = run(pipeline, {"items": [x, y], "options": {"a": 1, x: 2}, "seed": z}, enable_caching=None)
    assert first.state == "SUCCEEDED", first.error
    again = run(pipeline, {"items": [y, x + x, x], "options": {x: 2, "a": 1}, "seed": z}, enable_caching=None)
    assert again.states == {
        **{"each": "SUCCEEDED", "keep": "SKIPPED", "sh": "SUCCEEDED"},
        **{"cached-inner": "SUCCEEDED", "cached-inner.text": "SKIPPED"},
        **{f"each.each-iteration-{number}": "SUCCEEDED" for number in range(3)},
        **{
            f"each.each-iteration-{number}.text": state
            for number, state in enumerate(("SKIPPED", "SUCCEEDED", "SKIPPED"))
        },
    }
    assert again.output("") == z
    hit = again.details["each.each-iteration-2.text"].execution
    assert (hit.state.name, hit.metadata["input:value"], hit.metadata["output:out"]) == ("CACHED", x, x)
    other = run(pipeline, {"items": [], "options": {x: "2", "a": 1}, "seed": z}, enable_caching=None)
    assert other.states["keep"] == "SUCCEEDED"


# Cancellation


def test_a_cancelled_run_ends_everywhere_and_starts_no_exit_task(submit: Submit, tmp_path: Path) -> None:
    @dsl.pipeline(name="waiting-within")
    def inner(path: str):
        sh(script=path)

    @dsl.pipeline(name="cancelled")
    def pipeline(script: str):
        with ExitHandler(text(value="exit"), name="guarded"):
            text(value="never").after(sh(script=script))
        with ParallelFor([1, 2, 3], name="loop", parallelism=2):
            sh(script=script)
        inner(path=script)
        text(value="quick")

    def is_under_way(job: Any) -> bool:
        running = ["guarded.sh", "loop.loop-iteration-0.sh-2", "loop.loop-iteration-1.sh-2", "waiting-within.sh"]
        expected = {**dict.fromkeys(running, "RUNNING"), "text-3": "SUCCEEDED"}
        return job.state == "RUNNING" and expected.items() <= job.states.items()

    # Nothing is ever written to the pipe.
    os.mkfifo(tmp_path / "pipe")
    job = submit(pipeline, {"script": f"cat < {tmp_path}/pipe"})
    while not is_under_way(job):
        pass
    job.job.cancel()
    assert job.wait().state == "CANCELLED"
    ended = dict(job.states)
    assert ended.pop("text-3") == "SUCCEEDED"
    assert ended == {
        **{"guarded": "CANCELLED", "guarded.sh": "CANCELLED"},
        **{"waiting-within": "CANCELLED", "waiting-within.sh": "CANCELLED", "loop": "CANCELLED"},
        **{"loop.loop-iteration-0": "CANCELLED", "loop.loop-iteration-0.sh-2": "CANCELLED"},
        **{"loop.loop-iteration-1": "CANCELLED", "loop.loop-iteration-1.sh-2": "CANCELLED"},
    }
    assert job.details[""].state.name == "CANCELLED"


# Google's client


def test_the_client_raises_what_failed_and_clones_jobs(run: Submit) -> None:
    @dsl.pipeline(name="cloned")
    def pipeline(script: str):
        sh(script=script)

    failed = run(pipeline, {"script": "echo no rows; exit 8"})
    with pytest.raises(RuntimeError, match="no rows"):
        failed.job.wait()
    assert failed.job.has_failed
    clone = failed.job.clone(job_id=f"{failed.job.name}-again", parameter_values={"script": "exit 0"})
    clone.submit()
    assert type(failed)(clone).wait().states == {"sh": "SUCCEEDED"}
