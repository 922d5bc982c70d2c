"""The gate between two models: is the challenger good enough to take the champion's place?

Both models predicted the same rows, so the comparison is paired: only rows on which exactly one of them is right
tell the two apart.
"""

import math
from collections.abc import Set
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from ..runtime import InputError
from .intervals import Estimate, critical_value, mcnemar_mid_p, tango, tango_score, wilson
from .predictions import Predictions, read_predictions
from .verdict import Reason, Verdict

_CHANCE_TO_DECIDE = 0.8


def compare(
    challenger: str | Path,
    champion: str | Path | None,
    *,
    non_inferiority_margin: float,
    significance_level: float,
    minimum_accuracy: float,
) -> Verdict:
    """Decides on a challenger.

    With d = accuracy of the challenger − accuracy of the champion, and its two-sided confidence interval (Tango's score
    interval at level 1 − significance_level), the first rule that applies decides:

    1. The models are the same (equal digests): hold, `identical`.
    2. The whole interval of the challenger's accuracy (Wilson) is below minimum_accuracy: reject, `below_minimum`.
    3. The whole interval of d is below 0: reject, `worse`. A model that is shown to be worse is not rolled out even if
       it is worse by less than the margin: a scheduled retraining would otherwise go down step by step.
    4. The interval of d reaches down to −non_inferiority_margin or further: hold, `undecided`.
    5. The interval of the challenger's accuracy reaches below minimum_accuracy: hold, `minimum_not_shown`.
    6. Otherwise promote, `non_inferior`; a second reason says whether it is shown to be better (`superior`, McNemar's
       test with mid-p below significance_level) or not (`not_superior`).

    Without a champion, rules 2 and 5 apply, then promote, `first_model`. A challenger that is truly worse by the margin
    or more is promoted with a probability of at most about significance_level / 2.

    Args:
        challenger: Predictions folder of the challenger.
        champion: Predictions folder of the champion for the same rows; None if there is no champion.
        non_inferiority_margin: Loss of accuracy that nobody would mind, from 0 to 0.5.
        significance_level: From 0.0001 to 0.5.
        minimum_accuracy: What any model must be shown to reach, from 0 to 1.

    Raises:
        InputError: If a parameter is out of range, predictions are unsound, or the two are not for the same rows with
            the same truth.
    """
    for name, value, low, high in (
        ("non_inferiority_margin", non_inferiority_margin, 0, 0.5),
        ("significance_level", significance_level, 0.0001, 0.5),
        ("minimum_accuracy", minimum_accuracy, 0, 1),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} is {value!r}; expected a share from {low} to {high}.")
    new = read_predictions(challenger)
    old = None if champion is None else read_predictions(champion)
    parameters = {
        "non_inferiority_margin": non_inferiority_margin,
        "significance_level": significance_level,
        "minimum_accuracy": minimum_accuracy,
    }
    if old is None:
        return _decide_on_first(new, parameters)
    return _decide(new, old, _pair(new, old), parameters)


def headline(verdict: Verdict) -> str:
    """One line: "promote: +0.150 [0.118, 0.181]", "hold: identical"."""
    if verdict.reasons[0].code in ("non_inferior", "worse", "undecided"):
        return f"{verdict.verdict}: {verdict.evidence['accuracy_difference']['value']:+.3f} " + (
            "[{low:.3f}, {high:.3f}]".format_map(verdict.evidence["accuracy_difference"])
        )
    return f"{verdict.verdict}: {verdict.reasons[0].code.replace('_', ' ')}"


def flat(verdict: Verdict) -> dict[str, float]:
    """The numbers of the evidence by name, for a metrics artifact: `accuracy_difference_low`, …."""
    evidence = verdict.evidence
    numbers = {name: float(value) for name, value in evidence.items() if isinstance(value, int | float)}
    estimates = {
        f"{name}_accuracy": evidence[name]["accuracy"] for name in ("challenger", "champion") if name in evidence
    }
    if "accuracy_difference" in evidence:
        estimates["accuracy_difference"] = evidence["accuracy_difference"]
    for name, estimate in estimates.items():
        numbers |= {name: estimate["value"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}
    return numbers


def _decide_on_first(challenger: Predictions, parameters: dict[str, float]) -> Verdict:
    accuracy = _accuracy(challenger, 1 - parameters["significance_level"])
    evidence = {"rows": len(challenger.row_ids), "challenger": _model_evidence(challenger, accuracy), **parameters}
    if shortfall := _shortfall(accuracy, parameters["minimum_accuracy"]):
        return Verdict(*shortfall, evidence)
    text = (
        f"There is no champion yet. The challenger is right on {_share(accuracy)} of {len(challenger.row_ids):,} rows."
    )
    return Verdict("promote", [Reason("first_model", text)], evidence)


def _decide(
    challenger: Predictions, champion: Predictions, pairs: tuple[int, int], parameters: dict[str, float]
) -> Verdict:
    level = 1 - parameters["significance_level"]
    margin, rows = parameters["non_inferiority_margin"], len(challenger.row_ids)
    accuracy, champion_accuracy = _accuracy(challenger, level), _accuracy(champion, level)
    difference, superiority_p = tango(*pairs, rows, level), mcnemar_mid_p(*pairs)
    evidence = {
        "rows": rows,
        "challenger": _model_evidence(challenger, accuracy),
        "champion": _model_evidence(champion, champion_accuracy),
        "accuracy_difference": _interval_evidence(difference),
        "only_challenger_right": pairs[0],
        "only_champion_right": pairs[1],
        "superiority_p_value": superiority_p,
        "non_inferiority_p_value": 1 - NormalDist().cdf(tango_score(*pairs, rows, -margin)),
        **parameters,
    }
    if challenger.model_digest == champion.model_digest:
        text = (
            f"Challenger and champion are the same model (digest {challenger.model_digest[:12]}): nothing would change."
        )
        return Verdict("hold", [Reason("identical", text)], evidence)
    measured = (
        f"The challenger is right on {_share(accuracy)}, the champion on {_share(champion_accuracy)} of the same "
        f"{rows:,} rows: a difference of {_points(difference)} points."
    )
    shortfall = _shortfall(accuracy, parameters["minimum_accuracy"])
    if shortfall and shortfall[0] == "reject":
        return Verdict(*shortfall, evidence)
    if difference.high < 0:
        return Verdict("reject", [Reason("worse", f"{measured} It is shown to be worse.")], evidence)
    if difference.low <= -margin:
        text = f"{measured} A loss of {100 * margin:g} % of the rows or more cannot be ruled out."
        text += f" {_outlook(pairs, rows, parameters)}"
        return Verdict("hold", [Reason("undecided", text)], evidence)
    if shortfall:
        return Verdict(*shortfall, evidence)
    reasons = [
        Reason(
            "non_inferior",
            f"{measured} A loss of the stated margin, {100 * margin:g} % of the rows, or more is ruled out.",
        )
    ]
    counts = f"right alone on {pairs[0]:,} rows against {pairs[1]:,}, McNemar mid-p {superiority_p:.2g}"
    if difference.value > 0 and superiority_p < parameters["significance_level"]:
        reasons.append(Reason("superior", f"The challenger is shown to be better ({counts})."))
    else:
        reasons.append(Reason("not_superior", f"The challenger is not shown to be better ({counts})."))
    return Verdict("promote", reasons, evidence)


def _pair(challenger: Predictions, champion: Predictions) -> tuple[int, int]:
    """How many rows only the challenger, and only the champion, gets right.

    Raises:
        InputError: If the two are not for the same rows with the same truth.
    """
    champion_rows = {
        row_id: (truth, truth == predicted)
        for row_id, truth, predicted in zip(champion.row_ids, champion.truth, champion.predicted, strict=True)
    }
    _refuse_other_rows(set(challenger.row_ids), champion_rows.keys())
    only_challenger = only_champion = 0
    relabelled = []
    for row_id, truth, predicted in zip(challenger.row_ids, challenger.truth, challenger.predicted, strict=True):
        champion_truth, champion_is_right = champion_rows[row_id]
        if champion_truth != truth:
            relabelled.append(f"row {row_id!r}: {truth!r} and {champion_truth!r}")
        only_challenger += truth == predicted and not champion_is_right
        only_champion += truth != predicted and champion_is_right
    if relabelled:
        raise InputError(
            f"The predictions of challenger and champion differ in the true label of {len(relabelled):,} rows "
            f"({', '.join(relabelled[:3])}). Predict the same table with both models."
        )
    return only_challenger, only_champion


def _refuse_other_rows(challenger: Set[str], champion: Set[str]) -> None:
    if challenger == champion:
        return
    found = [
        f"{len(rows):,} rows only for the {name} (such as {', '.join(map(repr, sorted(rows)[:3]))})"
        for name, rows in (("challenger", challenger - champion), ("champion", champion - challenger))
        if rows
    ]
    raise InputError(
        f"The predictions of challenger and champion are not for the same rows: {' and '.join(found)}, "
        f"{len(challenger & champion):,} for both. Predict the same table with both models."
    )


def _accuracy(predictions: Predictions, confidence_level: float) -> Estimate:
    right = sum(truth == predicted for truth, predicted in zip(predictions.truth, predictions.predicted, strict=True))
    return wilson(right, len(predictions.truth), confidence_level)


def _shortfall(accuracy: Estimate, minimum: float) -> tuple[Literal["reject", "hold"], list[Reason]] | None:
    if accuracy.high < minimum:
        text = f"The challenger is right on {_share(accuracy)} of the rows, below the minimum of {100 * minimum:g} %."
        return "reject", [Reason("below_minimum", text)]
    if accuracy.low < minimum:
        text = (
            f"The challenger is right on {_share(accuracy)} of the rows: that does not show that it reaches the "
            f"minimum of {100 * minimum:g} %. More test rows would."
        )
        return "hold", [Reason("minimum_not_shown", text)]
    return None


def _outlook(pairs: tuple[int, int], rows: int, parameters: dict[str, float]) -> str:
    """How many rows would decide with a chance of 80 %, if the observed shares are the true ones.

    Normal approximation of the paired difference d with variance (discordant share − d²) / rows: either d's lower bound
    clears −margin, or its upper bound 0. Rounded up to two digits.
    """
    difference, discordant = (pairs[0] - pairs[1]) / rows, (pairs[0] + pairs[1]) / rows
    distance = max(difference + parameters["non_inferiority_margin"], -difference)
    if distance == 0:
        return "If the two are equally good, no number of test rows can show it with a margin of 0."
    quantiles = critical_value(1 - parameters["significance_level"]) + NormalDist().inv_cdf(_CHANCE_TO_DECIDE)
    needed = (quantiles / distance) ** 2 * max(discordant - difference**2, 1 / rows)
    digit = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    needed = math.ceil(needed / digit) * digit
    return f"If the measured difference is the true one, about {needed:,} test rows would probably decide."


def _model_evidence(predictions: Predictions, accuracy: Estimate) -> dict[str, Any]:
    return {
        "model_digest": predictions.model_digest,
        "model_type": predictions.model_type,
        "accuracy": _interval_evidence(accuracy),
    }


def _interval_evidence(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _share(accuracy: Estimate) -> str:
    return f"{100 * accuracy.value:.1f} % [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"


def _points(difference: Estimate) -> str:
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
