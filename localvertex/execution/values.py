"""Parameter values of pipelines: Python's JSON values, of the types that a pipeline declares.

Protobuf's Struct keeps every number as a double. Whole numbers become ints again here: code tells 1 from 1.0.
"""

import json
from typing import Any

_LARGEST_WHOLE_NUMBER = 2**63
_LONGEST_SHOWN = 80


def from_protobuf(value: Any) -> Any:
    """A `google.protobuf.Value` as a Python value."""
    match value.WhichOneof("kind"):
        case "number_value":
            return _number(value.number_value)
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [from_protobuf(item) for item in value.list_value.values]
        case "string_value" | "bool_value" as kind:
            return getattr(value, kind)
        case _:
            return None


def from_struct(struct: Any) -> dict[str, Any]:
    """A `google.protobuf.Struct` as a dict, sorted: a Struct does not keep the order of its fields."""
    return {name: from_protobuf(value) for name, value in sorted(struct.fields.items())}


def _number(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < _LARGEST_WHOLE_NUMBER else number


def matches(value: Any, declared: str) -> bool:
    """Whether a value is of a type of `ParameterType` ("NUMBER_INTEGER"). Whole numbers are also doubles."""
    match declared:
        case "STRING":
            return isinstance(value, str)
        case "NUMBER_INTEGER":
            return isinstance(value, int) and not isinstance(value, bool)
        case "NUMBER_DOUBLE":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "LIST":
            return isinstance(value, list)
        case _:  # STRUCT, TASK_FINAL_STATUS, TASK_CONFIG
            return isinstance(value, dict)


def convert(value: Any, declared: str) -> Any:
    """A value as the type that its receiver declares.

    Loop items come from lists without element types, and output files hold texts: a text is read as JSON where another
    type is declared, and another value is written as JSON where a text is.

    Raises:
        ValueError: If the value cannot be read as the type.
    """
    if matches(value, declared):
        return float(value) if declared == "NUMBER_DOUBLE" else value
    if declared == "STRING":
        return json.dumps(value)
    if isinstance(value, str):
        parsed = json.loads(value.lower() if declared == "BOOLEAN" else value)
        if not isinstance(parsed, str):
            return convert(parsed, declared)
    if isinstance(value, float) and declared == "NUMBER_INTEGER" and matches(_number(value), declared):
        return _number(value)
    raise ValueError(f"{shown(value)} is not of type {declared}")


def shown(value: Any) -> str:
    """A value in an error message, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
