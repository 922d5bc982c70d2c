"""The reason of a failure, as a log tells it."""

from pathlib import Path

import pytest

from seatrial.localvertex.execution.reasons import last_reason

_TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    raise ValueError("bad value")
ValueError: bad value
"""

_KFP_EXECUTOR = """[KFP Executor 2026-01-01 00:00:00,000 INFO]: Loading KFP component "a" from /tmp/a.py
[KFP Executor 2026-01-01 00:00:00,000 INFO]: Got executor_input:
{
    "inputs": {
        "parameterValues": {}
    }
}
"""


def _error(message: str) -> str:
    return f'{{"severity": "ERROR", "message": "{message}"}}\n'


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", ""),
        ("starting\nsh: 1: frobnicate: not found\n\n", "sh: 1: frobnicate: not found"),
        (f"starting\n{_TRACEBACK}", "ValueError: bad value"),
        (f"{_TRACEBACK}\nDuring handling …\n\n{_TRACEBACK.replace('bad value', 'worse')}", "ValueError: worse"),
        (_TRACEBACK + "  in two lines\nand three\n", "ValueError: bad value\n  in two lines\nand three"),
        (_error("No column b.") + "bye\n", "No column b."),
        (_error("first") + _error("last"), "last"),
        (_error("handled") + _TRACEBACK, "ValueError: bad value"),
        (_TRACEBACK + _error("the reason"), "the reason"),
        ('{"severity": "INFO", "message": "a"}\n', '{"severity": "INFO", "message": "a"}'),
        (_KFP_EXECUTOR, ""),
        (_KFP_EXECUTOR + "giving up\n", "giving up"),
        ("{no json\n[1]\n", "[1]"),
    ],
)
def test_the_last_reason_of_a_log(tmp_path: Path, log: str, reason: str) -> None:
    path = tmp_path / "task.log"
    path.write_text(log)
    assert last_reason(path) == reason


def test_only_what_a_process_wrote_itself_counts(tmp_path: Path) -> None:
    path = tmp_path / "task.log"
    path.write_text(_TRACEBACK)
    start = path.stat().st_size
    with path.open("a") as file:
        file.write("second attempt\n")
    assert last_reason(path, start) == "second attempt"


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "task.log"
    path.write_text("noise\n" * 1_000_000 + "the end\n")
    assert last_reason(path) == "the end"
