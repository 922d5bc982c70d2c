"""How rows are held out for the test."""

from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.split import is_test

SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)
SEEDS = st.integers(-(2**63), 2**63 - 1)


@given(st.text(st.characters(exclude_categories=["Cs"])), SHARES, SEEDS)
def test_the_same_text_is_always_on_the_same_side(text: str, share: float, seed: int) -> None:
    assert is_test(text, share, seed) == is_test(text, share, seed)


@given(st.text(st.characters(exclude_categories=["Cs"])), SHARES, SHARES, SEEDS)
def test_a_larger_share_only_adds_to_the_test_split(text: str, one: float, other: float, seed: int) -> None:
    if is_test(text, min(one, other), seed):
        assert is_test(text, max(one, other), seed)


def test_the_split_is_the_same_in_every_process_and_version() -> None:
    assert [text for text in "abcdefghijklmnopqrst" if is_test(text, 0.2, 0)] == list("achjp")


def test_the_share_is_met_about() -> None:
    assert abs(sum(is_test(str(number), 0.2, 0) for number in range(10_000)) - 2_000) < 150


def test_another_seed_gives_another_split() -> None:
    splits = [[is_test(str(number), 0.5, seed) for number in range(100)] for seed in (0, 1)]

    assert splits[0] != splits[1]
