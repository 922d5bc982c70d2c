"""Trigger conditions of tasks: expressions of the Common Expression Language over a task's input parameters.

https://github.com/google/cel-spec
"""

import json
import re
from typing import Any

from ..api import invalid
from .ir import Component
from .outcome import TaskError, Values

# The search for literals takes time with the square of the length.
_LONGEST_REPAIRED = 4_000
_PARAMETER = r"inputs\.parameter_values\['[^']*'\]"
# A comparison as KFP writes it ends a literal with a parenthesis, an operator or the end of the expression.
_LITERAL = r"'(?P<literal>.*?)'(?=\)*(?: && |\Z)| (?:==|!=|<=?|>=?) )"
_PARAMETER_OR_LITERAL = re.compile(f"{_PARAMETER}|{_LITERAL}", re.DOTALL)


def is_met(condition: str, component: Component, inputs: Values) -> bool:
    """Evaluates a trigger condition.

    Args:
        condition: The expression; it knows `inputs.parameter_values`, with numbers as doubles and missing ones as null.
        component: The task's component.
        inputs: What the task takes in.

    Raises:
        TaskError: If it cannot be evaluated or is not true or false.
    """
    values = {**dict.fromkeys(component.parameters), **inputs.parameters}
    variables = {"inputs": {"parameter_values": {name: _as_protobuf(value) for name, value in values.items()}}}
    try:
        result = _compile(condition).execute(variables)
    except (ValueError, TypeError, RuntimeError, LookupError, ArithmeticError) as error:
        raise TaskError(f"The condition {condition!r} cannot be evaluated: {error}") from None
    if not isinstance(result, bool):
        raise TaskError(f"The condition {condition!r} gives {result!r}; expected true or false.")
    return result


def check(condition: str) -> None:
    """Refuses an expression that is none.

    Raises:
        ApiError: INVALID_ARGUMENT.
    """
    try:
        _compile(condition)
    except (ValueError, TypeError) as error:
        raise invalid(f"pipeline_spec: the condition {condition!r} cannot be read: {error}") from None


def _compile(condition: str) -> Any:
    import cel

    try:
        return cel.compile(condition)
    except ValueError:
        if len(condition) > _LONGEST_REPAIRED:
            raise
        return cel.compile(_with_escaped_literals(condition))


def _with_escaped_literals(condition: str) -> str:
    r"""Escapes the string literals of an expression that KFP compiled.

    KFP's compiler puts an author's text between single quotes as it is, so that `it's`, a line break or `C:\data` make
    an expression that is no CEL. What the author meant can be told from the shape of the comparison around it.
    """

    def escaped(match: re.Match[str]) -> str:
        return match[0] if match["literal"] is None else json.dumps(match["literal"], ensure_ascii=False)

    return _PARAMETER_OR_LITERAL.sub(escaped, condition)


def _as_protobuf(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
