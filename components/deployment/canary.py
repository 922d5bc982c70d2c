"""Rolls a model version out on an endpoint: in steps, on evidence, and back to the old split on harm.

The controller is a reconciler. Each action reads the endpoint, decides, and writes with the endpoint's etag; what is
needed to go on or back stands in the endpoint's labels (`lease.py`). So it may be killed anywhere. The same task,
started again, returns to the old split and repeats the steps with the model that it has already deployed, or completes
what had been decided. Another rollout that finds the lease expired first undoes, or completes, what the dead one left.
"""

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
from google.cloud.aiplatform_v1 import types

from ..evaluation.verdict import Reason
from ..runtime import InputError, log
from .champion import champion_of, crown, get_version, readable, readable_split, version_name
from .decision import Errors, Judgement, judge
from .endpoint import EndpointTakenError, ForeignSplitError, HeldEndpoint, NotReadyError
from .google_api import RETRY, Clients, location_of
from .lease import Decision, check_free, deployed_model_id, holder_label, job_label
from .plan import MINIMUM_ANSWERS, Plan
from .replay import Call, Row, answers_of, errors_of, replay
from .rollout import rollout_document
from .traffic import Split, is_step_of, restricted, with_challenger

_MAXIMUM_BATCHES = 3
_SECONDS_BETWEEN_LOOKS = 5.0
_ENDED = (
    types.PipelineState.PIPELINE_STATE_SUCCEEDED,
    types.PipelineState.PIPELINE_STATE_FAILED,
    types.PipelineState.PIPELINE_STATE_CANCELLED,
)


def deploy_canary(
    endpoint_name: str,
    model_name: str,
    rows: Sequence[Row],
    plan: Plan,
    *,
    job: str,
    task_name: str,
    operation_started: Callable[[str], None],
) -> dict[str, Any]:
    """Rolls a model version out.

    Args:
        endpoint_name: Resource name of the endpoint.
        model_name: Resource name of the model version, `projects/…/models/ID@VERSION`.
        rows: Held-out rows to replay, from `read_rows`.
        plan: How to roll out.
        job: Resource name of the pipeline job that rolls out.
        task_name: Name of its task that does; with the job the same after a restart.
        operation_started: Called with the URL of the operation that deploys the model.

    Returns:
        The rollout document (`rollout.py`) with the outcome `promoted` or `rolled_back`.

    Raises:
        InputError: If the endpoint or the model does not exist, somebody else holds the endpoint or changes its
            traffic, or Vertex AI refuses the deployment. The traffic is then what it was, or what others have made it.
    """
    plan.check()
    location = location_of(endpoint_name, "endpoints", "endpoint")
    model_location = location_of(model_name, "models", "model")
    if model_location != location:
        raise InputError(
            f"Model {model_name} is in region {model_location!r}, endpoint {endpoint_name} in {location!r}. Use an "
            "endpoint in the model's region."
        )
    clients = Clients(location)
    model = get_version(clients, model_name)
    endpoint = HeldEndpoint(clients, endpoint_name, holder=holder_label(job, task_name), job=job_label(job))
    rollout = _Rollout(
        clients,
        endpoint,
        f"{model.name.split('@')[0]}@{model.version_id}",
        rows,
        plan,
        lambda operation: operation_started(f"https://{clients.host}/v1/{operation}"),
    )
    with _exit_on_sigterm():
        return rollout.run()


class _Rollout:
    def __init__(
        self,
        clients: Clients,
        endpoint: HeldEndpoint,
        model: str,
        rows: Sequence[Row],
        plan: Plan,
        operation_started: Callable[[str], None],
    ) -> None:
        self._clients, self._endpoint, self._model, self._plan = clients, endpoint, model, plan
        self._operation_started = operation_started
        self._rows = cycle(rows)
        self._challenger = ""
        self._calls: list[Call] = []
        self._errors_before: Errors | None = None
        self._steps: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Brings the rollout to its end, from whatever state it is found in."""
        ended = self._begin()
        before = self._readable(self._endpoint.lease.before if ended is None else self._endpoint.split)
        if ended is not None:
            reason = Reason("ended_before", "The rollout had come to its end before this task was started.")
            return self._document(ended, reason, before)
        try:
            decision, reason = self._advance()
            self._decide(decision)
        except EndpointTakenError:
            raise
        except BaseException as error:
            self._abandon(keep_split=isinstance(error, ForeignSplitError))
            raise
        self._complete()
        return self._document(decision, reason, before)

    def _begin(self) -> Decision | None:
        """Takes the endpoint, after ending what a dead rollout has left on it.

        Returns:
            How this rollout has ended, if it has; None if it is to be carried out.
        """
        while True:
            self._wait_until_free()
            lease, split, holder = self._endpoint.lease, self._endpoint.split, self._endpoint.holder
            deployed = self._endpoint.find(readable(self._model))
            self._challenger = deployed.id if deployed else deployed_model_id(holder, self._model)
            mine = (lease.holder, lease.challenger) == (holder, self._challenger)
            try:
                if lease.expires and mine and lease.decision is None:
                    log("returning to the split before: this rollout was interrupted")
                    self._endpoint.hold(self._split_before())
                    return None
                if lease.expires:
                    log(f"completing the rollout that {lease.holder!r} has left unfinished")
                    self._decide(lease.decision or "rolled-back")
                    self._complete()
                    continue
                if mine and lease.decision:
                    return lease.decision
                if split == {self._challenger: 100}:
                    crown(self._clients, self._model, None)
                    return "promoted"
                self._check_without_traffic(split)
                self._endpoint.hold(split, challenger=self._challenger, decision=None, before=split)
                return None
            except (EndpointTakenError, ForeignSplitError):
                log("the endpoint was changed meanwhile; reading it again")

    def _wait_until_free(self) -> None:
        """Reads the endpoint until no other rollout holds it, and not longer than the plan allows."""
        deadline = time.monotonic() + self._plan.maximum_wait_seconds
        while True:
            self._endpoint.read()
            try:
                return check_free(
                    self._endpoint.lease, self._endpoint.holder, time.time(), self._endpoint.name, self._has_ended
                )
            except InputError as error:
                if time.monotonic() >= deadline:
                    raise
                log(f"waiting: {error}")
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _has_ended(self, job: str) -> bool:
        """Whether a pipeline job beside the endpoint is known to have ended."""
        location = self._endpoint.name.split("/endpoints/")[0]
        try:
            found = self._clients.pipelines.get_pipeline_job(name=f"{location}/pipelineJobs/{job}", retry=RETRY)
        except (NotFound, PermissionDenied):
            return False
        return found.state in _ENDED

    def _check_without_traffic(self, split: Split) -> None:
        if self._challenger in split:
            raise InputError(
                f"Model version {readable(self._model)} already has {split[self._challenger]} % of the traffic of "
                f"endpoint {self._endpoint.name}, which no rollout gave it. Set its share to 0 or 100, then try again."
            )

    def _advance(self) -> tuple[Decision, Reason]:
        """Deploys the challenger and gives it traffic in steps, up to 100 % or to the first harm."""
        self._check_without_traffic(self._endpoint.split)
        before = self._endpoint.lease.before
        if self._plan.drill and not before:
            raise InputError(
                f"drill is {self._plan.drill!r}, but nothing serves on endpoint {self._endpoint.name}, so there is no "
                "model to go back to. Deploy a model without a drill first."
            )
        try:
            self._deploy()
        except NotReadyError as error:
            return "rolled-back", Reason("not_ready", f"The model did not become ready to serve: {error}")
        if before:
            self._observe_before()
        steps = self._plan.steps if before else [100]
        for percent in steps:
            self._endpoint.hold(with_challenger(before, self._challenger, percent))
            if harm := self._observe(percent):
                return "rolled-back", Reason(harm.code, f"At {percent} % of the traffic: {harm.text}")
        if not before:
            return "promoted", Reason("first_model", "Nothing served before, and the model answers without errors.")
        shares = ", ".join(str(percent) for percent in steps)
        found = f"No harm was found at {shares} % of the traffic"
        if self._plan.drill:
            text = f"{found}, though the model does it on purpose (drill {self._plan.drill!r}): it is taken back."
            return "rolled-back", Reason("drill_missed", text)
        return "promoted", Reason("no_harm", f"{found}.")

    def _deploy(self) -> None:
        if self._challenger in self._endpoint.deployed:
            return
        log(f"deploying {readable(self._model)}")
        resources = types.DedicatedResources(
            machine_spec=types.MachineSpec(machine_type=self._plan.machine_type),
            min_replica_count=self._plan.min_replica_count,
            max_replica_count=self._plan.max_replica_count,
        )
        deployed_model = types.DeployedModel(id=self._challenger, model=self._model, dedicated_resources=resources)
        self._endpoint.deploy(deployed_model, self._operation_started)

    def _observe_before(self) -> None:
        """Replays a batch before the challenger gets traffic: the control of the errors."""
        started = datetime.now(UTC)
        self._calls = self._replay()
        self._errors_before = errors_of(self._calls)
        self._record(0, started, self._calls, Judgement(None))

    def _observe(self, percent: int) -> Reason | None:
        """Replays rows at one step, judges what came of it, and returns the harm, if any."""
        started, calls = datetime.now(UTC), list[Call]()
        for _ in range(_MAXIMUM_BATCHES):
            calls += self._replay()
            judgement = self._judge(percent, calls)
            answered = sum(call.deployed_model_id == self._challenger for call in calls)
            if judgement.harm or answered >= MINIMUM_ANSWERS:
                break
        else:
            text = f"The challenger answered {answered} of {len(calls):,} requests at {percent} % of the traffic"
            harm = Reason("no_evidence", f"{text}; {MINIMUM_ANSWERS} answers are needed to judge it.")
            judgement = Judgement(harm, judgement.p_values)
        if percent == 100 and judgement.harm and judgement.harm.code == "latency":
            log(f"looking again, since nothing serves beside it to compare with: {judgement.harm.text}")
            started, calls = datetime.now(UTC), self._replay()
            judgement = self._judge(percent, calls)
        self._calls += calls
        self._record(percent, started, calls, judgement)
        return judgement.harm

    def _replay(self) -> list[Call]:
        return replay(self._clients.predictions, self._endpoint.name, self._rows, self._plan.requests_per_step)

    def _judge(self, percent: int, calls: list[Call]) -> Judgement:
        champions = self._endpoint.lease.before
        return judge(
            errors_of(calls),
            self._errors_before,
            challenger=answers_of(calls, [self._challenger]),
            champion=answers_of(calls if percent < 100 else self._calls, champions),
            limits=self._plan.limits,
            steps=len(self._plan.steps),
        )

    def _record(self, percent: int, started: datetime, calls: list[Call], judgement: Judgement) -> None:
        seconds = (datetime.now(UTC) - started).total_seconds()
        errors = errors_of(calls)
        step = {
            "percent": percent,
            "started": started.isoformat(timespec="milliseconds"),
            "seconds": round(seconds, 3),
            "split": self._readable(self._endpoint.split),
            "requests": errors.requests,
            "errors": errors.failed,
            "distinct_rows": len({call.row.number for call in calls}),
            "champion": _arm(calls, self._endpoint.lease.before),
            "challenger": _arm(calls, [self._challenger]),
            "decision": "roll_back" if judgement.harm else "proceed",
            "p_values": judgement.p_values,
        }
        self._steps.append(step)
        log(
            f"{percent} % of the traffic: {errors.requests:,} requests, {errors.failed:,} errors: {step['decision']}",
            first_error=next((call.error for call in calls if call.error), None),
            **{name: step[name] for name in ("champion", "challenger", "p_values")},
        )

    def _decide(self, decision: Decision) -> None:
        """Writes down how the rollout ends, together with the split that goes with it."""
        promoted = decision == "promoted"
        self._endpoint.hold(self._endpoint.split if promoted else self._split_before(), decision=decision)

    def _split_before(self) -> Split:
        """The split to go back to: that of before, unless somebody else has set another meanwhile."""
        lease, split = self._endpoint.lease, self._endpoint.split
        if lease.challenger not in split or not is_step_of(split, lease.before, lease.challenger):
            return split
        serving = restricted(lease.before, self._endpoint.deployed)
        return serving if serving or not lease.before else split

    def _complete(self) -> None:
        """Does what follows from the decision that the labels hold, and gives the lease back. May be repeated."""
        lease = self._endpoint.lease
        if lease.decision == "promoted":
            self._move_aliases()
        replaced: Collection[str] = lease.before if lease.decision == "promoted" else [lease.challenger]
        for idle in sorted(set(replaced) - set(self._endpoint.split)):
            self._endpoint.undeploy(idle)
        self._endpoint.release()

    def _move_aliases(self) -> None:
        lease, deployed = self._endpoint.lease, self._endpoint.deployed
        if lease.challenger in deployed:
            former = champion_of(deployed.values(), lease.before, self._clients)
            crown(self._clients, version_name(deployed[lease.challenger]), former)

    def _abandon(self, *, keep_split: bool) -> None:
        """After an error: back to the old split, and the endpoint free for the next attempt."""
        try:
            self._endpoint.read()
            if not self._endpoint.held:
                return
            if self._endpoint.lease.decision is None and not keep_split:
                self._endpoint.hold(self._split_before())
            self._complete()
        except (GoogleAPIError, InputError) as error:
            log(f"the endpoint could not be put back ({error}); the next rollout does it once the lease has expired")

    def _readable(self, split: Split) -> dict[str, int]:
        return readable_split(split, self._endpoint.deployed.values())

    def _document(self, decision: Decision, reason: Reason, before: Mapping[str, int]) -> dict[str, Any]:
        return rollout_document(
            "promoted" if decision == "promoted" else "rolled_back",
            reason,
            challenger=readable(self._model),
            split_before=before,
            split_after=self._readable(self._endpoint.split),
            steps=self._steps,
        )


def _arm(calls: list[Call], deployed_model_ids: Collection[str]) -> dict[str, float | None]:
    """What some deployed models have answered, for the document."""
    answers = answers_of(calls, deployed_model_ids)
    own = [call for call in calls if call.deployed_model_id in deployed_model_ids]
    return {
        "requests": len(own),
        "errors": errors_of(own).failed,
        "labelled": answers.labelled,
        "correct": answers.correct,
        "accuracy": answers.accuracy,
        "latency_p50_ms": answers.latency_ms(0.5),
        "latency_p95_ms": answers.latency_ms(0.95),
    }


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Turns SIGTERM, with which Vertex AI cancels a task, into `SystemExit`, so that the endpoint is put back first."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may handle signals.
        return

    def terminate(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
