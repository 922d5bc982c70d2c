"""What every task does around its work: structured logs, one clear error for bad input, progress."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_PROGRESS_LINES = 5.0
_logger = logging.getLogger(__name__)


class InputError(ValueError):
    """Input that a user can correct. Its text says what was wrong, what was expected and what to do."""


class _CloudLoggingFormatter(logging.Formatter):
    """One JSON object a line, with the field names that Cloud Logging reads from a container's output."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"severity": record.levelname, "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            entry["message"] += "\n" + self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


@contextmanager
def task(name: str) -> Iterator[None]:
    """Wraps the body of a component.

    Args:
        name: The component's name, which each log line carries.

    Raises:
        SystemExit: With code 1 after an `InputError`, whose text is logged as one line instead of a traceback.
    """
    started = time.monotonic()
    with _cloud_logging():
        try:
            yield
        except InputError as error:
            _logger.error("%s: %s", name, error)
            raise SystemExit(1) from None
        log(f"{name} finished", seconds=round(time.monotonic() - started, 3))


@contextmanager
def _cloud_logging() -> Iterator[None]:
    """Has everything that is logged in the block written in Cloud Logging's form, and nothing after it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_CloudLoggingFormatter())
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


def log(message: str, **fields: object) -> None:
    """Writes one structured log line; `fields` become searchable fields of the entry in Cloud Logging."""
    _logger.info(message, extra={"fields": fields})


class Progress:
    """Logs how far a long piece of work is, at most one line every few seconds.

    Args:
        total: How many units of work there are.
        unit: What is counted, as a plural: "rows".
    """

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._unit, self._done = total, unit, 0
        self._started = self._last_line = time.monotonic()

    @property
    def per_second(self) -> float:
        """Units done per second so far."""
        return self._done / max(time.monotonic() - self._started, 1e-9)

    def advance(self, count: int = 1, **fields: object) -> None:
        """Counts `count` more units as done; `fields` go into the log line, if there is one."""
        self._done += count
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_PROGRESS_LINES:
            return
        self._last_line = now
        rate = self.per_second
        remaining = (self._total - self._done) / rate if rate else float("inf")
        log(
            f"{self._done:,} of {self._total:,} {self._unit}, {rate:,.0f} {self._unit}/s, {remaining:,.0f} s remain",
            done=self._done,
            total=self._total,
            **fields,
        )
