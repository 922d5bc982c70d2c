"""Predictions are read whole or refused with what is wrong with them."""

import pyarrow
import pytest

from seatrial.components.artifacts import write_table
from seatrial.components.evaluation.predictions import read_predictions
from seatrial.components.runtime import InputError


def test_predictions_are_read_with_the_models_facts(write_predictions):
    path = write_predictions("p", ["good", "ugly"], ["good", "bad"], probabilities=[[0.1, 0.9], [0.75, 0.25]])

    read = read_predictions(path)

    assert read.row_ids == ["row-0", "row-1"]
    assert read.truth == ["good", "ugly"]
    assert read.predicted == ["good", "bad"]
    assert read.probabilities.tolist() == [[0.1, 0.9], [0.75, 0.25]]
    assert (read.labels, read.model_digest, read.model_type) == (["bad", "good"], "digest of p", "linear")


def test_predictions_are_hashed_once(write_predictions, hashed):
    path = write_predictions("p", ["good"], ["good"])
    hashed.clear()

    read_predictions(path)

    assert hashed == ["part-00000.parquet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"truth": [], "predicted": []}, "have no rows"),
        ({"truth": ["good", None], "predicted": ["good", "bad"]}, "'label' .* has 1 nulls in 2 rows, .* row 'row-1'"),
        ({"truth": ["good"], "predicted": ["ugly"], "probabilities": [[0, 1]]}, r"predicts \['ugly'\], which .* lack"),
        (
            {"truth": ["good"] * 2, "predicted": ["good"] * 2, "row_ids": ["a", "a"]},
            "'row_id' .* repeats 1 of 2 values",
        ),
        ({"truth": ["good"], "predicted": ["good"], "probabilities": [[1]]}, "has 1 probabilities for 2 labels"),
        ({"truth": ["good"], "predicted": ["good"], "probabilities": [None]}, "has 0 probabilities for 2 labels"),
        (
            {"truth": ["good"], "predicted": ["good"], "probabilities": [[float("nan"), 1]]},
            "'row-0' .*expected numbers",
        ),
        ({"truth": ["good"], "predicted": ["good"], "probabilities": [[None, 1]]}, "'row-0' .*expected numbers"),
        ({"truth": ["good"], "predicted": ["good"], "probabilities": [[-1, 2]]}, "'row-0' .*expected numbers"),
        ({"truth": ["good"], "predicted": ["good"], "probabilities": [[0.5, 0.4]]}, r"\(1 rows have none\)"),
    ],
)
def test_unsound_predictions_are_refused(write_predictions, arguments, message):
    path = write_predictions("p", **arguments)

    with pytest.raises(InputError, match=message):
        read_predictions(path)


def test_a_table_that_holds_no_predictions_is_refused(tmp_path):
    write_table(tmp_path / "t", pyarrow.table({"row_id": ["a"]}), metadata={})

    with pytest.raises(InputError, match="lacks labels, model_digest, model_type: it is no predictions table"):
        read_predictions(tmp_path / "t")
