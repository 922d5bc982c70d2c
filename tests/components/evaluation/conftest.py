"""Predictions that the evaluation tests share."""

from collections.abc import Callable, Sequence
from pathlib import Path

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
