"""Background work of the server: referenced while it runs, logged when it fails, cancelled at shutdown."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_logger = logging.getLogger(__name__)


class Tasks:
    """The asyncio tasks that outlive the call which started them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._stoppable: dict[str, asyncio.Task[Any]] = {}

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str, stoppable: bool = False) -> asyncio.Task[Any]:
        """Starts work and keeps it alive; work that is stoppable can be cancelled by its name."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        if stoppable:
            self._stoppable[name] = task
        return task

    async def cancel(self, name: str) -> bool:
        """Cancels stoppable work that goes on, and says whether it did so; returns when the work has ended."""
        task = self._stoppable.get(name)
        if task is None:
            return False
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._stoppable.pop(task.get_name(), None)
        if not task.cancelled() and (error := task.exception()):
            _logger.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancels what still runs and waits until it has ended."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
