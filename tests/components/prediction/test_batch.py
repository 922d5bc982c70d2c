"""Batch prediction: rows keep their order, and what cannot be predicted is said."""

import shutil

import pyarrow
import pytest

from seatrial.components.artifacts import open_table, read_manifest, read_table, write_table
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


TEXTS = {"row_id": ["a", "b", "c"], "text": ["fine", "awful", "neither"], "label": ["good", None, "bad"]}


def predicted_with_a_mark(path, model, rows):
    """Predictions that show where they come from: every probability is 1, which no model says."""
    predict_table(model, rows, path)
    table, manifest = open_table(path)
    marked = pyarrow.array([[1.0, 1.0]] * table.num_rows, pyarrow.list_(pyarrow.float64()))
    place = table.schema.get_field_index("probabilities")
    write_table(path, table.set_column(place, "probabilities", marked), metadata=manifest.metadata)
    return path


def is_copied(path):
    return read_table(path).to_pydict()["probabilities"][0] == [1.0, 1.0]


def test_known_predictions_of_the_same_model_for_the_same_table_are_copied(tmp_path, linear_model, hashed):
    rows = table_of(tmp_path / "t", **TEXTS)
    known = predicted_with_a_mark(tmp_path / "known", linear_model, rows)
    before = read_manifest(known, kind="table")
    hashed.clear()

    manifest = predict_table(linear_model, rows, tmp_path / "p", known)

    assert is_copied(tmp_path / "p")
    assert manifest == read_manifest(tmp_path / "p", kind="table") == before
    assert read_table(tmp_path / "p") == read_table(known)


def test_copied_predictions_are_those_that_would_have_been_made(tmp_path, linear_model):
    rows = table_of(tmp_path / "t", **TEXTS)
    made = predict_table(linear_model, rows, tmp_path / "known")

    assert predict_table(linear_model, rows, tmp_path / "p", tmp_path / "known") == made


def test_the_same_model_and_table_are_known_wherever_they_lie(tmp_path, linear_model):
    known = predicted_with_a_mark(tmp_path / "known", linear_model, table_of(tmp_path / "t", **TEXTS))
    shutil.copytree(linear_model, tmp_path / "model copied")

    predict_table(tmp_path / "model copied", table_of(tmp_path / "table copied", **TEXTS), tmp_path / "p", known)

    assert is_copied(tmp_path / "p")


def test_known_predictions_of_another_model_are_made_again(tmp_path, linear_model, majority_model):
    rows = table_of(tmp_path / "t", **TEXTS)
    known = predicted_with_a_mark(tmp_path / "known", majority_model, rows)

    manifest = predict_table(linear_model, rows, tmp_path / "p", known)

    assert manifest == predict_table(linear_model, rows, tmp_path / "q")
    assert not is_copied(tmp_path / "p")


@pytest.mark.parametrize("change", [{"text": ["fine", "awful", "fine"]}, {"label": ["bad"] * 3}, {"row_id": [*"cba"]}])
def test_known_predictions_for_another_table_are_made_again(tmp_path, linear_model, change):
    known = predicted_with_a_mark(tmp_path / "known", linear_model, table_of(tmp_path / "t", **TEXTS))
    other = table_of(tmp_path / "other", **TEXTS | change)

    manifest = predict_table(linear_model, other, tmp_path / "p", known)

    assert manifest == predict_table(linear_model, other, tmp_path / "q")


def test_known_predictions_that_do_not_say_for_which_table_they_are_are_made_again(tmp_path, linear_model):
    rows = table_of(tmp_path / "t", **TEXTS)
    known = predicted_with_a_mark(tmp_path / "known", linear_model, rows)
    table, manifest = open_table(known)
    metadata = {name: value for name, value in manifest.metadata.items() if name != "table_digest"}
    write_table(known, table, metadata=metadata)

    predict_table(linear_model, rows, tmp_path / "p", known)

    assert not is_copied(tmp_path / "p")


def test_known_predictions_that_were_changed_or_are_none_are_refused(tmp_path, linear_model, majority_model):
    rows = table_of(tmp_path / "t", **TEXTS)
    predict_table(linear_model, rows, tmp_path / "known")
    predict_table(majority_model, rows, tmp_path / "other")
    shutil.copy(tmp_path / "other" / "part-00000.parquet", tmp_path / "known")

    with pytest.raises(InputError, match="is not what was written"):
        predict_table(linear_model, rows, tmp_path / "p", tmp_path / "known")
    with pytest.raises(InputError, match="There is no folder"):
        predict_table(linear_model, rows, tmp_path / "p", tmp_path / "no-such-folder")
    assert not (tmp_path / "p").exists()


def test_a_model_that_was_changed_is_refused_although_its_predictions_are_known(tmp_path, linear_model):
    rows = table_of(tmp_path / "t", **TEXTS)
    predict_table(linear_model, rows, tmp_path / "known")
    (linear_model / "vocabulary.json").write_text('{"fine": 0, "awful": 1}')

    with pytest.raises(InputError, match="vocabulary.json is not what was written"):
        predict_table(linear_model, rows, tmp_path / "p", tmp_path / "known")


def test_a_transformers_predictions_keep_the_order_of_the_rows(tmp_path, transformer_model, monkeypatch):
    monkeypatch.setattr(batch, "_ROWS_PER_BATCH", 3)
    texts = ["so fine", "awful tea with milk", "fine", "awful", "tea and fine", "", "awful"]
    rows = table_of(tmp_path / "t", row_id=list("gfedcba"), text=texts)

    manifest = predict_table(transformer_model, rows, tmp_path / "p")

    predictions = read_table(tmp_path / "p").to_pydict()
    assert predictions["row_id"] == list("gfedcba")
    assert [predictions["predicted_label"][place] for place in (0, 1, 2, 3, 6)] == ["good", "bad", "good", "bad", "bad"]
    assert manifest.metadata["model_type"] == "transformer"
