"""Traffic splits keep Vertex AI's rule, whatever they are made from, and the proportions of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.deployment.traffic import is_step_of, normal, restricted, scaled, with_challenger

IDS = st.text("123456789", min_size=1, max_size=4)
WEIGHTS = st.dictionaries(IDS, st.integers(1, 100), min_size=1, max_size=6)
SPLITS = WEIGHTS.map(lambda weights: scaled(weights, 100))
CHALLENGER = "0000000001"


@given(SPLITS, st.integers(0, 100))
def test_a_split_with_a_challenger_sums_to_100_and_gives_it_its_share(before, percent):
    split = with_challenger(before, CHALLENGER, percent)

    assert sum(split.values()) == 100
    assert split.get(CHALLENGER, 0) == percent
    assert all(share > 0 for share in split.values())


@given(SPLITS, st.integers(0, 100))
def test_the_others_keep_their_proportions_to_within_one_percent(before, percent):
    split = with_challenger(before, CHALLENGER, percent)

    for model, share in before.items():
        assert abs(split.get(model, 0) - share * (100 - percent) / 100) < 1


@given(SPLITS)
def test_a_challenger_without_traffic_leaves_the_split_as_it_was(before):
    assert with_challenger(before, CHALLENGER, 0) == before


@pytest.mark.parametrize(("percent", "split"), [(0, {}), (10, {CHALLENGER: 100}), (100, {CHALLENGER: 100})])
def test_where_nothing_serves_the_challenger_gets_all_or_nothing(percent, split):
    assert with_challenger({}, CHALLENGER, percent) == split


@given(SPLITS, st.integers(0, 100))
def test_every_step_of_a_rollout_is_recognised(before, percent):
    assert is_step_of(with_challenger(before, CHALLENGER, percent), before, CHALLENGER)


@pytest.mark.parametrize("split", [{"7": 70, CHALLENGER: 10, "8": 20}, {"8": 100}, {}, {"7": 40, "8": 60}])
def test_a_split_that_no_step_gives_is_recognised_as_somebody_elses(split):
    assert not is_step_of(split, {"7": 60, "8": 40}, CHALLENGER)


@given(SPLITS, st.sets(IDS))
def test_a_split_among_fewer_models_sums_to_100_or_is_empty(split, deployed):
    left = restricted(split, deployed)

    assert set(left) <= deployed
    assert sum(left.values()) == (100 if deployed & set(split) else 0)


@given(SPLITS)
def test_a_split_among_the_same_models_stays_as_it_is(split):
    assert restricted(split, set(split)) == split


@given(WEIGHTS, st.integers(0, 1000))
def test_scaling_loses_nothing_and_is_off_by_less_than_one(weights, total):
    shares = scaled(weights, total)

    assert sum(shares.values()) == total
    for model, weight in weights.items():
        assert abs(shares.get(model, 0) - total * weight / sum(weights.values())) < 1


def test_models_without_traffic_are_left_out():
    assert normal({"7": 100, "8": 0}) == {"7": 100}
