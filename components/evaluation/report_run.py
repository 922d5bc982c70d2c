"""A whole run as one HTML page: what was decided, on what evidence, and what the traffic did."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..curation.curate import OPERATIONS
from ..page import LARGEST_MATRIX, Measured, bars, cards, confusion_matrix, facts, interval_chart, legend, page, table

_COLORS = {"challenger": "var(--accent)", "champion": "var(--muted)"}
_METRICS = {
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
}
_STYLE = """
:root { --harm: #b3261e; }
.badge { color: #fff; border-radius: 1rem; padding: .15rem .8rem; font-weight: 600; font-size: .9rem; }
.promoted { background: #1a7f4b; } .rolled_back { background: var(--harm); } .kept { background: #6b5b00; }
.step { border-left: 3px solid var(--line); padding: 0 0 1.2rem 1.1rem; margin-left: .4rem; position: relative; }
.step::before { content: ""; position: absolute; left: -.5rem; top: .3rem; width: .8rem; height: .8rem;
  border-radius: 50%; background: var(--accent); }
.step.harm::before { background: var(--harm); }
.step > p { margin: .4rem 0 0; }
@media print { .step { break-inside: avoid; } }
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
    """

    verdict: Mapping[str, Any]
    rollout: Mapping[str, Any]
    removed: Mapping[str, int]
    curation: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    confusion: tuple[Sequence[str], Sequence[Sequence[int]]] | None
    facts: Mapping[str, object]


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
    sections = [_head(run), _models(run), _canary(run.rollout), _curation(run), _confusion(run), _facts(run)]
    return page(sentence(run), sections, _STYLE)


def _head(run: Run) -> str:
    outcome = run.rollout["outcome"]
    reasons = [reason["text"] for reason in run.verdict["reasons"]]
    if outcome != "kept":
        reasons.insert(0 if outcome == "rolled_back" else len(reasons), run.rollout["reason"]["text"])
    names = {"promoted": "promoted", "rolled_back": "rolled back", "kept": run.verdict["verdict"]}
    return (
        f'<span class="badge {escape(outcome)}">{escape(names[outcome])}</span><h1>{escape(sentence(run))}</h1>'
        + "".join(f"<p>{escape(reason)}</p>" for reason in reasons)
        + cards(_key_numbers(run))
    )


def sentence(run: Run) -> str:
    """The outcome for somebody who knows neither p-values nor endpoints."""
    outcome, code = run.rollout["outcome"], run.verdict["reasons"][0]["code"]
    if outcome == "promoted":
        first = not run.rollout["split_before"]
        return f"The {'first' if first else 'new'} model is in service and answers all requests."
    if outcome == "rolled_back":
        ready = run.rollout["reason"]["code"] != "not_ready"
        failure = (
            "The new model did harm and was taken back." if ready else "The new model never became ready to serve."
        )
        serves = run.rollout["split_before"]
        return f"{failure} {'The earlier model answers all requests.' if serves else 'Nothing serves.'}"
    if code == "identical":
        return "Nothing changes: the new model is the same as the one in service."
    if run.verdict["verdict"] == "reject":
        return "The model in service stays: the new one is not good enough."
    return "The model in service stays: the new one has not been shown to be good enough."


def _key_numbers(run: Run) -> list[tuple[str, str]]:
    numbers = []
    for model, name in _names(run.rollout).items():
        if accuracy := run.verdict["evidence"].get(model, {}).get("accuracy"):
            numbers.append((f"accuracy of the {name}", f"{100 * accuracy['value']:.1f} %"))
    if run.rollout["outcome"] != "kept":
        share = run.rollout["split_after"].get(run.rollout["challenger"], 0)
        numbers.append(("of the traffic goes to the new model", f"{share} %"))
    numbers.append(("rows removed by curation", f"{sum(run.removed.values()):,}"))
    return numbers


def _names(rollout: Mapping[str, Any]) -> dict[str, str]:
    """What to call the two models after what became of them."""
    return {
        "challenger": "new model",
        "champion": "old model" if rollout["outcome"] == "promoted" else "model in service",
    }


def _models(run: Run) -> str:
    """Accuracies with their intervals on one scale that is as narrow as they allow."""
    evidence = run.verdict["evidence"]
    found = {model: evidence[model]["accuracy"] for model in ("challenger", "champion") if model in evidence}
    if not found:
        return ""
    low = max(0.0, min(accuracy["low"] for accuracy in found.values()) - 0.02)
    high = min(1.0, max(accuracy["high"] for accuracy in found.values()) + 0.02)
    lines = []
    for model, accuracy in found.items():
        value, *interval = (accuracy[key] for key in ("value", "low", "high"))
        kind = evidence[model].get("model_type", "")
        text = f"{kind} {100 * value:.1f} % [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
        name = _names(run.rollout)[model].capitalize()
        lines.append(Measured(name, text, value, (interval[0], interval[1]), _COLORS[model]))
    chart = interval_chart("Accuracies", lines, [(end, f"{100 * end:.0f} %") for end in (low, high)])
    rows = f"{evidence['rows']:,} held-out rows" if "rows" in evidence else "held-out rows"
    note = (
        f"Share of {rows} that get the right label. The dot is the measured value; the bar is its confidence interval: "
        "what the value could be, had other rows been drawn."
    )
    return f"<h2>How good are the models?</h2>{chart}<p class='soft'>{note}</p>{_metrics(run)}"


def _metrics(run: Run) -> str:
    """The new model's overall metrics: those that have bounds, or are known by name."""
    rows = []
    for key, name in _METRICS.items():
        if key in run.evaluation:
            bounds = [run.evaluation.get(f"{key}_{bound}") for bound in ("low", "high")]
            interval = "" if None in bounds else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"
            rows.append((name, f"{run.evaluation[key]:.3f}", interval))
    return table(["New model", "Value", "Interval"], rows, numbers=(1, 2)) if rows else ""


def _canary(rollout: Mapping[str, Any]) -> str:
    """The traffic's way, step by step."""
    title = "<h2>What did the traffic do?</h2>"
    if not rollout["steps"]:
        reason = (
            f"No traffic moved. {rollout['reason']['text']}" if rollout["outcome"] == "kept" else "No step was made."
        )
        return f"{title}<p>{escape(reason)}</p>{_split_bar(rollout['split_after'], rollout['challenger'])}"
    names = _names(rollout)
    colors = legend({name: _COLORS[model] for model, name in names.items()})
    steps = "".join(_step(step, rollout["challenger"], names) for step in rollout["steps"])
    end = (
        '<div class="step"><b>In the end</b>'
        f"{_split_bar(rollout['split_after'], rollout['challenger'])}<p>{escape(rollout['reason']['text'])}</p></div>"
    )
    note = (
        "At each step held-out rows were sent through the endpoint, and each answer is counted for the model that gave "
        "it. A p-value is the chance of so much to the disadvantage of the new model if it did no harm."
    )
    return f"{title}{colors}{steps}{end}<p class='soft'>{note}</p>"


def _step(step: Mapping[str, Any], challenger: str, names: Mapping[str, str]) -> str:
    heading = f"{step['percent']} % to the new model" if step["percent"] else "Before the rollout"
    time = f"{step['started'].replace('T', ' ').removesuffix('+00:00')} UTC, {step['seconds']:.1f} s"
    requests = f"{step['requests']:,} requests with {step['distinct_rows']:,} rows, {step['errors']:,} failed."
    rows = [(name.capitalize(), *_cells(step[model])) for model, name in names.items() if step[model]["requests"]]
    answers = table(["", "Answers", "Accuracy", "Median", "p95"], rows, numbers=range(1, 5)) if rows else ""
    p_values = ", ".join(f"{name} {value:.2g}" for name, value in step["p_values"].items() if value is not None)
    harm = " harm" if step["decision"] == "roll_back" else ""
    return (
        f'<div class="step{harm}"><b>{heading}</b> <span class="soft">{escape(time)}</span>'
        f"{_split_bar(step['split'], challenger)}<p>{requests}"
        f"{f' p-values: {escape(p_values)}.' if p_values else ''}</p>{answers}</div>"
    )


def _cells(arm: Mapping[str, Any]) -> list[str]:
    def number(key: str, form: str) -> str:
        return "–" if arm[key] is None else form.format(arm[key])

    milliseconds = [number(key, "{:,.0f} ms") for key in ("latency_p50_ms", "latency_p95_ms")]
    return [f"{arm['requests']:,}", number("accuracy", "{:.3f}"), *milliseconds]


def _split_bar(split: Mapping[str, int], challenger: str | None) -> str:
    """A traffic split as one bar from left to right; the new model first."""
    if not split:
        return '<p class="soft">No traffic: nothing serves.</p>'
    parts, start = [], 0
    for model in sorted(split, key=lambda name: (name != challenger, name)):
        color = _COLORS["challenger" if model == challenger else "champion"]
        parts.append(
            f'<rect x="{start}%" width="{split[model]}%" height="24" fill="{color}" stroke="#fff">'
            f"<title>{escape(model)}: {split[model]} %</title></rect>"
        )
        if split[model] >= 15:
            parts.append(
                f'<text x="{start + split[model] / 2}%" y="17" text-anchor="middle" style="fill:#fff;font-weight:600">'
                f"{split[model]} %</text>"
            )
        start += split[model]
    label = ", ".join(f"{model} {percent} %" for model, percent in split.items())
    return f'<svg height="24" role="img" aria-label="Traffic: {escape(label)}">{"".join(parts)}</svg>'


def _curation(run: Run) -> str:
    exact, leaked = run.removed.get("exact_duplicates", 0), run.removed.get("leaked_test_rows", 0)
    text = f"Among the removed rows are {exact:,} exact duplicates and {leaked:,} test rows that also were in train."
    if "rows_in" in run.curation and "rows_out" in run.curation:
        text = f"Of {run.curation['rows_in']:,.0f} rows {run.curation['rows_out']:,.0f} were kept. {text}"
    counts = {OPERATIONS.get(name, name.replace("_", " ")): [count] for name, count in run.removed.items()}
    return f"<h2>What was removed from the data?</h2><p>{escape(text)}</p>{bars(counts)}"


def _confusion(run: Run) -> str:
    if run.confusion is None or len(run.confusion[0]) > LARGEST_MATRIX:
        return ""  # The evaluation's own page shows the most frequent labels.
    return f"<h2>What does the new model mix up?</h2>{confusion_matrix(*run.confusion)}"


def _facts(run: Run) -> str:
    known = dict(run.facts)
    for model, name in _names(run.rollout).items():
        if digest := run.verdict["evidence"].get(model, {}).get("model_digest"):
            known[f"digest of the {name}"] = digest
    if run.rollout["challenger"]:
        known["new model in the registry"] = run.rollout["challenger"]
    return f"<h2>The run</h2>{facts(known)}"
