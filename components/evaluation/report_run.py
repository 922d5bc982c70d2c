"""A whole run as one HTML page: what was decided, on what evidence, and what the traffic did."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .. import axes
from ..curation.select_rows import OPERATIONS
from ..page import Html, Measured, bars, cards, confusion_matrix, facts, interval_chart, page, shortened, table
from . import rollout_section, rollout_timeline
from .classification_page import EXPLANATIONS
from .loss_curve import LossCurve, loss_section
from .rollout_section import traffic_section
from .rollout_timeline import COLORS, model_names

_LONGEST_LABEL = 60
_FAILURES = {
    "not_ready": "The new model never became ready to serve.",
    "no_evidence": "The new model answered too few requests to be judged and was taken back.",
    "drill_missed": "A drill: no harm was seen, and the new model was taken back all the same.",
    "ended_before": "The new model was taken back.",
}
# What came of the two tests: class and words.
_GATE = {
    "promote": ("good", "✓ passed"),
    "hold": ("soft", "– not decided"),
    "identical": ("soft", "– the same model"),
    "reject": ("bad", "✗ failed"),
}
_CANARY = {"promoted": ("good", "✓ passed"), "rolled_back": ("bad", "✗ failed"), "kept": ("soft", "– not made")}
_STYLE = """
:root { --harm: #b3261e; --good: #1a7f4b; }
.badge { color: #fff; border-radius: 1rem; padding: .15rem .8rem; font-weight: 600; font-size: .9rem; }
.promoted { background: var(--good); } .rolled_back { background: var(--harm); } .kept { background: #6b5b00; }
.rolled-back-run { border: 2px solid var(--harm); border-left-width: .6rem; border-radius: .4rem;
  padding: 1rem 1.2rem .3rem; background: #fdf3f2; }
.checks { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.2rem; margin: 1.2rem 0 .4rem; }
.checks > div:nth-child(odd) { font-weight: 600; white-space: nowrap; } .checks p { margin: 0 0 .3rem; }
.good { color: #14633a; } .bad { color: var(--harm); }
@media (max-width: 40rem) {
  .checks { grid-template-columns: minmax(0, 1fr); } .checks p { margin-bottom: .4rem; }
  .checks > div:nth-child(odd) { white-space: normal; } .rolled-back-run { padding: .8rem .9rem .2rem; }
}
"""


@dataclass(frozen=True)
class Run:
    """What a run has left behind.

    Attributes:
        verdict: The verdict of `compare_models`.
        rollout: The rollout document of `deploy_canary` or `keep_champion`.
        removed: How many rows each operation of curation has removed.
        curation: The metrics of curation; rows in and out.
        evaluation: The metrics of the new model.
        confusion: Labels, and how often rows of a label (outer) were given a label (inner); None if unknown.
        facts: What else is worth knowing of the run: name → value.
        loss: How the new model's training went; None if unknown.
    """

    verdict: Mapping[str, Any]
    rollout: Mapping[str, Any]
    removed: Mapping[str, int]
    curation: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    confusion: tuple[Sequence[str], Sequence[Sequence[int]]] | None
    facts: Mapping[str, object]
    loss: LossCurve | None = None


def removed_by_operation(operations: Iterable[str]) -> dict[str, int]:
    """Counts the ledger's rows by operation, in the order in which curation works."""
    counts = Counter(operations)
    known = [operation for operation in OPERATIONS if operation in counts]
    return {operation: counts[operation] for operation in [*known, *sorted(set(counts) - set(known))]}


def confusion_of(metadata: Mapping[str, Any]) -> tuple[list[str], list[list[int]]] | None:
    """The confusion matrix in the metadata of a `ClassificationMetrics` artifact; None if it has none."""
    matrix = metadata.get("confusionMatrix")
    if not matrix:
        return None
    labels = [specification["displayName"] for specification in matrix["annotationSpecs"]]
    return labels, [[int(count) for count in row["row"]] for row in matrix["rows"]]


def render(run: Run) -> str:
    """Renders the page."""
    sections = [
        _head(run),
        _models(run),
        traffic_section(run.rollout),
        _curation(run),
        loss_section(run.loss),
        _confusion(run),
        _facts(run),
    ]
    return page(sentence(run), sections, axes.STYLE + _STYLE + rollout_timeline.STYLE + rollout_section.STYLE)


def _head(run: Run) -> str:
    outcome = run.rollout["outcome"]
    badges = {
        "promoted": "✓ promoted",
        "rolled_back": "✗ rolled back",
        "kept": f"no change: {run.verdict['verdict']}",
    }
    head = (
        f'<span class="badge {escape(outcome)}">{escape(badges[outcome])}</span><h1>{escape(sentence(run))}</h1>'
        f'<div class="checks">{_tests(run)}</div><p class="soft">The challenger is the new model, the champion the one '
        "that served before it. Square brackets hold confidence intervals.</p>"
    )
    framed = f'<div class="rolled-back-run">{head}</div>' if outcome == "rolled_back" else head
    return framed + cards(_key_numbers(run))


def _tests(run: Run) -> str:
    """The two tests that stand between a new model and the traffic: what came of each, and why."""
    verdict, rollout = run.verdict, run.rollout
    reasons = [reason["text"] for reason in verdict["reasons"]]
    code = "identical" if verdict["reasons"][0]["code"] == "identical" else verdict["verdict"]
    kept = rollout["outcome"] == "kept"
    canary = "The model was not registered, and no traffic moved." if kept else rollout["reason"]["text"]
    return _test("On held-out rows", *_GATE[code], reasons) + _test(
        "In the traffic", *_CANARY[rollout["outcome"]], [canary]
    )


def _test(name: str, kind: str, result: str, reasons: Iterable[str]) -> str:
    texts = "".join(f"<p>{escape(reason)}</p>" for reason in reasons)
    return f'<div>{name} <span class="{kind}">{result}</span></div><div>{texts}</div>'


def sentence(run: Run) -> str:
    """The outcome for somebody who knows neither p-values nor endpoints."""
    outcome, code = run.rollout["outcome"], run.verdict["reasons"][0]["code"]
    if outcome == "promoted":
        first = not run.rollout["split_before"]
        return f"The {'first' if first else 'new'} model is in service and answers all requests."
    if outcome == "rolled_back":
        failure = _FAILURES.get(run.rollout["reason"]["code"], "The new model did harm and was taken back.")
        serves = run.rollout["split_before"]
        return f"{failure} {'The earlier model answers all requests.' if serves else 'Nothing serves.'}"
    if code == "identical":
        return "Nothing changes: the new model is the same as the one in service."
    if run.verdict["verdict"] == "reject":
        return "The model in service stays: the new one is not good enough."
    return "The model in service stays: the new one has not been shown to be good enough."


def _key_numbers(run: Run) -> list[tuple[str, str]]:
    numbers = []
    for model, name in model_names(run.rollout).items():
        if accuracy := run.verdict["evidence"].get(model, {}).get("accuracy"):
            numbers.append((f"accuracy of the {name}", f"{100 * accuracy['value']:.1f} %"))
    if run.rollout["outcome"] != "kept":
        share = run.rollout["split_after"].get(run.rollout["challenger"], 0)
        numbers.append(("of the traffic goes to the new model", f"{share:g} %"))
    numbers.append(("rows removed by curation", f"{sum(run.removed.values()):,}"))
    return numbers


def _models(run: Run) -> str:
    """Accuracies with their intervals on one scale that is as narrow as they allow."""
    evidence = run.verdict["evidence"]
    found = {model: evidence[model]["accuracy"] for model in COLORS if model in evidence}
    if not found:
        return ""
    lines = []
    for model, accuracy in found.items():
        value, *interval = (accuracy[key] for key in ("value", "low", "high"))
        kind = evidence[model].get("model_type", "").replace("_", " ")
        text = f"{100 * value:.1f} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}] {kind}"
        name = model_names(run.rollout)[model].capitalize()
        lines.append(Measured(name, text, value, (interval[0], interval[1]), COLORS[model]))
    low, high = min(each["low"] for each in found.values()), max(each["high"] for each in found.values())
    ticks = axes.Scale.around(low, high, 4, lambda share: f"{100 * share:.3g} %").ticks
    chart = interval_chart("Accuracies", lines, ticks)
    rows = f"{evidence['rows']:,} held-out rows" if "rows" in evidence else "held-out rows"
    note = (
        f"Share of {rows} that get the right label. The dot is the measured value; the bar is its confidence interval: "
        "what the value could be, had other rows been drawn."
    )
    return f"<h2>How good are the models?</h2>{chart}<p class='soft'>{note}</p>{_metrics(run)}"


def _metrics(run: Run) -> str:
    """The new model's overall metrics other than the accuracy, and what each is."""
    rows = []
    for key, (name, meaning, _) in EXPLANATIONS.items():
        if key in run.evaluation and key != "accuracy":
            bounds = [run.evaluation.get(f"{key}_{bound}") for bound in ("low", "high")]
            interval = "" if None in bounds else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
            rows.append((name, Html(f"<span>{run.evaluation[key]:.3f}</span> <span>{interval}</span>"), meaning))
    return table(["New model", "Value", "What it is"], rows, numbers=(1,)) if rows else ""


def _curation(run: Run) -> str:
    exact, leaked = run.removed.get("exact_duplicates", 0), run.removed.get("leaked_test_rows", 0)
    text = f"Among the removed rows are {exact:,} exact duplicates and {leaked:,} test rows that also were in train."
    if "rows_in" in run.curation and "rows_out" in run.curation:
        text = f"Of {run.curation['rows_in']:,.0f} rows {run.curation['rows_out']:,.0f} were kept. {text}"
    counts = {OPERATIONS.get(name, name.replace("_", " ")): [count] for name, count in run.removed.items()}
    return f"<h2>What was removed from the data?</h2><p>{escape(text)}</p>{bars(counts)}"


def mix_ups(labels: Sequence[str], counts: Sequence[Sequence[int]], most: int = 3) -> list[str]:
    """The most frequent mistakes of a confusion matrix in words, the most frequent first."""
    mistakes = [
        (count, true, predicted)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if true != predicted and count
    ]
    return [
        f"{count:,} of {sum(counts[true]):,} rows with the label “{shortened(labels[true], _LONGEST_LABEL)}” were "
        f"taken for “{shortened(labels[predicted], _LONGEST_LABEL)}”"
        for count, true, predicted in sorted(mistakes, key=lambda mistake: -mistake[0])[:most]
    ]


def _confusion(run: Run) -> str:
    if run.confusion is None:
        return ""
    words = mix_ups(*run.confusion)
    found = "".join(f"<li>{escape(mix_up)}</li>" for mix_up in words)
    text = f"<p>Most often:</p><ul>{found}</ul>" if found else "<p>Nothing: every row got its label.</p>"
    return f"<h2>What does the new model mix up?</h2>{text}{confusion_matrix(*run.confusion)}"


def _facts(run: Run) -> str:
    known = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in run.facts.items()
    }
    for model, name in model_names(run.rollout).items():
        if digest := run.verdict["evidence"].get(model, {}).get("model_digest"):
            known[f"digest of the {name}"] = digest
    if run.rollout["challenger"]:
        known["new model in the registry"] = run.rollout["challenger"]
    return f"<h2>The run</h2>{facts(known)}"
