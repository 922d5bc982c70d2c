"""What counts as harm, and how rarely an equally good model is accused of it."""

import numpy as np
import pytest
from scipy import stats

from seatrial.components.deployment.decision import Answers, Errors, Limits, judge

LIMITS = Limits()
NONE = Errors(0, 200)


def answers(*, accuracy: float = 0.8, rows: int = 100, milliseconds: float = 20.0, spread: float = 5.0) -> Answers:
    latencies = np.linspace(milliseconds - spread, milliseconds + spread, rows).tolist()
    return Answers(correct=round(accuracy * rows), labelled=rows, latencies_ms=latencies)


def verdict(**evidence):
    given = {"errors": NONE, "errors_before": NONE, "challenger": answers(), "champion": answers(), "limits": LIMITS}
    return judge(**{**given, "steps": 3, **evidence})


def code(judgement) -> str | None:
    return judgement.harm.code if judgement.harm else None


def test_equal_models_do_no_harm():
    assert code(verdict()) is None


def test_failing_requests_are_harm():
    judgement = verdict(errors=Errors(20, 200))

    assert code(judgement) == "errors"
    assert judgement.harm.text == "20 of 200 requests failed; before the challenger got traffic 0 of 200 did."


def test_errors_that_were_there_before_are_not_the_challengers():
    assert code(verdict(errors=Errors(20, 200), errors_before=Errors(20, 200))) is None


def test_one_failed_request_is_no_evidence():
    assert code(verdict(errors=Errors(1, 200))) is None


def test_fewer_errors_are_no_harm():
    assert code(verdict(errors=NONE, errors_before=Errors(200, 200))) is None


def test_the_first_model_of_an_endpoint_may_fail_one_request_in_a_hundred():
    first = {"errors_before": None, "champion": Answers()}

    assert code(verdict(errors=Errors(2, 200), **first)) is None
    assert code(verdict(errors=Errors(20, 200), **first)) == "errors"


def test_wrong_answers_are_harm_even_from_few_rows():
    judgement = verdict(challenger=answers(accuracy=0.2, rows=20), champion=answers(rows=180))

    assert code(judgement) == "quality"
    assert "accuracy is 0.200, the champion's 0.800" in judgement.harm.text


def test_a_better_model_does_no_harm():
    assert code(verdict(challenger=answers(accuracy=1.0))) is None


def test_quality_is_not_judged_without_labels():
    unlabelled = Answers(latencies_ms=[20.0] * 50)
    judgement = verdict(challenger=unlabelled)

    assert judgement.p_values["quality"] is None
    assert code(judgement) is None


def test_a_slow_model_is_harm():
    judgement = verdict(challenger=answers(milliseconds=1000.0))

    assert code(judgement) == "latency"
    assert "1,004 ms" in judgement.harm.text


@pytest.mark.parametrize(
    ("milliseconds", "limits"),
    [
        pytest.param(200.0, LIMITS, id="below the floor"),
        pytest.param(1000.0, Limits(maximum_latency_ratio=100.0), id="within the ratio"),
    ],
)
def test_a_slower_model_is_tolerated_up_to_ratio_and_floor(milliseconds, limits):
    judgement = verdict(challenger=answers(milliseconds=milliseconds), limits=limits)

    assert judgement.p_values["latency"] < 0.001
    assert code(judgement) is None


def test_latency_is_not_judged_from_too_few_answers():
    assert verdict(challenger=Answers(latencies_ms=[9000.0] * 4)).p_values["latency"] is None


def test_a_challenger_without_answers_is_judged_by_errors_alone():
    judgement = verdict(challenger=Answers(), errors=Errors(200, 200))

    assert code(judgement) == "errors"
    assert judgement.p_values["quality"] is None
    assert judgement.p_values["latency"] is None


def test_more_steps_ask_for_stronger_evidence():
    doubtful = {"errors": Errors(8, 200), "errors_before": Errors(0, 200)}

    assert code(verdict(**doubtful, steps=3)) == "errors"
    assert code(verdict(**doubtful, steps=100)) is None


def test_p_values_are_those_of_the_tests_that_are_named():
    judgement = verdict(errors=Errors(9, 200), errors_before=Errors(2, 100))

    table = [[9, 191], [2, 98]]
    assert judgement.p_values["errors"] == pytest.approx(stats.hypergeom.sf(8, 300, 11, 200))
    assert judgement.p_values["errors"] == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)


def simulated_rollout(random: np.random.Generator, *, error_rate: float, accuracy: float, slower: float) -> bool:
    """Whether three steps of 200 requests end in a rollback; the champion has 1 % errors, accuracy 0.8, 300 ms."""

    def arm(rows: int, accuracy: float, slower: float) -> Answers:
        latencies = random.lognormal(np.log(300 * slower), 0.3, rows)
        return Answers(int(random.binomial(rows, accuracy)), rows, latencies.tolist())

    before = Errors(int(random.binomial(200, 0.01)), 200)
    champion = Answers()
    for percent in (10, 50, 100):
        challengers = int(random.binomial(200, percent / 100))
        failed = random.binomial(challengers, error_rate) + random.binomial(200 - challengers, 0.01)
        champion = arm(200 - challengers, 0.8, 1.0) if percent < 100 else champion
        challenger = arm(challengers, accuracy, slower)
        if judge(Errors(int(failed), 200), before, challenger, champion, LIMITS, 3).harm:
            return True
    return False


def rollback_rate(rollouts: int, **challenger: float) -> float:
    random = np.random.default_rng(7)
    return float(np.mean([simulated_rollout(random, **challenger) for _ in range(rollouts)]))


def test_an_equally_good_model_is_rolled_back_no_more_often_than_promised():
    assert rollback_rate(400, error_rate=0.01, accuracy=0.8, slower=1.0) <= LIMITS.significance_level


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param({"error_rate": 0.3}, id="three of ten requests fail"),
        pytest.param({"accuracy": 0.5}, id="accuracy falls from 0.8 to 0.5"),
        pytest.param({"slower": 3.0}, id="three times as slow"),
    ],
)
def test_a_bad_model_is_rolled_back_almost_surely(harm):
    good = {"error_rate": 0.01, "accuracy": 0.8, "slower": 1.0}

    assert rollback_rate(60, **{**good, **harm}) > 0.95
