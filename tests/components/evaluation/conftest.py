"""Predictions and rollout documents that the evaluation tests share."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from seatrial.components.artifacts import write_table

WritePredictions = Callable[..., Path]


@pytest.fixture
def write_predictions(tmp_path: Path) -> WritePredictions:
    """Writes a predictions folder; probabilities are certainty of the predicted label unless they are given."""

    def write(
        name: str,
        truth: Sequence[str | None],
        predicted: Sequence[str],
        *,
        labels: Sequence[str] = ("bad", "good"),
        probabilities: Sequence[Sequence[float]] | None = None,
        row_ids: Sequence[str] | None = None,
        digest: str | None = None,
    ) -> Path:
        certain = [[float(label == answer) for label in labels] for answer in predicted]
        table = pyarrow.table(
            {
                "row_id": list(row_ids or [f"row-{number}" for number in range(len(truth))]),
                "label": pyarrow.array(truth, "string"),
                "predicted_label": pyarrow.array(predicted, "string"),
                "probabilities": pyarrow.array(probabilities or certain, pyarrow.list_(pyarrow.float64())),
            }
        )
        metadata = {"labels": list(labels), "model_digest": digest or f"digest of {name}", "model_type": "linear"}
        write_table(tmp_path / name, table, metadata=metadata)
        return tmp_path / name

    return write


def arm(requests: int, accuracy: float = 0.8, latency: float = 12.0) -> dict[str, Any]:
    """What one model did at a step of a rollout."""
    if not requests:
        unknown = dict.fromkeys(("accuracy", "latency_p50_ms", "latency_p95_ms"))
        return {"requests": 0, "labelled": 0, "correct": 0, **unknown}
    correct = round(accuracy * requests)
    return {
        "requests": requests,
        "labelled": requests,
        "correct": correct,
        "accuracy": correct / requests,
        "latency_p50_ms": latency / 3,
        "latency_p95_ms": latency,
    }


def step(percent: int, second: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A step that began so many seconds after 03:04:00 and took four."""
    whole, fraction = divmod(second, 1)
    return {
        "percent": percent,
        "started": f"2026-01-02T03:04:{whole:02.0f}.{fraction * 1000:03.0f}+00:00",
        "seconds": 4.0,
        "split": {name: share for name, share in (("7@2", percent), ("7@1", 100 - percent)) if share},
        "requests": 200,
        "distinct_rows": 150,
        "errors": 0,
        "champion": arm(2 * (100 - percent), accuracy=0.6),
        "challenger": arm(2 * percent),
        "decision": "proceed",
        "p_values": {"errors": 0.5, "quality": 0.25, "latency": 1e-7} if percent else {},
        **changes,
    }


def rollout(steps: list[dict[str, Any]], code: str = "no_harm", **changes: Any) -> dict[str, Any]:
    """A rollout document, promoted or rolled back as its reason says."""
    promoted = code in ("no_harm", "first_model")
    return {
        "outcome": "promoted" if promoted else "rolled_back",
        "reason": {"code": code, "text": "How the rollout went."},
        "challenger": "7@2",
        "split_before": {"7@1": 100},
        "split_after": {"7@2" if promoted else "7@1": 100},
        "steps": steps,
        **changes,
    }


def promoted() -> dict[str, Any]:
    """The document of a rollout in three steps, ten seconds apart."""
    return rollout([step(0, 0), step(10, 10), step(50, 20), step(100, 30)])


def rolled_back(code: str = "quality", percent: int = 10) -> dict[str, Any]:
    """The document of a rollout whose first step did harm."""
    return rollout([step(0, 0), step(percent, 10, decision="roll_back")], code)


def first_model(**changes: Any) -> dict[str, Any]:
    """The document of a rollout where nothing served before."""
    only = step(100, p_values={"errors": 0.5, "quality": None, "latency": None}, **changes)
    return rollout([only], "first_model", split_before={})


def text_of(markup: str) -> str:
    """What a reader sees of markup without a style."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))
