"""The rollout's state in the endpoint's labels: who may change the traffic, until when, and what there was before.

Labels and traffic split are written in one update that carries the endpoint's etag. So whoever reads an endpoint sees
one consistent state, two controllers cannot both believe that they hold it, and a controller that was killed leaves
behind all that its successor needs to finish the rollout or to undo it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from ..runtime import InputError
from .traffic import Split

Decision = Literal["promoted", "rolled-back"]

_HOLDER = "seatrial-lease-holder"
_EXPIRES = "seatrial-lease-expires"
_JOB = "seatrial-lease-job"
_CHALLENGER = "seatrial-rollout-challenger"
_DECISION = "seatrial-rollout-decision"
_BEFORE = "seatrial-rollout-before-"
_MAXIMUM_LABEL_LENGTH = 63


@dataclass(frozen=True)
class Lease:
    """What the labels say of the endpoint's latest rollout.

    Attributes:
        holder: Who rolls out: `holder_label` of the job and task; empty if there was never a rollout.
        expires: Unix time in seconds until which the endpoint is the holder's; 0 once the lease is released.
        job: Id of the holder's pipeline job; empty if it is too long for a label.
        challenger: Deployed-model id of the model that is rolled out.
        decision: How the rollout ends; None while that is open.
        before: The traffic split to which a rollback returns.
    """

    holder: str = ""
    expires: int = 0
    job: str = ""
    challenger: str = ""
    decision: Decision | None = None
    before: Split = field(default_factory=dict)

    def released(self) -> "Lease":
        """The lease given back. Holder, challenger and decision stay: they tell a retried task that all is done."""
        return replace(self, expires=0, before={})


def read_lease(labels: Mapping[str, str]) -> Lease:
    """Reads the rollout's state from an endpoint's labels; values that are not ours count as absent."""
    decision = labels.get(_DECISION)
    return Lease(
        holder=labels.get(_HOLDER, ""),
        expires=_number(labels.get(_EXPIRES, "")),
        job=labels.get(_JOB, ""),
        challenger=labels.get(_CHALLENGER, ""),
        decision=decision if decision in ("promoted", "rolled-back") else None,  # type: ignore[arg-type]
        before={
            key.removeprefix(_BEFORE): _number(value)
            for key, value in labels.items()
            if key.startswith(_BEFORE) and _number(value)
        },
    )


def write_lease(labels: Mapping[str, str], lease: Lease) -> dict[str, str]:
    """The endpoint's labels with the rollout's state in them; all other labels stay as they are."""
    others = {
        key: value
        for key, value in labels.items()
        if key not in (_HOLDER, _EXPIRES, _JOB, _CHALLENGER, _DECISION) and not key.startswith(_BEFORE)
    }
    ours = {
        _HOLDER: lease.holder,
        _EXPIRES: str(lease.expires) if lease.expires else "",
        _JOB: lease.job,
        _CHALLENGER: lease.challenger,
        _DECISION: lease.decision or "",
        **{f"{_BEFORE}{model}": str(percent) for model, percent in lease.before.items()},
    }
    return others | {key: value for key, value in ours.items() if value}


def check_free(lease: Lease, holder: str, now: float, endpoint: str, has_ended: Callable[[str], bool]) -> None:
    """Refuses an endpoint that another rollout holds.

    Args:
        lease: What the endpoint's labels say.
        holder: Who wants it; the same holder may come back, as a task does that was restarted.
        now: Unix time in seconds.
        endpoint: The endpoint's resource name, for the error.
        has_ended: Tells of a pipeline job, by its id, whether it is known to have ended: its lease is void then.

    Raises:
        InputError: If a lease of another holder has not expired and its job may still run.
    """
    if lease.holder == holder or lease.expires <= now or (lease.job and has_ended(lease.job)):
        return
    until = datetime.fromtimestamp(lease.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    raise InputError(
        f"Endpoint {endpoint} is held by the rollout {lease.holder!r} until {until}, and longer while that works. Wait "
        "until it is over, or cancel its pipeline job."
    )


def job_label(job: str) -> str:
    """The id of a pipeline job as a label value; empty if it is too long for one."""
    job_id = job.rsplit("/", 1)[-1]
    return job_id if re.fullmatch(rf"[a-z][a-z0-9-]{{0,{_MAXIMUM_LABEL_LENGTH - 1}}}", job_id) else ""


def holder_label(job: str, task_name: str) -> str:
    """The name under which a task holds an endpoint: a valid label value that is the same after a restart.

    Args:
        job: Resource name of the pipeline job.
        task_name: Name of the task in the pipeline.
    """
    readable = re.sub(r"[^a-z0-9_-]", "-", f"{job.rsplit('/', 1)[-1]}_{task_name}".lower())
    digest = hashlib.sha256(f"{job}\n{task_name}".encode()).hexdigest()[:8]
    return f"{readable[: _MAXIMUM_LABEL_LENGTH - 9]}-{digest}"


def deployed_model_id(holder: str, model_version: str) -> str:
    """The id under which a rollout deploys its model: ten digits, the same after a restart.

    A second DeployModel call with the same id cannot deploy the model twice, even while the first is still at work.
    """
    digest = hashlib.sha256(f"{holder}\n{model_version}".encode()).digest()
    return str(10**9 + int.from_bytes(digest[:8]) % (9 * 10**9))


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else 0
