"""The list-filter language (https://google.aip.dev/160), as far as Vertex AI documents it for its list methods.

`display_name="a" AND (labels.team:* OR NOT state=PIPELINE_STATE_FAILED)`: comparisons with = != < <= > >= and `:`
(has), joined by AND, OR, NOT and parentheses. Functions (`in_context(…)`) are given by the caller.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any

from .api import invalid

_TOKEN = re.compile(
    r'\s*(?:(\(|\)|,)|(!=|<=|>=|=|<|>|:)|"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^\s()=!<>:,"\']+))'
)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d(T|$)")
Predicate = Callable[[Mapping[str, Any]], bool]
Functions = Mapping[str, Callable[..., Predicate]]


def parse_filter(text: str, functions: Functions | None = None) -> Predicate:
    """Compiles a filter into a predicate over a resource's JSON form.

    Args:
        text: The filter; empty matches everything.
        functions: Name → function that takes the call's string arguments and returns a predicate.

    Raises:
        ApiError: INVALID_ARGUMENT when the filter cannot be parsed.
    """
    if not text.strip():
        return lambda resource: True
    parser = _Parser(text, functions or {})
    predicate = parser.either()
    parser.finish()
    return predicate


class _Parser:
    def __init__(self, text: str, functions: Functions) -> None:
        self._text, self._functions = text, functions
        self._tokens = self._split()

    def _split(self) -> list[tuple[str, str]]:
        tokens, position = [], 0
        while position < len(self._text.rstrip()):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._error()
            bracket, comparator, double, single, word = match.groups()
            quoted = double if double is not None else single
            if quoted is not None:
                tokens.append(("value", re.sub(r"\\(.)", r"\1", quoted)))
            else:
                tokens.append(("word", word) if word else ("sign", bracket or comparator))
            position = match.end()
        return tokens

    def _error(self) -> Exception:
        return invalid(f"Invalid filter expression: {self._text!r}.")

    def _next(self, *expected: tuple[str, str]) -> bool:
        if self._tokens and self._tokens[0] in expected:
            self._tokens.pop(0)
            return True
        return False

    def _take(self, *kinds: str) -> str:
        if not self._tokens or self._tokens[0][0] not in kinds:
            raise self._error()
        return self._tokens.pop(0)[1]

    def finish(self) -> None:
        if self._tokens:
            raise self._error()

    def either(self) -> Predicate:
        options = [self._all()]
        while self._next(("word", "OR")):
            options.append(self._all())
        return lambda resource: any(option(resource) for option in options)

    def _all(self) -> Predicate:
        terms = [self._term()]
        while self._tokens and self._tokens[0] not in (("word", "OR"), ("sign", ")")):
            self._next(("word", "AND"))
            terms.append(self._term())
        return lambda resource: all(term(resource) for term in terms)

    def _term(self) -> Predicate:
        if self._next(("word", "NOT")):
            negated = self._term()
            return lambda resource: not negated(resource)
        if self._next(("sign", "(")):
            inner = self.either()
            self._close()
            return inner
        name = self._take("word")
        if self._next(("sign", "(")):
            return self._call(name)
        comparator = self._take("sign")
        if comparator in "(),":
            raise self._error()
        wanted = self._take("word", "value")
        return lambda resource: _compare(_look_up(resource, name.split(".")), comparator, wanted)

    def _call(self, name: str) -> Predicate:
        arguments = [self._take("word", "value")]
        while self._next(("sign", ",")):
            arguments.append(self._take("word", "value"))
        self._close()
        if name not in self._functions:
            raise invalid(f"Invalid filter expression: unknown function {name!r} in {self._text!r}.")
        return self._functions[name](*arguments)

    def _close(self) -> None:
        if not self._next(("sign", ")")):
            raise self._error()


def _look_up(resource: Any, path: list[str]) -> Any:
    """Follows a field path through a message's JSON form, whose keys are camelCase; map keys are as they are."""
    for index, part in enumerate(path):
        if isinstance(resource, list):
            return [_look_up(item, path[index:]) for item in resource]
        if not isinstance(resource, Mapping):
            return resource if part in ("string_value", "number_value", "bool_value") else None
        camel = re.sub(r"_(\w)", lambda match: match[1].upper(), part)
        resource = resource.get(part, resource.get(camel))
    return resource


def _compare(value: Any, comparator: str, wanted: str) -> bool:
    if comparator == ":":
        if wanted == "*":
            return value not in (None, "", [], {})
        if isinstance(value, Mapping | list):
            return any(_equal(item, wanted) for item in value)
        return value is not None and wanted.strip("*") in str(value)
    if comparator == "=":
        return _equal(value, wanted)
    if comparator == "!=":
        return not _equal(value, wanted)
    left, right = _orderable(value), _orderable(wanted)
    if isinstance(left, float) != isinstance(right, float):
        return False
    compare: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
    return compare[comparator](left, right)


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted.lower() == str(value).lower()
    if isinstance(value, int | float):
        return _orderable(wanted) == float(value)
    text = "" if value is None else str(value)
    if _TIMESTAMP.match(text) and _orderable(text) == _orderable(wanted):
        return True
    if "*" in wanted:
        return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), text) is not None
    return text == wanted


def _orderable(value: Any) -> float | str:
    """A number, or the text of what is none; timestamps, whatever their time zone, are numbers too."""
    if isinstance(value, str) and _TIMESTAMP.match(value):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    try:
        return float(value)
    except (TypeError, ValueError):
        return "" if value is None else str(value)
