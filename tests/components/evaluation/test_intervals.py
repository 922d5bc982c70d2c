"""Intervals: published values, properties, and how often they hold the true value."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from seatrial.components.evaluation.intervals import (
    Estimate,
    bootstrap,
    critical_value,
    mcnemar_mid_p,
    tango,
    tango_score,
    wilson,
)
from seatrial.components.runtime import InputError

LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@st.composite
def pair_counts(draw, most=60):
    """Pairs in which only the first, and only the second, succeeded, and all pairs."""
    first, second, others = (draw(st.integers(0, most)) for _ in range(3))
    assume(first + second + others)
    return first, second, first + second + others


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    return (weights @ values / weights.sum(axis=1))[:, None]


def test_an_estimate_reads_as_its_value_and_its_interval_if_it_has_one():
    assert str(Estimate(0.8081, 0.7824, 0.8313)) == "0.808 [0.782, 0.831]"
    assert str(Estimate(0.5)) == "0.500"


@pytest.mark.parametrize("level", [0.0, 0.49, 1.0, 95.0, float("nan")])
def test_a_confidence_level_that_is_none_is_refused(level):
    with pytest.raises(InputError, match="confidence_level is"):
        critical_value(level)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), LEVELS)
def test_wilson_agrees_with_scipy(counts, level):
    expected = binomtest(*counts).proportion_ci(confidence_level=level, method="wilson")

    measured = wilson(*counts, level)

    assert measured.value == counts[0] / counts[1]
    assert (measured.low, measured.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= measured.low <= measured.value <= measured.high <= 1


def test_tango_gives_published_intervals():
    # Complete response before and after consolidation therapy (Cavo et al. 2012), in Fagerland, Lydersen and Laake,
    # Statistical Analysis of Contingency Tables (2017), chapter 8: 161 pairs, 6 and 16 of them discordant.
    therapy = tango(6, 16, 161, 0.95)
    assert (therapy.value, therapy.low, therapy.high) == pytest.approx((-0.0621, -0.1240, -0.0054), abs=5e-5)
    # R's PropCIs::scoreci.mp(25, 28, 618, 0.90) and (60, 20, 1000, 0.95), which measure the second less the first.
    assert tuple(vars(tango(28, 25, 618, 0.90)).values())[1:] == pytest.approx((-0.0148, 0.0247), abs=5e-5)
    assert tuple(vars(tango(20, 60, 1000, 0.95)).values())[1:] == pytest.approx((-0.0584, -0.0231), abs=5e-5)


def test_mcnemars_mid_p_gives_the_published_value():
    assert mcnemar_mid_p(6, 16) == pytest.approx(0.034690, abs=5e-7)  # the same therapy


@given(st.integers(0, 200), st.integers(0, 200))
def test_mid_p_is_the_exact_test_less_the_probability_of_what_was_observed(first, second):
    assume(first != second)
    discordant = first + second
    exact = binomtest(first, discordant).pvalue

    assert mcnemar_mid_p(first, second) == pytest.approx(exact - math.comb(discordant, first) / 2**discordant, abs=1e-9)
    assert mcnemar_mid_p(first, second) == mcnemar_mid_p(second, first)


def test_equally_many_discordant_pairs_say_nothing():
    assert mcnemar_mid_p(0, 0) == mcnemar_mid_p(5, 5) == 1
    assert tango_score(0, 0, 10, 0) == 0


@settings(deadline=None, max_examples=50)
@given(pair_counts(), st.floats(-0.9, 0.9))
def test_the_score_uses_the_most_likely_shares_under_the_hypothesis(counts, difference):
    """An oracle by brute force: search the likelihood for the share of "only second"."""
    first, second, pairs = counts
    assume(first + second > 0)

    def likelihood(share):
        cells = ((first, share + difference), (second, share), (pairs - first - second, 1 - 2 * share - difference))
        return -sum(count * math.log(max(cell, 1e-300)) for count, cell in cells if count)

    lowest, highest = max(0, -difference), (1 - difference) / 2
    best = minimize_scalar(likelihood, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-12}).x
    variance = pairs * (2 * best + difference - difference**2)
    expected = (first - second - pairs * difference) / math.sqrt(variance)

    assert tango_score(first, second, pairs, difference) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(pair_counts(), LEVELS)
def test_tangos_interval_holds_what_its_score_accepts(counts, level):
    measured = tango(*counts, level)
    z = critical_value(level)

    assert -1 <= measured.low <= measured.value <= measured.high <= 1
    for bound, sign in ((measured.low, 1), (measured.high, -1)):
        if abs(bound) < 1 - 1e-9:
            assert tango_score(*counts, bound) * sign == pytest.approx(z, abs=1e-5)


@given(pair_counts(), LEVELS)
def test_exchanging_the_two_mirrors_tangos_interval(counts, level):
    first, second, pairs = counts
    measured, mirrored = tango(first, second, pairs, level), tango(second, first, pairs, level)

    assert (mirrored.low, mirrored.high) == pytest.approx((-measured.high, -measured.low), abs=1e-9)


@given(pair_counts(), LEVELS)
def test_at_no_difference_the_score_is_mcnemars(counts, level):
    first, second, pairs = counts
    assume(first + second)

    assert tango_score(first, second, pairs, 0) == pytest.approx((first - second) / math.sqrt(first + second))


def test_the_bootstrap_of_a_mean_agrees_with_its_standard_error():
    values = np.random.default_rng(0).normal(5, 2, 400)

    (measured,) = bootstrap(lambda w: mean(w, values), [400], confidence_level=0.95, seed=0)

    assert measured.value == pytest.approx(values.mean())
    half_width = 1.96 * values.std() / 20
    assert (measured.low, measured.high) == pytest.approx(
        (values.mean() - half_width, values.mean() + half_width), abs=0.03
    )


def test_the_bootstrap_is_deterministic_by_its_seed():
    values = np.arange(50.0)

    def run(seed):
        return bootstrap(lambda w: mean(w, values), [50], confidence_level=0.9, seed=seed)

    assert run(1) == run(1) != run(2)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(deadline=None, max_examples=20)
def test_every_resample_draws_as_many_rows_of_each_stratum_as_there_are(strata):
    firsts = np.cumsum([0, *strata[:-1]])
    seen = []

    def record(weights):
        seen.append(np.add.reduceat(weights, firsts, axis=1))
        return np.zeros((len(weights), 1))

    bootstrap(record, strata, confidence_level=0.95, seed=0)

    assert (np.concatenate(seen) == strata).all()


def test_resamples_that_all_agree_give_no_interval():
    (measured,) = bootstrap(lambda w: mean(w, np.ones(10)), [10], confidence_level=0.95, seed=0)

    assert measured.value == 1
    assert not measured.has_interval


def test_samples_too_large_for_memory_at_once_are_resampled_in_parts(monkeypatch):
    monkeypatch.setattr("seatrial.components.evaluation.intervals._WEIGHTS_AT_A_TIME", 7 * 50)
    sizes = []

    def record(weights):
        sizes.append(len(weights))
        return mean(weights, np.arange(50.0))

    bootstrap(record, [50], confidence_level=0.95, seed=0)

    assert max(sizes) == 7
    assert sum(sizes[:-1]) == 2000  # the last is the sample itself


@pytest.mark.parametrize(("shares", "pairs"), [((0.2, 0.05), 300), ((0.04, 0.05), 200), ((0.06, 0.02), 150)])
def test_tangos_95_percent_interval_holds_the_true_difference_about_95_times_in_100(shares, pairs):
    generator = np.random.default_rng(0)
    draws = generator.multinomial(pairs, [*shares, 1 - sum(shares)], size=1000)
    held = [tango(first, second, pairs, 0.95) for first, second, _ in draws.tolist()]

    assert 0.93 <= np.mean([one.low <= shares[0] - shares[1] <= one.high for one in held]) <= 0.97


@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_wilsons_95_percent_interval_holds_the_true_share_about_95_times_in_100(share):
    successes = np.random.default_rng(0).binomial(200, share, size=2000)
    held = [wilson(int(count), 200, 0.95) for count in successes]

    assert 0.93 <= np.mean([one.low <= share <= one.high for one in held]) <= 0.97
