"""How a model is rolled out, and the check that it can be carried out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..prediction.drill import check_drill
from ..runtime import InputError
from .decision import Limits

MINIMUM_ANSWERS = 10


def whole_numbers(values: Sequence[Any]) -> list[Any]:
    """The values with 10 for 10.0, as KFP may write whole numbers in a list parameter. Others stay as they are."""
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]


@dataclass(frozen=True)
class Plan:
    """How a model is rolled out.

    Attributes:
        steps: The challenger's percentages of the traffic, increasing, the last one 100.
        requests_per_step: Requests that are replayed at each step.
        machine_type: Compute Engine machine type of the challenger's replicas.
        min_replica_count: Replicas that always run.
        max_replica_count: Replicas to which Vertex AI may scale.
        limits: What counts as harm.
        maximum_wait_seconds: How long to wait for an endpoint that another rollout holds.
        drill: What the challenger does wrong on purpose; then it is taken back in any case. Empty for no drill.
    """

    steps: Sequence[int] = (10, 50, 100)
    requests_per_step: int = 200
    machine_type: str = "n1-standard-2"
    min_replica_count: int = 1
    max_replica_count: int = 1
    limits: Limits = field(default_factory=Limits)
    maximum_wait_seconds: int = 3600
    drill: str = ""

    def check(self) -> None:
        """Refuses what cannot be carried out.

        Raises:
            InputError: If a value is out of range, a step too small for its number of requests, or there is no such
                drill.
        """
        check_drill(self.drill)
        steps = list(self.steps)
        valid = all(type(step) is int and 1 <= step <= 100 for step in steps)
        if not valid or steps != sorted(set(steps)) or steps[-1:] != [100]:
            raise InputError(
                f"steps is {steps}; expected increasing whole percentages that end in 100, such as [10, 50, 100]."
            )
        needed = -(-MINIMUM_ANSWERS * 100 // steps[0])
        if self.requests_per_step < needed:
            raise InputError(
                f"requests_per_step is {self.requests_per_step}; at {steps[0]} % of the traffic at least {needed} are "
                f"needed for about {MINIMUM_ANSWERS} answers of the challenger. Raise it, or begin with a larger step."
            )
        if not 1 <= self.min_replica_count <= self.max_replica_count:
            raise InputError(
                f"min_replica_count is {self.min_replica_count} and max_replica_count {self.max_replica_count}; "
                "expected at least 1, and the first not above the second."
            )
        if self.maximum_wait_seconds < 0:
            raise InputError(f"maximum_wait_seconds is {self.maximum_wait_seconds}; expected 0 (no waiting) or more.")
        if not 0 < self.limits.significance_level < 1:
            raise InputError(f"significance_level is {self.limits.significance_level}; expected between 0 and 1.")
        if not (self.limits.maximum_latency_ratio >= 1 and self.limits.latency_floor_ms >= 0):
            raise InputError(
                f"maximum_latency_ratio is {self.limits.maximum_latency_ratio} and latency_floor_ms "
                f"{self.limits.latency_floor_ms}; expected at least 1 and at least 0."
            )
