"""Rollouts on the local Vertex AI, with models that are really served: the good are promoted, the bad taken back."""

from dataclasses import replace

import pytest

from seatrial.components.deployment.champion import readable
from seatrial.components.deployment.lease import Lease, read_lease, write_lease
from seatrial.components.deployment.plan import Plan
from seatrial.components.deployment.replay import Row
from seatrial.components.runtime import InputError

from .conftest import LIMITS, QUICK

THREE_STEPS = Plan(steps=[10, 50, 100], requests_per_step=100, limits=LIMITS)


def test_a_good_challenger_takes_the_traffic_in_steps(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")

    rollout = registry.roll_out(challenger, plan=THREE_STEPS)

    assert rollout["outcome"] == "promoted"
    assert rollout["split_before"] == {readable(champion): 100}
    assert rollout["split_after"] == {readable(challenger): 100}
    assert [step["percent"] for step in rollout["steps"]] == [0, 10, 50, 100]
    assert registry.split() == {readable(challenger): 100}
    assert registry.deployed() == [readable(challenger)]


def test_each_step_says_what_both_models_did(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")

    before, first, half, last = registry.roll_out(challenger, plan=THREE_STEPS)["steps"]

    assert before["champion"]["requests"] == 100
    assert before["challenger"]["requests"] == 0
    assert half["split"] == {readable(champion): 50, readable(challenger): 50}
    assert half["champion"]["requests"] + half["challenger"]["requests"] == half["requests"] == 100
    assert half["champion"]["accuracy"] == half["challenger"]["accuracy"] == 1
    assert half["challenger"]["correct"] == half["challenger"]["labelled"] == half["challenger"]["requests"]
    assert half["challenger"]["latency_p95_ms"] >= half["challenger"]["latency_p50_ms"] > 0
    assert set(first["p_values"]) == {"errors", "quality", "latency"}
    assert last["challenger"]["requests"] == 100
    assert last["distinct_rows"] == 100


def test_promotion_moves_the_aliases(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")

    registry.roll_out(challenger)

    assert registry.aliases(challenger) == {"champion"}
    assert registry.aliases(champion) == {"previous"}


def test_the_first_model_gets_all_traffic_once_it_is_ready(registry):
    model = registry.upload("good")

    rollout = registry.roll_out(model)

    assert rollout["outcome"] == "promoted"
    assert rollout["reason"]["code"] == "first_model"
    assert rollout["split_before"] == {}
    assert [step["percent"] for step in rollout["steps"]] == [100]
    assert registry.split() == {readable(model): 100}
    assert registry.aliases(model) == {"champion"}


@pytest.mark.parametrize(
    ("behaviour", "codes"),
    [
        (["errors"], ["errors"]),
        (["wrong"], ["quality"]),
        (["garbage"], ["errors"]),
        (["slow"], ["latency"]),
        # How many answers it fails, and how many it still gives, is a matter of how soon its replica is up again.
        (["crash", "3"], ["errors", "no_evidence"]),
        (["crash", "30"], ["errors"]),
    ],
    ids=" ".join,
)
def test_a_bad_challenger_is_taken_back(registry, serving, behaviour, codes):
    champion, challenger = serving("good"), registry.upload(*behaviour)

    rollout = registry.roll_out(challenger, plan=THREE_STEPS)

    assert rollout["outcome"] == "rolled_back"
    assert rollout["reason"]["code"] in codes, rollout["steps"]
    assert rollout["steps"][-1]["decision"] == "roll_back"
    assert registry.split() == rollout["split_after"] == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]
    assert registry.aliases(champion) == {"champion"}
    assert registry.aliases(challenger) == {"challenger"}


def test_slowness_that_passes_while_nothing_else_serves_is_not_held_against_the_challenger(registry, serving):
    serving("good")
    plan = Plan(steps=[100], requests_per_step=40, limits=LIMITS)

    rollout = registry.roll_out(registry.upload("slow-at-first", "40"), plan=plan)

    assert rollout["outcome"] == "promoted"
    assert rollout["steps"][-1]["challenger"]["latency_p95_ms"] < LIMITS.latency_floor_ms, "it was looked at again"


def test_the_model_of_a_drill_is_taken_back_even_if_no_harm_is_seen(registry, serving):
    champion = serving("good")

    rollout = registry.roll_out(registry.upload("good"), plan=replace(QUICK, drill="slow"))

    assert rollout["outcome"] == "rolled_back"
    assert rollout["reason"]["code"] == "drill_missed"
    assert registry.split() == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]


def test_a_drill_is_refused_where_nothing_serves(registry):
    with pytest.raises(InputError, match="drill is 'slow', but nothing serves"):
        registry.roll_out(registry.upload("good"), plan=replace(QUICK, drill="slow"))

    assert registry.deployed() == []


def test_a_challenger_that_never_gets_ready_gets_no_traffic(registry, serving):
    champion, challenger = serving("good"), registry.upload("never-ready", seconds_to_get_ready=1)

    rollout = registry.roll_out(challenger)

    assert rollout["outcome"] == "rolled_back"
    assert rollout["reason"]["code"] == "not_ready"
    assert rollout["steps"] == []
    assert registry.split() == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]


def test_a_first_model_that_fails_leaves_the_endpoint_empty(registry):
    rollout = registry.roll_out(registry.upload("errors"))

    assert rollout["outcome"] == "rolled_back"
    assert registry.split() == {}
    assert registry.deployed() == []


def test_a_champion_that_fails_does_not_stop_its_replacement(registry, serving):
    serving("errors")
    challenger = registry.upload("good")

    assert registry.roll_out(challenger)["outcome"] == "promoted"
    assert registry.split() == {readable(challenger): 100}


def test_a_rollback_returns_to_a_split_among_several_models(registry):
    first, second = registry.upload("good"), registry.upload("good")
    registry.deploy(first)
    registry.deploy(second, percent=30)

    rollout = registry.roll_out(registry.upload("errors"), plan=THREE_STEPS)

    assert rollout["steps"][-1]["split"][readable(first)] == 63
    assert registry.split() == {readable(first): 70, readable(second): 30}


def test_without_labels_only_errors_and_latency_are_judged(registry, serving):
    serving("good")
    rows = [Row(number, f"review {number} good", None) for number in range(50)]

    rollout = registry.roll_out(registry.upload("wrong"), rows=rows)

    assert rollout["outcome"] == "promoted"
    assert {step["p_values"].get("quality") for step in rollout["steps"]} == {None}
    assert rollout["steps"][-1]["challenger"]["accuracy"] is None


def test_rows_that_are_sent_again_are_no_new_evidence(registry, serving):
    serving("good")
    rows = [Row(0, "a review good", "good"), Row(1, "a review bad", "bad")]

    rollout = registry.roll_out(registry.upload("wrong"), rows=rows)

    assert rollout["outcome"] == "promoted", "two rows cannot show that a model is worse"
    assert rollout["steps"][-1]["distinct_rows"] == 2


def test_a_version_that_serves_already_is_not_deployed_again(registry, serving):
    model = serving("good")

    rollout = registry.roll_out(model)

    assert rollout["outcome"] == "promoted"
    assert rollout["reason"]["code"] == "ended_before"
    assert len(registry.deployed()) == 1


def test_a_version_that_was_deployed_without_traffic_is_not_deployed_again(registry, serving):
    serving("good")
    challenger = registry.upload("good")
    registry.deploy(challenger, percent=0)

    assert registry.roll_out(challenger)["outcome"] == "promoted"
    assert registry.deployed() == [readable(challenger)]


def test_the_lease_is_given_back_and_other_labels_stay(registry, serving):
    serving("good")
    registry.update(labels={"team": "reviews"})

    registry.roll_out(registry.upload("good"))

    labels = dict(registry.read().labels)
    assert labels["team"] == "reviews"
    assert read_lease(labels).expires == 0
    assert read_lease(labels).before == {}


def test_a_second_rollout_is_told_who_holds_the_endpoint(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")
    registry.update(labels=write_lease({}, Lease("somebody", 4_000_000_000)))

    with pytest.raises(InputError, match=r"held by the rollout 'somebody' until 2096-10-02"):
        registry.roll_out(challenger, plan=Plan(maximum_wait_seconds=0))

    assert registry.split() == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]


def test_a_version_with_a_share_that_no_rollout_gave_it_is_refused(registry, serving):
    serving("good")
    challenger = registry.upload("good")
    registry.deploy(challenger, percent=30)

    with pytest.raises(InputError, match=r"already has 30 % of the traffic"):
        registry.roll_out(challenger)

    assert registry.split()[readable(challenger)] == 30


def test_a_missing_endpoint_is_a_clear_error(registry):
    model = registry.upload("good")
    registry.endpoint += "0"
    try:
        with pytest.raises(InputError, match=r"Endpoint .*0 does not exist"):
            registry.roll_out(model)
    finally:
        registry.endpoint = registry.endpoint[:-1]


def test_a_missing_model_version_is_a_clear_error(registry):
    model = registry.upload("good")

    with pytest.raises(InputError, match=r"Model .*@9 does not exist"):
        registry.roll_out(model.replace("@1", "@9"))


def test_a_model_of_another_region_is_a_clear_error(registry):
    model = registry.upload("good").replace("us-central1", "europe-west4")

    with pytest.raises(InputError, match=r"is in region 'europe-west4', endpoint .* in 'us-central1'"):
        registry.roll_out(model)


def test_a_plan_that_cannot_be_carried_out_changes_nothing(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")

    with pytest.raises(InputError, match="steps"):
        registry.roll_out(challenger, plan=Plan(steps=[10, 50]))

    assert registry.deployed() == [readable(champion)]
    assert dict(registry.read().labels) == {}
