"""The loss curve of a run's report: what a model may say of its training, and how that is told."""

import math
import re

import pytest

from seatrial.components.evaluation.loss_curve import MOST_POINTS, LossCurve, loss_curve_of, loss_section
from seatrial.components.runtime import InputError

TRAINED = {
    "loss_curve": [[32, 0.7], [64, 0.5], [96, 0.25]],
    "parameters": {"epochs": 3.0},
    "training_rows": 32.0,
    "labels": ["great", "other"],
}


def test_the_curve_is_read_from_the_models_metadata():
    assert loss_curve_of(TRAINED) == LossCurve(
        points=[(32, 0.7), (64, 0.5), (96, 0.25)], labels=2, epochs=3, training_rows=32
    )


@pytest.mark.parametrize("metadata", [{}, {"loss_curve": []}, {"labels": ["a"], "training_rows": 3}])
def test_a_model_without_a_curve_has_none(metadata):
    assert loss_curve_of(metadata) is None


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ("falling", "'falling'; expected a list"),
        ([[1, 0.7]] * (MOST_POINTS + 1), f"{MOST_POINTS + 1:,} points; expected {MOST_POINTS} at most"),
        ([[1, 0.7], 3], r"loss_curve\[1\] is 3; expected a pair \[rows_seen, training_loss\] of numbers"),
        ([[1, 0.7, 9]], r"loss_curve\[0\] is \[1, 0.7, 9\]"),
        ([["1", 0.7]], r"loss_curve\[0\] is \['1', 0.7\]"),
        ([[1, None]], r"loss_curve\[0\] is \[1, None\]"),
        ([[1, True]], r"loss_curve\[0\] is \[1, True\]"),
        ([[1, math.nan]], r"loss_curve\[0\] is \[1, nan\]"),
        ([[math.inf, 0.1]], r"loss_curve\[0\] is \[inf, 0.1\]"),
        ([[1, -0.1]], r"loss_curve\[0\] is \[1, -0.1\]; .* of 0 or more"),
        ([[2, 0.2], [2, 0.1]], r"loss_curve\[1\] has seen 2 rows, the point before it 2; expected more"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused(curve, message):
    with pytest.raises(InputError, match=message) as refusal:
        loss_curve_of({"loss_curve": curve})

    assert "Pass the model as its training component wrote it" in str(refusal.value)


@pytest.mark.parametrize("value", ["fast", math.nan, -1, True])
@pytest.mark.parametrize("name", ["epochs", "training_rows"])
def test_numbers_beside_the_curve_are_numbers(name, value):
    changes = {"parameters": {"epochs": value}} if name == "epochs" else {name: value}

    with pytest.raises(InputError, match=f"has the {name!r} .*; expected a number of 0 or more"):
        loss_curve_of({**TRAINED, **changes})


def text_of(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))


def test_the_section_says_where_the_curve_began_and_where_it_ended():
    text = text_of(loss_section(loss_curve_of(TRAINED)))

    assert "from 0.700 to 0.250 nats" in text
    assert "96 rows" in text
    assert "3 passes over 32 rows." in text


def test_the_axes_have_names_and_units():
    text = text_of(loss_section(loss_curve_of(TRAINED)))

    assert "rows seen" in text
    assert "loss, in nats" in text


def test_a_reader_who_knows_no_nats_is_told_what_guessing_would_cost():
    assert "Guessing evenly among 2 labels would cost 0.693" in text_of(loss_section(loss_curve_of(TRAINED)))


def test_without_the_other_facts_the_curve_is_still_drawn():
    markup = loss_section(loss_curve_of({"loss_curve": [[1000, 0.5]]}))

    assert "circle" in markup
    assert "Guessing" not in markup
    assert "passes" not in markup


def test_without_a_curve_there_is_no_section():
    assert loss_section(None) == ""


def test_a_rising_curve_is_not_told_as_a_falling_one():
    text = text_of(loss_section(loss_curve_of({"loss_curve": [[1, 0.2], [2, 0.9]]})))

    assert "The loss ended higher than it began" in text
