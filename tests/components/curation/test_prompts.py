"""How rows become conversations, and what becomes of the others."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial.components.artifacts import read_manifest, write_table
from seatrial.components.curation.conversations import FILE_NAME
from seatrial.components.curation.prompts import OPERATIONS, PromptRules, Rendered, render_conversations
from seatrial.components.curation.prompts_page import prompts_page
from seatrial.components.runtime import InputError

from .test_report import HOSTILE, Page

TRAIN = [("great", "good tea"), ("other", "bad coffee"), ("great", "fine cup of tea"), ("other", "cold and stale")]
TEST = [("great", "lovely milk"), ("other", "awful sugar")]
SHOTS = "{% for shot in shots %}\n{{ shot.text }}: {{ shot.label }}\n{% endfor %}\n{{ text }}:"


def write_rows(path: Path, rows: list[tuple[str, str]], **columns: list) -> Path:
    labels, texts = map(list, zip(*rows, strict=True))
    ids = [f"{path.name}-{number}" for number in range(len(rows))]
    write_table(path, pyarrow.table({"row_id": ids, "text": texts, "label": labels, **columns}), metadata={})
    return path


def written(path: Path) -> list[tuple[str, str, str]]:
    """The conversations of a folder: system instruction, prompt, response."""
    read_manifest(path, kind="conversations")
    found = []
    for line in (path / FILE_NAME).read_text().splitlines():
        example = json.loads(line)
        texts = [content["parts"][0]["text"] for content in example["contents"]]
        system = example.get("systemInstruction", {"parts": [{"text": ""}]})
        found.append((system["parts"][0]["text"], *texts))
    return found


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., Rendered]:
    """Renders rows; the conversations are in `tmp_path`."""

    def run(
        prompt_template: str = "{{ text }}", train: list = TRAIN, test: list | None = TEST, **rules: object
    ) -> Rendered:
        return render_conversations(
            write_rows(tmp_path / "train", train),
            write_rows(tmp_path / "test", test) if test else None,
            None,
            PromptRules(prompt_template, **rules),
            {"train": tmp_path / "train_conversations", "test": tmp_path / "test_conversations"},
        )

    return run


def removed(rendered: Rendered) -> list[tuple]:
    return [tuple(entry.values()) for entry in rendered.ledger.to_pylist()]


def test_each_row_is_a_conversation_in_the_order_of_the_table(render, tmp_path):
    rendered = render("Sort: {{ text }}", system_template="Be brief.", response_template="It is {{ label }}.")

    assert written(tmp_path / "train_conversations") == [
        ("Be brief.", f"Sort: {text}", f"It is {label}.") for label, text in TRAIN
    ]
    assert written(tmp_path / "test_conversations") == [
        ("Be brief.", f"Sort: {text}", f"It is {label}.") for label, text in TEST
    ]
    assert rendered.ledger.num_rows == 0
    assert rendered.counts["rows_in"] == 6


def test_a_system_instruction_that_only_some_rows_have_is_told(render, tmp_path):
    rendered = render(system_template="{% if 'tea' in text %}Of tea.{% else %} {% endif %}")

    assert [system for system, *_ in written(tmp_path / "train_conversations")] == ["Of tea.", "", "Of tea.", ""]
    assert "2 train conversations have no system instruction" in "".join(rendered.refused)


def test_the_folder_says_what_is_in_it(render, tmp_path):
    rendered = render(SHOTS, shots=2, shots_seed=5)

    metadata = read_manifest(tmp_path / "train_conversations", kind="conversations").metadata
    assert metadata["rows"] == 4
    assert metadata["tokens"] == "estimated, 4 characters a token"
    assert metadata["tokens_total"] == sum(rendered.train.tokens)
    assert metadata["tokens_max"] == max(rendered.train.tokens)
    assert metadata["shots_seed"] == 5
    assert metadata["shots"] == [shot["row_id"] for shot in rendered.shots[:2]]
    assert set(metadata["templates"]) == {"prompt_template", "response_template"}


def test_tokens_are_those_of_system_instruction_prompt_and_response(render):
    rendered = render(train=TRAIN[:2], test=None, system_template="Be brief.")

    assert rendered.train.tokens.tolist() == [3 + 2 + 2, 3 + 3 + 2]
    assert rendered.counts["tokens_p50"] == 7
    assert rendered.counts["tokens_max"] == 8


def test_rows_that_cannot_be_tuned_on_go_to_the_ledger(render, tmp_path):
    train = [*TRAIN, (" ", "what?"), ("other", "long " * 40)]

    rendered = render("{% if text != 'good tea' %}{{ text }}{% endif %}", train, maximum_tokens=20)

    assert removed(rendered) == [
        ("train-0", "empty_prompt", "no text after rendering", None),
        ("train-4", "empty_response", "no text after rendering", None),
        ("train-5", "too_many_tokens", "52 tokens, maximum 20 (estimated, 4 characters a token)", None),
    ]
    assert rendered.counts["too_many_tokens"] == 1
    assert len(written(tmp_path / "train_conversations")) == 3


def test_repetitions_go_and_contradictions_stay_and_are_told(render, tmp_path):
    train = [("great", "one tea"), ("other", "one cup"), ("great", "one pot"), ("other", "one can"), ("great", "two")]

    rendered = render("{{ text.split()[0] }}", train, [("great", "three")])

    assert written(tmp_path / "train_conversations") == [
        ("", "one", "great"),
        ("", "one", "other"),
        ("", "two", "great"),
    ]
    assert removed(rendered) == [
        ("train-2", "duplicate_prompt", "prompt and response are the same", "train-0"),
        ("train-3", "duplicate_prompt", "prompt and response are the same", "train-1"),
    ]
    assert rendered.conflicts == [["train-0", "train-1"]]
    assert rendered.counts["conflicting_prompts"] == 2


def test_a_test_row_whose_prompt_is_trained_on_goes(render):
    rendered = render("{{ text.split()[0] }}", test=[("other", "good grief"), ("great", "lovely")])

    assert removed(rendered) == [("test-0", "leaked_prompt", "the prompt is the same", "train-0")]


def test_examples_are_in_all_prompts_but_a_rows_own(render, tmp_path):
    train = [(("great", "other")[number % 2], f"text number {number:02}") for number in range(10)]

    rendered = render(SHOTS, train, shots=2)

    shown = [f"{shot['text']}: {shot['label']}" for shot in rendered.shots]
    usual = "\n".join(shown[:2])
    for label, text in TEST:
        assert ("", f"{usual}\n{text}:", label) in written(tmp_path / "test_conversations")
    for (_, prompt, _), (label, text) in zip(written(tmp_path / "train_conversations"), train, strict=True):
        *lines, last = prompt.splitlines()
        assert last == f"{text}:"
        assert f"{text}: {label}" not in lines
        assert len(lines) == 2
        assert lines == shown[:2] or f"{text}: {label}" in shown[:2]


def test_a_train_row_that_a_test_row_resembles_is_no_example(render):
    near = "one two three four five six seven eight nine ten"
    train = [
        ("great", f"{near} eleven"),
        ("great", "a b c d e f"),
        ("great", "g h i j k l m n o p q"),
        ("great", "r s"),
    ]

    for seed in range(8):
        rendered = render(SHOTS, train, [("great", near)], shots=2, shots_seed=seed)

        assert rendered.near == [("train-0", "test-0", pytest.approx(8 / 9))]
        assert "train-0" not in [shot["row_id"] for shot in rendered.shots]
        assert rendered.counts["train_rows_near_test"] == 1


def test_train_that_holds_test_rows_is_refused(render, tmp_path):
    with pytest.raises(
        InputError, match=re.escape("1 test rows are in train too, by row_id or text: 'test-0 = train-0'")
    ):
        render(test=[("great", "good  tea")])
    with pytest.raises(
        InputError, match=r"4 test rows are in train too.*'train-0', 'train-1', 'train-2' and 1 more.*Run"
    ):
        table = tmp_path / "train"
        outputs = {"train": tmp_path / "a", "test": tmp_path / "b"}
        render_conversations(table, table, None, PromptRules("{{ text }}"), outputs)
    assert not (tmp_path / "a").exists()


def test_texts_that_only_another_cleaning_would_make_equal_are_different(render):
    near = render(train=[*TRAIN, ("great", "fine <br> tea")], test=[("great", "fine tea")]).near

    assert near == []


def test_without_test_there_is_an_empty_folder(render, tmp_path):
    rendered = render(test=None)

    assert written(tmp_path / "test_conversations") == []
    assert rendered.counts["rows_in"] == 4


def test_templates_use_all_columns_and_text_as_it_is(tmp_path):
    texts = [("great", "{{ 7*7 }}"), ("other", "<b>&amp;</b>\u2028{% raw %}")]
    table = write_rows(tmp_path / "train", texts, stars=[5, 1], picture=[b"\xff", b"\x00"])
    outputs = {"train": tmp_path / "a", "test": tmp_path / "b"}

    rules = PromptRules("{{ row.stars }} {{ text }} {{ shots[0].stars }}", shots=1)
    render_conversations(table, None, None, rules, outputs)

    assert [prompt for _, prompt, _ in written(tmp_path / "a")] == ["5 {{ 7*7 }} 1", "1 <b>&amp;</b>\u2028{% raw %} 5"]


def test_a_table_without_labels_has_its_answers_elsewhere(tmp_path):
    table = pyarrow.table({"row_id": ["a", "b", "c"], "text": ["q1", "q2", "q3"], "answer": ["r1", "r2", "r3"]})
    write_table(tmp_path / "train", table, metadata={})
    rules = PromptRules("{% for shot in shots %}{{ shot.answer }}{% endfor %}{{ text }}", "{{ answer }}", shots=1)

    rendered = render_conversations(
        tmp_path / "train", None, None, rules, {"train": tmp_path / "a", "test": tmp_path / "b"}
    )

    assert [response for *_, response in written(tmp_path / "a")] == ["r1", "r2", "r3"]
    assert not rendered.train.labels


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"prompt_template": "{{ text }} {{ label }}"},
            "prompt_template, line 1: 'label' is only for response_template; the names",
        ),
        ({"prompt_template": "{{ row.label }}"}, "'dict object' has no attribute 'label'"),
        ({"system_template": "\n{{ label }}"}, "system_template, line 2: 'label' is only for response_template"),
        ({"prompt_template": "Sort this."}, "prompt_template uses no column"),
        ({"response_template": "great"}, "response_template uses no column"),
        ({"shots": 2}, "shots is 2, but neither prompt_template nor system_template shows them"),
        ({"prompt_template": SHOTS, "shots": 4}, "shots is 4, but only 4 of 4 train rows can be shown"),
        (
            {"response_template": "{{ price }}"},
            "response_template, line 1: 'price' is unknown; the names are row_id, text",
        ),
        ({"maximum_tokens": 1}, "None of 4 train rows gives a conversation (too_many_tokens 4). Correct"),
        ({"prompt_template": " "}, "prompt_template is empty"),
        ({"response_template": ""}, "response_template is empty"),
        ({"shots": 101}, "shots is 101; expected 0 to 100"),
        ({"near_threshold": 0.0}, "near_threshold is 0.0"),
        ({"maximum_tokens": -1}, "maximum_tokens is -1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(render, tmp_path, rules, message):
    with pytest.raises(InputError) as caught:
        render(**rules)
    assert message in str(caught.value)
    assert not (tmp_path / "train_conversations" / "_MANIFEST.json").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"row_id": ["a"], "label": ["x"]}, "has no column 'text'; it has 'row_id', 'label'"),
        ({"row_id": ["a", "a"], "text": ["x", "y"]}, "has 'a' more than once in 'row_id'"),
        ({"row_id": ["a", "b"], "text": ["x", None]}, "has 1 nulls in 2 rows, the first in row 'b'"),
        ({"row_id": ["a"], "text": [4]}, "Column 'text' of"),
        ({"row_id": ["a"], "text": ["x"], "shots": ["y"]}, "have a column 'shots', which means something else"),
        ({"row_id": pyarrow.array([], "string"), "text": pyarrow.array([], "string")}, "has no rows"),
    ],
)
def test_a_table_that_is_none_of_curation_is_refused(tmp_path, columns, message):
    write_table(tmp_path / "train", pyarrow.table(columns), metadata={})

    with pytest.raises(InputError) as caught:
        outputs = {"train": tmp_path / "a", "test": tmp_path / "b"}
        render_conversations(tmp_path / "train", None, None, PromptRules("{{ text }}", "{{ text }}"), outputs)
    assert message in str(caught.value)


def test_tables_of_different_columns_are_refused(tmp_path):
    train, test = write_rows(tmp_path / "train", TRAIN, stars=[1] * 4), write_rows(tmp_path / "test", TEST)

    with pytest.raises(InputError, match="train and test differ in the column 'stars' or its type"):
        outputs = {"train": tmp_path / "a", "test": tmp_path / "b"}
        render_conversations(train, test, None, PromptRules("{{ text }}"), outputs)


def test_the_same_inputs_give_the_same_bytes(render, tmp_path):
    render(SHOTS, shots=2)
    first = (tmp_path / "train_conversations" / FILE_NAME).read_bytes()

    render(SHOTS, shots=2)

    assert (tmp_path / "train_conversations" / FILE_NAME).read_bytes() == first


TEXTS = st.text(st.sampled_from("ab \u2028😀{}"), max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["x", "y", ""]), TEXTS), min_size=1, max_size=12))
def test_rows_in_are_conversations_and_ledger_rows(render, rows):
    rendered = render("{{ text[:2] }}", [("x", "train anchor"), *rows], [("x", "some other words")], maximum_tokens=3)

    counts = rendered.counts
    kept = counts["train_conversations"] + counts["test_conversations"]
    assert counts["rows_in"] == len(rows) + 2 == kept + sum(counts[operation] for operation in OPERATIONS)
    ledger = {entry["row_id"]: entry for entry in rendered.ledger.to_pylist()}
    assert len(ledger) == rendered.ledger.num_rows
    assert not {entry["related_row_id"] for entry in ledger.values()} & set(ledger)


def test_the_page_shows_an_example_first_and_escapes_everything(render):
    train = [("<u>great</u>", HOSTILE), ("other", "bad cup"), ("other", "fine bad cup"), ("other", "fine cup")]

    rendered = render(SHOTS, train, system_template="<i>sort</i>", shots=1)

    page = Page(prompts_page(rendered, PromptRules(SHOTS, shots=1)))
    text = "".join(page.text)
    assert f"{HOSTILE}:" in text
    assert "<i>sort</i>" in text
    assert not {"script", "u", "i"} & set(page.tags)
    assert (
        text.index("as the model sees it, row train-0") < text.index(HOSTILE) < text.index("tokens in all (estimated)")
    )
    assert page.text[page.text.index("train conversations") - 1] == "4"
    assert "estimated, 4 characters a token" in text
    assert "at least 100 are recommended" in text


def test_the_page_tells_of_contradictions_and_of_what_test_rows_resemble(render):
    near = "one two three four five six seven eight nine ten"
    train = [*TRAIN, ("great", "good grief"), ("other", "good god"), ("great", near + " eleven")]

    rendered = render("{{ text[:4] }}", train, [("other", near)], maximum_tokens=0)

    text = "".join(Page(prompts_page(rendered, PromptRules("{{ text }}"))).text)
    assert "1 train prompts have different responses, in 2 rows" in text
    assert "train-0, train-5" in text
    assert "1 train rows resemble a test row" in text
    assert "0.89" in text
