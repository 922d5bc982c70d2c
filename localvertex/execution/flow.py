"""How values flow through DAGs and loops: what an iteration takes in, what a DAG and a loop put out."""

import contextlib
import json
from collections.abc import Iterable, Mapping

from .ir import Component, Dag, Loop
from .outcome import Outcome, TaskError, Values
from .values import shown


def iterations(loop: Loop, inputs: Values) -> list[Values]:
    """The inputs of each iteration of a loop.

    Raises:
        TaskError: If what it iterates over is no list.
    """
    if loop.over_artifacts:
        return [
            Values(inputs.parameters, {**inputs.artifacts, loop.item: [artifact]})
            for artifact in inputs.artifacts.get(loop.source, [])
        ]
    items = loop.constant if loop.constant is not None else inputs.parameters.get(loop.source)
    if isinstance(items, str):
        with contextlib.suppress(ValueError):
            items = json.loads(items)
    if not isinstance(items, list):
        raise TaskError(f"The loop iterates over {loop.source!r}, which is {shown(items)}; expected a list.")
    return [Values({**inputs.parameters, loop.item: item}, inputs.artifacts) for item in items]


def collected(component: Component, outcomes: Iterable[Outcome]) -> Values:
    """The outputs of a loop: each is the list of what the iterations put out, artifacts of lists all in one."""
    outputs = [outcome.outputs for outcome in outcomes]
    return Values(
        {name: [o.parameters[name] for o in outputs if name in o.parameters] for name in component.output_parameters},
        {name: [one for o in outputs for one in o.artifacts.get(name, [])] for name in component.output_artifacts},
    )


def dag_outputs(dag: Dag, outcomes: Mapping[str, Outcome]) -> Values:
    """The outputs of a DAG: of the tasks that an output may come from, the first that has run gives it (OneOf)."""
    values = Values()
    for name, selectors in dag.output_parameters.items():
        for selector in reversed(selectors):
            given = outcomes[selector.task].outputs.parameters
            if selector.output in given:
                values.parameters[name] = given[selector.output]
    for name, selectors in dag.output_artifacts.items():
        for selector in reversed(selectors):
            found = outcomes[selector.task].outputs.artifacts
            if selector.output in found:
                values.artifacts[name] = found[selector.output]
    return values


def failure(outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The outcome of a DAG or a loop in which tasks failed, or None if none did.

    Args:
        outcomes: Task or iteration → how it ended. Those that failed are named as Vertex AI names them; the reasons of
            the tasks that failed within them follow.
    """
    failed = {name: outcome for name, outcome in outcomes.items() if outcome.failures}
    if not failed:
        return None
    failures = {task: reason for outcome in failed.values() for task, reason in outcome.failures.items()}
    reasons = " ".join(f"{task}: {reason}" for task, reason in failures.items())
    return Outcome.failed(
        f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]. {reasons}", failures
    )
