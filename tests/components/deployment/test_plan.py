"""A rollout that cannot be carried out is refused before anything changes."""

import pytest

from seatrial.components.deployment.decision import Limits
from seatrial.components.deployment.plan import Plan
from seatrial.components.runtime import InputError


def test_the_default_plan_can_be_carried_out():
    Plan().check()


@pytest.mark.parametrize(
    "steps",
    [[], [10, 50], [50, 10, 100], [10, 10, 100], [0, 100], [-5, 100], [10, 101], [0.1, 100], [True, 100], ["a"]],
)
def test_steps_must_increase_and_end_in_100(steps):
    with pytest.raises(InputError, match=r"expected increasing whole percentages that end in 100"):
        Plan(steps=steps).check()


def test_a_step_must_give_the_challenger_enough_requests():
    Plan(steps=[5, 100], requests_per_step=200).check()
    with pytest.raises(InputError, match=r"requests_per_step is 199; at 5 % of the traffic at least 200 are needed"):
        Plan(steps=[5, 100], requests_per_step=199).check()


@pytest.mark.parametrize("counts", [(0, 1), (2, 1)])
def test_replica_counts_must_be_possible(counts):
    with pytest.raises(InputError, match="min_replica_count"):
        Plan(min_replica_count=counts[0], max_replica_count=counts[1]).check()


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(significance_level=0), "significance_level"),
        (Limits(significance_level=1), "significance_level"),
        (Limits(maximum_latency_ratio=0.5), "maximum_latency_ratio"),
        (Limits(latency_floor_ms=-1), "latency_floor_ms"),
        (Limits(maximum_latency_ratio=float("nan")), "maximum_latency_ratio"),
    ],
)
def test_limits_must_be_in_range(limits, name):
    with pytest.raises(InputError, match=name):
        Plan(limits=limits).check()
