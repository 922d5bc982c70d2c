"""The rollout document: one form for what was promoted, rolled back or kept."""

import json
import math

import pytest

from seatrial.components.deployment.rollout import headline, kept_document, numbers, read_rollout, rollout_document
from seatrial.components.evaluation.verdict import Reason
from seatrial.components.runtime import InputError

HOLD = {"verdict": "hold", "reasons": [{"code": "identical", "text": "The same model."}], "evidence": {}}


ARM = {
    "requests": 100,
    "labelled": 50,
    "correct": 40,
    "accuracy": 0.8,
    "latency_p50_ms": 4.0,
    "latency_p95_ms": None,
}


def step(**changes) -> dict:
    return {
        "percent": 10,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "split": {"7@1": 90, "7@2": 10},
        "requests": 200,
        "distinct_rows": 150,
        "errors": 0,
        "champion": ARM,
        "challenger": ARM,
        "decision": "proceed",
        "p_values": {"errors": 0.5, "latency": None},
        **changes,
    }


def document(outcome: str, code: str = "no_harm") -> dict:
    steps = [step(errors=0, seconds=1.5), step(errors=3, seconds=2.0)]
    after = {"7@2": 100} if outcome == "promoted" else {"7@1": 100}
    reason = Reason(code, "Because.")
    return rollout_document(
        outcome, reason, challenger="7@2", split_before={"7@1": 100}, split_after=after, steps=steps
    )


def test_a_kept_champion_is_told_with_the_verdicts_reasons():
    kept = kept_document(HOLD, {"traffic_split": {"7@1": 100}})

    assert kept["outcome"] == "kept"
    assert kept["reason"] == {"code": "hold: identical", "text": "The same model."}
    assert kept["split_before"] == kept["split_after"] == {"7@1": 100}
    assert set(kept) == set(document("promoted"))


def test_a_kept_champion_is_read_with_the_numbers_of_artifact_metadata_which_are_floating_point(tmp_path):
    kept = kept_document(HOLD, {"traffic_split": {"7@1": 100.0}})
    (tmp_path / "rollout").write_text(json.dumps(kept))

    assert read_rollout(tmp_path / "rollout") == kept


def test_a_verdict_to_promote_keeps_nothing():
    with pytest.raises(InputError, match="Use deploy_canary"):
        kept_document({**HOLD, "verdict": "promote"}, {})


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (document("promoted"), "promoted, 100 %"),
        (document("rolled_back", "quality"), "rolled back: quality"),
        (kept_document(HOLD, {}), "hold: identical"),
    ],
)
def test_one_line_says_how_it_ended(made, line):
    assert headline(made) == line


def test_the_numbers_sum_up_the_steps():
    assert numbers(document("promoted")) == {"requests": 400, "errors": 3, "percent": 100, "seconds": 3.5}
    assert numbers(document("rolled_back"))["percent"] == 0
    assert numbers(kept_document(HOLD, {})) == {"requests": 0, "errors": 0, "percent": 0, "seconds": 0}


def test_what_was_written_is_read(tmp_path):
    (tmp_path / "rollout").write_text(json.dumps(document("promoted")))

    assert read_rollout(tmp_path / "rollout") == document("promoted")


@pytest.mark.parametrize("text", [None, "no JSON", "[]", "{}", '{"outcome": "maybe"}'])
def test_a_file_that_is_no_rollout_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "rollout").write_text(text)

    with pytest.raises(InputError, match="Pass the output of deploy_canary or keep_champion"):
        read_rollout(tmp_path / "rollout")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": {"code": "quality"}}, "reason has no 'text'"),
        ({"reason": None}, "has the 'reason' None"),
        ({"challenger": 7}, "has the 'challenger' 7"),
        ({"split_before": []}, "has the 'split_before'"),
        ({"split_after": {"7@1": "all"}}, "split_after has the '7@1' 'all'"),
        ({"steps": [3]}, r"steps\[0\] is a JSON int"),
        ({"steps": [step(), step(percent="ten")]}, r"steps\[1\] has the 'percent' 'ten'"),
        ({"steps": [step(split={"7@1": None})]}, r"steps\[0\].split has the '7@1' None"),
        ({"steps": [step(p_values={"errors": "low"})]}, r"steps\[0\].p_values has the 'errors' 'low'"),
        ({"steps": [step(champion={"requests": 3})]}, r"steps\[0\].champion has no 'labelled'"),
        ({"steps": [step(champion={**ARM, "correct": 51})]}, r"champion has 51 correct of 50 labelled rows"),
        ({"steps": [step(challenger={**ARM, "correct": -1})]}, r"challenger has -1 correct of 50 labelled rows"),
        ({"steps": [step(champion={**ARM, "latency_p50_ms": math.inf})]}, "'latency_p50_ms' inf; expected a duration"),
        ({"steps": [step(percent=101)]}, r"steps\[0\] has the 'percent' 101; expected 0 to 100"),
        ({"steps": [step(seconds=math.nan)]}, r"steps\[0\] has the 'seconds' nan; expected a duration"),
        ({"steps": [step(seconds=-1)]}, r"steps\[0\] has the 'seconds' -1; expected a duration"),
        ({"steps": [step(started="yesterday")]}, r"steps\[0\] has the 'started' 'yesterday'; expected a time with"),
        ({"steps": [step(started="2026-01-02T03:04:05")]}, "expected a time with its zone"),
        ({"steps": [step(errors=201)]}, r"steps\[0\] has 201 errors in 200 requests"),
    ],
)
def test_a_rollout_that_no_report_can_be_made_of_is_refused(tmp_path, changes, message):
    (tmp_path / "rollout").write_text(json.dumps({**document("promoted"), **changes}))

    with pytest.raises(InputError, match=message):
        read_rollout(tmp_path / "rollout")
