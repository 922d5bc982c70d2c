"""Does the challenger do harm? What one step of a rollout has shown, judged. Pure: no cloud, no clock.

Three things are tested at each step, one-sided, for harm:

- **errors**: requests that failed or got no usable answer, by Fisher's exact test. A failed call does not say which
  model failed it (only a `PredictResponse` carries a `deployed_model_id`), so the whole step is compared with the
  requests that were replayed before the challenger got any traffic. That control is not concurrent: trouble of the
  platform that begins in the middle of a rollout ends it too, which is the safe side.
- **quality**: accuracy on labelled rows, by Fisher's exact test, challenger against champion in the same step. The same
  row sent again gets the same answer and is no new evidence, so each model's distinct rows count.
- **latency**: by the Mann-Whitney U test, challenger against champion in the same step; harm only if the challenger's
  95th percentile also exceeds a tolerated multiple of the champion's and an absolute floor, since a difference may be
  beyond doubt and matter to nobody. Latencies of neighbouring requests are correlated, which makes the rank test alone
  alarm too often; the second condition makes up for it.

At 100 % nothing serves beside the challenger: quality and latency are then compared with the champion's earlier answers
in the same rollout, and slowness has to show twice in a row, as it may have come from elsewhere meanwhile. The first
model of an endpoint has no control at all: only its errors are tested, by the exact binomial test against a fixed rate.

With independent requests the probability of a false alarm in the whole rollout is at most the significance level, which
is divided by the number of tests (Bonferroni, steps x 3). A step without evidence of harm proceeds; non-inferiority is
not demanded.

Sources: Fisher, Statistical Methods for Research Workers (1934), §21.02; Mann and Whitney, Annals of Mathematical
Statistics 18 (1947) 50-60.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from ..evaluation.verdict import Reason

_TESTS_PER_STEP = 3
_ERROR_RATE_WITHOUT_CONTROL = 0.01
_MINIMUM_LATENCIES = 5


@dataclass(frozen=True)
class Errors:
    """How many of a number of requests failed or got no usable answer."""

    failed: int
    requests: int


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Attributes:
        correct: Distinct labelled rows that were answered with their label.
        labelled: Distinct labelled rows that were answered.
        latencies_ms: Milliseconds to each usable answer.
    """

    correct: int = 0
    labelled: int = 0
    latencies_ms: Sequence[float] = ()

    @property
    def accuracy(self) -> float | None:
        """Share of distinct labelled rows answered with their label; None if there are none."""
        return self.correct / self.labelled if self.labelled else None

    def latency_ms(self, quantile: float) -> float | None:
        """A quantile of the latencies; None if there are none."""
        return float(np.quantile(self.latencies_ms, quantile)) if len(self.latencies_ms) else None


@dataclass(frozen=True)
class Limits:
    """What counts as harm.

    Attributes:
        significance_level: Probability, at most, that a rollout of an equally good model is rolled back.
        maximum_latency_ratio: How many times the champion's 95th percentile the challenger's may be.
        latency_floor_ms: A 95th percentile below this is never harm.
    """

    significance_level: float = 0.05
    maximum_latency_ratio: float = 2.0
    latency_floor_ms: float = 250.0


@dataclass(frozen=True)
class Judgement:
    """The verdict on one step.

    Attributes:
        harm: The harm found; None if the rollout may proceed.
        p_values: One-sided p-value of each test; None where it could not be made.
    """

    harm: Reason | None
    p_values: dict[str, float | None] = field(default_factory=dict)


def judge(
    errors: Errors,
    errors_before: Errors | None,
    challenger: Answers,
    champion: Answers,
    limits: Limits,
    steps: int,
) -> Judgement:
    """Judges one step.

    Args:
        errors: Of all requests of the step, whichever model got them.
        errors_before: Of the requests before the challenger got traffic; None on an endpoint where nothing served.
        challenger: Its answers in the step.
        champion: Answers of what served before, in the same step, or in the earlier steps when there are none in it.
        limits: What counts as harm.
        steps: Number of steps of the whole rollout, over which the significance level is divided.
    """
    level = limits.significance_level / (_TESTS_PER_STEP * steps)
    p_values = {
        "errors": _errors_p_value(errors, errors_before),
        "quality": _quality_p_value(challenger, champion),
        "latency": _latency_p_value(challenger, champion),
    }
    significant = {name for name, p_value in p_values.items() if p_value is not None and p_value < level}
    if "errors" in significant:
        return Judgement(_errors_reason(errors, errors_before), p_values)
    if "quality" in significant:
        text = f"The challenger's accuracy is {challenger.accuracy:.3f}, the champion's {champion.accuracy:.3f}"
        rows = f"on {challenger.labelled:,} and {champion.labelled:,} distinct labelled rows"
        return Judgement(Reason("quality", f"{text} ({rows})."), p_values)
    if "latency" in significant and _too_slow(challenger, champion, limits):
        text = (
            f"The challenger's 95th percentile of latency is {challenger.latency_ms(0.95):,.0f} ms, the champion's "
            f"{champion.latency_ms(0.95):,.0f} ms; tolerated are {limits.maximum_latency_ratio:g} times that, and "
            f"anything up to {limits.latency_floor_ms:,.0f} ms."
        )
        return Judgement(Reason("latency", text), p_values)
    return Judgement(None, p_values)


def _errors_p_value(errors: Errors, before: Errors | None) -> float:
    if before is None:
        test = stats.binomtest(errors.failed, errors.requests, _ERROR_RATE_WITHOUT_CONTROL, alternative="greater")
        return float(test.pvalue)
    return _fisher(errors.failed, errors.requests, before.failed, before.requests)


def _errors_reason(errors: Errors, before: Errors | None) -> Reason:
    text = f"{errors.failed:,} of {errors.requests:,} requests failed"
    if before is None:
        return Reason("errors", f"{text}; tolerated is a rate of {_ERROR_RATE_WITHOUT_CONTROL:.0%}.")
    return Reason("errors", f"{text}; before the challenger got traffic {before.failed:,} of {before.requests:,} did.")


def _quality_p_value(challenger: Answers, champion: Answers) -> float | None:
    if not challenger.labelled or not champion.labelled:
        return None
    wrong = challenger.labelled - challenger.correct, champion.labelled - champion.correct
    return _fisher(wrong[0], challenger.labelled, wrong[1], champion.labelled)


def _latency_p_value(challenger: Answers, champion: Answers) -> float | None:
    if min(len(challenger.latencies_ms), len(champion.latencies_ms)) < _MINIMUM_LATENCIES:
        return None
    test = stats.mannwhitneyu(challenger.latencies_ms, champion.latencies_ms, alternative="greater")
    return float(test.pvalue)


def _too_slow(challenger: Answers, champion: Answers, limits: Limits) -> bool:
    slow, usual = challenger.latency_ms(0.95), champion.latency_ms(0.95)
    if slow is None or usual is None:
        return False
    return slow > max(limits.maximum_latency_ratio * usual, limits.latency_floor_ms)


def _fisher(events: int, trials: int, control_events: int, control_trials: int) -> float:
    """One-sided p-value of Fisher's exact test that the rate of the first is higher than the control's."""
    table = [[events, trials - events], [control_events, control_trials - control_events]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
