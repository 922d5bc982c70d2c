"""Rollouts that are killed, repeated, met by others or by hand: they end as undisturbed ones do, or step back."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.cloud.aiplatform_v1 import types

from seatrial.components.deployment.champion import readable
from seatrial.components.deployment.endpoint import EndpointTakenError, ForeignSplitError
from seatrial.components.deployment.lease import Lease, holder_label, read_lease, write_lease
from seatrial.components.deployment.plan import Plan
from seatrial.components.runtime import InputError

from .conftest import LIMITS, PARENT, RESOURCES, Registry, run_job

PROGRAM = str(Path(__file__).parent / "rollout_process.py")
JOB = f"{PARENT}/pipelineJobs/rollout"
HOLDER = holder_label(JOB, "deploy-canary")
LONG_STEPS = Plan(requests_per_step=300, limits=LIMITS)
NEVER = 4_000_000_000


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "the awaited state did not come"
        time.sleep(0.02)


@contextmanager
def rollout_process(registry: Registry, model: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, PROGRAM, registry.endpoint, model, JOB, "300"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def leave_behind(registry: Registry, lease: Lease, split: dict[str, int]) -> None:
    """Puts the endpoint into the state in which a controller that is dead by now has left it."""
    registry.update(labels=write_lease(registry.read().labels, lease), traffic_split=split)


def deploy_idle(registry: Registry, model: str, deployed_model_id: str) -> str:
    deployed = types.DeployedModel(id=deployed_model_id, model=model, dedicated_resources=RESOURCES)
    registry.clients.endpoints.deploy_model(endpoint=registry.endpoint, deployed_model=deployed).result()
    return deployed_model_id


@pytest.mark.parametrize(
    "reached",
    [
        pytest.param(lambda registry, model: read_lease(registry.read().labels).expires, id="once it holds the lease"),
        pytest.param(lambda registry, model: registry.split().get(readable(model)) == 10, id="at 10 percent"),
        pytest.param(lambda registry, model: registry.split().get(readable(model)) == 100, id="at 100 percent"),
    ],
)
def test_a_task_that_was_killed_and_is_started_again_ends_as_if_it_had_not_been(registry, serving, reached):
    champion, challenger = serving("good"), registry.upload("good")
    with rollout_process(registry, challenger) as process:
        wait_until(lambda: reached(registry, challenger) or process.poll() is not None)
        process.kill()

    rollout = registry.roll_out(challenger)

    assert rollout["outcome"] == "promoted"
    assert rollout["split_before"] == {readable(champion): 100}
    assert registry.split() == {readable(challenger): 100}
    assert registry.deployed() == [readable(challenger)]
    assert registry.aliases(champion) == {"previous"}


def test_a_cancelled_rollout_puts_the_traffic_back_before_it_ends(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")
    with rollout_process(registry, challenger) as process:
        wait_until(lambda: registry.split().get(readable(challenger)) == 50 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM

    assert registry.split() == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]
    assert read_lease(registry.read().labels).expires == 0


def test_a_deployment_that_is_under_way_is_waited_for_and_not_repeated(registry, serving):
    serving("good")
    challenger = registry.upload("slow-start")

    def stop(url: str) -> None:
        raise ConnectionError(f"the task lost its machine after it had started {url}")

    with pytest.raises(ConnectionError):
        registry.roll_out(challenger, operation_started=stop)
    lease = read_lease(registry.read().labels)
    rollout = registry.roll_out(challenger)

    assert lease.challenger, "the one who comes next must know what is being deployed"
    assert rollout["outcome"] == "promoted"
    assert registry.deployed() == [readable(challenger)]


def test_a_decided_promotion_is_completed_by_the_restarted_task(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")
    (old,) = registry.read().traffic_split
    new = deploy_idle(registry, challenger, "12")
    leave_behind(registry, Lease(HOLDER, NEVER, "rollout", new, "promoted", {old: 100}), {new: 100})

    rollout = registry.roll_out(challenger)

    assert rollout["outcome"] == "promoted"
    assert registry.deployed() == [readable(challenger)]
    assert registry.aliases(challenger) == {"champion"}
    assert registry.aliases(champion) == {"previous"}


def test_a_decided_rollback_is_completed_by_the_restarted_task(registry, serving):
    champion = serving("good")
    errors = registry.upload("errors")
    assert registry.roll_out(errors)["outcome"] == "rolled_back"
    lease = read_lease(registry.read().labels)
    (old,) = registry.read().traffic_split
    deploy_idle(registry, errors, lease.challenger)
    leave_behind(registry, Lease(HOLDER, NEVER, "rollout", lease.challenger, "rolled-back", {old: 100}), {old: 100})

    rollout = registry.roll_out(errors)

    assert rollout["outcome"] == "rolled_back"
    assert rollout["reason"]["code"] == "ended_before"
    assert registry.deployed() == [readable(champion)]


def test_a_task_that_is_started_again_after_its_rollback_does_not_try_again(registry, serving):
    serving("good")
    challenger = registry.upload("errors")
    registry.roll_out(challenger)

    rollout = registry.roll_out(challenger)

    assert rollout["outcome"] == "rolled_back"
    assert rollout["steps"] == []


def test_another_job_may_try_the_same_version_again(registry, serving):
    serving("good")
    challenger = registry.upload("errors")
    registry.roll_out(challenger)

    rollout = registry.roll_out(challenger, job="next")

    assert rollout["reason"]["code"] == "errors"


def test_what_a_dead_rollout_has_left_is_undone_before_the_next_one(registry, serving):
    champion, dead, challenger = serving("good"), registry.upload("errors"), registry.upload("good")
    (old,) = registry.read().traffic_split
    left = deploy_idle(registry, dead, "12")
    leave_behind(registry, Lease("dead", 1, "dead", left, None, {old: 100}), {old: 50, left: 50})

    rollout = registry.roll_out(challenger)

    assert rollout["split_before"] == {readable(champion): 100}
    assert registry.split() == {readable(challenger): 100}
    assert registry.deployed() == [readable(challenger)]


def test_the_lease_of_a_job_that_has_ended_is_not_waited_for(registry, serving, bucket):
    serving("good")
    challenger, ended = registry.upload("good"), run_job(bucket, "seatrial/cpu:1").rsplit("/", 1)[-1]
    registry.update(labels=write_lease({}, Lease("other", NEVER, ended)))

    assert registry.roll_out(challenger)["outcome"] == "promoted"


def test_what_a_dead_rollout_had_decided_is_completed_before_the_next_one(registry, serving):
    champion, promoted, challenger = serving("good"), registry.upload("good"), registry.upload("errors")
    (old,) = registry.read().traffic_split
    new = deploy_idle(registry, promoted, "12")
    leave_behind(registry, Lease("dead", 1, "dead", new, "promoted", {old: 100}), {new: 100})

    rollout = registry.roll_out(challenger)

    assert rollout["split_before"] == registry.split() == {readable(promoted): 100}
    assert registry.deployed() == [readable(promoted)]
    assert registry.aliases(promoted) == {"champion"}
    assert registry.aliases(champion) == {"previous"}


def test_a_split_that_was_set_by_hand_after_a_rollout_died_is_respected(registry, serving):
    champion, dead = serving("good"), registry.upload("good")
    (old,) = registry.read().traffic_split
    left = deploy_idle(registry, dead, "12")
    other = deploy_idle(registry, registry.upload("good"), "13")
    by_hand = {old: 20, left: 30, other: 50}
    leave_behind(registry, Lease("dead", 1, "dead", left, None, {old: 100}), by_hand)

    rollout = registry.roll_out(registry.upload("errors"))

    assert rollout["split_before"][readable(champion)] == 20
    assert dict(registry.read().traffic_split) == by_hand


def test_a_split_that_somebody_else_sets_during_a_rollout_is_respected(registry, serving):
    champion, challenger = serving("good"), registry.upload("good")
    (old,) = registry.read().traffic_split

    with ThreadPoolExecutor() as pool:
        rollout = pool.submit(registry.roll_out, challenger, plan=LONG_STEPS)
        wait_until(lambda: registry.split().get(readable(challenger)) == 50 or rollout.done())
        registry.update(traffic_split={old: 100})
        with pytest.raises(ForeignSplitError, match="changed by somebody else"):
            rollout.result()

    assert registry.split() == {readable(champion): 100}
    assert registry.deployed() == [readable(champion)]
    assert read_lease(registry.read().labels).expires == 0


def test_a_rollout_that_was_taken_over_touches_nothing_any_more(registry, serving):
    serving("good")
    challenger = registry.upload("good")

    with ThreadPoolExecutor() as pool:
        rollout = pool.submit(registry.roll_out, challenger, plan=LONG_STEPS)
        wait_until(lambda: registry.split().get(readable(challenger)) == 50 or rollout.done())
        registry.update(labels=write_lease({}, Lease("other", NEVER)))
        with pytest.raises(EndpointTakenError, match="'other'"):
            rollout.result()

    assert registry.split()[readable(challenger)] == 50
    assert read_lease(registry.read().labels).holder == "other"


def test_other_changes_of_the_endpoint_do_not_disturb_a_rollout(registry, serving):
    serving("good")
    challenger = registry.upload("good")

    with ThreadPoolExecutor() as pool:
        rollout = pool.submit(registry.roll_out, challenger)
        changes = 0
        while not rollout.done():
            changes += 1
            registry.update(description=f"change {changes}")
            time.sleep(0.1)

    assert rollout.result()["outcome"] == "promoted"
    assert registry.read().description == f"change {changes}"


def test_of_two_rollouts_at_once_the_second_waits_for_its_turn(registry, serving):
    serving("good")
    first, second = registry.upload("good"), registry.upload("good")

    with ThreadPoolExecutor() as pool:
        rollout = pool.submit(registry.roll_out, first, plan=LONG_STEPS)
        wait_until(lambda: registry.split().get(readable(first)) == 10 or rollout.done())
        with pytest.raises(InputError, match="is held by the rollout 'rollout_deploy-canary"):
            registry.roll_out(second, job="second", plan=Plan(maximum_wait_seconds=0))
        waited = registry.roll_out(second, job="second")

    assert rollout.result()["outcome"] == waited["outcome"] == "promoted"
    assert waited["split_before"] == {readable(first): 100}
    assert registry.deployed() == [readable(second)]
