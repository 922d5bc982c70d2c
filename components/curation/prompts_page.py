"""What became of rows as prompts, as one HTML page: first of all, one conversation as the model sees it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from itertools import pairwise

import numpy as np

from ..axes import round_ticks
from ..page import bars, cards, facts, legend, page, shortened, table
from .prompts import OPERATIONS, Example, PromptRules, Rendered, Side

_LONGEST_EXAMPLE, _LONGEST_SHOT = 6_000, 400
_BARS, _LABELS_SHOWN, _ROWS_SHOWN = 15, 20, 10
_COLORS = {"train": "var(--accent)", "test": "var(--muted)"}
_STYLE = """
.turn { display: grid; grid-template-columns: 5rem 1fr; gap: .2rem 1rem; margin: .5rem 0; }
.turn b { color: var(--soft); font-weight: 600; padding-top: .5rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; background: var(--pale);
  border-radius: .5rem; padding: .6rem .9rem; margin: 0; }
.model pre { background: #e4f0fa; } table:not(.facts) td:first-child { white-space: nowrap; }
@media (max-width: 40rem) { .turn { grid-template-columns: 1fr; } }
"""


def prompts_page(rendered: Rendered, rules: PromptRules) -> str:
    """Renders the report of `render_prompts`."""
    counts = rendered.counts
    estimated = "" if rendered.tokens.startswith("counted") else " (estimated)"
    numbers = {
        "train conversations": counts["train_conversations"],
        "test conversations": counts["test_conversations"],
        "rows removed": rendered.ledger.num_rows,
        f"tokens in all{estimated}": counts["tokens_total"],
        f"tokens of the longest{estimated}": counts["tokens_max"],
    }
    assert rendered.train.first is not None
    sections = [
        "<h1>Prompts</h1>" + _conversation(rendered.train.first),
        cards((name, f"{value:,}") for name, value in numbers.items()) + _refused(rendered.refused),
        f'<h2>Tokens of a conversation</h2><p class="soft">{escape(_how(rendered))}</p>' + _tokens(rendered),
        _labels(rendered.train, rendered.test),
        "<h2>Removed rows by reason</h2>"
        + bars({title: [counts[operation]] for operation, title in OPERATIONS.items()})
        + _conflicts(rendered),
        f"<h2>Examples in prompts</h2>{_shots(rendered, rules)}",
        f"<h2>Do test rows appear in train?</h2>{_overlap(rendered, rules)}",
        "<h2>Rules</h2>" + _rules(rules),
    ]
    return page("Prompts", sections, _STYLE)


def _rules(rules: PromptRules) -> str:
    others = {name: value for name, value in asdict(rules).items() if name not in rules.templates}
    templates = "".join(f"<p>{name}</p><pre>{escape(source)}</pre>" for name, source in rules.templates.items())
    return templates + facts({name: repr(value) for name, value in others.items()})


def _conversation(example: Example) -> str:
    turns = {"system": example.system, "user": example.prompt, "model": example.response}
    shown = "".join(
        f'<div class="turn {role}"><b>{role}</b><pre>{escape(_cut(text))}</pre></div>'
        for role, text in turns.items()
        if text
    )
    return f'<p class="soft">The first train conversation as the model sees it, row {escape(example.row_id)}</p>{shown}'


def _cut(text: str) -> str:
    left_out = len(text) - _LONGEST_EXAMPLE
    if left_out <= 0:
        return text
    half = _LONGEST_EXAMPLE // 2
    return f"{text[:half]}\n… {left_out:,} characters are not shown …\n{text[-half:]}"


def _refused(findings: Sequence[str]) -> str:
    if not findings:
        return ""
    items = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
    return f"<p><b>Limits of a tuning job on Vertex AI</b></p><ul>{items}</ul>"


def _how(rendered: Rendered) -> str:
    counts = rendered.counts
    return (
        f"System instruction, prompt and response together, {rendered.tokens}. Half of the conversations have at most "
        f"{counts['tokens_p50']:,}, 95 % at most {counts['tokens_p95']:,}."
    )


def _tokens(rendered: Rendered) -> str:
    sides = [np.asarray(side.tokens) for side in (rendered.train, rendered.test)]
    together = np.concatenate(sides)
    low, high = int(together.min()), int(np.percentile(together, 99, method="inverted_cdf"))
    starts = sorted({math.ceil(tick) for tick in round_ticks(low, high + 1, _BARS)})
    histograms = [np.histogram(side, [*starts, np.inf])[0].tolist() for side in sides]
    names = [f"{start:,} to {end - 1:,}" for start, end in pairwise(starts)] + [f"{starts[-1]:,} or more"]
    rows = dict(zip(names, zip(*histograms, strict=True), strict=True))
    return legend(_COLORS) + bars(rows, list(_COLORS.values()))


def _labels(train: Side, test: Side) -> str:
    if not train.labels:
        return ""
    frequent = [label for label, _ in train.labels.most_common(_LABELS_SHOWN)]
    rows = [[label, *(_share(side.labels, label) for side in (train, test))] for label in frequent]
    more = len(train.labels) - len(frequent)
    note = f'<p class="soft">{more:,} rarer labels are not shown.</p>' if more else ""
    return "<h2>Labels</h2>" + table(["Label", "Train", "Test"], rows, numbers=(1, 2)) + note


def _share(labels: Mapping[str, int], label: str) -> str:
    count = labels.get(label, 0)
    return f"{count:,} ({count / max(1, sum(labels.values())):.1%})"


def _conflicts(rendered: Rendered) -> str:
    if not rendered.conflicts:
        return "<p>No train prompt has different responses.</p>"
    groups = "".join(
        f"<li>{escape(', '.join(rows[:_ROWS_SHOWN]))}{' …' if len(rows) > _ROWS_SHOWN else ''}</li>"
        for rows in rendered.conflicts[:_ROWS_SHOWN]
    )
    return (
        f"<p><b>{len(rendered.conflicts):,} train prompts have different responses</b>, in "
        f"{rendered.counts['conflicting_prompts']:,} rows, which teaches noise. Does the template leave out what tells "
        f"them apart? The first of them:</p><ul>{groups}</ul>"
    )


def _shots(rendered: Rendered, rules: PromptRules) -> str:
    if not rendered.shots:
        return "<p>None: shots is 0.</p>"
    rows = [
        [
            shot["row_id"],
            "all" if place < rules.shots else "instead",
            shot["label"],
            shortened(shot["text"], _LONGEST_SHOT),
        ]
        for place, shot in enumerate(rendered.shots)
    ]
    note = (
        "A row that is an example itself sees another in its place (instead). All are train rows that no test row "
        "resembles."
    )
    return f'<p class="soft">{note}</p>' + table(["Row", "Prompts", "Label", "Text"], rows)


def _overlap(rendered: Rendered, rules: PromptRules) -> str:
    if not rendered.test.rows_in:
        return "<p>There is no test table to compare with.</p>"
    exact = "<p>No test row has the row_id or the text of a train row.</p>"
    limit = f"a similarity of {rules.near_threshold:g} or more (Jaccard, three-word shingles)"
    if not rendered.near:
        return f"{exact}<p>No train row resembles a test row: none has {limit} to one.</p>"
    rows = [[train, test, f"{similarity:.2f}"] for train, test, similarity in rendered.near[:_ROWS_SHOWN]]
    return (
        f"{exact}<p><b>{len(rendered.near):,} train rows resemble a test row</b>, with {limit}. They are not shown as "
        "examples, but are trained on. curate_text removes such test rows. The first of them:</p>"
        + table(["Train row", "Test row", "Similarity"], rows, numbers=(2,))
    )
