"""Whole pipelines: what runs, what does not, what flows where."""

import json
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, List, NamedTuple, Optional  # noqa: UP035 (KFP knows these)

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

Submit = Callable[..., Any]
component = partial(dsl.component, base_image="python:3.11", install_kfp_package=False)


@component
def echo(text: str) -> str:
    return text


@component
def add(a: int, b: int = 2) -> int:
    return a + b


@component
def count_to(n: int) -> List[int]:  # noqa: UP006
    return list(range(n))


@component
def write(text: str, data: Output[Dataset]) -> None:
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["length"] = len(text)


@component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return f"{file.read()} {data.metadata['length']!r}"


@component
def fail(message: str = "no rows") -> str:
    raise ValueError(message)


@component
def total(numbers: List[int]) -> int:  # noqa: UP006
    return sum(numbers)


@component
def describe_status(status: dsl.PipelineTaskFinalStatus) -> str:
    return f"{status.pipeline_task_name} {status.state} {status.error_message}"


# Values


def test_values_and_artifacts_flow_between_tasks(run: Submit) -> None:
    @dsl.pipeline(name="flow")
    def pipeline(name: str = "world") -> str:
        text = echo(text=f"hello {name}, {'it is me'}")
        return read(data=write(text=text.output).outputs["data"]).output

    job = run(pipeline, {"name": "'{{$.inputs}}' \"\\\n ü"})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("echo") == "hello '{{$.inputs}}' \"\\\n ü, it is me"
    assert job.output("read") == f"{job.output('echo')} {len(job.output('echo'))}"
    assert job.states == {"echo": "SUCCEEDED", "write": "SUCCEEDED", "read": "SUCCEEDED"}
    assert job.output("") == job.output("read")


@component
def describe_types(
    text: str,
    number: int,
    rate: float,
    flag: bool,
    values: list,  # type: ignore[type-arg]
    options: dict,  # type: ignore[type-arg]
    missing: Optional[str] = None,  # noqa: UP045
    given: Optional[int] = 7,  # noqa: UP045
) -> NamedTuple("Outputs", [("seen", str), ("options", dict)]):  # type: ignore[valid-type]
    from collections import namedtuple

    seen = repr([text, number, rate, flag, values, options, missing, given])
    return namedtuple("Outputs", "seen options")(seen, options)


def test_values_keep_their_types(run: Submit) -> None:
    @dsl.pipeline(name="types")
    def pipeline(
        text: str,
        number: int,
        rate: float,
        flag: bool,
        values: list,  # type: ignore[type-arg]
        options: dict,  # type: ignore[type-arg]
        missing: Optional[str] = None,  # noqa: UP045
    ) -> None:
        first = describe_types(
            text=text, number=number, rate=rate, flag=flag, values=values, options=options, missing=missing
        )
        describe_types(
            text=first.outputs["seen"], number=3, rate=1.0, flag=False, values=[], options=first.outputs["options"]
        )

    options = {"deep": [{"n": 2}], "none": None, "rate": 0.5, "version": 1}
    values = {"text": "1", "number": 2, "rate": 1.0, "flag": True, "values": [1, "a", 2.5], "options": options}
    job = run(pipeline, values)
    assert job.state == "SUCCEEDED", job.error
    seen = repr(["1", 2, 1.0, True, [1, "a", 2.5], options, None, 7])
    assert job.output("describe-types", "seen") == seen
    assert job.output("describe-types-2", "seen") == repr([seen, 3, 1.0, False, [], options, None, 7])


def test_a_parameter_of_a_million_characters(run: Submit) -> None:
    @component
    def grow(text: str) -> str:
        return text + "!"

    @dsl.pipeline(name="large")
    def pipeline(text: str) -> None:
        grow(text=grow(text=text).output)

    text = "'\"\\\nü" * 200_000
    job = run(pipeline, {"text": text})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("grow-2") == text + "!!"


def test_a_metric_may_be_no_number(run: Submit) -> None:
    @component
    def measure(metrics: Output[Metrics]) -> float:
        metrics.log_metric("loss", float("nan"))
        metrics.log_metric("rows", 3)
        return float("nan")

    @component
    def look(metrics: Input[Metrics], loss: float) -> str:
        return f"{metrics.metadata} {loss}"

    @dsl.pipeline(name="nan")
    def pipeline() -> None:
        measured = measure()
        look(metrics=measured.outputs["metrics"], loss=measured.outputs["Output"])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    (metrics,) = job.artifacts("measure", "metrics")
    assert math.isnan(metrics.metadata["loss"])
    assert metrics.schema_title == "system.Metrics"
    assert job.output("look") == "{'loss': nan, 'rows': 3} nan"


def test_placeholders_of_the_job(run: Submit) -> None:
    @dsl.pipeline(name="placeholders")
    def pipeline() -> None:
        echo(
            text=f"{dsl.PIPELINE_JOB_NAME_PLACEHOLDER}|{dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER}|"
            f"{dsl.PIPELINE_TASK_NAME_PLACEHOLDER}|{dsl.PIPELINE_ROOT_PLACEHOLDER}|"
            "{{$.pipeline_google_cloud_project_id}}|{{$.pipeline_google_cloud_location}}"
        )

    job = run(pipeline)
    name, resource, task, root, project, location = job.output("echo").split("|")
    assert resource == f"projects/local-project/locations/us-central1/pipelineJobs/{name}"
    assert name == job.job.name
    assert (task, project, location) == ("echo", "local-project", "us-central1")
    assert root.startswith("gs://test-")


def test_outputs_lie_below_the_pipeline_root(run: Submit, bucket: str) -> None:
    from google.cloud import storage

    @dsl.pipeline(name="paths")
    def pipeline() -> None:
        write(text="abc")

    job = run(pipeline)
    (data,) = job.artifacts("write", "data")
    task_id = job.details["write"].task_id
    number = data.uri.split("/")[4]
    assert number.isdigit()
    assert data.uri == f"gs://{bucket}/root/{number}/{job.job.name}/write_{task_id}/data"
    assert storage.Blob.from_uri(data.uri, storage.Client()).download_as_text() == "abc"
    assert data.display_name == "data"
    assert data.schema_title == "system.Dataset"


# Branches


@pytest.mark.parametrize(
    ("text", "branch"), [("it's", "condition-2"), ("C:\\dir\\", "condition-3"), ("two\nlines", "condition-4")]
)
def test_one_branch_is_taken_and_its_artifact_used(run: Submit, text: str, branch: str) -> None:
    @dsl.pipeline(name="branches")
    def pipeline(text: str) -> None:
        told = echo(text=text)
        with dsl.If(told.output == "it's"):
            first = write(text="first")
        with dsl.Elif(told.output == "C:\\dir\\"):
            second = write(text="second")
        with dsl.Else():
            third = write(text="third")
        read(data=dsl.OneOf(first.outputs["data"], second.outputs["data"], third.outputs["data"]))

    job = run(pipeline, {"text": text})
    assert job.state == "SUCCEEDED", job.error
    names = {"condition-2": "first", "condition-3": "second", "condition-4": "third"}
    for condition, written in names.items():
        expected = "SUCCEEDED" if condition == branch else "NOT_TRIGGERED"
        assert job.states[f"condition-branches-1.{condition}"] == expected
        assert (job.output("read") == f"{written} {len(written)}") == (condition == branch)


def test_one_of_several_parameters(run: Submit) -> None:
    @dsl.pipeline(name="one-of")
    def pipeline(n: int) -> int:
        with dsl.If(n > 2):
            large = add(a=n, b=100)
        with dsl.Else():
            small = add(a=n, b=0)
        return add(a=dsl.OneOf(large.output, small.output), b=1000).output

    assert run(pipeline, {"n": 3}).output("add-3") == 1103
    assert run(pipeline, {"n": 2}).output("add-3") == 1002


def test_nothing_runs_within_a_branch_that_is_not_taken(run: Submit) -> None:
    @dsl.pipeline(name="skipped")
    def pipeline() -> None:
        with dsl.If(echo(text="a").output == "b", name="taken never"):  # noqa: SIM117
            with dsl.If(echo(text="c").output == "c"):
                echo(text="inner")
        echo(text="other")

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.states == {"echo": "SUCCEEDED", "taken never": "NOT_TRIGGERED", "echo-4": "SUCCEEDED"}


# Loops


def test_nested_loops_over_the_output_of_a_task(run: Submit) -> None:
    @component
    def sum_all(numbers: List[List[int]]) -> int:  # noqa: UP006
        return sum(sum(row) for row in numbers)

    @dsl.pipeline(name="nested")
    def pipeline(n: int = 2) -> None:
        with dsl.ParallelFor(count_to(n=n).output) as outer, dsl.ParallelFor([10, 20]) as inner:
            added = add(a=outer, b=inner)
        sum_all(numbers=dsl.Collected(added.output))

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("sum-all") == 10 + 20 + 11 + 21
    assert [name.endswith(".add") for name in job.states].count(True) == 4


def test_a_loop_over_objects_with_a_condition_on_a_field(run: Submit) -> None:
    @dsl.pipeline(name="fields")
    def pipeline(items: List[dict] = [{"key": "a", "n": 1}, {"key": "b", "n": 2}]) -> None:  # noqa: UP006, B006
        with dsl.ParallelFor(items) as item, dsl.If(item.key == "b"):
            add(a=item.n, b=0)

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    added = {name: job.output(name) for name in job.states if name.endswith(".add")}
    assert list(added.values()) == [2]


def test_collected_artifacts_keep_the_order_of_the_items(run: Submit) -> None:
    @component
    def join(parts: Input[List[Dataset]]) -> str:  # noqa: UP006
        return ",".join(open(part.path).read() for part in parts)

    @dsl.pipeline(name="collected")
    def pipeline() -> None:
        with dsl.ParallelFor(["x", "y", "z"], parallelism=2) as item:
            written = write(text=item)
        join(parts=dsl.Collected(written.outputs["data"]))

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("join") == "x,y,z"


def test_a_loop_over_nothing_collects_nothing(run: Submit) -> None:
    @component
    def count(parts: Input[List[Dataset]]) -> int:  # noqa: UP006
        return len(parts or [])

    @dsl.pipeline(name="empty")
    def pipeline() -> None:
        with dsl.ParallelFor(count_to(n=0).output) as item:
            added = add(a=item)
            written = write(text="x")
        total(numbers=dsl.Collected(added.output))
        count(parts=dsl.Collected(written.outputs["data"]))

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert (job.output("total"), job.output("count")) == (0, 0)


# Pipelines in pipelines


def test_pipelines_within_pipelines(run: Submit) -> None:
    @dsl.pipeline(name="inner")
    def inner(data: Input[Dataset], suffix: str = "!") -> str:
        return echo(text=f"{read(data=data).output}{suffix}").output

    @dsl.pipeline(name="outer")
    def pipeline() -> None:
        nested = inner(data=write(text="abc").outputs["data"])
        echo(text=nested.output)

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("echo") == "abc 3!"
    assert job.states["inner.read"] == "SUCCEEDED"


# Failures


def test_a_failed_task_is_named_with_its_reason(run: Submit) -> None:
    @dsl.pipeline(name="failing")
    def pipeline() -> None:
        echo(text=fail().output)
        echo(text="independent")

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states == {"fail": "FAILED", "echo": "NOT_TRIGGERED", "echo-2": "SUCCEEDED"}
    reason = "The replica workerpool0-0 exited with a non-zero status of 1. ValueError: no rows"
    assert job.details["fail"].error.message == reason
    assert job.details["fail"].error.code == 9
    assert job.error == f"The DAG failed because some tasks failed. The failed tasks are: [fail]. fail: {reason}"
    assert "Traceback" in job.log("fail")
    assert job.details["fail"].execution.state.name == "FAILED"


def test_a_task_whose_inputs_are_wrong_fails_alone(run: Submit) -> None:
    @dsl.pipeline(name="loop")
    def pipeline(items: list) -> None:  # type: ignore[type-arg]
        with dsl.ParallelFor(items) as item:
            echo(text=item.a)
        echo(text="beside")

    job = run(pipeline, {"items": ["abc"]})
    assert job.state == "FAILED"
    assert "The loop item \"abc\" has no field 'a'." in job.error
    assert "Internal error" not in job.error
    assert job.states["echo-2"] == "SUCCEEDED"


def test_a_structured_error_is_the_reason(run: Submit) -> None:
    @component
    def check() -> None:
        from seatrial.components.runtime import InputError, task

        with task("check"):
            raise InputError("The table has no column 'label'. Name one of 'text', 'stars'.")

    @dsl.pipeline(name="structured")
    def pipeline() -> None:
        check()

    assert run(pipeline).details["check"].error.message == (
        "The replica workerpool0-0 exited with a non-zero status of 1. "
        "check: The table has no column 'label'. Name one of 'text', 'stars'."
    )


def test_an_exit_task_runs_after_a_failure_and_knows_it(run: Submit) -> None:
    @dsl.pipeline(name="exit")
    def pipeline() -> None:
        with dsl.ExitHandler(describe_status(), name="guarded"):
            fail()

    job = run(pipeline)
    assert job.state == "FAILED"
    assert job.states["describe-status"] == "SUCCEEDED"
    told = job.output("describe-status")
    assert told.startswith("exit-handler-1 FAILED The DAG failed because some tasks failed.")
    assert "ValueError: no rows" in told


def test_an_exit_task_runs_after_success(run: Submit) -> None:
    @dsl.pipeline(name="exit")
    def pipeline() -> None:
        with dsl.ExitHandler(describe_status()):
            echo(text="fine")

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.output("describe-status") == "exit-handler-1 SUCCEEDED None"


def test_a_task_may_ignore_that_the_one_before_it_failed(run: Submit) -> None:
    @component
    def echo_or_default(text: str = "default") -> str:
        return text

    @dsl.pipeline(name="ignoring")
    def pipeline() -> None:
        echo_or_default(text=fail().output).ignore_upstream_failure()

    job = run(pipeline)
    assert job.states == {"fail": "FAILED", "echo-or-default": "SUCCEEDED"}
    assert job.output("echo-or-default") == "default"


def test_a_task_is_tried_again(run: Submit, tmp_path: Path) -> None:
    @component
    def fail_twice(marks: str) -> int:
        import os

        os.makedirs(marks, exist_ok=True)
        count = len(os.listdir(marks))
        open(f"{marks}/{count}", "w").close()
        if count < 2:
            raise RuntimeError(f"attempt {count}")
        return count

    @dsl.pipeline(name="retries")
    def pipeline(marks: str) -> None:
        fail_twice(marks=marks).set_retry(num_retries=2, backoff_duration="0s")

    job = run(pipeline, {"marks": str(tmp_path / "marks")})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("fail-twice") == 2
    statuses = [(status.state.name, status.error.message) for status in job.details["fail-twice"].pipeline_task_status]
    assert [state for state, _ in statuses] == [*["PENDING", "RUNNING"] * 3, "SUCCEEDED"]
    assert "attempt 0" in statuses[2][1]


@pytest.mark.parametrize(("policy", "last"), [("fast", "NOT_TRIGGERED"), ("slow", "SUCCEEDED")])
def test_a_pipeline_that_fails_fast_starts_nothing_more(submit: Submit, tmp_path: Path, policy: str, last: str) -> None:
    @component
    def wait_for(path: str) -> str:
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)
        return path

    @dsl.pipeline(name="fast")
    def pipeline(path: str) -> None:
        fail()
        echo(text=wait_for(path=path).set_caching_options(False).output)

    path = tmp_path / "go"
    job = submit(pipeline, {"path": str(path)}, failure_policy=policy)
    while job.state == "RUNNING" and job.states.get("fail") != "FAILED":
        pass
    path.touch()
    assert job.wait().state == "FAILED"
    assert job.states == {"fail": "FAILED", "wait-for": "SUCCEEDED", "echo": last}


def test_an_output_that_is_not_written_is_an_error(run: Submit) -> None:
    @component
    def forget(result: dsl.OutputPath(int)) -> None:  # type: ignore[valid-type]
        pass

    @dsl.pipeline(name="forgetful")
    def pipeline() -> None:
        forget()

    job = run(pipeline)
    assert job.details["forget"].error.message == (
        "The component declares the output 'result' (NUMBER_INTEGER), but the task has not written it."
    )


def test_an_output_of_another_type_is_an_error(run: Submit) -> None:
    @component
    def misplace(result: dsl.OutputPath(int)) -> None:  # type: ignore[valid-type]
        with open(result, "w") as file:
            file.write("many")

    @dsl.pipeline(name="misplaced")
    def pipeline() -> None:
        misplace()

    assert "wrote \"many\" to the output 'result'" in run(pipeline).details["misplace"].error.message


# Containers


def test_a_container_component_with_its_environment(run: Submit) -> None:
    @dsl.container_component
    def shell(
        text: str,
        data: Input[Dataset],
        copied: Output[Dataset],
        size: dsl.OutputPath(int),  # type: ignore[valid-type]
        extra: Optional[str] = None,  # noqa: UP045
    ) -> dsl.ContainerSpec:
        script = 'cat "$1" > "$2"; wc -c < "$1" | tr -d " \\n" > "$3"; echo "$4 $GREETING $5"'
        return dsl.ContainerSpec(
            image="busybox",
            command=["sh", "-c", script, "sh"],
            args=[
                data.path,
                copied.path,
                size,
                dsl.ConcatPlaceholder(["text=", text]),
                dsl.IfPresentPlaceholder("extra", then=["extra"], else_=["none"]),
            ],
        )

    @component
    def read_back(data: Input[Dataset], size: int) -> str:
        return open(data.path).read() * size

    @dsl.pipeline(name="containers")
    def pipeline() -> None:
        task = shell(text="a b", data=write(text="abc").outputs["data"])
        task.set_env_variable("NAME", "world")
        task.set_env_variable("GREETING", "hello $(NAME), $(UNKNOWN), $$(NAME)")
        read_back(data=task.outputs["copied"], size=task.outputs["size"])

    job = run(pipeline)
    assert job.state == "SUCCEEDED", job.error
    assert job.log("shell") == "text=a b hello world, $(UNKNOWN), $(NAME) none\n"
    assert job.output("read-back") == "abcabcabc"


def test_an_image_without_a_command_is_refused_with_what_to_do(run: Submit) -> None:
    @dsl.container_component
    def image_only() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="gcr.io/project/image")

    @dsl.pipeline(name="image")
    def pipeline() -> None:
        image_only()

    job = run(pipeline)
    assert job.state == "FAILED"
    assert "set the command, or use the docker runtime" in job.error
    assert "gcr.io/project/image" in job.error


def test_a_task_runs_in_this_environment_in_a_folder_of_its_own(run: Submit) -> None:
    @component
    def look() -> str:
        import json
        import os
        import sys
        import tempfile

        open("left-behind", "w").close()
        return json.dumps([sys.prefix, os.getcwd(), os.listdir(), tempfile.gettempdir(), os.environ["CLOUD_ML_REGION"]])

    @dsl.pipeline(name="environment")
    def pipeline() -> None:
        look()

    prefix, folder, files, temporary, region = json.loads(run(pipeline).output("look"))
    assert prefix == sys.prefix
    assert folder == temporary
    assert "left-behind" in files
    assert not os.path.exists(folder)
    assert region == "us-central1"


# Importers


def test_an_importer_takes_a_uri_and_metadata_from_parameters(run: Submit, bucket: str) -> None:
    from google.cloud import storage

    storage.Client().bucket(bucket).blob("in/a.txt").upload_from_string("abc")

    @dsl.pipeline(name="importing")
    def pipeline(uri: str, version: int = 3) -> None:
        imported = dsl.importer(
            artifact_uri=uri,
            artifact_class=Dataset,
            metadata={"length": 3, "label": f"v-{version}", "deep": {"n": [1, 2.5]}},
        )
        read(data=imported.output)

    job = run(pipeline, {"uri": f"gs://{bucket}/in/a.txt"})
    assert job.state == "SUCCEEDED", job.error
    assert job.output("read") == "abc 3"
    (artifact,) = job.artifacts("importer", "artifact")
    assert (artifact.uri, artifact.metadata["label"]) == (f"gs://{bucket}/in/a.txt", "v-3")


def test_an_imported_artifact_is_used_again_unless_it_is_to_be_imported_again(run: Submit, bucket: str) -> None:
    def imported_twice(version: int, reimport: bool) -> list[str]:
        @dsl.pipeline(name="importing")
        def pipeline() -> None:
            dsl.importer(
                artifact_uri=f"gs://{bucket}/x", artifact_class=Model, metadata={"v": version}, reimport=reimport
            )

        return [run(pipeline).artifacts("importer", "artifact")[0].name for _ in range(2)]

    first, second = imported_twice(1, reimport=False)
    assert first == second
    assert imported_twice(2, reimport=False)[0] != first
    third, fourth = imported_twice(1, reimport=True)
    assert len({first, third, fourth}) == 3


# Google Cloud Pipeline Components


def test_a_notification_by_email_is_noted_in_its_log(run: Submit) -> None:
    from google_cloud_pipeline_components.v1.vertex_notification_email import VertexNotificationEmailOp

    @dsl.pipeline(name="notifying")
    def pipeline() -> None:
        with dsl.ExitHandler(VertexNotificationEmailOp(recipients=["a@example.com", "b@example.com"])):
            fail()

    job = run(pipeline)
    assert job.states["vertex-pipelines-notification-email"] == "SUCCEEDED"
    assert "a@example.com, b@example.com would hear that exit-handler-1 ended with the state FAILED" in job.log(
        "vertex-pipelines-notification-email"
    )


def test_launchers_label_what_they_make_with_the_labels_of_the_run(run: Submit) -> None:
    from google.cloud import aiplatform
    from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp

    @dsl.pipeline(name="labelled")
    def pipeline() -> None:
        EndpointCreateOp(display_name="labelled", labels={"of": "endpoint"})

    job = run(pipeline, labels={"of": "run", "team": "blue"})
    assert job.state == "SUCCEEDED", job.error
    name = job.artifacts("endpoint-create", "endpoint")[0].metadata["resourceName"]
    labels = aiplatform.Endpoint(name).labels
    assert (labels["of"], labels["team"]) == ("endpoint", "blue")
    assert "vertex-ai-pipelines-run-billing-id" in labels
