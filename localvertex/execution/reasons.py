"""The reason of a failure, found in the log of the process that failed."""

import json
import re
from pathlib import Path

_TAIL_BYTES = 65_536
_LONGEST_REASON = 1_000
_SEVERITIES = ("ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_TRACEBACK = "Traceback (most recent call last):"
# What KFP's executor says of itself, and the JSON document that follows it, is never the reason.
_KFP_EXECUTOR = re.compile(r"^\[KFP Executor .*\n(?:\{\n(?:[ }].*\n)*?\}\n)?", re.MULTILINE)


def last_reason(log: Path, start: int = 0) -> str:
    """What a process said last, before it failed.

    That is the message of the last structured line with severity ERROR or above, or the exception of the last traceback
    if that comes later; without either it is the last line.

    Args:
        log: Its log file.
        start: Offset in bytes at which its output begins.
    """
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(start, size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    lines = [line for line in _KFP_EXECUTOR.sub("", text).splitlines() if line.strip()]
    traceback = max((number for number, line in enumerate(lines) if line.strip() == _TRACEBACK), default=len(lines))
    reason = (
        _structured_error(lines[traceback:])
        or _exception(lines[traceback + 1 :])
        or _structured_error(lines)
        or "".join(lines[-1:])
    )
    return reason.strip()[:_LONGEST_REASON]


def _structured_error(lines: list[str]) -> str:
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("severity") in _SEVERITIES:
                return str(entry.get("message", ""))
    return ""


def _exception(lines: list[str]) -> str:
    """The text of an exception, below the frames of its traceback, which are indented."""
    first = next((number for number, line in enumerate(lines) if not line[0].isspace()), len(lines))
    return "\n".join(lines[first:])
