"""The logs of a run's tasks while it goes on: what each task has written since the last look.

What KFP's executor says of itself, a page per task, is left out; `seatrial logs` prints everything.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

_KFP_EXECUTOR = "[KFP Executor "
_EXECUTOR_INPUT = "Got executor_input:"  # above a JSON object whose last line is a brace alone
_MOST_BYTES = 1_000_000  # of one task at one look; the rest comes with the next


class LogStream:
    """Follows log files.

    Args:
        find: Gives the files that are there now.
    """

    def __init__(self, find: Callable[[], list[Path]]) -> None:
        self._find = find
        self._read: dict[Path, int] = {}
        self._within_executor_input: set[Path] = set()

    def new_lines(self, *, to_end: bool = False) -> Iterator[tuple[str, str]]:
        """The lines that were written since the last call, each with the name of its task.

        Args:
            to_end: Whether nothing will follow: everything is given, also a line that does not end.
        """
        for path in self._find():
            for line in self._lines(path, to_end):
                if not self._is_of_executor(path, line):
                    yield path.stem, line

    def _lines(self, path: Path, to_end: bool) -> list[str]:
        start = self._read.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            text = file.read(None if to_end else _MOST_BYTES)
        whole = text if to_end or len(text) == _MOST_BYTES else text[: text.rfind(b"\n") + 1]
        self._read[path] = start + len(whole)
        return whole.decode(errors="replace").splitlines()

    def _is_of_executor(self, path: Path, line: str) -> bool:
        if path in self._within_executor_input:
            if line == "}":
                self._within_executor_input.remove(path)
            return True
        if line.startswith(_KFP_EXECUTOR) and line.endswith(_EXECUTOR_INPUT):
            self._within_executor_input.add(path)
        return line.startswith(_KFP_EXECUTOR)
