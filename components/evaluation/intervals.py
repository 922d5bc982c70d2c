"""Confidence intervals: Wilson for a proportion, the bootstrap for other metrics, Tango for paired proportions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ..runtime import InputError, Progress

_RESAMPLES = 2000
_WEIGHTS_AT_A_TIME = 2**22


@dataclass(frozen=True)
class Estimate:
    """A measured value and its confidence interval; the bounds are NaN where no sound interval is known."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there are bounds."""
        return not math.isnan(self.low)

    def __str__(self) -> str:
        return f"{self.value:.3f}" + (f" [{self.low:.3f}, {self.high:.3f}]" if self.has_interval else "")


def critical_value(confidence_level: float) -> float:
    """How many standard deviations on each side hold this share of a normal distribution.

    Raises:
        InputError: If the level is not from 0.5 to 0.9999.
    """
    if not 0.5 <= confidence_level <= 0.9999:
        raise InputError(
            f"confidence_level is {confidence_level!r}; expected a share from 0.5 to 0.9999, such as 0.95."
        )
    return NormalDist().inv_cdf((1 + confidence_level) / 2)


def wilson(successes: int, trials: int, confidence_level: float) -> Estimate:
    """A proportion with Wilson's score interval (Wilson 1927), sound for few trials and near 0 or 1 too."""
    z_squared = critical_value(confidence_level) ** 2
    share = successes / trials
    centre = (share + z_squared / (2 * trials)) / (1 + z_squared / trials)
    half_width = math.sqrt(z_squared * (share * (1 - share) + z_squared / (4 * trials)) / trials)
    half_width /= 1 + z_squared / trials
    low = 0.0 if successes == 0 else centre - half_width
    high = 1.0 if successes == trials else centre + half_width
    return Estimate(share, low, high)


def bootstrap(
    statistics: Callable[[np.ndarray], np.ndarray], strata: Sequence[int], *, confidence_level: float, seed: int
) -> list[Estimate]:
    """Statistics of a sample with percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13).

    Each of 2,000 resamples draws rows with replacement, as many of each stratum as there are.

    Args:
        statistics: Maps weights of the rows, shape (resamples, rows), to statistics, shape (resamples, statistics). The
            weight of a row is how often it was drawn. NaN where a statistic is undefined for a resample.
        strata: Sizes of the strata, whose rows follow each other; one size for simple random sampling.
        confidence_level: Share of samples whose interval should hold the true value.
        seed: Seed of the resampling.

    Returns:
        One estimate for each statistic. It has no interval where all resamples agree, as they do when a model makes no
        error: the bootstrap cannot imagine what the sample does not hold.
    """
    critical_value(confidence_level)
    rows = sum(strata)
    generator = np.random.default_rng(seed)
    progress = Progress(_RESAMPLES, "resamples")
    at_a_time = min(_RESAMPLES, max(1, _WEIGHTS_AT_A_TIME // rows))
    batches = []
    for start in range(0, _RESAMPLES, at_a_time):
        size = min(at_a_time, _RESAMPLES - start)
        drawn = np.empty((size, rows), dtype=np.int64)
        first = 0
        for members in strata:
            drawn[:, first : first + members] = generator.integers(first, first + members, size=(size, members))
            first += members
        drawn += rows * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)
        batches.append(statistics(weights))
        progress.advance(size)
    values = statistics(np.ones((1, rows)))[0]
    tail = (1 - confidence_level) / 2
    lows, highs = np.nanquantile(np.concatenate(batches), [tail, 1 - tail], axis=0)
    return [
        Estimate(float(value), float(low), float(high)) if low < high else Estimate(float(value))
        for value, low, high in zip(values, lows, highs, strict=True)
    ]


def tango_score(only_first: int, only_second: int, pairs: int, difference: float) -> float:
    """Score statistic for the hypothesis that two paired proportions differ by `difference` (first − second).

    Standard normal under the hypothesis; at difference 0 it is McNemar's statistic. Tango (1998), Statistics in
    Medicine 17:891–908, equations 24 to 26, with the sign of the difference turned.

    Args:
        only_first: Pairs in which only the first succeeded.
        only_second: Pairs in which only the second succeeded.
        pairs: All pairs.
        difference: From −1 to 1.
    """
    deviation = only_first - only_second - pairs * difference
    a = 2 * pairs
    b = (2 * pairs - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    only_second_share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # most likely under the hypothesis
    variance = pairs * (2 * only_second_share + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, deviation) if deviation else 0.0
    return deviation / math.sqrt(variance)


def tango(only_first: int, only_second: int, pairs: int, confidence_level: float) -> Estimate:
    """Difference of two paired proportions (first − second) with Tango's score interval: what `tango_score` accepts."""
    difference = (only_first - only_second) / pairs
    z = critical_value(confidence_level)

    def bound(outside: float) -> float:
        inside = difference
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(tango_score(only_first, only_second, pairs, middle)) < z:
                inside = middle
            else:
                outside = middle
        return (inside + outside) / 2

    return Estimate(difference, bound(-1.0), bound(1.0))


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Two-sided p-value that two paired proportions are equal: McNemar's exact binomial test with mid-p.

    The mid-p version counts half of the observed outcome's probability, and keeps the error rate near its nominal value
    where the exact test is too cautious (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
    """
    from scipy.special import bdtr

    fewer, discordant = min(only_first, only_second), only_first + only_second
    if only_first == only_second:
        return 1.0
    below = bdtr(fewer - 1, discordant, 0.5) if fewer else 0.0
    return float(below + bdtr(fewer, discordant, 0.5))
