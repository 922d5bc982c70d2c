"""The pipeline engine: runs submitted PipelineJobs."""

import asyncio
import os
import shutil
from typing import Any

from ..api import ApiError, enum
from ..proc import private_folders
from ..vertex import Vertex
from .lineage import interrupt_executions
from .outcome import STOPPED, Outcome
from .record import JobRecord
from .run import CANCELLED, PipelineRun

_STOPPED = Outcome("FAILED", error=STOPPED)
_FEWEST_SLOTS = 8
TERMINAL_STATES = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")


class PipelineRunner:
    """The runs of all pipeline jobs.

    Tasks mostly wait (for a launched job, for a disk), so more of them run at once than there are processors.

    Args:
        vertex: The emulator.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex
        self._slots = asyncio.Semaphore(max(_FEWEST_SLOTS, os.cpu_count() or 1))
        self._runs: dict[str, tuple[PipelineRun, asyncio.Task[None]]] = {}

    def submit(self, name: str) -> None:
        """Starts the run of a stored job, whose spec and parameters have been checked."""
        run = PipelineRun(self._vertex, self._vertex.store.get(name), self._slots)
        run.record.enter("PENDING")
        task = self._vertex.tasks.spawn(run.run(), name=name)
        self._runs[name] = run, task
        task.add_done_callback(lambda _: self._runs.pop(name))

    async def cancel(self, name: str) -> None:
        """Starts to cancel a run.

        Raises:
            ApiError: FAILED_PRECONDITION if the job has ended.
        """
        if name not in self._runs:
            raise ApiError("FAILED_PRECONDITION", f"{name!r} cannot be cancelled: it has ended.")
        run, task = self._runs[name]
        run.record.cancelling()
        task.cancel()

    def running(self) -> int:
        """How many jobs have not ended."""
        return len(self._runs)

    def recover(self) -> None:
        """Ends the jobs that an earlier server process left unfinished."""
        terminal = [enum("PipelineState")[state] for state in TERMINAL_STATES]
        for job in self._vertex.store.all("PipelineJob"):
            if job.state not in terminal:
                self._end_interrupted(job)
        shutil.rmtree(private_folders(self._vertex.home), ignore_errors=True)

    def _end_interrupted(self, job: Any) -> None:
        outcome = CANCELLED if _is_being_cancelled(job) else _STOPPED
        with self._vertex.store.transaction():
            interrupt_executions(self._vertex.store, job, outcome)
            JobRecord(self._vertex.store, job).interrupted(outcome)

    async def close(self) -> None:
        """Ends all runs, with their processes."""
        tasks = []
        for run, task in self._runs.values():
            if not _is_being_cancelled(run.record.job):
                run.interrupt(_STOPPED)
            task.cancel()
            tasks.append(task)
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_being_cancelled(job: Any) -> bool:
    return bool(job.state == enum("PipelineState")["PIPELINE_STATE_CANCELLING"])
