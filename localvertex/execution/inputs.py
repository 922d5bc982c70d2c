"""Puts together what a task takes in: constants, inputs of its DAG, outputs of other tasks, defaults."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .ir import Component, Json, Parameter, Task
from .outcome import Outcome, TaskError, Values
from .values import convert, shown

_FIELDS = re.compile(r'parseJson\(string_value\)((?:\["[^"]*"\])*)')
_FIELD = re.compile(r'\["([^"]*)"\]')

Replace = Callable[[Any, Mapping[str, Any]], Any]


def task_inputs(task: Task, scope: Values, upstream: Mapping[str, Outcome], replace: Replace, job: str) -> Values:
    """The inputs of a task.

    Args:
        task: The task.
        scope: Inputs of the DAG that it is in.
        upstream: Outcome of each task that it waits for.
        replace: Replaces placeholders in a value, given the task's other parameters.
        job: Resource name of the pipeline job.

    Raises:
        TaskError: If an input that must have a value has none, or one of another type.
    """
    constants, parameters = {}, {}
    for name, source in task.parameters.items():
        if "runtimeValue" in source:
            constants[name] = source["runtimeValue"].get("constant")
        elif (value := _parameter(source, scope, upstream, job)) is not None:
            parameters[name] = value
    # Constants are the compiler's text and may name other inputs; what tasks have put out is taken as it is.
    parameters |= {name: replace(value, parameters) for name, value in constants.items()}
    artifacts = {name: _artifacts(source, scope, upstream) for name, source in task.artifacts.items()}
    return Values(parameters, {name: found for name, found in artifacts.items() if found is not None})


def complete(component: Component, inputs: Values, replace: Replace) -> Values:
    """Adds the defaults of a component to its inputs and brings all to the declared types.

    Raises:
        TaskError: If an input that must have a value has none, or one of another type.
    """
    parameters = dict(inputs.parameters)
    for name, declared in component.parameters.items():
        value = parameters.get(name)
        if value is None and declared.has_default:
            value = replace(declared.default, parameters)
        if value is not None:
            parameters[name] = _typed(name, value, declared)
        elif not declared.optional and not declared.has_default:
            raise TaskError(f"The input {name!r} ({declared.type}) has no value: the task that gives it did not run.")
    for name, slot in component.artifacts.items():
        if name not in inputs.artifacts and not slot.optional:
            raise TaskError(f"The input artifact {name!r} is missing: the task that gives it did not run.")
    return Values({name: value for name, value in parameters.items() if value is not None}, inputs.artifacts)


def _typed(name: str, value: Any, declared: Parameter) -> Any:
    try:
        typed = convert(value, declared.type)
    except ValueError:
        raise TaskError(f"The input {name!r} is {shown(value)}; expected a value of type {declared.type}.") from None
    if declared.literals and typed not in declared.literals:
        raise TaskError(f"The input {name!r} is {shown(value)}; expected one of {list(declared.literals)}.")
    return typed


def _parameter(source: Json, scope: Values, upstream: Mapping[str, Outcome], job: str) -> Any:
    if "componentInputParameter" in source:
        value = scope.parameters.get(source["componentInputParameter"])
    elif "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        value = upstream[output["producerTask"]].outputs.parameters.get(output["outputParameterKey"])
    elif "taskFinalStatus" in source:
        producer = source["taskFinalStatus"]["producerTask"]
        value = _final_status(producer, upstream[producer], job)
    else:
        raise TaskError(f"The input source {sorted(source)} is not emulated.")
    selector = source.get("parameterExpressionSelector")
    return value if selector is None or value is None else _select(value, selector)


def _select(value: Any, selector: str) -> Any:
    """Takes a field out of a loop's item: `parseJson(string_value)["a"]`."""
    match = _FIELDS.fullmatch(selector)
    if match is None:
        raise TaskError(f"The expression {selector!r} is not emulated.")
    for field in _FIELD.findall(match[1]):
        fields = _parsed(value)
        if not isinstance(fields, dict) or field not in fields:
            raise TaskError(f"The loop item {shown(value)} has no field {field!r}.")
        value = fields[field]
    return value


def _parsed(value: Any) -> Any:
    """What a text says as JSON; a text that is no JSON, and any other value, as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _final_status(task: str, outcome: Outcome, job: str) -> dict[str, Any]:
    return {
        "state": "SUCCEEDED" if outcome.succeeded else outcome.state,
        "error": {"code": 9, "message": outcome.error} if outcome.error else {},
        "pipelineJobResourceName": job,
        "pipelineTaskName": task,
    }


def _artifacts(source: Json, scope: Values, upstream: Mapping[str, Outcome]) -> list[Any] | None:
    if "componentInputArtifact" in source:
        return scope.artifacts.get(source["componentInputArtifact"])
    output = source["taskOutputArtifact"]
    return upstream[output["producerTask"]].outputs.artifacts.get(output["outputArtifactKey"])
