"""Small model folders that the prediction tests share."""

from pathlib import Path

import numpy as np
import pytest

from seatrial.components.prediction.models import save_model


@pytest.fixture
def linear_model(tmp_path: Path) -> Path:
    """Answers "good" to texts with "fine", "bad" to texts with "awful", both alike to others."""
    save_model(
        tmp_path / "linear",
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
    return tmp_path / "linear"


@pytest.fixture
def majority_model(tmp_path: Path) -> Path:
    save_model(
        tmp_path / "majority",
        model_type="majority_class",
        labels=["bad", "good"],
        tensors={"frequencies": np.array([0.25, 0.75])},
        vocabulary=None,
        metadata={},
    )
    return tmp_path / "majority"
