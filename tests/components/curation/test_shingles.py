"""What the shingles of a text are, and that their numbers never change."""

import numpy as np
import pyarrow
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seatrial.components.curation.shingles import ShingleSets, shingle_sets, words
from seatrial.components.runtime import InputError


def numbers(*texts: str | None) -> list[list[int]]:
    return shingle_sets(pyarrow.array(texts, pyarrow.string())).to_arrow().to_pylist()


def in_words(text: str) -> set[tuple]:
    found = words(text)
    return {tuple(found[place : place + 3]) for place in range(max(1, len(found) - 2))} if found else set()


def test_case_and_punctuation_do_not_count_and_each_chinese_character_is_a_word():
    assert words("Good TEA, isn't it_? Straße 茶が好き") == ["good", "tea", "isn", "t", "it_", "strasse", *"茶が好き"]


def test_the_numbers_are_the_same_for_ever():
    # Earlier versions' fingerprints are compared with these: another number is another FORMAT in fingerprints.py.
    assert numbers("good tea", "Good tea here", "ein schöner Tee, 茶") == [
        [8019088962235852703],
        [1276888884635115716],
        [6924033920386986803, 6944627353029727453],
    ]


@settings(deadline=None)
@given(st.text(max_size=60))
@example("İstanbul ΣΑΣ ß ﬁ")
@example("a\x00b c_d e-f 1２3 é e\u0301")
def test_texts_have_one_number_for_each_distinct_run_of_three_words(text):
    [found] = numbers(text)

    assert len(found) == len(in_words(text))
    assert found == sorted(set(found))
    assert all(0 <= number < 2**63 for number in found)
    # A text in its normal form has the same numbers: what the kernel reads is what `words` says.
    assert numbers(" ".join(words(text))) == [found]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "ä", "B", "茶"]), max_size=8), st.lists(st.sampled_from("abä"), max_size=8))
def test_two_texts_share_the_numbers_of_the_shingles_that_they_share(first, second):
    one, other = " ".join(first), " ".join(second)
    [left], [right] = numbers(one), numbers(other)

    assert len(set(left) & set(right)) == len(in_words(one) & in_words(other))


def test_one_or_two_words_are_a_shingle_of_their_own_and_no_word_is_none():
    one, two, three, none, null = numbers("tea", "tea tea", "tea tea tea", "!?", None)

    assert len({*one, *two, *three}) == 3
    assert none == null == []


def test_slices_and_chunks_and_large_strings_make_no_difference():
    texts = [f"text number {number} é" if number % 3 else None for number in range(50)]
    array = pyarrow.array(texts, pyarrow.string())

    chunked = pyarrow.chunked_array([array.slice(0, 7), array.slice(7, 0), array.slice(7)])

    expected = shingle_sets(array).to_arrow()
    assert shingle_sets(chunked).to_arrow().equals(expected)
    assert shingle_sets(array.cast(pyarrow.large_string())).to_arrow().equals(expected)
    assert shingle_sets(array.slice(3, 5)).to_arrow().to_pylist() == expected.to_pylist()[3:8]


def test_a_text_of_10_megabytes_has_its_shingles():
    [found] = numbers(" ".join(f"w{number}" for number in range(1_300_000)))

    assert len(found) == 1_299_998


def test_sets_survive_storage_and_can_be_chosen_from():
    sets = shingle_sets(pyarrow.array(["a b c d", None, "x y z"]))

    stored = ShingleSets.from_arrow(pyarrow.chunked_array([sets.to_arrow().slice(0, 1), sets.to_arrow().slice(1)]))

    assert stored.numbers.tolist() == sets.numbers.tolist()
    assert stored.take(np.array([2, 0])).to_arrow().to_pylist() == numbers("x y z", "a b c d")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pyarrow.array(["a"]), "The fingerprints are string; expected list<int64>"),
        (pyarrow.array([[2, 1]]), "in row 0 is no ascending list"),
        (pyarrow.array([[1], [1, 1]]), "in row 1 is no ascending list"),
        (pyarrow.array([[-1]]), "in row 0 is no ascending list"),
        (pyarrow.array([[1, None]]), "have nulls among their numbers"),
    ],
)
def test_what_is_no_set_of_numbers_is_refused(column, message):
    with pytest.raises(InputError, match=message):
        ShingleSets.from_arrow(column)
