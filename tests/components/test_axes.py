"""Scales with round ticks, and charts on them that are drawn at any width."""

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.axes import Scale, lane, polyline, round_ticks

NUMBERS = st.one_of(st.just(0.0), st.floats(1e-6, 1e9))


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.7, 4, [0, 0.2, 0.4, 0.6, 0.8]),
        (0.61, 0.85, 3, [0.6, 0.7, 0.8, 0.9]),
        (0, 11_931, 4, [0, 5_000, 10_000, 15_000]),
        (3, 3, 4, [3, 4]),
    ],
)
def test_ticks_are_round_numbers_around_the_values(low, high, most, ticks):
    assert round_ticks(low, high, most) == ticks


@given(NUMBERS, NUMBERS, st.integers(2, 8))
def test_ticks_enclose_the_values_and_are_few(one, other, most):
    low, high = sorted((one, other))

    ticks = round_ticks(low, high, most)

    tolerance = 1e-6 * (ticks[1] - ticks[0])
    assert ticks[0] <= low + tolerance
    assert ticks[-1] >= high - tolerance
    assert 2 <= len(ticks) <= most + 2
    assert all(first < second for first, second in pairwise(ticks))


def test_a_scale_places_its_ends_at_the_ends():
    scale = Scale(10, 30, [(10, "ten"), (30, "thirty")])

    assert [scale.place(value) for value in (10, 15, 30)] == ["0.00%", "25.00%", "100.00%"]


@pytest.mark.parametrize("value", [0, 5])
def test_a_scale_without_extent_places_everything_at_its_start(value):
    assert Scale(value, value, []).place(value) == "0.00%"


def test_a_lane_has_a_line_and_a_name_for_each_tick_of_the_vertical_scale():
    markup = lane("Loss", Scale(0, 1, []), Scale(0, 2, [(0, "none"), (2, "two")]), 100, [])

    assert re.findall(r"<text[^>]*>(\w+)</text>", markup) == ["none", "two"]
    assert 'aria-label="Loss"' in markup


def test_a_lane_names_the_ticks_of_the_horizontal_scale_only_when_it_carries_the_axis():
    x, y = Scale(0, 1, [(0, "begin"), (1, "end")]), Scale(0, 1, [])

    assert "begin" not in lane("Loss", x, y, 100, [])
    assert re.findall(r"<text[^>]*>([\w ]+)</text>", lane("Loss", x, y, 100, [], x_title="rows seen")) == [
        "begin",
        "end",
        "rows seen",
    ]


@given(st.text(alphabet="<>&\"'ab", min_size=1, max_size=9))
def test_names_in_a_lane_are_escaped(text):
    scale = Scale(0, 1, [(0, text)])

    shapes = {"svg", "line", "text"}
    assert set(re.findall(r"<(\w+)", lane(text, scale, scale, 50, [], x_title=text))) <= shapes


def test_a_polyline_fills_the_lane_from_corner_to_corner():
    markup = polyline([(0, 4), (5, 1), (10, 0)], Scale(0, 10, []), Scale(0, 4, []), 100, "red")

    assert 'points="0.00,0.00 500.00,75.00 1000.00,100.00"' in markup
    assert 'preserveAspectRatio="none"' in markup, "the line is stretched to the width"
    assert "non-scaling-stroke" in markup, "its thickness is not"


def test_a_scale_of_round_ticks_reaches_from_the_first_to_the_last():
    scale = Scale.around(0.61, 0.85, 3, lambda value: f"{100 * value:.0f} %")

    assert (scale.low, scale.high) == (0.6, 0.9)
    assert [name for _, name in scale.ticks] == ["60 %", "70 %", "80 %", "90 %"]
    assert math.isclose(scale.share(0.75), 0.5)
