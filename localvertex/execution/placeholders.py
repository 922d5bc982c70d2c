"""Placeholders in pipelines: `{{$.inputs.parameters['x']}}` and its kin, IfPresent and Concat in commands.

What Vertex AI replaces is described by kfp.dsl's placeholder constants and the components of Google Cloud. Text that is
no known placeholder stays as it is.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{\$(?P<path>(?:\.\w+|\['[^']*'\])*?)(?:\.json_escape\[(?P<escapes>\d+)\])?\}\}")
_STEP = re.compile(r"\.(\w+)|\['([^']*)'\]")
_STRUCTURE = re.compile(r'\s*\{\s*"(?:Concat|IfPresent)"\s*:')


class Placeholders:
    """The values of placeholders at one place of a pipeline.

    Args:
        constants: Value by name: {"pipeline_job_name": "…"} for `{{$.pipeline_job_name}}`.
        executor_input: JSON form of an `ExecutorInput`, or of a part of it while a task's inputs are put together.
        path_of: Gives the path at which a task finds a URI's content.
        lists: The input artifacts that are lists.
        templates: The input parameters whose values the pipeline's author wrote: they may hold placeholders in turn (a
            worker pool whose arguments hold the executor input). The values of all others are data.
    """

    def __init__(
        self,
        constants: Mapping[str, str],
        executor_input: Mapping[str, Any],
        path_of: Callable[[str], str],
        lists: Collection[str] = (),
        templates: Collection[str] = (),
    ) -> None:
        self._constants, self._executor_input, self._path_of = constants, executor_input, path_of
        self._lists, self._templates = lists, templates

    def in_value(self, value: Any) -> Any:
        """Replaces the placeholders in all texts of a JSON value."""
        if isinstance(value, str):
            return self._replace(value)
        if isinstance(value, list):
            return [self.in_value(item) for item in value]
        if isinstance(value, dict):
            return {self._replace(name): self.in_value(item) for name, item in value.items()}
        return value

    def in_arguments(self, elements: Sequence[str]) -> list[str]:
        """Replaces placeholders, IfPresent and Concat in a container's command or arguments."""
        return [self._replace(text) for element in elements for text in self._flat(element)]

    def _flat(self, element: str) -> Iterator[str]:
        if _STRUCTURE.match(element):
            yield from self._structure(json.loads(element))
        else:
            yield element

    def _structure(self, structure: Any) -> Iterator[str]:
        match structure:
            case {"Concat": parts}:
                yield "".join(text for part in parts for text in self._structure(part))
            case {"IfPresent": {"InputName": name, **branches}}:
                branch = branches.get("Then" if self._is_present(name) else "Else", [])
                for part in branch if isinstance(branch, list) else [branch]:
                    yield from self._structure(part)
            case _:
                yield str(structure)

    def _is_present(self, name: str) -> bool:
        inputs = self._executor_input["inputs"]
        return inputs["parameterValues"].get(name) is not None or name in inputs["artifacts"]

    def _replace(self, text: str, *, within_value: bool = False) -> str:
        """Replaces the placeholders in a text; in one that came in as a value, only those of the task itself."""

        def replacement(match: re.Match[str]) -> str:
            path = [name or key for name, key in _STEP.findall(match["path"])]
            if within_value and not (path == [] or path[0] == "outputs" or path[:2] == ["inputs", "artifacts"]):
                return match[0]
            try:
                value = self._look_up(path)
            except (LookupError, TypeError):
                return match[0]
            result = value if isinstance(value, str) else json.dumps(value)
            if path[:2] == ["inputs", "parameters"] and path[2] in self._templates:
                result = self._replace(result, within_value=True)
            for _ in range(int(match["escapes"] or 0)):
                result = json.dumps(result)[1:-1]
            return result

        return _PLACEHOLDER.sub(replacement, text) if "{{$" in text else text

    def _look_up(self, path: list[str]) -> Any:
        match path:
            case []:
                return {"inputs": self._executor_input["inputs"], "outputs": self._executor_input["outputs"]}
            case [name] if name in self._constants:
                return self._constants[name]
            case ["inputs", "parameters", name]:
                return self._executor_input["inputs"]["parameterValues"].get(name)
            case ["outputs", "parameters", name, "output_file"]:
                return self._executor_input["outputs"]["parameters"][name]["outputFile"]
            case ["outputs", "output_file"] | ["outputMetadataUri"]:
                return self._executor_input["outputs"]["outputFile"]
            case ["inputs", "artifacts", name] if name in self._lists:
                return self._executor_input["inputs"]["artifacts"][name]["artifacts"]
            case ["inputs" | "outputs" as side, "artifacts", name, *rest]:
                return self._artifact(self._executor_input[side]["artifacts"][name]["artifacts"][0], rest)
        raise LookupError(path)

    def _artifact(self, artifact: Mapping[str, Any], path: list[str]) -> Any:
        match path:
            case []:
                return artifact
            case ["path"]:
                return self._path_of(artifact["uri"])
            case ["metadata", key]:  # Google's launcher of imported evaluations knows a missing one by its placeholder
                return artifact["metadata"][key]
            case [field]:
                return artifact[field]
        raise LookupError(path)
