"""Batch prediction: rows keep their order, and what cannot be predicted is said."""

import pyarrow
import pytest

from seatrial.components.artifacts import read_manifest, read_table, write_table
from seatrial.components.prediction import batch
from seatrial.components.prediction.batch import predict_table
from seatrial.components.prediction.models import load_model
from seatrial.components.runtime import InputError


def table_of(path, **columns):
    write_table(path, pyarrow.table(columns), metadata={})
    return path


def test_predictions_keep_the_order_of_the_rows(tmp_path, linear_model, monkeypatch):
    monkeypatch.setattr(batch, "_ROWS_PER_BATCH", 3)
    texts = ["fine", "awful", "fine fine", "neither", "so awful", "fine", "awful"]
    rows = table_of(
        tmp_path / "t", row_id=list("gfedcba"), text=texts, label=["good", "bad"] + ["good"] * 5, extra=texts
    )

    manifest = predict_table(linear_model, rows, tmp_path / "p")

    predictions = read_table(tmp_path / "p").to_pydict()
    model = load_model(linear_model)
    assert predictions["row_id"] == list("gfedcba")
    assert predictions["label"] == ["good", "bad"] + ["good"] * 5
    assert predictions["predicted_label"] == ["good", "bad", "good", "bad", "bad", "good", "bad"]
    assert predictions["probabilities"] == model.predict_probabilities(texts).tolist()
    assert manifest == read_manifest(tmp_path / "p", kind="table")
    assert manifest.metadata["labels"] == ["bad", "good"]
    assert manifest.metadata["model_digest"] == model.digest
    assert manifest.metadata["model_type"] == "linear"
    assert manifest.metadata["columns"]["probabilities"] == "list<item: double>"


def test_table_and_predictions_are_hashed_once(tmp_path, majority_model, hashed):
    rows = table_of(tmp_path / "t", row_id=["a"], text=["x"], label=["good"])
    hashed.clear()

    predict_table(majority_model, rows, tmp_path / "p")

    assert hashed.count("part-00000.parquet") == 2


def test_without_a_label_column_the_truth_is_null(tmp_path, majority_model):
    predict_table(majority_model, table_of(tmp_path / "t", row_id=["a"], text=["x"]), tmp_path / "p")

    assert read_table(tmp_path / "p").to_pydict()["label"] == [None]


def test_no_rows_give_no_predictions(tmp_path, linear_model):
    empty = table_of(tmp_path / "t", row_id=pyarrow.array([], "string"), text=pyarrow.array([], "string"))

    assert predict_table(linear_model, empty, tmp_path / "p").metadata["rows"] == 0


def test_the_same_input_gives_the_same_digest(tmp_path, linear_model):
    rows = table_of(tmp_path / "t", row_id=["a", "b"], text=["fine", "awful"])

    digests = {predict_table(linear_model, rows, tmp_path / name).digest for name in ("p", "q")}

    assert len(digests) == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"row_id": ["a"], "review": ["x"]}, "has no column 'text'; it has 'row_id', 'review'"),
        ({"text": ["x"]}, "has no column 'row_id'"),
        ({"row_id": ["a"], "text": [1]}, "Column 'text' .* has type int64; expected strings"),
        ({"row_id": ["a", "b", "c"], "text": ["x", None, None]}, "has 2 nulls in 3 rows, the first in row 'b'"),
    ],
)
def test_a_table_that_cannot_be_predicted_is_refused(tmp_path, linear_model, columns, message):
    rows = table_of(tmp_path / "t", **columns)

    with pytest.raises(InputError, match=message):
        predict_table(linear_model, rows, tmp_path / "p")

    assert not (tmp_path / "p").exists()
