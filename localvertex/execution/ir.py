"""The intermediate representation of a pipeline (KFP's `PipelineSpec`), read once into typed objects.

https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto in its JSON form. KFP's own classes
for it cannot be had without importing all of kfp, half a second.
"""

import graphlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..api import invalid

Json = Mapping[str, Any]
_SCHEMA_VERSION = "2.1."
_TASK_KEY = re.compile(r"[^/\\\0.][^/\\\0]*")
_NAME = re.compile("[a-z0-9][-a-z0-9]{0,127}")
_MAXIMUM_BACKOFF_SECONDS = 3600.0


@dataclass(frozen=True)
class Parameter:
    """A declared parameter.

    Attributes:
        type: Name of a `ParameterType`: "NUMBER_INTEGER".
        has_default: Whether `default` (which may be None) stands for a missing value.
        optional: Whether it may be missing.
        literals: The only values allowed; empty for any.
    """

    type: str
    has_default: bool = False
    default: Any = None
    optional: bool = False
    literals: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ArtifactSlot:
    """A declared artifact: its type, whether it is a list of artifacts, whether it may be missing."""

    schema_title: str
    schema_version: str
    is_list: bool = False
    optional: bool = False

    def as_json(self) -> dict[str, str]:
        """The type as an executor input states it."""
        return {"schemaTitle": self.schema_title, "schemaVersion": self.schema_version}


@dataclass(frozen=True)
class Loop:
    """What a ParallelFor iterates over: a constant list, a parameter, or a list of artifacts.

    Attributes:
        item: Input that receives the item.
        over_artifacts: Whether the items are artifacts.
        constant: The items, or None.
        source: The input that holds the items where they are not constant.
        parallelism: How many iterations may run at once; 0 for any number.
    """

    item: str
    over_artifacts: bool
    constant: list[Any] | None
    source: str
    parallelism: int


@dataclass(frozen=True)
class Retry:
    """How often a failed task is tried again, and the seconds in between: first, factor, most."""

    count: int
    seconds: float
    factor: float
    maximum_seconds: float


@dataclass(frozen=True)
class Task:
    """A task of a DAG.

    Attributes:
        key: Its key among the DAG's tasks.
        name: The name that its author gave it.
        parameters: Input → where its value comes from (`TaskInputsSpec.InputParameterSpec`).
        artifacts: Input → where its artifact comes from (`TaskInputsSpec.InputArtifactSpec`).
        upstream: Keys of the tasks that it waits for.
        condition: CEL expression over the inputs, or "".
        runs_after_failure: Whether it runs however its upstream tasks end.
    """

    key: str
    name: str
    component: str
    parameters: Mapping[str, Json]
    artifacts: Mapping[str, Json]
    upstream: tuple[str, ...]
    condition: str
    runs_after_failure: bool
    loop: Loop | None
    cached: bool
    retry: Retry


@dataclass(frozen=True)
class Selector:
    """An output of a DAG's task that becomes an output of the DAG."""

    task: str
    output: str


@dataclass(frozen=True)
class Dag:
    """Tasks, in an order in which each follows those it waits for.

    Attributes:
        output_parameters: Output → where it may come from; the first that is there is taken.
        output_artifacts: The same for artifacts.
    """

    tasks: tuple[Task, ...]
    output_parameters: Mapping[str, tuple[Selector, ...]]
    output_artifacts: Mapping[str, tuple[Selector, ...]]


@dataclass(frozen=True)
class Component:
    """A component: what it takes and gives, and either a DAG or an executor (`ExecutorSpec`)."""

    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, ArtifactSlot]
    output_parameters: Mapping[str, Parameter]
    output_artifacts: Mapping[str, ArtifactSlot]
    dag: Dag | None
    executor: Json


@dataclass(frozen=True)
class Pipeline:
    """A compiled pipeline."""

    name: str
    root: Component
    components: Mapping[str, Component]

    def conditions(self) -> Iterator[str]:
        """The conditions of all tasks."""
        for component in (self.root, *self.components.values()):
            for task in component.dag.tasks if component.dag else ():
                if task.condition:
                    yield task.condition


def read_pipeline(spec: Json) -> Pipeline:
    """Reads a pipeline spec and checks that what it refers to is there.

    Args:
        spec: JSON form of a `PipelineSpec`.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    version = str(spec.get("schemaVersion", ""))
    if not version.startswith(_SCHEMA_VERSION):
        raise invalid(
            f"pipeline_spec has schemaVersion {version!r}; expected {_SCHEMA_VERSION}x. Compile it with KFP 2."
        )
    try:
        executors = spec.get("deploymentSpec", {}).get("executors", {})
        components = {name: _component(component, executors) for name, component in spec.get("components", {}).items()}
        pipeline = Pipeline(str(spec["pipelineInfo"]["name"]), _component(spec["root"], executors), components)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise invalid(f"pipeline_spec cannot be read: {error!r}. Compile the pipeline again with KFP 2.") from None
    if pipeline.root.dag is None:
        raise invalid("pipeline_spec.root has no dag.")
    if not pipeline.root.dag.tasks:
        raise invalid("pipeline_spec.root has no tasks.")
    if not _NAME.fullmatch(pipeline.name):
        raise invalid(f"pipeline_spec: the name {pipeline.name!r} of the pipeline does not match {_NAME.pattern}.")
    _check_components(pipeline)
    return pipeline


def _check_components(pipeline: Pipeline) -> None:
    parts: dict[str, set[str]] = {}
    for name, component in {"root": pipeline.root, **pipeline.components}.items():
        tasks = component.dag.tasks if component.dag else ()
        parts[name] = {task.component for task in tasks}
        for task in tasks:
            if task.component not in pipeline.components:
                raise invalid(f"pipeline_spec: task {task.key!r} refers to {task.component!r}, which is no component.")
        if component.dag is not None:
            _check_sources(component, component.dag, pipeline.components)
            _check_outputs(component.dag, pipeline.components)
    try:
        graphlib.TopologicalSorter(parts).prepare()
    except graphlib.CycleError as error:
        raise invalid(f"pipeline_spec: a component contains itself: {' in '.join(error.args[1])}.") from None


def _check_required(task: Task, component: Component) -> None:
    """Checks that a task gives its component what it needs; the item of a loop is given by the loop."""
    given = {*task.parameters, *task.artifacts, *([task.loop.item] if task.loop else [])}
    needed = [
        name for name, declared in component.parameters.items() if not (declared.optional or declared.has_default)
    ]
    needed += [name for name, slot in component.artifacts.items() if not slot.optional]
    for name in needed:
        if name not in given:
            raise invalid(f"pipeline_spec: task {task.key!r} does not give {name!r}, which {task.component!r} needs.")


def _check_outputs(dag: Dag, components: Mapping[str, Component]) -> None:
    """Checks that each output of a DAG is an output of one of its tasks."""
    tasks = {task.key: components[task.component] for task in dag.tasks}
    for outputs, kind in ((dag.output_parameters, "output_parameters"), (dag.output_artifacts, "output_artifacts")):
        for name, selectors in outputs.items():
            for selector in selectors:
                if selector.task not in tasks or selector.output not in getattr(tasks[selector.task], kind):
                    raise invalid(
                        f"pipeline_spec: the output {name!r} is to be {selector.output!r} of the task "
                        f"{selector.task!r}, which is not there."
                    )


def _check_sources(component: Component, dag: Dag, components: Mapping[str, Component]) -> None:
    """Checks that each input of a DAG's tasks comes from an input of the DAG or an output of a task."""
    tasks = {task.key: components[task.component] for task in dag.tasks}
    for task in dag.tasks:
        _check_required(task, tasks[task.key])
        for name, source in {**task.parameters, **task.artifacts}.items():
            match source:
                case {"componentInputParameter": given} if given not in component.parameters:
                    problem = f"the parameter {given!r}, which its DAG does not have"
                case {"componentInputArtifact": given} if given not in component.artifacts:
                    problem = f"the artifact {given!r}, which its DAG does not have"
                case {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}} if (
                    key not in tasks[producer].output_parameters
                ):
                    problem = f"the output parameter {key!r}, which the task {producer!r} does not have"
                case {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": key}} if (
                    key not in tasks[producer].output_artifacts
                ):
                    problem = f"the output artifact {key!r}, which the task {producer!r} does not have"
                case _:
                    continue
            raise invalid(f"pipeline_spec: the input {name!r} of task {task.key!r} takes {problem}.")


def _component(component: Json, executors: Json) -> Component:
    inputs, outputs = component.get("inputDefinitions", {}), component.get("outputDefinitions", {})
    label = component.get("executorLabel")
    if label is not None and label not in executors:
        raise invalid(f"pipeline_spec: executorLabel {label!r} is none of deploymentSpec.executors.")
    executor = executors[label] if label is not None else {}
    if "container" in executor and not executor["container"].get("image"):
        raise invalid(f"pipeline_spec: the container of the executor {label!r} has no image.")
    return Component(
        parameters={name: _parameter(parameter) for name, parameter in inputs.get("parameters", {}).items()},
        artifacts={name: _slot(slot) for name, slot in inputs.get("artifacts", {}).items()},
        output_parameters={name: _parameter(parameter) for name, parameter in outputs.get("parameters", {}).items()},
        output_artifacts={name: _slot(slot) for name, slot in outputs.get("artifacts", {}).items()},
        dag=_dag(component["dag"]) if "dag" in component else None,
        executor=executor,
    )


def _parameter(parameter: Json) -> Parameter:
    return Parameter(
        type=parameter["parameterType"],
        has_default="defaultValue" in parameter,
        default=parameter.get("defaultValue"),
        optional=parameter.get("isOptional", False),
        literals=tuple(parameter.get("literals", ())),
    )


def _slot(slot: Json) -> ArtifactSlot:
    kind = slot["artifactType"]
    return ArtifactSlot(
        schema_title=kind.get("schemaTitle", "system.Artifact"),
        schema_version=kind.get("schemaVersion", "0.0.1"),
        is_list=slot.get("isArtifactList", False),
        optional=slot.get("isOptional", False),
    )


def _dag(dag: Json) -> Dag:
    tasks = {key: _task(key, task) for key, task in dag.get("tasks", {}).items()}
    outputs = dag.get("outputs", {})
    return Dag(
        tasks=tuple(_ordered(tasks)),
        output_parameters={
            name: tuple(_parameter_selectors(output)) for name, output in outputs.get("parameters", {}).items()
        },
        output_artifacts={
            name: tuple(
                Selector(selector["producerSubtask"], selector["outputArtifactKey"])
                for selector in output.get("artifactSelectors", ())
            )
            for name, output in outputs.get("artifacts", {}).items()
        },
    )


def _ordered(tasks: Mapping[str, Task]) -> Iterator[Task]:
    sorter = graphlib.TopologicalSorter({task.key: task.upstream for task in tasks.values()})
    for key in sorter.static_order():
        if key not in tasks:
            raise invalid(f"pipeline_spec: a task waits for {key!r}, which is no task of its DAG.")
        yield tasks[key]


def _parameter_selectors(output: Json) -> Iterator[Selector]:
    found = [output["valueFromParameter"]] if "valueFromParameter" in output else []
    for selector in found or output["valueFromOneof"]["parameterSelectors"]:
        yield Selector(selector["producerSubtask"], selector["outputParameterKey"])


def _task(key: str, task: Json) -> Task:
    if not _TASK_KEY.fullmatch(key):  # it is part of paths
        raise ValueError(f"the task key {key!r} does not match {_TASK_KEY.pattern}")
    inputs, trigger = task.get("inputs", {}), task.get("triggerPolicy", {})
    parameters, artifacts = inputs.get("parameters", {}), inputs.get("artifacts", {})
    producers = [
        kind["producerTask"]
        for source in (*parameters.values(), *artifacts.values())
        for kind in source.values()
        if isinstance(kind, Mapping) and "producerTask" in kind
    ]
    return Task(
        key=key,
        name=task.get("taskInfo", {}).get("name", key),
        component=task["componentRef"]["name"],
        parameters=parameters,
        artifacts=artifacts,
        upstream=tuple(dict.fromkeys([*task.get("dependentTasks", ()), *producers])),
        condition=trigger.get("condition", ""),
        runs_after_failure=trigger.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED",
        loop=_loop(task),
        cached=task.get("cachingOptions", {}).get("enableCache", False),
        retry=_retry(task.get("retryPolicy", {})),
    )


def _loop(task: Json) -> Loop | None:
    parallelism = task.get("iteratorPolicy", {}).get("parallelismLimit", 0)
    if parallelism < 0:
        raise ValueError(f"parallelismLimit is {parallelism}")
    if iterator := task.get("artifactIterator"):
        return Loop(iterator["itemInput"], True, None, iterator["items"]["inputArtifact"], parallelism)
    if iterator := task.get("parameterIterator"):
        items = iterator["items"]
        constant = json.loads(items["raw"]) if "raw" in items else None
        return Loop(iterator["itemInput"], False, constant, items.get("inputParameter", ""), parallelism)
    return None


def _retry(policy: Json) -> Retry:
    return Retry(
        count=policy.get("maxRetryCount", 0),
        seconds=_seconds(policy.get("backoffDuration", "0s")),
        factor=policy.get("backoffFactor", 2.0),
        maximum_seconds=min(_seconds(policy.get("backoffMaxDuration", "3600s")), _MAXIMUM_BACKOFF_SECONDS),
    )


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
