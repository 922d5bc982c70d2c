"""The format of conversations that are tuned on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.artifacts import read_manifest
from seatrial.components.curation.conversations import (
    FILE_NAME,
    check_conversation,
    conversation,
    refusals,
    write_conversations,
)
from seatrial.components.runtime import InputError

TEXT = st.text(st.characters(codec="utf-8")).filter(str.strip)


def turn(role: str, text: str = "hi") -> dict:
    return {"role": role, "parts": [{"text": text}]}


def test_a_conversation_has_the_documented_form():
    assert conversation("Be brief.", "2 + 2?", "4") == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [turn("user", "2 + 2?"), turn("model", "4")],
    }
    assert "systemInstruction" not in conversation("", "2 + 2?", "4")


def test_a_conversation_is_one_that_googles_client_knows():
    from google.genai import types

    example = conversation("Be brief.", "2 + 2?", "4")

    for content in (example["systemInstruction"], *example["contents"]):
        assert types.Content.model_validate(content).model_dump(exclude_none=True) == content


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("conversations") / "folder"


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5))
def test_any_text_survives_in_one_line_each_whoever_splits_the_lines(folder, parts):
    examples = [conversation(*texts) for texts in parts]

    with write_conversations(folder, {}) as writer:
        for example in examples:
            writer.write(example)

    written = (folder / FILE_NAME).read_bytes()
    lines = written.decode().splitlines()
    assert [json.loads(line) for line in lines] == examples
    assert len(lines) == written.count(b"\n")
    assert read_manifest(folder, kind="conversations").metadata == {"rows": len(parts), "bytes": len(written)}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected an object"),
        ({}, "has no 'contents'"),
        ({"contents": []}, "has 0 turns; expected the last one to be the model's"),
        ({"contents": [turn("model")]}, "Turn 1 of line 3 has the role 'model'; expected 'user'"),
        ({"contents": [turn("user"), turn("user")]}, "Turn 2 of line 3 has the role 'user'; expected 'model'"),
        ({"contents": [turn("user"), turn("assistant")]}, "Turn 2 of line 3 has the role 'assistant'"),
        ({"contents": [turn("user"), turn("model"), turn("user")]}, "has 3 turns; expected the last"),
        ({"contents": [turn("user"), turn("model", " ")]}, "Turn 2 of line 3 has no text"),
        ({"contents": [{"role": "user", "parts": []}, turn("model")]}, "Turn 1 of line 3 has no text"),
        ({"contents": [{"role": "user", "parts": [{"text": 4}]}, turn("model")]}, "has the 'text' 4; expected text"),
        ({"contents": [turn("user"), turn("model")], "systemInstruction": "Be brief."}, "systemInstruction of line 3"),
    ],
)
def test_what_cannot_be_tuned_on_is_refused(value, message):
    with pytest.raises(InputError) as caught:
        check_conversation(value, "line 3")
    assert message in str(caught.value)


def test_several_turns_are_a_conversation():
    check_conversation({"contents": [turn("user"), turn("model"), turn("user"), turn("model")]}, "line 3")


@pytest.mark.parametrize(
    ("train_rows", "train_bytes", "test_rows", "with_system", "found"),
    [
        (100, 1_000_000_000, 5_000, 0, []),
        (100, 1, 0, 100, []),
        (100, 1, 0, 98, ["2 train conversations have no system instruction, the others have one"]),
        (99, 1, 0, 0, ["99 train conversations; at least 100 are recommended"]),
        (1_000_001, 1, 0, 0, ["1,000,001 train conversations; a tuning job takes 1,000,000 at most"]),
        (100, 1_200_000_000, 0, 0, ["1.20 GB of train conversations; a tuning job takes 1 GB at most"]),
        (100, 1, 5_001, 0, ["5,001 test conversations; a validation data set has 5,000 at most"]),
    ],
)
def test_what_a_tuning_job_refuses_is_told(train_rows, train_bytes, test_rows, with_system, found):
    told = refusals(train_rows, train_bytes, test_rows, with_system)

    assert len(told) == len(found)
    assert all(text.startswith(start) for text, start in zip(told, found, strict=True))
