"""Which texts count as near: exactly those of the definition, however they are found."""

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.curation.near import Matches, near_duplicates, near_matches
from seatrial.components.curation.shingles import shingle_sets, words
from seatrial.components.runtime import InputError

THRESHOLDS = st.sampled_from([0.0001, 0.1, 0.3333, 0.5, 0.7, 0.8, 1.0])
TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join), max_size=14)


def sets(texts: list[str]):
    return shingle_sets(pyarrow.array(texts, pyarrow.string()))


def shingles(text: str) -> frozenset:
    found = words(text)
    return (
        frozenset(tuple(found[place : place + 3]) for place in range(max(1, len(found) - 2))) if found else frozenset()
    )


def most_similar(text: str, others: dict[int, str], threshold: float) -> tuple[int, float] | None:
    """The definition: compares with each, keeps the most similar that is near, the first of equals."""
    best = None
    for number, other in others.items():
        shared, total = len(shingles(text) & shingles(other)), len(shingles(text) | shingles(other))
        is_near = shared and shared * 10_000 >= round(threshold * 10_000) * total
        if is_near and (best is None or shared / total > best[1]):
            best = (number, shared / total)
    return best


def found(matches: Matches) -> list[tuple]:
    return list(zip(matches.rows.tolist(), matches.related.tolist(), matches.similarity.tolist(), strict=True))


@settings(deadline=None)
@given(TEXTS, THRESHOLDS)
def test_a_text_goes_if_it_is_near_to_an_earlier_one_that_is_kept(texts, threshold):
    kept, expected = {}, []
    for number, text in enumerate(texts):
        best = most_similar(text, kept, threshold)
        if best:
            expected.append((number, *best))
        else:
            kept[number] = text

    assert found(near_duplicates(sets(texts), threshold)) == expected


@settings(deadline=None)
@given(TEXTS, TEXTS, THRESHOLDS)
def test_a_query_matches_the_most_similar_text_of_the_reference(queries, reference, threshold):
    expected = [
        (number, *best)
        for number, text in enumerate(queries)
        if (best := most_similar(text, dict(enumerate(reference)), threshold))
    ]

    assert found(near_matches(sets(queries), sets(reference), threshold)) == expected


def test_texts_tied_by_a_chain_stay_where_no_kept_text_is_near():
    chain = ["a b c d e f", "b c d e f g", "c d e f g h"]

    assert found(near_duplicates(sets(chain), 0.6)) == [(1, 0, 0.6)]


@pytest.mark.parametrize(("threshold", "removed"), [(0.7, 199_999), (0.95, 0)])
def test_texts_of_one_template_do_not_meet_each_other_one_by_one(threshold, removed):
    text = "dear customer your order {} was shipped today and will be with you in three to five working days"
    template = f"{text} thank you for shopping with us and have a very nice day with your new things"

    matches = near_duplicates(sets([template.format(number) for number in range(200_000)]), threshold)

    assert len(matches) == removed


@pytest.mark.parametrize("threshold", [0.0, 1.1, float("nan"), 80])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(InputError, match="threshold of similarity is"):
        near_duplicates(sets(["a"]), threshold)
