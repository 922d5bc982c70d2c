"""The rollout document: what became of a model version, and on what evidence. One schema, also when nothing moved."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from ..artifacts import SCHEMA_VERSION, check_fields, read_json
from ..evaluation.verdict import Reason
from ..runtime import InputError

Outcome = Literal["promoted", "rolled_back", "kept"]

_ADVICE = "Pass the output of deploy_canary or keep_champion."

# What readers of the document may rely on: field → types.
_NUMBER = (int, float)
_DOCUMENT = {
    "reason": (dict,),
    "challenger": (str, None),
    "split_before": (dict,),
    "split_after": (dict,),
    "steps": (list,),
}
_STEP = {
    "percent": (int,),
    "started": (str,),
    "seconds": _NUMBER,
    "split": (dict,),
    "requests": (int,),
    "distinct_rows": (int,),
    "errors": (int,),
    "champion": (dict,),
    "challenger": (dict,),
    "decision": (str,),
    "p_values": (dict,),
}
_ARM = {
    "requests": (int,),
    "labelled": (int,),
    "correct": (int,),
    "accuracy": (*_NUMBER, None),
    "latency_p50_ms": (*_NUMBER, None),
    "latency_p95_ms": (*_NUMBER, None),
}


def rollout_document(
    outcome: Outcome,
    reason: Reason,
    *,
    challenger: str | None,
    split_before: Mapping[str, int],
    split_after: Mapping[str, int],
    steps: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The document as JSON.

    Args:
        outcome: How it ended.
        reason: Why.
        challenger: The version that was rolled out, `ID@VERSION`; None if none was.
        split_before: Traffic before, `ID@VERSION` → percent.
        split_after: Traffic after.
        steps: What each step has shown; the first, at 0 %, was observed before the challenger got traffic.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "outcome": outcome,
        "reason": {"code": reason.code, "text": reason.text},
        "challenger": challenger,
        "split_before": dict(split_before),
        "split_after": dict(split_after),
        "steps": [dict(step) for step in steps],
    }


def kept_document(verdict: Mapping[str, Any], champion: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a rollout that the gate did not allow.

    Args:
        verdict: The verdict of `compare_models`, "hold" or "reject".
        champion: Metadata of the champion artifact from `look_up_champion`.

    Raises:
        InputError: If the verdict allows the rollout.
    """
    kind, reasons = verdict["verdict"], verdict["reasons"]
    if kind == "promote":
        raise InputError(
            "The verdict is 'promote'; expected 'hold' or 'reject'. Use deploy_canary to roll the model out."
        )
    split = champion.get("traffic_split", {})
    text = " ".join(reason["text"] for reason in reasons)
    reason = Reason(f"{kind}: {reasons[0]['code']}", text)
    return rollout_document("kept", reason, challenger=None, split_before=split, split_after=split)


def read_rollout(path: str | Path) -> dict[str, Any]:
    """Reads a rollout document.

    Raises:
        InputError: If there is none, or it lacks what its readers need.
    """
    document = read_json(path, _ADVICE)
    if document.get("outcome") not in get_args(Outcome):
        raise InputError(f"{path} holds no rollout ({', '.join(get_args(Outcome))}). {_ADVICE}")
    place = f"The rollout {path}"
    check_fields(document, _DOCUMENT, place, _ADVICE)
    check_fields(document["reason"], {"code": (str,), "text": (str,)}, f"{place}: reason", _ADVICE)
    for name in ("split_before", "split_after"):
        _check_values(document[name], _NUMBER, f"{place}: {name}")
    for position, step in enumerate(document["steps"]):
        _check_step(step, f"{place}: steps[{position}]")
    return document


def _check_step(step: dict[str, Any], place: str) -> None:
    check_fields(step, _STEP, place, _ADVICE)
    _check_ranges(step, place)
    _check_values(step["split"], _NUMBER, f"{place}.split")
    _check_values(step["p_values"], (*_NUMBER, None), f"{place}.p_values")
    for model in ("champion", "challenger"):
        _check_arm(step[model], f"{place}.{model}")


def _check_arm(arm: dict[str, Any], place: str) -> None:
    check_fields(arm, _ARM, place, _ADVICE)
    if not 0 <= arm["correct"] <= arm["labelled"]:
        raise InputError(f"{place} has {arm['correct']} correct of {arm['labelled']} labelled rows. {_ADVICE}")
    for name in ("latency_p50_ms", "latency_p95_ms"):
        if arm[name] is not None and not _is_duration(arm[name]):
            raise InputError(f"{place} has the {name!r} {arm[name]}; expected a duration. {_ADVICE}")


def _check_ranges(step: Mapping[str, Any], place: str) -> None:
    """Checks what is drawn on the axes of a timeline."""
    if not 0 <= step["percent"] <= 100:
        raise InputError(f"{place} has the 'percent' {step['percent']}; expected 0 to 100. {_ADVICE}")
    if not _is_duration(step["seconds"]):
        raise InputError(f"{place} has the 'seconds' {step['seconds']}; expected a duration. {_ADVICE}")
    if not 0 <= step["errors"] <= step["requests"]:
        raise InputError(f"{place} has {step['errors']} errors in {step['requests']} requests. {_ADVICE}")
    if not _has_zone(step["started"]):
        raise InputError(
            f"{place} has the 'started' {step['started']!r}; expected a time with its zone, such as "
            f"2026-01-02T03:04:05+00:00. {_ADVICE}"
        )


def _is_duration(number: float) -> bool:
    return math.isfinite(number) and number >= 0


def _has_zone(time: str) -> bool:
    try:
        return datetime.fromisoformat(time).tzinfo is not None
    except ValueError:
        return False


def _check_values(value: dict[str, Any], types: tuple[type | None, ...], place: str) -> None:
    """Checks an object whose names are free: the models of a split, the tests of a step."""
    check_fields(value, dict.fromkeys(value, types), place, _ADVICE)


def numbers(document: Mapping[str, Any]) -> dict[str, float]:
    """The document's numbers by name, for a metrics artifact."""
    steps = document["steps"]
    return {
        "requests": sum(step["requests"] for step in steps),
        "errors": sum(step["errors"] for step in steps),
        "percent": document["split_after"].get(document["challenger"], 0),
        "seconds": sum(step["seconds"] for step in steps),
    }


def headline(document: Mapping[str, Any]) -> str:
    """The one line that says how it ended, for the table of tasks."""
    match document["outcome"]:
        case "promoted":
            return "promoted, 100 %"
        case "rolled_back":
            return f"rolled back: {document['reason']['code']}"
    return document["reason"]["code"]
