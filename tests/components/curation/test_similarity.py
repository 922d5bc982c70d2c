"""Shingles, their similarity, and the completeness of the candidates."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seatrial.components.curation.similarity import candidate_pairs, shingle_sets, words

# Few words, so that texts share shingles often.
TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=12).map(" ".join), max_size=12)
THRESHOLDS = st.one_of(st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), st.floats(0.01, 1))


def plain_shingles(text: str) -> set[tuple[str, ...]]:
    """The definition, word by word."""
    found = words(text)
    return {tuple(found[start : start + 3]) for start in range(max(len(found) - 2, min(len(found), 1)))}


def plain_similarity(one: str, other: str) -> float:
    """The definition: shared shingles / distinct shingles; texts without words are like none."""
    first, second = plain_shingles(one), plain_shingles(other)
    return len(first & second) / len(first | second) if first | second else 0.0


def test_case_and_punctuation_do_not_count() -> None:
    assert words("Don't PANIC, Straße!") == ["don", "t", "panic", "strasse"]


def test_each_character_of_chinese_and_japanese_is_a_word() -> None:
    assert words("お茶 is 好喝") == ["お", "茶", "is", "好", "喝"]


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b c d", "a b c e", 1 / 3),
        ("good tea", "Good tea!", 1.0),
        ("good tea", "good tea again", 0.0),
        ("tea", "coffee", 0.0),
        ("a a a a a", "a a a", 1.0),
    ],
)
def test_similarity_is_the_share_of_common_shingles(one: str, other: str, similarity: float) -> None:
    assert shingle_sets([one, other]).similarity(0, 1) == pytest.approx(similarity)


@given(TEXTS)
def test_sets_are_the_distinct_shingles_of_each_text(texts: list[str]) -> None:
    sets = shingle_sets(texts)

    assert sets.sizes.tolist() == [len(plain_shingles(text)) for text in texts]
    for one, other in combinations(range(len(texts)), 2):
        if words(texts[one]) or words(texts[other]):
            assert sets.similarity(one, other) == plain_similarity(texts[one], texts[other])


@given(TEXTS)
def test_within_a_set_rare_shingles_have_the_smaller_numbers(texts: list[str]) -> None:
    sets = shingle_sets(texts)
    frequency = np.bincount(sets.numbers)

    assert np.all(np.diff(frequency) >= 0)
    for start, end in zip(sets.offsets, sets.offsets[1:], strict=False):
        assert np.all(np.diff(sets.numbers[start:end]) > 0)


@given(TEXTS, THRESHOLDS)
@example(["a b c d", "a b c e", "", "!"], 1 / 3)
def test_no_similar_pair_is_missing_among_the_candidates(texts: list[str], threshold: float) -> None:
    similar = {
        pair
        for pair in combinations(range(len(texts)), 2)
        if plain_similarity(texts[pair[0]], texts[pair[1]]) >= threshold
    }
    candidates = {
        pair
        for left, right in candidate_pairs(shingle_sets(texts), threshold)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    }

    assert similar <= candidates
    assert all(left < right for left, right in candidates)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 100))
def test_a_pair_exactly_at_a_decimal_threshold_is_a_candidate(shared: int, other: int, hundredths: int) -> None:
    one, longer = (" ".join(f"w{number}" for number in range(length + 2)) for length in (shared, shared + other))
    similarity = shared / (shared + other)
    threshold = hundredths / 100

    found = any(len(left) for left, _ in candidate_pairs(shingle_sets([one, longer]), threshold))

    assert found or similarity < threshold
