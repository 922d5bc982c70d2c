"""The record of a run: the PipelineJob resource and its task details, kept current while tasks start and end."""

import asyncio
import time
from typing import Any

from google.rpc import code_pb2

from ..api import enum, message
from ..names import new_id
from ..store import Store, stamp
from .lineage import container_outputs, task_state
from .outcome import Outcome, Values

_BURST_SECONDS = 0.01
_SAVING_SHARE = 0.05
_CODES = {"CANCELLED": code_pb2.CANCELLED, "FAILED": code_pb2.FAILED_PRECONDITION}
_FINAL_TASK_STATES = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELLED", "NOT_TRIGGERED")


class JobRecord:
    """The live copy of a PipelineJob, the only one that is changed while the job runs.

    Args:
        store: Where the job is kept.
        job: The PipelineJob.
    """

    def __init__(self, store: Store, job: Any) -> None:
        self.job = job
        self._store = store
        self._tasks = [TaskRecord(self, detail) for detail in job.job_detail.task_details]
        self._saving: asyncio.TimerHandle | None = None
        self._next_save = 0.0

    def add_task(self, name: str, parent: "TaskRecord | None") -> "TaskRecord":
        """A new task detail in state PENDING."""
        details = self.job.job_detail.task_details
        detail = details.add(task_id=len(details) + 1, task_name=name, task_unique_name=name)
        if parent is not None:
            detail.parent_task_id = parent.id
            detail.task_unique_name = f"{parent.detail.task_unique_name}.{name}"
        stamp(detail, "create_time")
        task = TaskRecord(self, detail)
        task.enter("PENDING")
        self._tasks.append(task)
        return task

    def cancelling(self) -> None:
        """Notes that the job and its unfinished tasks are being cancelled."""
        for task in self._unfinished():
            task.enter("CANCELLING")
        self.enter("CANCELLING")

    def interrupted(self, outcome: Outcome) -> None:
        """Ends the job and its unfinished tasks, whose executions have ended: some may have before the interruption."""
        for task in self._unfinished():
            execution = self._store.find(task.detail.execution.name)
            state = outcome.state if execution is None else task_state(execution)
            if execution is not None:
                task.show(execution, Values(), container_outputs(self._store, execution))
            task.enter(state, outcome.error if state == outcome.state else "")
        self.enter(outcome.state, outcome.error)

    def _unfinished(self) -> list["TaskRecord"]:
        return [task for task in self._tasks if not task.has_ended]

    def enter(self, state: str, error: str = "") -> None:
        """Changes the job's state ("RUNNING"), with the error that led to it, and saves the job."""
        self.job.state = enum("PipelineState")[f"PIPELINE_STATE_{state}"]
        if state == "RUNNING":
            stamp(self.job, "start_time")
        elif state in ("SUCCEEDED", "FAILED", "CANCELLED"):
            stamp(self.job, "end_time")
        if error:
            self.job.error.code, self.job.error.message = _CODES[state], error
        self._save()

    def changed(self) -> None:
        """Saves the job soon: a burst of changes once, and large jobs so seldom that it takes little of the time."""
        if self._saving is None:
            loop = asyncio.get_running_loop()
            self._saving = loop.call_later(max(_BURST_SECONDS, self._next_save - loop.time()), self._save)

    def _save(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        started = time.monotonic()
        self._store.save(self.job)
        seconds = time.monotonic() - started
        self._next_save = asyncio.get_running_loop().time() + seconds / _SAVING_SHARE


class TaskRecord:
    """One task detail of a job.

    Args:
        job: The job's record.
        detail: The PipelineTaskDetail.

    Attributes:
        uuid: Id of the task and of its Execution, unique among all jobs.
    """

    def __init__(self, job: JobRecord, detail: Any) -> None:
        self.uuid = new_id()
        self.detail = detail
        self._job = job

    @property
    def id(self) -> int:
        """The task's number within its job."""
        return self.detail.task_id

    @property
    def has_ended(self) -> bool:
        """Whether the task is in a final state."""
        return self.detail.HasField("end_time")

    def enter(self, state: str, error: str = "") -> None:
        """Changes the state, with the error that led to it; one in a state that is not final is being retried."""
        self.detail.state = enum("PipelineTaskDetail.State")[state]
        status = self.detail.pipeline_task_status.add(state=self.detail.state)
        stamp(status, "update_time")
        if state in ("RUNNING", "SKIPPED") and not self.detail.HasField("start_time"):
            stamp(self.detail, "start_time")
        if error:
            status.error.code = _CODES.get(state, code_pb2.FAILED_PRECONDITION)
            status.error.message = error
        if state in _FINAL_TASK_STATES:
            stamp(self.detail, "end_time")
            if error:
                self.detail.error.CopyFrom(status.error)
        self._job.changed()

    def show(self, execution: Any, inputs: Values, outputs: Values) -> None:
        """Shows the task's Execution resource and its artifacts."""
        self.detail.execution.CopyFrom(execution)
        for target, values in ((self.detail.inputs, inputs), (self.detail.outputs, outputs)):
            for name, artifacts in values.artifacts.items():
                target[name].CopyFrom(message("PipelineTaskDetail.ArtifactList")(artifacts=artifacts))
        self._job.changed()
