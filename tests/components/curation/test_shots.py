"""Which rows are examples in prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.shots import Shots
from seatrial.components.runtime import InputError

TEXTS = [f"text number {number:02}" for number in range(20)]
LABELS = ["often"] * 15 + ["seldom"] * 5


def test_labels_take_turns_and_the_most_frequent_is_first():
    shots = Shots(TEXTS, LABELS, (), 5, 0)

    assert [LABELS[row] for row in shots.variants[0]] == ["often", "seldom", "often", "seldom", "often"]


def test_a_label_with_too_few_rows_leaves_its_turns_to_others():
    shots = Shots(TEXTS[:6], ["a"] * 5 + ["b"], (), 4, 0)

    assert [["a", "b"][row == 5] for row in shots.variants[0]] == ["a", "b", "a", "a"]


def test_a_row_that_is_shown_sees_another_of_its_label_in_its_place():
    shots = Shots(TEXTS, LABELS, (), 4, 0)

    for row in shots.variants[0]:
        instead = shots.variants[shots.variant(TEXTS[row])]
        assert row not in instead
        assert [LABELS[other] for other in instead] == [LABELS[other] for other in shots.variants[0]]
    assert shots.variant("another text") == 0


def test_the_seed_decides_and_other_rows_do_not():
    shown = [TEXTS[row] for row in Shots(TEXTS, LABELS, (), 4, 1).variants[0]]

    assert shown == [TEXTS[row] for row in Shots(TEXTS, LABELS, (), 4, 1).variants[0]]
    assert shown != [TEXTS[row] for row in Shots(TEXTS, LABELS, (), 4, 2).variants[0]]
    reversed_texts = TEXTS[::-1]
    assert shown == [reversed_texts[row] for row in Shots(reversed_texts, LABELS[::-1], (), 4, 1).variants[0]]


def test_long_texts_and_excluded_rows_with_all_that_equals_them_are_not_shown():
    texts = ["short one", "short two", "short three", "short one", "long " * 30]

    with pytest.raises(InputError, match="shots is 2, but only 2 of 5 train rows can be shown"):
        Shots(texts, ["a"] * 5, {3}, 2, 0)


def test_without_examples_nothing_is_asked_of_the_rows():
    assert Shots([], [], (), 0, 0).variants == [[]]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), min_size=1, max_size=20),
    st.integers(1, 4),
    st.integers(),
    st.sets(st.integers(0, 19), max_size=3),
)
def test_no_prompt_shows_its_own_text_or_one_text_twice(rows, count, seed, excluded):
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    excluded = {row for row in excluded if row < len(rows)}
    possible = set(texts) - {texts[row] for row in excluded}

    if len(possible) <= count:
        with pytest.raises(InputError, match=f"only {len(possible)} of"):
            Shots(texts, labels, excluded, count, seed % 1_000)
        return
    shots = Shots(texts, labels, excluded, count, seed % 1_000)
    for text in set(texts):
        shown = [texts[row] for row in shots.variants[shots.variant(text)]]
        assert len(set(shown)) == count
        assert text not in shown
        assert set(shown) <= possible
