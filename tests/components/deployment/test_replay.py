"""Replaying rows: what is read from the holdout, and what is counted for which model."""

import pyarrow
import pytest

from seatrial.components.artifacts import write_table
from seatrial.components.deployment.decision import Errors
from seatrial.components.deployment.replay import Call, Row, answers_of, errors_of, read_rows, replay
from seatrial.components.runtime import InputError

RIGHT, WRONG, UNLABELLED = Row(0, "fine", "good"), Row(1, "poor", "bad"), Row(2, "hm", None)


def table(folder, **columns):
    write_table(folder, pyarrow.table(columns), metadata={})
    return str(folder)


def test_rows_are_read_with_their_labels_in_an_order_that_is_always_the_same(tmp_path):
    texts = [f"text {number}" for number in range(100)]
    holdout = table(tmp_path / "holdout", text=texts, label=["good", None] * 50, extra=list(range(100)))

    rows = read_rows(holdout)

    assert rows == read_rows(holdout)
    assert [row.text for row in rows] != texts
    assert sorted(rows, key=lambda row: row.number)[:2] == [Row(0, "text 0", "good"), Row(1, "text 1", None)]


def test_labels_are_read_as_the_text_that_a_model_answers(tmp_path):
    assert read_rows(table(tmp_path / "holdout", text=["one"], label=[5])) == [Row(0, "one", "5")]


def test_a_holdout_is_hashed_once(tmp_path, hashed):
    holdout = table(tmp_path / "holdout", text=["one"], label=["good"])
    hashed.clear()

    read_rows(holdout)

    assert hashed == ["part-00000.parquet"]


def test_a_holdout_without_labels_is_read(tmp_path):
    assert read_rows(table(tmp_path / "holdout", text=["one"])) == [Row(0, "one", None)]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"text": pyarrow.array([], pyarrow.string())}, "has no rows"),
        ({"text": ["one", None]}, r"Column 'text' of .* has 1 nulls in 2 rows, the first in row 1"),
        ({"text": [1]}, "Column 'text' of .* has type int64; expected strings"),
        ({"review": ["one"]}, "has no column 'text'"),
    ],
)
def test_a_holdout_that_cannot_be_replayed_is_refused(tmp_path, columns, problem):
    with pytest.raises(InputError, match=problem):
        read_rows(table(tmp_path / "holdout", **columns))


def test_answers_count_for_the_model_that_gave_them():
    calls = [Call(RIGHT, 10.0, "1", "good"), Call(WRONG, 30.0, "1", "good"), Call(RIGHT, 20.0, "2", "good")]

    answers = answers_of(calls, ["1"])

    assert answers.accuracy == 0.5
    assert answers.latencies_ms == [10.0, 30.0]
    assert answers.latency_ms(0.5) == 20.0


def test_a_row_that_is_answered_again_counts_once():
    assert answers_of([Call(RIGHT, 10.0, "1", "good")] * 5, ["1"]).labelled == 1


def test_rows_without_a_label_say_nothing_about_accuracy():
    answers = answers_of([Call(UNLABELLED, 10.0, "1", "good")], ["1"])

    assert answers.accuracy is None
    assert answers.latencies_ms == [10.0]


def test_failed_calls_and_unusable_answers_are_errors():
    calls = [Call(RIGHT, 9.0, error="503"), Call(RIGHT, 9.0, "1", None, "no label"), Call(RIGHT, 9.0, "1", "good")]

    assert errors_of(calls) == Errors(failed=2, requests=3)
    assert answers_of(calls, ["1"]).labelled == 1


def test_requests_reach_the_endpoint_and_are_attributed(registry, serving):
    serving("good")
    (deployed_model_id,) = registry.read().traffic_split

    calls = replay(registry.clients.predictions, registry.endpoint, iter([Row(0, "very good", "good")] * 20), 20)

    assert len(calls) == 20
    assert {(call.deployed_model_id, call.predicted_label, call.error) for call in calls} == {
        (deployed_model_id, "good", None)
    }


def test_an_error_of_the_model_is_noted_and_not_raised(registry, serving):
    serving("errors")

    (call,) = replay(registry.clients.predictions, registry.endpoint, iter([RIGHT]), 1)

    assert call.deployed_model_id is None
    assert call.error.startswith("InternalServerError")
