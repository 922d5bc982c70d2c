"""Caching: what is done again and what is not."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from seatrial.localvertex.api import message
from seatrial.localvertex.execution import cache
from seatrial.localvertex.execution.cache import Cache
from seatrial.localvertex.execution.ir import ArtifactSlot, Component, Parameter
from seatrial.localvertex.execution.outcome import Values
from seatrial.localvertex.store import Store

Submit = Callable[..., Any]
component = partial(dsl.component, base_image="python:3.11", install_kfp_package=False)
_JOB = "projects/p/locations/l/pipelineJobs/j"


@component
def write(text: str, data: Output[Dataset]) -> str:
    with open(data.path, "w") as file:
        file.write(text)
    return text


@component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.pipeline(name="cached")
def pipeline(text: str) -> None:
    read(data=write(text=text).outputs["data"])


def test_a_task_that_would_do_the_same_is_skipped_and_gives_the_same_artifacts(run: Submit, bucket: str) -> None:
    first, second = (run(pipeline, {"text": bucket}) for _ in range(2))
    assert set(first.states.values()) == {"SUCCEEDED"}
    assert set(second.states.values()) == {"SKIPPED"}
    assert second.state == "SUCCEEDED"
    assert second.artifacts("write", "data")[0].name == first.artifacts("write", "data")[0].name
    assert second.output("read") == bucket
    assert second.details["read"].execution.state.name == "CACHED"
    assert second.details["read"].start_time <= second.details["read"].end_time
    assert second.details["read"].execution.name != first.details["read"].execution.name


def test_another_value_is_no_hit(run: Submit, bucket: str) -> None:
    run(pipeline, {"text": bucket})
    assert set(run(pipeline, {"text": f"{bucket} again"}).states.values()) == {"SUCCEEDED"}


def test_caching_can_be_turned_off_for_a_run(run: Submit, bucket: str) -> None:
    first = run(pipeline, {"text": bucket})
    second = run(pipeline, {"text": bucket}, enable_caching=False)
    assert set(second.states.values()) == {"SUCCEEDED"}
    assert second.artifacts("write", "data")[0].name != first.artifacts("write", "data")[0].name


def test_a_task_whose_input_was_made_anew_runs(run: Submit, bucket: str) -> None:
    @dsl.pipeline(name="cached")
    def always_written(text: str) -> None:
        read(data=write(text=text).set_caching_options(False).outputs["data"])

    run(always_written, {"text": bucket})
    assert run(always_written, {"text": bucket}).states == {"write": "SUCCEEDED", "read": "SUCCEEDED"}


def test_a_failed_task_is_not_cached(run: Submit, tmp_path: Path) -> None:
    @component
    def need(path: str) -> None:
        open(path).close()

    @dsl.pipeline(name="cached")
    def needing(path: str) -> None:
        need(path=path)

    path = tmp_path / "needed"
    assert run(needing, {"path": str(path)}).state == "FAILED"
    path.touch()
    assert run(needing, {"path": str(path)}).states == {"need": "SUCCEEDED"}
    assert run(needing, {"path": str(path)}).states == {"need": "SKIPPED"}


def _component() -> Component:
    slot = ArtifactSlot("system.Dataset", "0.0.1")
    executor = {
        "container": {"image": "i:1", "command": ["python"], "args": ["a"], "env": [{"name": "A", "value": "b"}]}
    }
    return Component({"x": Parameter("STRING")}, {"data": slot}, {"y": Parameter("STRING")}, {}, None, executor)


def _artifact(name: str) -> Any:
    return message("Artifact")(name=f"projects/p/locations/l/metadataStores/default/artifacts/{name}")


_INPUTS = Values({"x": "1"}, {"data": [_artifact("a")]})


@pytest.fixture
def task_cache(tmp_path: Path) -> Cache:
    return Cache(Store(tmp_path / "store.sqlite"), _JOB, "p", "process")


def _executor(**changes: Any) -> dict[str, Any]:
    return {"executor": {"container": {**_component().executor["container"], **changes}}}


@pytest.mark.parametrize(
    ("changed", "inputs"),
    [
        (_executor(image="i:2"), _INPUTS),
        (_executor(command=["python3"]), _INPUTS),
        (_executor(args=["b"]), _INPUTS),
        (_executor(env=[]), _INPUTS),
        ({"output_parameters": {"z": Parameter("STRING")}}, _INPUTS),
        ({"parameters": {"x": Parameter("STRING", optional=True)}}, _INPUTS),
        ({}, Values({"x": "2"}, _INPUTS.artifacts)),
        ({}, Values({}, _INPUTS.artifacts)),
        ({}, Values(_INPUTS.parameters, {"data": [_artifact("b")]})),
        ({}, Values(_INPUTS.parameters, {"data": [_artifact("a"), _artifact("a")]})),
    ],
)
def test_all_that_decides_what_a_task_does_is_part_of_the_key(
    task_cache: Cache, changed: dict[str, Any], inputs: Values
) -> None:
    assert task_cache.key(replace(_component(), **changed), inputs) != task_cache.key(_component(), _INPUTS)


def test_the_machine_is_no_part_of_the_key(task_cache: Cache) -> None:
    larger = replace(_component(), **_executor(resources={"resourceCpuLimit": "8"}))
    assert task_cache.key(larger, _INPUTS) == task_cache.key(_component(), _INPUTS)


def test_pipelines_of_another_name_share_nothing(task_cache: Cache, tmp_path: Path) -> None:
    other = Cache(Store(tmp_path / "other.sqlite"), _JOB, "q", "process")
    assert other.key(_component(), _INPUTS) != task_cache.key(_component(), _INPUTS)


def test_the_code_that_runs_whatever_the_image_is_part_of_the_key(
    task_cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task_cache.key(_component(), _INPUTS) == task_cache.key(_component(), _INPUTS)
    monkeypatch.setattr(cache, "source_hash", lambda: "another")
    other = Cache(Store(tmp_path / "other.sqlite"), _JOB, "p", "process")
    assert other.key(_component(), _INPUTS) != task_cache.key(_component(), _INPUTS)


def test_a_runtime_does_not_know_what_the_other_has_put_out(task_cache: Cache, tmp_path: Path) -> None:
    other = Cache(Store(tmp_path / "other.sqlite"), _JOB, "p", "docker")
    assert other.key(_component(), _INPUTS) != task_cache.key(_component(), _INPUTS)


def test_where_the_image_runs_the_source_is_no_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for source in ("one", "another"):
        monkeypatch.setattr(cache, "source_hash", lambda source=source: source)
        keys.add(Cache(Store(tmp_path / "store.sqlite"), _JOB, "p", "docker").key(_component(), _INPUTS))
    assert len(keys) == 1


def test_outputs_whose_artifact_was_deleted_are_no_hit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    task_cache = Cache(store, _JOB, "p", "process")
    artifact = store.create(_artifact("a"))
    task_cache.put("key", Values({"y": 1}, {"data": [artifact]}))
    assert task_cache.find("key") == Values({"y": 1}, {"data": [artifact]})
    store.delete(artifact.name)
    assert task_cache.find("key") is None
    assert task_cache.find("other") is None
