"""A process of its own that compiles and renders Jinja templates for `templates.py`: whatever they do, it ends.

The sandbox of Jinja keeps templates from files and from Python's inner attributes. It does not bound what they use
(`{{ 10**10**10 }}` is one operation), as its documentation says, so the system does: a limit of memory for the process
and one of processor time for each request. Rows are data: they come as JSON, and are never read as templates.

Requests are lines of JSON on the standard input, answers lines of JSON on the standard output: for a template one, for
rows one each.
"""

import json
import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

MEMORY_BYTES = 1 << 29
# What a prompt may be longer than all that went into it: room for loops that are meant, and none for a flood.
SPARE_CHARACTERS, LONGEST_RATIO = 10_000, 10
_DIGITS = 15
_LOADING = {nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "import", nodes.Extends: "extends"}


class _TemplateError(Exception):
    """What is wrong with a template, and in which of its lines."""

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(text)
        self.line = line


def main() -> None:
    """Answers requests until there are none."""
    seconds = int(sys.argv[1])
    with suppress(ValueError):  # Where there is a lower limit, or, on macOS, none to be had.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _answer_requests(seconds)
    except MemoryError:
        answer = {"error": f"the row is too long to render with {MEMORY_BYTES >> 20:,} MB of memory", "line": None}
        print(json.dumps(answer), flush=True)


def _answer_requests(seconds: int) -> None:
    templates: dict[str, Template] = {}
    lengths: dict[str, int] = {}
    for line in sys.stdin:
        _allow(seconds)
        request = json.loads(line)
        name = request["name"]
        if "source" in request:
            answers = iter([_attempt(lambda: _compiled(name, request, templates), name)])  # noqa: B023
            lengths[name] = len(request["source"])
        else:
            answers = _rendered(templates[name], lengths[name], request)
        for answer in answers:
            print(json.dumps(answer), flush=True)


def _allow(seconds: int) -> None:
    """Has the system end this process if it takes so many more seconds of processor time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


def _attempt(work: Any, name: str) -> dict[str, Any]:
    try:
        return {"value": work()}
    except _TemplateError as error:
        return {"error": str(error), "line": error.line}
    except TemplateSyntaxError as error:
        return {"error": (error.message or "syntax error").rstrip("."), "line": error.lineno}
    except MemoryError as error:
        return {"error": f"it needs more than {MEMORY_BYTES >> 20:,} MB of memory", "line": _line(error, name)}
    except RecursionError as error:
        return {"error": "it is nested too deeply", "line": _line(error, name)}
    except Exception as error:  # Filters and methods raise what they like.
        hint = {"columns": True} if isinstance(error, UndefinedError) else {}
        return {"error": (str(error) or type(error).__name__).rstrip("."), "line": _line(error, name), **hint}


def _line(error: BaseException, name: str) -> int | None:
    """The line of the template where an error came up, which Jinja writes into the traceback."""
    line, traceback = None, error.__traceback__
    while traceback:
        if traceback.tb_frame.f_code.co_filename == name:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _compiled(name: str, request: Mapping[str, Any], templates: dict[str, Template]) -> list[str]:
    """Compiles a template; its value is the names that it uses."""
    environment = _environment()
    tree = environment.parse(request["source"], name, name)
    for node in tree.find_all(tuple(_LOADING)):
        raise _TemplateError(f"{_LOADING[type(node)]!r} is not possible: templates read no files", node.lineno)
    used = sorted(meta.find_undeclared_variables(tree) - set(environment.globals))
    for unknown in sorted(set(used) - set(request["names"])):
        line = min(node.lineno for node in tree.find_all(nodes.Name) if node.name == unknown)
        others = [other for other, visible in request["others"].items() if unknown in visible]
        problem = f"is only for {' and '.join(others)}" if others else "is unknown"
        raise _TemplateError(f"{unknown!r} {problem}; the names are {', '.join(request['names'])}", line)
    code = environment.compile(request["source"], name, name)
    templates[name] = Template.from_code(environment, code, dict(environment.globals))
    return used


def _environment() -> ImmutableSandboxedEnvironment:
    """Without what gives another text in each run, and with what prompts need in another form."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, finalize=_checked
    )
    environment.globals = {"range": safe_range, "namespace": Namespace}
    del environment.filters["random"]
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)  # Jinja's own escapes <, > and & for HTML.


def _checked(value: object) -> object:
    """What is to be written, if it has one form only: text or a number."""
    if isinstance(value, Undefined):
        str(value)  # Raises the error that names it.
    if value is None:
        raise ValueError("a value is null; write what stands for it, as in {{ price|default('unknown', true) }}")
    if not isinstance(value, str | int | float):
        raise ValueError(
            f"a value is of type {type(value).__name__}; expected text or a number. Use |join or |tojson for lists, "
            "and () for methods"
        )
    return value


def _rendered(template: Template, length: int, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name = request["name"]
    for values in request["rows"]:
        longest = SPARE_CHARACTERS + LONGEST_RATIO * (length + len(json.dumps(values)))
        yield _attempt(lambda: _render(template, values, longest), name)  # noqa: B023


def _render(template: Template, values: Mapping[str, Any], longest: int) -> str:
    parts, characters = [], 0
    for part in template.generate(values):
        parts.append(part)
        characters += len(part)
        if characters > longest:
            raise _TemplateError(
                f"it gives more than {longest:,} characters, {SPARE_CHARACTERS:,} and {LONGEST_RATIO} times what went "
                "into it",
                None,
            )
    text = "".join(parts)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _TemplateError(
            f"it gives half of a surrogate pair, {text[error.start]!r}, which is no text", None
        ) from None
    return text


if __name__ == "__main__":
    main()
