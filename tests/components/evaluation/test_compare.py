"""The gate: which challenger is promoted, held or rejected, and why."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.evaluation import compare as compare_module
from seatrial.components.evaluation.compare import compare, flat, headline
from seatrial.components.evaluation.predictions import Predictions
from seatrial.components.evaluation.verdict import write_verdict
from seatrial.components.runtime import InputError

PARAMETERS = {"non_inferiority_margin": 0.01, "significance_level": 0.05, "minimum_accuracy": 0.0}


@pytest.fixture
def judge(write_predictions):
    """The verdict on two models: on how many rows both, only one, or neither is right (None: there is no champion)."""

    def judge(both: int, only_challenger: int, only_champion: int | None, neither: int, **parameters):
        rows = both + only_challenger + (only_champion or 0) + neither
        champion = (both, only_challenger, only_champion or 0, neither)
        challenger_right = np.repeat([True, True, False, False], champion)
        champion_right = np.repeat([True, False, True, False], champion)
        paths = [
            write_predictions(name, ["good"] * rows, ["good" if right else "bad" for right in answers])
            for name, answers in (("challenger", challenger_right), ("champion", champion_right))
        ]
        return compare(paths[0], None if only_champion is None else paths[1], **{**PARAMETERS, **parameters})

    return judge


def codes(verdict):
    return verdict.verdict, [reason.code for reason in verdict.reasons]


def test_a_model_that_is_clearly_better_is_promoted_as_superior(judge):
    verdict = judge(591, 214, 67, 128)

    assert codes(verdict) == ("promote", ["non_inferior", "superior"])
    assert headline(verdict) == "promote: +0.147 [0.116, 0.179]"
    assert "80.5 % [77.9, 82.8], the champion on 65.8 % [62.8, 68.7] of the same 1,000 rows" in verdict.reasons[0].text
    assert "+14.7 [+11.6, +17.9] points" in verdict.reasons[0].text
    assert "right alone on 214 rows against 67" in verdict.reasons[1].text


def test_a_model_that_is_clearly_worse_is_rejected(judge):
    verdict = judge(591, 67, 214, 128)

    assert codes(verdict) == ("reject", ["worse"])
    assert headline(verdict) == "reject: -0.147 [-0.179, -0.116]"


def test_a_model_that_is_as_good_within_the_margin_is_promoted_and_not_called_better(judge):
    verdict = judge(800, 6, 6, 188)

    assert codes(verdict) == ("promote", ["non_inferior", "not_superior"])
    assert "A loss of the stated margin, 1 % of the rows, or more is ruled out" in verdict.reasons[0].text


def test_a_model_that_is_shown_to_be_worse_is_rejected_even_within_the_margin(judge):
    verdict = judge(16_000, 40, 100, 3_860)

    assert -PARAMETERS["non_inferiority_margin"] < verdict.evidence["accuracy_difference"]["low"]
    assert codes(verdict) == ("reject", ["worse"])


def test_too_few_rows_to_tell_hold_the_verdict_and_say_how_many_would_do(judge):
    verdict = judge(780, 25, 25, 170)

    assert codes(verdict) == ("hold", ["undecided"])
    assert "A loss of 1 % of the rows or more cannot be ruled out" in verdict.reasons[0].text
    assert "about 4,000 test rows would probably decide" in verdict.reasons[0].text


def test_the_rows_that_would_decide_do_decide_in_about_80_of_100_cases(judge):
    generator = np.random.default_rng(0)
    parameters = {"non_inferiority_margin": 0.01, "significance_level": 0.05}
    decided = 0
    for _ in range(500):
        first, second, _ = generator.multinomial(4000, [0.025, 0.025, 0.95]).tolist()
        difference = compare_module.tango(first, second, 4000, 1 - parameters["significance_level"])
        decided += difference.low > -parameters["non_inferiority_margin"] or difference.high < 0

    assert 0.75 <= decided / 500 <= 0.87


def test_with_a_margin_of_0_two_equal_models_are_never_decided(judge):
    verdict = judge(80, 5, 5, 10, non_inferiority_margin=0.0)

    assert codes(verdict) == ("hold", ["undecided"])
    assert "no number of test rows" in verdict.reasons[0].text


def test_the_same_model_is_held_as_identical(write_predictions):
    paths = [write_predictions(name, ["good", "bad"], ["good", "good"], digest="same") for name in ("a", "b")]

    verdict = compare(*paths, **PARAMETERS)

    assert codes(verdict) == ("hold", ["identical"])
    assert headline(verdict) == "hold: identical"


def test_without_a_champion_the_first_model_is_promoted(judge):
    verdict = judge(80, 0, None, 20)

    assert codes(verdict) == ("promote", ["first_model"])
    assert headline(verdict) == "promote: first model"
    assert "champion" not in verdict.evidence


@pytest.mark.parametrize("only_champion", [None, 2])
@pytest.mark.parametrize(
    ("minimum", "expected"),
    [(0.9, ("reject", ["below_minimum"])), (0.8, ("hold", ["minimum_not_shown"]))],
)
def test_no_model_is_promoted_that_is_not_shown_to_reach_the_minimum(judge, only_champion, minimum, expected):
    assert codes(judge(780, 20, only_champion, 198, minimum_accuracy=minimum)) == expected


def test_the_order_of_the_rows_does_not_matter(write_predictions):
    truth, first, second = ["good", "bad", "bad"], ["good", "good", "bad"], ["bad", "bad", "bad"]
    challenger = write_predictions("challenger", truth, first)
    champion = write_predictions("champion", truth, second)
    turned = write_predictions("turned", truth[::-1], second[::-1], row_ids=["row-2", "row-1", "row-0"])

    verdict, turned_verdict = (compare(challenger, other, **PARAMETERS) for other in (champion, turned))

    assert verdict.reasons == turned_verdict.reasons
    assert (verdict.evidence["only_challenger_right"], verdict.evidence["only_champion_right"]) == (1, 1)


def test_models_may_know_different_labels(write_predictions):
    challenger = write_predictions("challenger", ["good", "ugly"], ["good", "ugly"], labels=["good", "ugly"])
    champion = write_predictions("champion", ["good", "ugly"], ["good", "bad"], labels=["bad", "good"])

    assert compare(challenger, champion, **PARAMETERS).evidence["only_challenger_right"] == 1


def test_predictions_for_other_rows_are_refused_with_counts_and_examples(write_predictions):
    challenger = write_predictions("challenger", ["good"] * 3, ["good"] * 3, row_ids=["a", "b", "c"])
    champion = write_predictions("champion", ["good"] * 2, ["good"] * 2, row_ids=["c", "d"])

    with pytest.raises(InputError) as error:
        compare(challenger, champion, **PARAMETERS)

    assert "2 rows only for the challenger (such as 'a', 'b')" in str(error.value)
    assert "1 rows only for the champion (such as 'd'), 1 for both" in str(error.value)


def test_predictions_with_another_truth_are_refused(write_predictions):
    challenger = write_predictions("challenger", ["good", "bad"], ["good", "bad"])
    champion = write_predictions("champion", ["good", "good"], ["good", "bad"])

    with pytest.raises(InputError, match=r"the true label of 1 rows \(row 'row-1': 'bad' and 'good'\)"):
        compare(challenger, champion, **PARAMETERS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("non_inferiority_margin", -0.01),
        ("non_inferiority_margin", 1.0),
        ("significance_level", 0.0),
        ("significance_level", 0.95),
        ("minimum_accuracy", 80.0),
        ("minimum_accuracy", float("nan")),
    ],
)
def test_a_parameter_out_of_range_is_refused(judge, name, value):
    with pytest.raises(InputError, match=f"{name} is {value}; expected a share from"):
        judge(8, 1, 0, 1, **{name: value})


def test_the_verdict_is_written_as_the_schema_says_and_its_numbers_are_finite(judge, tmp_path):
    verdict = judge(591, 214, 67, 128)
    write_verdict(tmp_path / "verdict.json", verdict)

    document = json.loads((tmp_path / "verdict.json").read_text())
    assert set(document) == {"verdict", "reasons", "evidence"}
    assert set(document["reasons"][0]) == {"code", "text"}
    assert document["evidence"]["challenger"]["model_digest"] == "digest of challenger"
    assert document["evidence"]["rows"] == 1000
    numbers = flat(verdict)
    assert numbers["accuracy_difference"] == pytest.approx(0.147)
    assert {"challenger_accuracy_low", "champion_accuracy", "superiority_p_value", "rows"} <= set(numbers)
    assert all(isinstance(number, float) and np.isfinite(number) for number in numbers.values())


def predictions(right: np.ndarray, digest: str) -> Predictions:
    answers = ["good" if one else "bad" for one in right]
    return Predictions(list(map(str, range(len(right)))), ["good"] * len(right), answers, right, [], digest, "", "")


COUNTS = st.tuples(*[st.integers(0, 300)] * 4).filter(any)


@settings(deadline=None)
@given(COUNTS, st.sampled_from([0.0, 0.01, 0.05]), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_better_challenger_never_gets_a_worse_verdict(counts, margin, level):
    both, only_challenger, only_champion, _ = counts
    rank = {"reject": 0, "hold": 1, "promote": 2}
    parameters = {"non_inferiority_margin": margin, "significance_level": level, "minimum_accuracy": 0.0}

    def rank_of(*pairs):
        right = np.arange(sum(counts)) < both + pairs[0]
        one, other = predictions(right, "one"), predictions(right, "other")
        return rank[compare_module._decide(one, other, pairs, parameters).verdict]

    if only_champion:
        assert rank_of(only_challenger, only_champion) <= rank_of(only_challenger + 1, only_champion - 1)


def test_a_challenger_that_is_worse_by_the_margin_is_promoted_in_about_1_of_40_cases():
    generator = np.random.default_rng(0)
    draws = generator.multinomial(1000, [0.02, 0.03, 0.95], size=2000).tolist()

    promoted = sum(compare_module.tango(first, second, 1000, 0.95).low > -0.01 for first, second, _ in draws)

    assert promoted / 2000 <= 0.03
