"""Small model folders that tests of different parts share."""

from pathlib import Path

import numpy as np

from seatrial.components.prediction.models import save_model


def write_linear_model(path: Path) -> None:
    """Answers "good" to texts with "fine", "bad" to texts with "awful", both alike to others."""
    save_model(
        path,
        model_type="linear",
        labels=["bad", "good"],
        tensors={
            "inverse_document_frequencies": np.array([1.0, 1.0]),
            "coefficients": np.array([[0.0, 0.0], [-2.0, 2.0]]),
            "intercepts": np.zeros(2),
        },
        vocabulary={"awful": 0, "fine": 1},
        metadata={},
    )
