"""Curated rows → prompts and responses to tune a language model with, and a ledger of every row that gave none."""

import hashlib
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from ..artifacts import TableStream, strings_of
from ..runtime import InputError, Progress, log
from .conversations import MOST_TOKENS, conversation, refusals, write_conversations
from .near import near_matches
from .shingles import shingle_sets
from .shots import Shots
from .templates import ROW_NAME, SHOTS_NAME, Templates
from .tokens import COUNTED, ESTIMATED, TokenCounter, estimate, token_counter

OPERATIONS = {
    "empty_prompt": "The prompt is empty",
    "empty_response": "The response is empty",
    "too_many_tokens": "More tokens than the maximum",
    "duplicate_prompt": "The prompt and response of an earlier row of its split",
    "leaked_prompt": "Test row with the prompt of a train row",
}
LEDGER_SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("row_id", "operation", "reason", "related_row_id")]
)
LABEL = "label"
PROMPT, RESPONSE, SYSTEM = "prompt_template", "response_template", "system_template"
_ROWS_PER_BATCH, _BYTES_PER_BATCH = 500, 1 << 23
_MOST_SHOTS = 100
_ADVICE = "Pass a table of curate_text."


@dataclass(frozen=True)
class PromptRules:
    """How rows become conversations; the parameters of the component `render_prompts`, which documents them.

    Raises:
        InputError: If a value is out of range.
    """

    prompt_template: str
    response_template: str = "{{ label }}"
    system_template: str = ""
    shots: int = 0
    shots_seed: int = 0
    near_threshold: float = 0.7
    maximum_tokens: int = MOST_TOKENS

    def __post_init__(self) -> None:
        _require(bool(self.prompt_template.strip()), "prompt_template is empty", "a template with {{ text }}")
        _require(bool(self.response_template.strip()), "response_template is empty", "a template, as {{ label }}")
        _require(0 <= self.shots <= _MOST_SHOTS, f"shots is {self.shots}", f"0 to {_MOST_SHOTS}")
        _require(abs(self.shots_seed) < 1 << 63, f"shots_seed is {self.shots_seed}", "a number of 64 bits")
        _require(
            0.0001 <= self.near_threshold <= 1,
            f"near_threshold is {self.near_threshold}",
            "a number from 0.0001 (at 0 any two texts are near) to 1 (the same three-word shingles)",
        )
        _require(self.maximum_tokens >= 0, f"maximum_tokens is {self.maximum_tokens}", "0 for any number, or more")

    @property
    def templates(self) -> dict[str, str]:
        """Name of the parameter → template; without the system template if it is empty."""
        templates = {PROMPT: self.prompt_template, RESPONSE: self.response_template, SYSTEM: self.system_template}
        return {name: source for name, source in templates.items() if source}

    @property
    def digests(self) -> dict[str, str]:
        """Name of the parameter → SHA-256 of the template."""
        return {name: hashlib.sha256(source.encode()).hexdigest() for name, source in self.templates.items()}


@dataclass(frozen=True)
class Example:
    """A conversation as text."""

    row_id: str
    system: str
    prompt: str
    response: str


@dataclass
class Side:
    """What became of a split: train or test.

    Attributes:
        rows_in: Rows of its table.
        tokens: Of each conversation, in their order.
        labels: How many conversations each label has; empty without labels.
        size: Bytes of the conversations.
        with_system: How many have a system instruction.
        first: The first conversation.
    """

    rows_in: int = 0
    tokens: array = field(default_factory=lambda: array("q"))
    labels: Counter[str] = field(default_factory=Counter)
    size: int = 0
    with_system: int = 0
    first: Example | None = None


@dataclass(frozen=True)
class Rendered:
    """The result of `render_conversations`.

    Attributes:
        train, test: What became of each split.
        ledger: row_id, operation, reason, related_row_id: the row that it repeats, or null.
        shots: row_id, label and text of the examples in every prompt, then of those that take their places.
        near: Train rows that test rows resemble: row_id, row_id of the test row, similarity.
        conflicts: For each train prompt with several responses the row ids that have it.
        tokens: How tokens were found.
        refused: What a tuning job would refuse or advise against.
    """

    train: Side
    test: Side
    ledger: pyarrow.Table
    shots: list[dict[str, str]]
    near: list[tuple[str, str, float]]
    conflicts: list[list[str]]
    tokens: str
    refused: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """The metrics of the component `render_prompts`, which documents them."""
        removed = Counter(self.ledger["operation"].to_pylist())
        tokens = np.concatenate([self.train.tokens, self.test.tokens])
        return {
            "rows_in": self.train.rows_in + self.test.rows_in,
            "train_conversations": len(self.train.tokens),
            "test_conversations": len(self.test.tokens),
            "tokens_total": int(tokens.sum()),
            "tokens_p50": int(np.percentile(tokens, 50, method="inverted_cdf")),
            "tokens_p95": int(np.percentile(tokens, 95, method="inverted_cdf")),
            "tokens_max": int(tokens.max()),
            **{operation: removed[operation] for operation in OPERATIONS},
            "conflicting_prompts": sum(map(len, self.conflicts)),
            "train_rows_near_test": len(self.near),
        }


@dataclass(frozen=True)
class _Table:
    """A table whose rows are to be rendered; the lists are in its order."""

    stream: TableStream
    row_ids: list[str]
    texts: list[str]
    labels: list[str]
    has_labels: bool


def render_conversations(
    train: str | Path,
    test: str | Path | None,
    tokenizer: str | Path | None,
    rules: PromptRules,
    outputs: Mapping[str, str | Path],
) -> Rendered:
    """Renders the rows of train and test into folders of conversations.

    Args:
        train: Table folder with `row_id`, `text` and mostly `label`, all string; templates may use all its columns.
        test: The same for test, or None.
        tokenizer: Model folder with a tokenizer to count with; None to estimate.
        rules: How.
        outputs: The folders to write, by "train" and "test".

    Raises:
        InputError: If a table or template is not as it should be, train and test overlap, there are too few rows to
            show, or no train conversation is left.
    """
    tables = {"train": _read(train)} | ({"test": _read(test)} if test else {})
    columns = _columns(tables)
    how = COUNTED if tokenizer else ESTIMATED
    count_tokens = token_counter(tokenizer) if tokenizer else estimate
    with Templates(rules.templates, {name: _visible(name, columns) for name in rules.templates}) as templates:
        _check_use(templates.used, columns, rules)
        near = _near(tables["train"], tables["test"], rules.near_threshold) if test else {}
        shots = Shots(tables["train"].texts, tables["train"].labels, near, rules.shots, rules.shots_seed)
        work = _Work(templates, count_tokens, how, rules, shots, tables["train"], columns)
        train_side = work.split("train", tables["train"], outputs["train"])
        test_side = work.split("test", tables.get("test"), outputs["test"])
    rendered = Rendered(
        train=train_side,
        test=test_side,
        ledger=pyarrow.Table.from_pylist(work.ledger, schema=LEDGER_SCHEMA),
        shots=work.shown,
        near=[
            (tables["train"].row_ids[row], tables["test"].row_ids[other], similarity)
            for row, (other, similarity) in sorted(near.items())
        ],
        conflicts=[*work.conflicts.values()],
        tokens=how,
        refused=refusals(len(train_side.tokens), train_side.size, len(test_side.tokens), train_side.with_system),
    )
    counts = rendered.counts
    if counts["rows_in"] != counts["train_conversations"] + counts["test_conversations"] + rendered.ledger.num_rows:
        raise RuntimeError(f"rows in are not conversations and ledger rows: {counts}")
    log(f"{counts['train_conversations']:,} train conversations", **counts)
    for text in rendered.refused:
        log(text)
    return rendered


def _require(holds: bool, problem: str, expected: str) -> None:
    if not holds:
        raise InputError(f"{problem}; expected {expected}. Correct the parameter.")


def _read(path: str | Path) -> _Table:
    stream = TableStream(path)
    wanted = ["row_id", "text", LABEL]
    there = [name for name in wanted if name in stream.schema.names]
    if missing := sorted({"row_id", "text"} - set(there)):
        raise InputError(
            f"The table {path} has no column {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, stream.schema.names))}. {_ADVICE}"
        )
    table = stream.table(there)
    if not table.num_rows:
        raise InputError(f"The table {path} has no rows. {_ADVICE}")
    values = {name: strings_of(table, name, path, _ADVICE) for name in there}
    repeated = [row_id for row_id, count in Counter(values["row_id"]).items() if count > 1]
    if repeated:
        raise InputError(f"The table {path} has {_some(repeated)} more than once in 'row_id'. {_ADVICE}")
    texts = [_normalised(text) for text in values["text"]]
    return _Table(stream, values["row_id"], texts, values.get(LABEL, [""] * len(texts)), LABEL in values)


def _normalised(text: str) -> str:
    """A text in the form in which texts are compared; one of `curate_text` is in it already."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more


def _columns(tables: Mapping[str, _Table]) -> list[str]:
    """The columns that templates may use; both tables have them in the same type."""
    schemas = {name: {column.name: column.type for column in table.stream.schema} for name, table in tables.items()}
    if "test" in schemas and schemas["train"] != schemas["test"]:
        different = sorted(name for name, _ in schemas["train"].items() ^ schemas["test"].items())
        raise InputError(
            f"train and test differ in the column {different[0]!r} or its type; expected the same columns. {_ADVICE}"
        )
    if clash := sorted({ROW_NAME, SHOTS_NAME} & set(schemas["train"])):
        raise InputError(f"The tables have a column {clash[0]!r}, which means something else in templates. Rename it.")
    return [name for name, type_ in schemas["train"].items() if not pyarrow.types.is_binary(type_)]


def _visible(template: str, columns: Sequence[str]) -> list[str]:
    """The columns that a template may use: the prompt must not give the answer away."""
    return [name for name in columns if name != LABEL or template == RESPONSE]


def _check_use(used: Mapping[str, Sequence[str]], columns: Sequence[str], rules: PromptRules) -> None:
    for name in (PROMPT, RESPONSE):
        if not set(used[name]) & {*columns, ROW_NAME}:
            raise InputError(
                f"{name} uses no column, so that every row would give the same text. Use one, such as {{{{ text }}}}."
            )
    if rules.shots and not any(SHOTS_NAME in used.get(name, ()) for name in (PROMPT, SYSTEM)):
        raise InputError(
            f"shots is {rules.shots}, but neither prompt_template nor system_template shows them. Add "
            "{% for shot in shots %}{{ shot.text }}: {{ shot.label }}{% endfor %} to one, or set shots to 0."
        )


def _near(train: _Table, test: _Table, threshold: float) -> dict[int, tuple[int, float]]:
    """Train rows that resemble a test row: row → that test row and the similarity. None may be the same row or text."""
    both = sorted(set(train.row_ids) & set(test.row_ids))
    if not both:
        train_row = dict(zip(train.texts, train.row_ids, strict=True))
        pairs = zip(test.texts, test.row_ids, strict=True)
        both = [f"{row_id} = {train_row[text]}" for text, row_id in pairs if text in train_row]
    if both:
        raise InputError(
            f"{len(both):,} test rows are in train too, by row_id or text: {_some(both)}. A model would be tested on "
            "what it was trained on. Run curate_text, and pass its train and test."
        )
    queries, reference = (shingle_sets(pyarrow.array(table.texts, pyarrow.large_string())) for table in (train, test))
    found = near_matches(queries, reference, threshold)
    pairs = zip(found.related.tolist(), found.similarity.tolist(), strict=True)
    return dict(zip(found.rows.tolist(), pairs, strict=True))


def _removals(ledger: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(entry["operation"] for entry in ledger)
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


class _Work:
    """Renders one split after the other, and remembers which prompts there were.

    Attributes:
        ledger: The entries so far.
        shown: row_id, label and text of the examples in prompts, then of those that take their places.
        conflicts: Digest of a train prompt that is there with several responses → the rows that have it.
    """

    def __init__(
        self,
        templates: Templates,
        count_tokens: TokenCounter,
        how: str,
        rules: PromptRules,
        shots: Shots,
        train: _Table,
        columns: Sequence[str],
    ) -> None:
        self._templates, self._count_tokens, self._how, self._rules = templates, count_tokens, how, rules
        self._shots = shots
        rows = sorted({row for variant in shots.variants for row in variant})
        values = dict(zip(rows, train.stream.table(columns).take(rows).to_pylist(), strict=True)) if rows else {}
        self._examples = [[values[row] for row in variant] for variant in shots.variants]
        self.shown = [
            {"row_id": train.row_ids[row], "label": train.labels[row], "text": train.texts[row]}
            for row in dict.fromkeys(row for variant in shots.variants for row in variant)
        ]
        self.ledger: list[dict[str, str | None]] = []
        self.conflicts: dict[bytes, list[str]] = {}
        self._train_prompts: dict[bytes, str] = {}

    def split(self, name: str, table: _Table | None, path: str | Path) -> Side:
        """Writes the conversations of a split, none for None, and returns what became of its rows."""
        side = Side()
        metadata: dict[str, Any] = {
            "split": name,
            "tokens": self._how,
            "templates": self._rules.digests,
            "shots": [entry["row_id"] for entry in self.shown[: self._rules.shots]],
            "shots_seed": self._rules.shots_seed,
        }
        with write_conversations(path, metadata) as writer:
            for example, tokens, label in self._kept(name, table, side) if table else ():
                writer.write(conversation(example.system, example.prompt, example.response))
                side.first = side.first or example
                side.tokens.append(tokens)
                side.with_system += bool(example.system)
                if label is not None:
                    side.labels[label] += 1
            if name == "train" and not side.tokens:
                raise InputError(
                    f"None of {side.rows_in:,} train rows gives a conversation ({_removals(self.ledger)}). Correct the "
                    "templates, or raise maximum_tokens."
                )
            side.size = writer.size
            metadata |= {"tokens_total": sum(side.tokens), "tokens_max": max(side.tokens, default=0)}
        return side

    def _kept(self, name: str, table: _Table, side: Side) -> Iterator[tuple[Example, int, str | None]]:
        """The conversations of a split with their tokens and labels; the other rows go to the ledger."""
        prompts: dict[bytes, str] = {}
        conversations: dict[bytes, str] = {}
        for example, tokens in self._rendered(table):
            label = table.labels[side.rows_in] if table.has_labels else None
            side.rows_in += 1
            prompt = _digest(example.system, example.prompt)
            whole = _digest(example.system, example.prompt, example.response)
            removal: tuple[str, str, str | None] | None = self._unusable(example, tokens)
            if removal is None and prompt in self._train_prompts:
                removal = "leaked_prompt", "the prompt is the same", self._train_prompts[prompt]
            if removal is None and whole in conversations:
                removal = "duplicate_prompt", "prompt and response are the same", conversations[whole]
            if removal is not None:
                self.ledger.append(dict(zip(LEDGER_SCHEMA.names, (example.row_id, *removal), strict=True)))
                continue
            conversations[whole] = example.row_id
            first = prompts.setdefault(prompt, example.row_id)
            if first != example.row_id and name == "train":
                self.conflicts.setdefault(prompt, [first]).append(example.row_id)
            yield example, tokens, label
        self._train_prompts = prompts

    def _unusable(self, example: Example, tokens: int) -> tuple[str, str, None] | None:
        if not example.prompt.strip():
            return "empty_prompt", "no text after rendering", None
        if not example.response.strip():
            return "empty_response", "no text after rendering", None
        if 0 < self._rules.maximum_tokens < tokens:
            return "too_many_tokens", f"{tokens:,} tokens, maximum {self._rules.maximum_tokens:,} ({self._how})", None
        return None

    def _rendered(self, table: _Table) -> Iterator[tuple[Example, int]]:
        """The rows as conversations, in their order, with the tokens of system instruction, prompt and response."""
        used = {name for names in self._templates.used.values() for name in names}
        columns = None if ROW_NAME in used else ["row_id", *sorted(used & set(table.stream.schema.names) - {"row_id"})]
        progress = Progress(len(table.row_ids), "conversations")
        place = 0
        for batch in table.stream.batches(_ROWS_PER_BATCH, columns):
            for piece in _pieces(batch):
                rows = piece.to_pylist()
                texts = table.texts[place : place + len(rows)]
                examples = [self._examples[self._shots.variant(text)] for text in texts]
                written = {name: self._templates.render(name, rows, examples) for name in self._templates.used}
                systems = [text if text.strip() else "" for text in written.get(SYSTEM, [""] * len(rows))]
                parts = [systems, written[PROMPT], written[RESPONSE]]
                tokens = np.sum([self._count_tokens(part) for part in parts], axis=0).tolist()
                for row, count, *conversation_parts in zip(rows, tokens, *parts, strict=True):
                    yield Example(row["row_id"], *conversation_parts), count
                place += len(rows)
                progress.advance(len(rows))


def _digest(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\xff")  # In no UTF-8.
    return digest.digest()


def _pieces(batch: pyarrow.RecordBatch) -> Iterator[pyarrow.RecordBatch]:
    """The rows of a batch in parts of a bounded size: a cell can have megabytes."""
    if batch.num_rows < 2 or batch.nbytes <= _BYTES_PER_BATCH:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))
