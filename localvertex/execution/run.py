"""One run of a pipeline: starts each task when those that it waits for have ended, and keeps the job's record."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from ..api import enum
from ..environment import logs_folder
from ..names import location_of, new_id, project_number
from ..vertex import Vertex
from .cache import Cache
from .conditions import is_met
from .container import ContainerTask
from .flow import collected, dag_outputs, failure, iterations
from .importer import import_artifact
from .inputs import Replace, complete, task_inputs
from .ir import Component, Dag, Json, Retry, Task, read_pipeline
from .lineage import Lineage, metadata_store
from .mount import Mount
from .outcome import Outcome, TaskError, Values, internal_error
from .placeholders import Placeholders
from .record import JobRecord, TaskRecord
from .values import from_protobuf, from_struct

_logger = logging.getLogger(__name__)
_DEFAULT: Json = {"runtimeValue": {}}  # a default is as much the author's text as a constant
CANCELLED = Outcome("CANCELLED", error="The pipeline job was cancelled.")


class PipelineRun:
    """The run of one PipelineJob.

    Args:
        vertex: The emulator.
        job: The PipelineJob, whose spec and parameters have been checked.
        slots: Bounds the number of processes of all runs.
    """

    def __init__(self, vertex: Vertex, job: Any, slots: asyncio.Semaphore) -> None:
        self.record = JobRecord(vertex.store, job)
        self._vertex, self._job, self._slots = vertex, job, slots
        self._pipeline = read_pipeline(from_struct(job.pipeline_spec))
        self._lineage = Lineage(vertex.store, job.name, self._pipeline.name)
        self._lineage.show_contexts(job.job_detail)
        self._cache = Cache(vertex.store, job.name, self._pipeline.name, vertex.runtime.name)
        self._mount = Mount(vertex)
        self._constants = _job_constants(job)
        fail_fast = enum("PipelineFailurePolicy")["PIPELINE_FAILURE_POLICY_FAIL_FAST"]
        self._fails_fast = job.runtime_config.failure_policy == fail_fast
        self._has_failed = False
        self._interruption = CANCELLED

    async def run(self) -> None:
        """Runs the pipeline and leaves the job in a final state."""
        self.record.enter("RUNNING")
        try:
            outcome = await self._run_root()
        except asyncio.CancelledError:
            outcome = self._interruption
        except Exception as error:
            outcome = self._failed(error, self._pipeline.name)
        self.record.enter(outcome.state, outcome.error)

    def interrupt(self, outcome: Outcome) -> None:
        """Says how the run and its unfinished tasks end once the task of `run` is cancelled."""
        self._interruption = outcome

    async def _run_root(self) -> Outcome:
        config, component = self._job.runtime_config, self._pipeline.root
        parameters = {name: from_protobuf(value) for name, value in config.parameter_values.items()}
        artifacts = {
            name: [self._vertex.store.get(f"{metadata_store(self._job.name)}/artifacts/{artifact.artifact_id}")]
            for name, artifact in config.input_artifacts.items()
        }
        record = self.record.add_task(self._pipeline.name, None)
        inputs = complete(component, Values(parameters, artifacts), self._replace(record, self._pipeline.name))
        assert component.dag is not None
        return await self._execute(record, "Run", inputs, self._run_dag(component.dag, inputs, record))

    # Any task

    async def _execute(
        self, record: TaskRecord, kind: str, inputs: Values, work: Coroutine[Any, Any, Outcome], **metadata: str
    ) -> Outcome:
        """Does the work of a task, with its execution and its record."""
        name = record.detail.task_name
        execution = self._lineage.start_execution(record.uuid, name, kind, inputs, **metadata)
        record.show(execution, inputs, Values())
        try:
            outcome = await work
        except asyncio.CancelledError:
            self._end(record, execution, inputs, self._interruption)
            raise
        except Exception as error:
            outcome = self._failed(error, name)
        self._end(record, execution, inputs, outcome)
        return outcome

    def _end(self, record: TaskRecord, execution: Any, inputs: Values, outcome: Outcome) -> None:
        self._has_failed |= outcome.state == "FAILED"
        self._lineage.end_execution(execution, outcome)
        record.show(execution, inputs, outcome.outputs)
        record.enter(outcome.state, outcome.error)

    def _fail(self, record: TaskRecord, error: Exception) -> Outcome:
        """Ends a task that could not be started."""
        self._has_failed = True
        outcome = self._failed(error, record.detail.task_name)
        record.enter(outcome.state, outcome.error)
        return outcome

    def _failed(self, error: Exception, task: str) -> Outcome:
        """How a task ends that raised: its author reads a `TaskError` as it is, any other error is ours."""
        if not isinstance(error, TaskError):
            _logger.error("task %s of %s", task, self._job.name, exc_info=error)
        reason = str(error) if isinstance(error, TaskError) else internal_error(error)
        return Outcome.failed(reason, {task: reason})

    async def _run_task(
        self, task: Task, scope: Values, upstream: Mapping[str, Outcome], parent: TaskRecord
    ) -> Outcome:
        """Runs a task of a DAG, once those that it waits for have ended."""
        record = self.record.add_task(task.name, parent)
        if not self._is_triggered(task, upstream.values()):
            return _not_triggered(record)
        component, replace = self._pipeline.components[task.component], self._replace(record, task.key)
        try:
            inputs = task_inputs(task, scope, upstream, replace, self._job.name)
            if task.loop is None:
                inputs = complete(component, inputs, replace)
            if task.condition and not is_met(task.condition, component, inputs):
                return _not_triggered(record)
        except Exception as error:  # would end the tasks beside it
            return self._fail(record, error)
        if task.loop is None:
            return await self._run_component(task, component, inputs, record)
        return await self._execute(record, "DagExecution", inputs, self._run_loop(task, component, inputs, record))

    def _is_triggered(self, task: Task, upstream: Iterable[Outcome]) -> bool:
        if task.runs_after_failure:
            return True
        return not (self._fails_fast and self._has_failed) and all(outcome.succeeded for outcome in upstream)

    async def _run_component(self, task: Task, component: Component, inputs: Values, record: TaskRecord) -> Outcome:
        if component.dag is not None:
            return await self._execute(record, "DagExecution", inputs, self._run_dag(component.dag, inputs, record))
        if "container" in component.executor:
            container = self._container_task(task, component, inputs, record)
            key = self._cache.key(component, inputs) if task.cached else ""
            work = self._run_container(task, container, key, record)
            outcome = await self._execute(record, "ContainerExecution", inputs, work, log_uri=container.log.as_uri())
            if key and outcome.state == "SUCCEEDED":
                self._cache.put(key, outcome.outputs)
            return outcome
        work = self._run_importer(task, component, inputs, record)
        return await self._execute(record, "ImporterExecution", inputs, work)

    # DAGs and loops

    async def _run_dag(self, dag: Dag, inputs: Values, record: TaskRecord) -> Outcome:
        record.enter("RUNNING")
        running: dict[str, asyncio.Task[Outcome]] = {}

        async def run_when_ready(task: Task) -> Outcome:
            upstream = {key: await running[key] for key in task.upstream}
            return await self._run_task(task, inputs, upstream, record)

        async with asyncio.TaskGroup() as group:
            for task in dag.tasks:
                running[task.key] = group.create_task(run_when_ready(task))
        outcomes = {key: task.result() for key, task in running.items()}
        named = {task.name: outcomes[task.key] for task in dag.tasks}
        return failure(named) or Outcome("SUCCEEDED", dag_outputs(dag, outcomes))

    async def _run_loop(self, task: Task, component: Component, inputs: Values, record: TaskRecord) -> Outcome:
        assert task.loop is not None
        record.enter("RUNNING")
        items = iterations(task.loop, inputs)
        turns = asyncio.Semaphore(task.loop.parallelism or len(items))

        async def run_in_turn(number: int, item: Values) -> Outcome:
            async with turns:
                return await self._run_iteration(task, number, component, item, record)

        async with asyncio.TaskGroup() as group:
            running = [group.create_task(run_in_turn(number, item)) for number, item in enumerate(items)]
        outcomes = [iteration.result() for iteration in running]
        named = {_iteration_name(task, number): outcome for number, outcome in enumerate(outcomes)}
        return failure(named) or Outcome("SUCCEEDED", collected(component, outcomes))

    async def _run_iteration(
        self, task: Task, number: int, component: Component, inputs: Values, parent: TaskRecord
    ) -> Outcome:
        record = self.record.add_task(_iteration_name(task, number), parent)
        if self._fails_fast and self._has_failed:
            return _not_triggered(record)
        try:
            inputs = complete(component, inputs, self._replace(record, task.key))
        except Exception as error:  # would end the tasks beside it
            return self._fail(record, error)
        return await self._run_component(task, component, inputs, record)

    # Executors

    async def _run_importer(self, task: Task, component: Component, inputs: Values, record: TaskRecord) -> Outcome:
        record.enter("RUNNING")
        replace = self._replace(record, task.key)
        return Outcome("SUCCEEDED", import_artifact(component, inputs, replace, self._lineage))

    async def _run_container(self, task: Task, container: ContainerTask, key: str, record: TaskRecord) -> Outcome:
        """Takes the outputs of a container task from the cache, or runs it as often as its retry policy allows."""
        if key and (cached := self._cache.find(key)):
            return Outcome("SKIPPED", cached)
        return Outcome("SUCCEEDED", await self._run_with_retries(task.retry, container, record))

    async def _run_with_retries(self, retry: Retry, container: ContainerTask, record: TaskRecord) -> Values:
        for attempt in range(retry.count):
            try:
                return await self._run_in_slot(container, record)
            except TaskError as error:
                record.enter("PENDING", str(error))
            await asyncio.sleep(min(retry.seconds * retry.factor**attempt, retry.maximum_seconds))
        return await self._run_in_slot(container, record)

    async def _run_in_slot(self, container: ContainerTask, record: TaskRecord) -> Values:
        async with self._slots:
            record.enter("RUNNING")
            return await container.run()

    def _container_task(self, task: Task, component: Component, inputs: Values, record: TaskRecord) -> ContainerTask:
        location, job_id = location_of(self._job.name), self._job.name.rsplit("/", 1)[1]
        root = self._job.runtime_config.gcs_output_directory.rstrip("/")
        return ContainerTask(
            vertex=self._vertex,
            lineage=self._lineage,
            component=component,
            inputs=inputs,
            templates=[name for name in component.parameters if "runtimeValue" in task.parameters.get(name, _DEFAULT)],
            constants=self._task_constants(record, task.key),
            location=location,
            labels={**self._job.labels, "vertex-ai-pipelines-run-billing-id": self._constants["pipeline_job_uuid"]},
            folder_uri=f"{root}/{project_number(location.split('/')[1])}/{job_id}/{task.key}_{record.id}",
            log=logs_folder(self._vertex.home) / job_id / f"{task.key}-{record.id}.log",
        )

    # Placeholders

    def _replace(self, record: TaskRecord, key: str) -> Replace:
        constants = self._task_constants(record, key)

        def replace(value: Any, parameters: Mapping[str, Any]) -> Any:
            known = {"inputs": {"parameterValues": parameters, "artifacts": {}}}
            return Placeholders(constants, known, self._mount.path).in_value(value)

        return replace

    def _task_constants(self, record: TaskRecord, key: str) -> dict[str, str]:
        return {**self._constants, "pipeline_task_name": key, "pipeline_task_uuid": record.uuid}


def _iteration_name(task: Task, number: int) -> str:
    return f"{task.name}-iteration-{number}"


def _not_triggered(record: TaskRecord) -> Outcome:
    record.enter("NOT_TRIGGERED")
    return Outcome("NOT_TRIGGERED")


def _job_constants(job: Any) -> dict[str, str]:
    """The placeholders that are the same for all tasks of a job."""
    _, project, _, location, _, job_id = job.name.split("/")
    created = job.create_time.ToJsonString()
    return {
        "pipeline_job_name": job_id,
        "pipeline_job_resource_name": job.name,
        "pipeline_job_uuid": new_id(),
        "pipeline_job_create_time_utc": created,
        "pipeline_job_schedule_time_utc": created,
        "pipeline_root": job.runtime_config.gcs_output_directory,
        "pipeline_google_cloud_project_id": project,
        "pipeline_google_cloud_location": location,
        "pipeline_service_account": job.service_account,
        "pipeline_network": job.network,
        "pipeline_encryption_key_name": job.encryption_spec.kms_key_name,
        "pipeline_persistent_resource_id": "",
    }
