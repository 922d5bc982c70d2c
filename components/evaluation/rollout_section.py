"""What a run's report says of the traffic: the story, the timeline, and each step in numbers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from ..page import Html, legend, table
from .rollout_timeline import (
    COLORS,
    UNITS,
    Moment,
    accuracy_of,
    decision_of,
    failed,
    harm_in_words,
    harm_of,
    milliseconds,
    model_names,
    moments,
    timeline,
)

STYLE = """
.step { border-left: 3px solid var(--line); padding: 0 0 1.2rem 1.1rem; margin-left: .4rem; position: relative; }
.step::before { content: ""; position: absolute; left: -.5rem; top: .3rem; width: .8rem; height: .8rem;
  border-radius: 50%; background: var(--accent); }
.step.harm { border-color: var(--harm); } .step.harm::before { background: var(--harm); border-radius: 0; }
.step > p { margin: .2rem 0; }
@media print { .step { break-inside: avoid; } }
"""


def traffic_section(rollout: Mapping[str, Any]) -> str:
    """What the traffic did; where steps were made, also each of them in numbers."""
    title, placed = "<h2>What did the traffic do?</h2>", moments(rollout["steps"])
    if not placed:
        split = split_in_words(rollout["split_after"], rollout["challenger"])
        attempt = "" if rollout["outcome"] == "kept" else " in this attempt"
        return f"{title}<p>No traffic moved{attempt}. {escape(split)}</p>"
    names = model_names(rollout)
    there = names if rollout["split_before"] else {"challenger": names["challenger"]}
    colors = legend({name: COLORS[model] for model, name in there.items()})
    steps = "".join(_step(moment, rollout) for moment in placed)
    return (
        f"{title}<p>{escape(story(rollout))}</p>{colors}{timeline(rollout, placed)}"
        f"<h2>What did each step show?</h2>{_explanation(rollout, placed)}{steps}"
    )


def story(rollout: Mapping[str, Any]) -> str:
    """The timeline in a sentence or two."""
    placed = moments(rollout["steps"])
    given = [moment for moment in placed if moment.step["percent"]]
    if not given:
        return "The new model never got traffic."
    shares = [f"{moment.step['percent']} %" for moment in given]
    if (harm := harm_of(placed)) is not None:
        return (
            f"At {harm.step['percent']} % of the traffic the new model was taken back: {harm_in_words(rollout)}. It "
            f"had traffic for {duration(harm.end - given[0].start)}; since then it has had none."
        )
    if not rollout["split_before"]:
        return f"Nothing served before: the new model got all traffic, and was watched for {duration(placed[-1].end)}."
    return (
        f"The new model's share of the traffic went from nothing to {' to '.join(shares)}; in "
        f"{duration(placed[-1].end)} nothing was found against it."
    )


def duration(seconds: float) -> str:
    """A length of time for people."""
    for unit, size in UNITS:
        if seconds >= 3 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _explanation(rollout: Mapping[str, Any], placed: Sequence[Moment]) -> str:
    earlier = (
        " At 100 % nothing else serves: the new model is compared with the other's answers at the steps before."
        if rollout["split_before"] and placed[-1].step["percent"] == 100
        else ""
    )
    return (
        "<p class='soft'>At each step held-out rows were sent through the endpoint, as its users do, and each answer "
        "is counted for the model that gave it. The chance without harm is the p-value: how likely is so much to the "
        f"disadvantage of the new model if it does no harm? Slower answers are harm only beyond what is tolerated, "
        f"however sure the difference.{earlier}</p>"
    )


def _step(moment: Moment, rollout: Mapping[str, Any]) -> str:
    """A step in numbers."""
    step, (kind, sign, words) = moment.step, decision_of(moment.step)
    title = f"{step['percent']} % to the new model" if step["percent"] else "Before the new model had traffic"
    decision = f' <span class="{kind}">{sign} {words}</span>' if step["percent"] else ""
    began = datetime.fromisoformat(step["started"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    time = f"{duration(moment.start)} to {duration(moment.end)}, began {began} UTC"
    return (
        f'<div class="step{" harm" if kind == "bad" else ""}"><b>{title}</b>{decision}'
        f'<p class="soft">{time}</p>{_comparison(step, model_names(rollout))}<p>{_errors(step)}</p>'
        f'<p class="soft">{escape(split_in_words(step["split"], rollout["challenger"]))}</p></div>'
    )


def _errors(step: Mapping[str, Any]) -> str:
    chance = step["p_values"].get("errors")
    judged = "" if chance is None else f" (chance without harm: {_chance(chance)})"
    return f"{failed(step)} requests failed{judged}; {step['distinct_rows']:,} different rows were sent."


def split_in_words(split: Mapping[str, float], challenger: str | None) -> str:
    """A traffic split, the new model first."""
    if not split:
        return "Nothing serves."
    models = sorted(split, key=lambda model: (model != challenger, model))
    shares = [f"{'new model' if model == challenger else model} {split[model]:g} %" for model in models]
    return f"Traffic: {', '.join(shares)}."


def _comparison(step: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """What both models did at a step, side by side, and what that says."""
    there = [model for model in COLORS if step[model]["requests"]]
    if not there:
        return ""
    chances = {name: _chance(value) for name, value in step["p_values"].items()}
    rows = [
        ("Answers", *(f"{step[model]['requests']:,}" for model in there), ""),
        ("Right answers", *(_right(step[model]) for model in there), chances.get("quality", "")),
        ("Half within", *(_waiting_time(step[model]["latency_p50_ms"]) for model in there), ""),
        ("95 % within", *(_waiting_time(step[model]["latency_p95_ms"]) for model in there), chances.get("latency", "")),
    ]
    headings = ["", *(names[model].capitalize() for model in there), "Chance without harm" if chances else ""]
    return table(headings, rows, numbers=range(1, len(headings)))


def _right(arm: Mapping[str, Any]) -> str:
    estimate = accuracy_of(arm)
    if estimate is None:
        return "–"
    value, low, high = (f"{100 * number:.1f}" for number in (estimate.value, estimate.low, estimate.high))
    return Html(f"<span>{value} %</span> <span>[{low}, {high}]</span>")


def _waiting_time(time: float | None) -> str:
    return "–" if time is None else milliseconds(time)


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    percent = 100 * p_value
    if percent < 0.01:
        return "below 0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
