"""The one form of a verdict, for the gate between models and for whoever acts on it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..artifacts import check_fields, read_json, write_json
from ..runtime import InputError


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is: a code for programs and a sentence with numbers for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What should happen, why, and the measurements that say so (JSON-compatible).

    Attributes:
        verdict: "promote" (roll out), "hold" (change nothing), "reject" (the candidate is not good enough).
        reasons: One or more, the deciding one first.
        evidence: The measurements.
    """

    verdict: Literal["promote", "hold", "reject"]
    reasons: list[Reason]
    evidence: dict[str, Any]


def write_verdict(path: str | Path, verdict: Verdict) -> None:
    """Writes {"verdict", "reasons": [{"code", "text"}], "evidence"} as JSON, whole or not at all."""
    write_json(path, asdict(verdict))


def read_verdict(path: str | Path) -> dict[str, Any]:
    """Reads what `write_verdict` wrote.

    Raises:
        InputError: If there is no such file or it holds no verdict.
    """
    advice = "Pass the output of compare_models."
    document = read_json(path, advice)
    if document.get("verdict") not in ("promote", "hold", "reject"):
        raise InputError(f"{path} holds no verdict (promote, hold or reject). {advice}")
    check_fields(document, {"reasons": (list,), "evidence": (dict,)}, f"The verdict {path}", advice)
    if not document["reasons"]:
        raise InputError(f"The verdict {path} gives no reasons; expected one or more. {advice}")
    for position, reason in enumerate(document["reasons"]):
        check_fields(reason, {"code": (str,), "text": (str,)}, f"The verdict {path}: reasons[{position}]", advice)
    return document
