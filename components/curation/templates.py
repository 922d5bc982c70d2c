"""Jinja templates that may do nothing but turn a row into a text: compiled and rendered in a process with limits."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import date, time
from decimal import Decimal
from typing import Any, TextIO, cast

from ..runtime import InputError

SECONDS_OF_A_REQUEST = 10
SHOTS_NAME, ROW_NAME = "shots", "row"
_ADVICE = "Correct the template."


class Templates(AbstractContextManager):
    """Templates, compiled and ready to render.

    In them `{{ text }}` is a column's value, `row` all columns (`{{ row['product name'] }}`), and `shots` the examples,
    each with all its columns. Lines that hold only a `{% … %}` leave no line. What has no place in a prompt is an
    error: null, a list as Python prints it, a name that is no column. Rows are data and never read as templates.

    Args:
        sources: Name → template; the name is what messages call it.
        columns: Name of the template → the columns that it may use.
        seconds: Of processor time, within which a template is compiled and a request of rows is rendered.

    Attributes:
        used: Name of the template → the names that it uses.

    Raises:
        InputError: If a template is no template, uses a name that it may not use, or reads a file.
    """

    def __init__(
        self, sources: Mapping[str, str], columns: Mapping[str, Sequence[str]], seconds: int = SECONDS_OF_A_REQUEST
    ) -> None:
        self._columns, self._seconds = columns, seconds
        self._process = subprocess.Popen(
            # -P: a file jinja2.py in the current folder is not Jinja.
            [sys.executable, "-P", "-m", "seatrial.components.curation.template_process", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._requests, self._replies = cast(TextIO, self._process.stdin), cast(TextIO, self._process.stdout)
        self.used: dict[str, list[str]] = {}
        try:
            for name, source in sources.items():
                names = [*columns[name], ROW_NAME, SHOTS_NAME]
                others = {other: list(visible) for other, visible in columns.items() if other != name}
                request = {"name": name, "source": source, "names": names, "others": others}
                [self.used[name]] = self._answers(request, [None])
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._replies):
            with suppress(BrokenPipeError):  # For what it did not live to read.
                pipe.close()

    def render(
        self, name: str, rows: Sequence[Mapping[str, Any]], shots: Sequence[Sequence[Mapping[str, Any]]]
    ) -> list[str]:
        """Renders a template for some rows.

        Args:
            name: Name of the template.
            rows: Column → value, and `row_id`, which messages name.
            shots: The examples of each row.

        Raises:
            InputError: If the template fails for a row.
        """
        used, columns = self.used[name], self._columns[name]
        values = []
        for row, examples in zip(rows, shots, strict=True):
            given: dict[str, Any] = {column: row[column] for column in used if column in columns}
            if ROW_NAME in used:
                given[ROW_NAME] = {column: row[column] for column in columns}
            if SHOTS_NAME in used:
                given[SHOTS_NAME] = examples
            values.append(given)
        return list(self._answers({"name": name, "rows": values}, [row["row_id"] for row in rows]))

    def _answers(self, request: Mapping[str, Any], row_ids: Sequence[str | None]) -> Iterator[Any]:
        name = request["name"]
        with suppress(BrokenPipeError):  # Why, its exit code says.
            self._requests.write(json.dumps(request, default=_plain) + "\n")
            self._requests.flush()
        for row_id in row_ids:
            line = self._replies.readline()
            where = f" The row is {row_id!r}." if row_id is not None else ""
            if not line:
                raise InputError(f"{name} {self._cause_of_death()}.{where} {_ADVICE}")
            answer = json.loads(line)
            if "error" in answer:
                place = f"{name}, line {answer['line']}" if answer["line"] else name
                names = [*self._columns[name], ROW_NAME, SHOTS_NAME]
                hint = f" The names are {', '.join(names)}." if answer.get("columns") else ""
                raise InputError(f"{place}: {answer['error']}.{hint}{where} {_ADVICE}")
            yield answer["value"]

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return f"takes more than {self._seconds} s of processor time"
        return f"ends the process that renders it (exit code {code})"


def _plain(value: object) -> object:
    """What JSON has no form for, as text."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise InputError(
        f"A column that a template uses holds a value of type {type(value).__name__}; expected text, numbers, "
        "booleans, dates, or lists or structures of them. Convert the column, or leave it out of the template."
    )
