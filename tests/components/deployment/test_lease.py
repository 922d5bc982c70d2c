"""The lease on an endpoint: what stands in the labels, whom it keeps out, and for how long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.deployment.lease import (
    Lease,
    check_free,
    deployed_model_id,
    holder_label,
    job_label,
    read_lease,
    write_lease,
)
from seatrial.components.deployment.traffic import scaled
from seatrial.components.runtime import InputError

ENDPOINT = "projects/p/locations/us-central1/endpoints/7"
JOB = "projects/p/locations/us-central1/pipelineJobs/train-and-deploy-20260102"
NOW = 1_700_000_000

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)
LEASES = st.builds(
    Lease,
    holder=LABEL,
    expires=st.integers(0, 10**12),
    job=LABEL,
    challenger=st.from_regex(r"[0-9]{1,19}", fullmatch=True),
    decision=st.sampled_from([None, "promoted", "rolled-back"]),
    before=st.dictionaries(st.from_regex(r"[0-9]{1,19}", fullmatch=True), st.integers(1, 100), max_size=5).map(
        lambda weights: scaled(weights, 100) if weights else {}
    ),
)
OTHER_LABELS = st.dictionaries(LABEL.filter(lambda key: not key.startswith("seatrial-")), LABEL, max_size=4)


def never_ended(job: str) -> bool:
    return False


@given(LEASES, OTHER_LABELS)
def test_what_is_written_is_read_and_other_labels_stay(lease, others):
    labels = write_lease(others, lease)

    assert read_lease(labels) == lease
    assert {key: labels[key] for key in others} == others


@given(LEASES, LEASES, OTHER_LABELS)
def test_nothing_of_an_earlier_rollout_is_left(earlier, lease, others):
    assert write_lease(write_lease(others, earlier), lease) == write_lease(others, lease)


@given(LEASES)
def test_all_labels_are_valid_on_vertex(lease):
    for key, value in write_lease({}, lease).items():
        assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key)
        assert re.fullmatch(r"[a-z0-9_-]{1,63}", value)


def test_labels_that_are_no_lease_read_as_none():
    labels = {"team": "reviews", "seatrial-lease-expires": "tomorrow", "seatrial-rollout-decision": "maybe"}

    assert read_lease(labels) == Lease()


@pytest.mark.parametrize(
    "lease",
    [
        pytest.param(Lease(), id="never held"),
        pytest.param(Lease("other", 0), id="released"),
        pytest.param(Lease("other", NOW), id="expired"),
        pytest.param(Lease("me", NOW + 600), id="held by the same task, which was restarted"),
    ],
)
def test_an_endpoint_that_nobody_else_holds_is_free(lease):
    check_free(lease, "me", NOW, ENDPOINT, never_ended)


def test_a_live_lease_keeps_others_out_and_says_who_holds_it_until_when():
    with pytest.raises(InputError, match=r"endpoints/7 is held by the rollout 'other' until 2023-11-14 22:23:20 UTC"):
        check_free(Lease("other", NOW + 600), "me", NOW, ENDPOINT, never_ended)


def test_the_lease_of_a_job_that_has_ended_is_void():
    lease = Lease("other", NOW + 600, job="ended")

    check_free(lease, "me", NOW, ENDPOINT, lambda job: job == "ended")


def test_a_released_lease_still_tells_how_the_rollout_ended():
    released = Lease("me", NOW, "job", "12", "rolled-back", {"7": 100}).released()

    assert released == Lease("me", 0, "job", "12", "rolled-back", {})


@given(st.text(max_size=200), st.text(max_size=200))
def test_every_holder_has_a_valid_label(job, task_name):
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", holder_label(job, task_name))


def test_holders_differ_by_job_and_by_task_and_can_be_read():
    label = holder_label(JOB, "deploy-canary")

    assert label.startswith("train-and-deploy-20260102_deploy-canary-")
    assert label == holder_label(JOB, "deploy-canary")
    assert len({label, holder_label(JOB, "deploy-canary-2"), holder_label(JOB + "x", "deploy-canary")}) == 3


def test_a_job_id_that_is_too_long_for_a_label_is_left_out():
    assert job_label(JOB) == "train-and-deploy-20260102"
    assert job_label("a" * 64) == ""


@given(st.text(), st.text())
def test_deployed_models_get_ids_that_vertex_allows_and_that_stay_the_same(holder, version):
    assert re.fullmatch(r"[1-9][0-9]{9}", deployed_model_id(holder, version))
    assert deployed_model_id(holder, version) == deployed_model_id(holder, version)
