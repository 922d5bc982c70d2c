"""Faults on purpose: each does the harm that it says and no other."""

import asyncio
import logging

import pytest

from seatrial.components.prediction import drill
from seatrial.components.prediction.drill import Drill, check_drill
from seatrial.components.prediction.models import load_model
from seatrial.components.runtime import InputError


@pytest.mark.parametrize("name", ["", "wrong_labels", "slow", "crash"])
def test_these_are_drills_and_none(name):
    assert check_drill(name) is None


@pytest.mark.parametrize("name", ["fire", "Slow", " slow", "wrong_labels,slow", "0"])
def test_any_other_name_is_refused(name):
    message = f"drill is {name!r}; expected 'wrong_labels', 'slow', 'crash', or an empty text for no drill"
    for refuse in (check_drill, Drill):
        with pytest.raises(InputError, match=message):
            refuse(name)


def test_without_a_drill_the_model_and_its_requests_are_left_alone(linear_model, monkeypatch):
    monkeypatch.setattr(drill, "_SLOW_SECONDS", "no number")
    model = load_model(linear_model)

    async def requests():
        for _ in range(10):
            await Drill("").before_answer()

    asyncio.run(requests())
    assert Drill("").sabotaged(model) is model


def test_wrong_labels_gives_each_text_the_probabilities_of_other_labels(linear_model):
    model = load_model(linear_model)

    sabotaged = Drill("wrong_labels").sabotaged(model)

    texts = ["fine", "awful", "neither"]
    assert sabotaged.predict_probabilities(texts).tolist() == model.predict_probabilities(texts)[:, ::-1].tolist()
    assert sabotaged.predict_probabilities([]).shape == (0, 2)
    assert (sabotaged.labels, sabotaged.digest, sabotaged.model_type) == (model.labels, model.digest, "linear")


def test_slow_holds_up_each_request_and_leaves_the_model_alone(linear_model, monkeypatch):
    held_up = []

    async def sleep(seconds):
        held_up.append(seconds)

    monkeypatch.setattr(drill.asyncio, "sleep", sleep)
    slow, model = Drill("slow"), load_model(linear_model)

    async def requests():
        await slow.before_answer()
        await slow.before_answer()

    asyncio.run(requests())

    assert held_up == [2.0, 2.0]
    assert slow.sabotaged(model) is model


@pytest.mark.parametrize("name", ["wrong_labels", "slow", "crash"])
def test_a_drill_says_that_it_is_on(name, caplog):
    with caplog.at_level(logging.INFO):
        Drill(name)

    assert [record.fields for record in caplog.records] == [{"drill": name}]
    assert "SEATRIAL_DRILL is set: a drill is on" in caplog.text


def test_no_drill_says_nothing(caplog):
    with caplog.at_level(logging.INFO):
        Drill("")

    assert caplog.text == ""
