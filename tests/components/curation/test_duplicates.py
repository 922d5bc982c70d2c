"""Which repetitions are found, and which row of each group stays."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.duplicates import exact_duplicates, near_duplicates

from .test_similarity import TEXTS, THRESHOLDS, plain_similarity


def clusters_by_brute_force(texts: list[str], threshold: float) -> list[int]:
    """First text of each text's cluster, by comparing all pairs until nothing changes."""
    first = list(range(len(texts)))
    changed = True
    while changed:
        changed = False
        for one, other in combinations(range(len(texts)), 2):
            if first[one] != first[other] and plain_similarity(texts[one], texts[other]) >= threshold:
                first[one] = first[other] = min(first[one], first[other])
                changed = True
    return first


@given(st.lists(st.sampled_from(["a", "b", "c", ""])))
def test_every_repetition_points_to_the_first_text_that_equals_it(texts: list[str]) -> None:
    expected = {index: texts.index(text) for index, text in enumerate(texts) if texts.index(text) != index}

    assert exact_duplicates(texts) == expected


@given(TEXTS, THRESHOLDS)
def test_near_duplicates_are_those_of_comparing_all_pairs(texts: list[str], threshold: float) -> None:
    first = clusters_by_brute_force(texts, threshold)

    found = near_duplicates(texts, threshold)

    assert {text: kept for text, (kept, _) in found.items()} == {
        text: kept for text, kept in enumerate(first) if text != kept
    }
    assert all(found[text][1] == plain_similarity(texts[text], texts[kept]) for text, (kept, _) in found.items())


@given(TEXTS, THRESHOLDS)
def test_no_two_texts_that_stay_are_near_duplicates(texts: list[str], threshold: float) -> None:
    removed = near_duplicates(texts, threshold)
    kept = [text for index, text in enumerate(texts) if index not in removed]

    assert all(plain_similarity(one, other) < threshold for one, other in combinations(kept, 2))


def test_a_chain_of_near_duplicates_is_one_cluster() -> None:
    chain = ["a b c d e f", "b c d e f g", "c d e f g h"]

    assert near_duplicates(chain, 0.6) == {1: (0, 0.6), 2: (0, 1 / 3)}


def test_texts_without_words_are_no_near_duplicates() -> None:
    assert near_duplicates(["!!!", "???", "😊"], 0.1) == {}


def test_no_texts_have_no_duplicates() -> None:
    assert exact_duplicates([]) == near_duplicates([], 0.5) == {}
