"""Small model folders that the prediction tests share."""

from pathlib import Path

import numpy as np
import pytest

from seatrial.components.prediction.models import save_model

from ...model_folders import write_linear_model


@pytest.fixture
def linear_model(tmp_path: Path) -> Path:
    """Answers "good" to texts with "fine", "bad" to texts with "awful", both alike to others."""
    write_linear_model(tmp_path / "linear")
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
