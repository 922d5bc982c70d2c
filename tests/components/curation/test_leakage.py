"""Which test texts were trained on."""

from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.leakage import exact_leaks, near_leaks

from .test_similarity import TEXTS, THRESHOLDS, plain_similarity


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcdef")))
def test_an_exact_leak_names_the_first_train_text_that_equals_it(train: list[str], test: list[str]) -> None:
    expected = {index: train.index(text) for index, text in enumerate(test) if text in train}

    assert exact_leaks(train, test) == expected


@given(TEXTS, TEXTS, THRESHOLDS)
def test_near_leaks_are_those_of_comparing_all_pairs(train: list[str], test: list[str], threshold: float) -> None:
    expected = {}
    for index, text in enumerate(test):
        similarities = [plain_similarity(text, trained) for trained in train]
        if similarities and max(similarities) >= threshold:
            expected[index] = (similarities.index(max(similarities)), max(similarities))

    assert near_leaks(train, test, threshold) == expected
