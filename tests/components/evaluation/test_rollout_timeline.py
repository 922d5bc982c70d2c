"""The timeline of a rollout: when, which share, what was compared, and why it went on or back."""

import re

import pytest

from seatrial.components.evaluation.rollout_timeline import harm_of, milliseconds, moments, timeline

from .conftest import arm, first_model, promoted, rolled_back, rollout, step, text_of


def drawn(document: dict) -> str:
    return timeline(document, moments(document["steps"]))


def test_steps_are_placed_in_seconds_since_the_first_began():
    assert [(moment.start, moment.end) for moment in moments([step(0, 5), step(10, 10.5)])] == [(0, 4), (5.5, 9.5)]


@pytest.mark.parametrize(
    ("seconds", "second", "start"),
    [
        (4.0, 8, 4.0),  # noted as sooner than the step before ended
        (3.4, 9, 3.4),  # a gap that rounding explains
        (3.4, 9.25, 4.25),  # a gap that was measured
        (3.4, 10, 5.0),  # a gap that rounding does not explain
    ],
)
def test_starts_in_whole_seconds_make_neither_overlaps_nor_gaps(seconds, second, start):
    assert [moment.start for moment in moments([step(0, 5, seconds=seconds), step(10, second)])] == [0, start]


def test_the_zone_in_which_a_start_was_noted_does_not_matter():
    steps = [step(0, started="2026-01-02T05:04:05+02:00"), step(10, started="2026-01-02T03:04:15+00:00")]

    assert [moment.start for moment in moments(steps)] == [0, 10]


def test_harm_is_the_step_after_which_the_model_was_taken_back():
    harm = harm_of(moments(rolled_back(percent=25)["steps"]))

    assert (harm.step["percent"], harm.end) == (25, 14)
    assert harm_of(moments(promoted()["steps"])) is None


def rectangles(markup: str, kind: str) -> list[tuple[float, float, float]]:
    """Left end and right end in percent, and height in pixels, of each rectangle of a class."""
    found = re.findall(rf'<rect class="{kind}" x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%" height="([\d.]+)"', markup)
    return [(float(x), float(x) + float(width), float(height)) for x, width, height in found]


def test_the_share_is_an_area_that_rises_at_the_start_of_each_step():
    *steps, afterwards = rectangles(drawn(promoted()), "share")

    # Steps at 10, 20 and 30 s; the last ends at 34 s, and there are 12 % more for what follows.
    starts_and_ends = [end for start, end, _ in steps for end in (start, end)]
    assert starts_and_ends == pytest.approx([26.26, 52.52, 52.52, 78.78, 78.78, 89.29], abs=0.02)
    assert [height for _, _, height in steps] == [11, 55, 110]
    assert afterwards == pytest.approx((89.29, 100, 110), abs=0.02)


def test_what_the_new_model_has_not_the_other_has():
    assert [height for _, _, height in rectangles(drawn(promoted()), "rest")] == [110, 99, 55]
    assert rectangles(drawn(first_model()), "rest") == []


def test_after_a_rollback_the_new_model_has_nothing():
    markup = drawn(rolled_back())

    assert [height for _, _, height in rectangles(markup, "share")] == [11]
    assert rectangles(markup, "rest")[-1] == pytest.approx((89.29, 100, 110), abs=0.02)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("quality", "fewer right answers"),
        ("latency", "slower answers"),
        ("errors", "failed requests"),
        ("no_evidence", "too few answers"),
        ("unheard_of", "unheard_of"),
    ],
)
def test_the_moment_of_harm_is_marked_with_what_the_harm_was(code, words):
    markup = drawn(rolled_back(code))

    assert f"✗ taken back: {words}" in text_of(markup)
    assert [start for start, _, _ in rectangles(markup, "harm")] == pytest.approx([63.78] * 4, abs=0.02)
    assert markup.count('<line class="harm-line" x1="89.29%"') == 5, "one line through all lanes"


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("quality", "Right answers ✗ harm found at 10 %"),
        ("latency", "Time to an answer ✗ harm found at 10 %"),
        ("errors", "Failed requests ✗ harm found at 10 %"),
    ],
)
def test_harm_is_told_in_words_where_it_was_found_and_only_there(code, finding):
    text = text_of(drawn(rolled_back(code)))

    assert finding in text
    assert text.count("✗ harm found") == 1
    assert text.count("✓ no harm found") == 2


def test_a_promotion_shows_no_sign_of_harm():
    markup = drawn(promoted())

    assert "✗" not in markup
    assert "harm-line" not in markup
    assert text_of(markup).count("✓ no harm found") == 3
    assert text_of(markup).count("✓ went on") == 2
    assert text_of(markup).count("✓ stays") == 1


def test_where_nothing_served_before_only_errors_are_compared():
    text = text_of(drawn(first_model()))

    assert "Right answers not compared" in text
    assert "Time to an answer not compared" in text
    assert "Failed requests ✓ no harm found" in text


def test_rows_without_labels_give_no_right_answers_to_draw():
    unlabelled = {**arm(100), "labelled": 0, "correct": 0, "accuracy": None}
    steps = [step(0, champion=unlabelled), step(50, 10, champion=unlabelled, challenger=unlabelled)]

    assert "No row with a label was answered." in text_of(drawn(rollout(steps)))


def test_a_model_that_answered_nothing_took_no_time():
    assert "No request was answered." in text_of(drawn(first_model(champion=arm(0), challenger=arm(0))))


def bars_of(markup: str, title: str) -> list[float]:
    """How many pixels high the bar of each estimate in a lane is, in the order of the steps."""
    lane = re.search(rf'aria-label="{title}: .*?</svg>', markup).group()
    return [float(y1) - float(y2) for y1, y2 in re.findall(r'y1="([\d.]+)" y2="([\d.]+)" stroke="var\(--a', lane)]


def test_the_interval_of_an_accuracy_is_narrower_the_more_answers_there_are():
    at_10, at_50, at_100 = bars_of(drawn(promoted()), "Right answers")

    assert at_10 > 1.5 * at_50 > 1.5 * at_100 > 0


def test_the_lanes_say_their_numbers_to_who_cannot_see_them():
    markup = drawn(rollout([step(0), step(50, 10, errors=3)]))

    assert "Right answers: old model 60 % at 0 %, new model 80 % at 50 %, old model 60 % at 50 %" in markup
    assert "Time to an answer: old model 12 ms at 0 %, new model 12 ms at 50 %, old model 12 ms at 50 %" in markup
    assert "Failed requests: 0 of 200 at 0 %, 3 of 200 at 50 %" in markup
    assert "Share of the new model: 0 % from 0.0 s, 50 % from 10.0 s" in markup


def test_the_height_of_a_bar_is_the_share_of_failed_requests():
    heights = [height for _, _, height in rectangles(drawn(rollout([step(0), step(50, 10, errors=50)])), "failed")]

    assert heights == pytest.approx([0, 84 * 0.25 / 0.4], abs=0.1)  # on an axis that ends at 40 %


@pytest.mark.parametrize(
    ("percent", "kind"), [(45, "on-any"), (25, "on-wide"), (15, "on-widest"), (5, "nowhere")], ids=str
)
def test_a_number_is_written_beside_its_dot_only_where_it_fits(percent, kind):
    steps = [step(0, seconds=100 / 1.12 - percent), step(50, 0, seconds=percent)]  # as parts of the chart's width

    classes = re.findall(r'<text class="ink over ([\w-]+)"[^>]*text-anchor="start">80 %', drawn(rollout(steps)))
    assert classes == [kind]


@pytest.mark.parametrize(("seconds", "ticks"), [(2, "1 s"), (600, "5 min"), (20_000, "4 h")])
def test_the_axis_of_time_has_the_unit_that_fits(seconds, ticks):
    text = text_of(drawn(rollout([step(0, seconds=seconds / 2), step(100, seconds=seconds / 2)])))

    assert ticks in text
    assert "time since the first request of the rollout" in text


def test_a_rollout_that_took_no_time_is_drawn():
    assert "nan" not in drawn(rollout([step(0, seconds=0.0), step(100, seconds=0)]))


@pytest.mark.parametrize(("time", "text"), [(0.4, "0 ms"), (999, "999 ms"), (1000, "1 s"), (12_345, "12.3 s")])
def test_waiting_times_have_the_unit_that_fits(time, text):
    assert milliseconds(time) == text
