"""Compiled pipelines: finding one by name or path, its parameters, and values for them from text."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml


class UsageError(Exception):
    """What a person who typed a command can correct; its text says what and how."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a pipeline, as its compiled form declares it.

    Attributes:
        type: "STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST" or "STRUCT".
        default: The default value; None where there is none.
        required: Whether a value must be given.
    """

    name: str
    type: str
    default: Any
    required: bool
    description: str


def compiled_folder() -> Path:
    """The folder with the compiled pipelines and components of this package."""
    return Path(str(files("seatrial.compiled")))


def pipeline_names() -> list[str]:
    """Names of the compiled pipelines of this package."""
    return sorted(path.stem for path in (compiled_folder() / "pipelines").glob("*.yaml"))


def find_template(name_or_path: str) -> Path:
    """The compiled pipeline that a user named.

    Args:
        name_or_path: Name of one of this package's pipelines, or the path of any compiled KFP pipeline (YAML).

    Raises:
        UsageError: If there is no such pipeline or file.
    """
    if name_or_path in pipeline_names():
        return compiled_folder() / "pipelines" / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    raise UsageError(
        f"There is no pipeline and no file {name_or_path!r}. Name one of {', '.join(pipeline_names())}, "
        "or the path of a pipeline compiled to YAML."
    )


def load_template(path: Path) -> dict[str, Any]:
    """The pipeline spec in a compiled file.

    Raises:
        UsageError: If the file is no compiled KFP pipeline.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no YAML: {error}. Compile the pipeline with kfp.compiler.Compiler.") from None
    spec = documents[0] if documents else None
    if not isinstance(spec, dict) or not isinstance(spec.get("root"), dict) or "pipelineInfo" not in spec:
        raise UsageError(f"{path} is no compiled KFP pipeline: it lacks pipelineInfo or root. Compile it with KFP 2.")
    if len(documents) > 1:
        raise UsageError(
            f"{path} has a second document, settings for Kubernetes (kfp-kubernetes), which Vertex AI does not take. "
            "Compile the pipeline without them."
        )
    return spec


def declared_parameters(template: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of a pipeline by name."""
    declared = template["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: Parameter(
            name,
            definition["parameterType"],
            definition.get("defaultValue"),
            not definition.get("isOptional", False) and "defaultValue" not in definition,
            definition.get("description", ""),
        )
        for name, definition in declared.items()
    }


def parse_parameters(template: Mapping[str, Any], file: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Parameter values from a file and from `key=value` texts, which win.

    Args:
        template: The pipeline spec.
        file: YAML or JSON file with an object of values, or None.
        assignments: Texts such as "seed=7"; lists and objects are written as JSON.

    Raises:
        UsageError: If a parameter is unknown, missing, or its value is not of its type.
    """
    declared = declared_parameters(template)
    values = _read_values(file) if file else {}
    _require_known(declared, values)
    for name, value in values.items():
        _check_value(declared[name], value, repr(value))
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise UsageError(f"-p {assignment!r} is not key=value.")
        _require_known(declared, [name])
        values[name] = _parse_value(declared[name], text)
    missing = [name for name, parameter in declared.items() if parameter.required and name not in values]
    if missing:
        raise UsageError(f"The pipeline needs a value for {', '.join(missing)}: pass -p {missing[0]}=… .")
    return values


def _read_values(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"The parameter file {file} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"The parameter file {file} must hold an object of values by parameter name.")
    return values


def _require_known(declared: Mapping[str, Parameter], names: Iterable[str]) -> None:
    for name in names:
        if name not in declared:
            raise UsageError(f"The pipeline has no parameter {name!r}; it has {', '.join(declared) or 'none'}.")


def _parse_value(parameter: Parameter, text: str) -> Any:
    """A value of the declared type.

    Raises:
        UsageError: If the text is no such value.
    """
    if parameter.type == "STRING":
        return text
    try:
        value = json.loads(text.lower() if parameter.type == "BOOLEAN" else text)
    except ValueError:
        value = None
    _check_value(parameter, value, repr(text))
    return value


def _check_value(parameter: Parameter, value: Any, shown: str) -> None:
    expected: Any = {
        "STRING": str,
        "NUMBER_INTEGER": int,
        "NUMBER_DOUBLE": (int, float),
        "BOOLEAN": bool,
        "LIST": list,
        "STRUCT": dict,
    }[parameter.type]
    wrong_boolean = isinstance(value, bool) and parameter.type != "BOOLEAN"
    if not isinstance(value, expected) or wrong_boolean:
        example = {"STRING": "text", "BOOLEAN": "true", "LIST": '["a"]', "STRUCT": '{"a": 1}', "NUMBER_INTEGER": "7"}
        raise UsageError(
            f"The parameter {parameter.name!r} is of type {parameter.type}; {shown} is not. "
            f"Write it like {parameter.name}={example.get(parameter.type, '0.5')}."
        )
