"""What every task does around its work."""

import json
import math
import subprocess
import sys

from seatrial.components import runtime


def run(body: str) -> subprocess.CompletedProcess:
    program = f"from seatrial.components.runtime import *\nimport time\n{body}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def entries(finished: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in finished.stderr.splitlines()]


def test_logs_are_one_json_object_a_line():
    finished = run("with task('clean'):\n    log('read the table', rows=7)")

    assert finished.returncode == 0
    assert entries(finished)[0] == {"severity": "INFO", "message": "read the table", "rows": 7}
    assert entries(finished)[1]["message"] == "clean finished"


def test_bad_input_is_one_clear_line_and_no_traceback():
    finished = run("with task('clean'):\n    raise InputError('There is no column \"review\".')")

    assert finished.returncode == 1
    assert entries(finished) == [{"severity": "ERROR", "message": 'clean: There is no column "review".'}]


def test_a_bug_keeps_its_traceback():
    finished = run("with task('clean'):\n    {}['x']")

    assert finished.returncode == 1
    assert "KeyError: 'x'" in finished.stderr


def test_progress_says_how_far_it_is_and_what_remains():
    finished = run(
        "from seatrial.components import runtime\n"
        "runtime._SECONDS_BETWEEN_PROGRESS_LINES = 0\n"
        "with task('clean'):\n    progress = Progress(10, 'rows')\n    time.sleep(0.01)\n    progress.advance(4)"
    )

    entry = entries(finished)[0]
    assert entry["message"].startswith("4 of 10 rows, ")
    assert (entry["done"], entry["total"]) == (4, 10)


def test_progress_does_not_flood_the_log():
    finished = run(
        "with task('clean'):\n    progress = Progress(1000, 'rows')\n    [progress.advance() for _ in range(1000)]"
    )

    assert [entry["message"] for entry in entries(finished)] == ["clean finished"]


def test_logging_is_as_before_when_the_task_is_over():
    finished = run("with task('clean'):\n    pass\nimport logging\nprint(logging.getLogger().handlers)")

    assert finished.stdout == "[]\n"


def test_fields_of_the_work_go_into_its_progress_lines():
    finished = run(
        "from seatrial.components import runtime\n"
        "runtime._SECONDS_BETWEEN_PROGRESS_LINES = 0\n"
        "with task('train'):\n    progress = Progress(10, 'rows')\n    progress.advance(4, loss=0.5)\n"
        "    progress.advance(6)"
    )

    first, last = entries(finished)[:2]
    assert (first["done"], first["loss"]) == (4, 0.5)
    assert last["done"] == 10
    assert "loss" not in last
    assert ", 0 s remain" in last["message"]


def test_progress_knows_its_rate(monkeypatch):
    now = 100.0
    monkeypatch.setattr(runtime.time, "monotonic", lambda: now)
    progress = runtime.Progress(10, "rows")
    assert progress.per_second == 0

    now = 102.0
    progress.advance(3)
    progress.advance()
    assert progress.per_second == 2

    now = 108.0
    assert progress.per_second == 0.5


def test_the_rate_is_a_number_even_before_the_clock_has_moved(monkeypatch):
    monkeypatch.setattr(runtime.time, "monotonic", lambda: 100.0)
    progress = runtime.Progress(10, "rows")
    progress.advance(4)

    assert math.isfinite(progress.per_second)
