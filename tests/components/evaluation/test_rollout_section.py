"""What a report says of the traffic: a sentence, the timeline, and each step in numbers."""

import pytest

from seatrial.components.evaluation.rollout_section import duration, split_in_words, story, traffic_section

from .conftest import arm, first_model, promoted, rolled_back, rollout, step, text_of


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (promoted(), "from nothing to 10 % to 50 % to 100 %; in 34.0 s nothing was found against it."),
        (
            rolled_back("quality"),
            "At 10 % of the traffic the new model was taken back: fewer right answers. It had traffic for 4.0 s",
        ),
        (first_model(), "Nothing served before: the new model got all traffic, and was watched for 4.0 s."),
        (rollout([step(0)], "not_ready"), "The new model never got traffic."),
    ],
    ids=["promoted", "rolled back", "first", "not ready"],
)
def test_the_rollout_is_told_in_a_sentence(made, told):
    assert told in story(made)
    assert told in text_of(traffic_section(made))


def test_the_timeline_comes_before_the_steps():
    text = text_of(traffic_section(promoted()))

    assert text.index("Share of the traffic that the new model had") < text.index("10 % to the new model")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (rollout([], "identical", outcome="kept", challenger=None), "No traffic moved. Traffic: 7@1 100 %."),
        (rollout([], "not_ready"), "No traffic moved in this attempt. Traffic: 7@1 100 %."),
        (rollout([], "not_ready", split_after={}), "No traffic moved in this attempt. Nothing serves."),
    ],
    ids=["kept", "not ready", "first not ready"],
)
def test_without_steps_there_is_no_timeline(made, told):
    markup = traffic_section(made)

    assert told in text_of(markup)
    assert "<svg" not in markup


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (1.24, "1.2 s"), (179, "179.0 s"), (600, "10.0 min"), (86_400, "24.0 h")]
)
def test_durations_have_the_unit_that_fits(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ({"7@1": 63, "8@4": 27, "7@2": 10}, "Traffic: new model 10 %, 7@1 63 %, 8@4 27 %."),
        ({"7@1": 100.0}, "Traffic: 7@1 100 %."),
        ({}, "Nothing serves."),
    ],
)
def test_a_split_names_every_model_the_new_one_first(split, text):
    assert split_in_words(split, "7@2") == text


def test_each_step_is_told_with_its_numbers_and_what_they_say():
    text = text_of(traffic_section(promoted()))

    assert "10 % to the new model ✓ went on 10.0 s to 14.0 s, began 2026-01-02 03:04:10 UTC" in text
    assert "New model Old model Chance without harm" in text
    assert "Answers 20 180" in text
    assert "Right answers 80.0 % [58.4, 91.9] 60.0 % [52.7, 66.9] 25 %" in text
    assert "Half within 4 ms 4 ms" in text
    assert "95 % within 12 ms 12 ms below 0.01 %" in text
    assert "0 of 200 requests failed (chance without harm: 50 %); 150 different rows were sent." in text
    assert "Traffic: new model 10 %, 7@1 90 %." in text


def test_before_the_new_model_has_traffic_nothing_is_judged():
    text = text_of(traffic_section(rollout([step(0)], "not_ready")))

    assert "Before the new model had traffic 0.0 s to 4.0 s" in text
    assert "Model in service Answers 200" in text
    assert "0 of 200 requests failed; 150" in text


def test_the_step_that_did_harm_is_marked():
    markup = traffic_section(rolled_back())

    assert markup.count('class="step harm"') == 1
    assert "10 % to the new model ✗ taken back" in text_of(markup)


def test_times_are_told_in_one_zone():
    made = rollout([step(0, started="2026-01-02T05:04:05+02:00")])

    assert "began 2026-01-02 03:04:05 UTC" in text_of(traffic_section(made))


def test_unknown_numbers_of_a_step_are_told_as_unknown():
    unlabelled = {**arm(100), "labelled": 0, "correct": 0, "accuracy": None}
    made = rollout([step(50, challenger=unlabelled, p_values={"errors": 1.0, "quality": None, "latency": 0.021})])

    text = text_of(traffic_section(made))

    assert "Right answers – 60.0 %" in text
    assert "12 ms 12 ms 2.1 %" in text
    assert "(chance without harm: 100 %)" in text


def test_a_comparison_with_earlier_answers_is_explained_only_where_it_was_made():
    explanation = "the new model is compared with the other's answers at the steps before"

    assert explanation in text_of(traffic_section(promoted()))
    assert explanation not in text_of(traffic_section(rolled_back()))
    assert explanation not in text_of(traffic_section(first_model()))


def test_the_legend_names_only_models_that_there_are():
    assert "old model" in text_of(traffic_section(promoted()))
    assert "old model" not in text_of(traffic_section(first_model(champion=arm(0))))
