"""Conversations in the format of supervised tuning of Gemini on Vertex AI: their form, their limits, their folder.

Sources: Google's documentation of Vertex AI, "Prepare supervised fine-tuning data for Gemini models" (the format) and
"About supervised fine-tuning for Gemini models" (the limits, those of Gemini 2.5); the checks of a dataset in Google's
notebook "Vertex AI Supervised tuning token count and cost estimation" (roles, turns by turns, parts with text, system
instructions that only some rows have; each turn of the model is a record to learn). Examples with too many tokens are
dropped by the tuning job, quietly: `totalTruncatedExampleCount` of `SupervisedTuningDataStats`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..artifacts import check_fields, write_folder
from ..runtime import InputError

FILE_NAME = "conversations.jsonl"
MOST_TOKENS = 131_072  # "Maximum input and output training tokens"
MOST_TRAIN_EXAMPLES = 1_000_000  # "Maximum training dataset size", text only
MOST_VALIDATION_EXAMPLES = 5_000  # "Maximum validation dataset size"
MOST_BYTES = 1_000_000_000  # "Maximum training dataset file size: 1GB for JSONL"
RECOMMENDED_TRAIN_EXAMPLES = 100  # "we recommend that you start with 100 examples"
# JSON leaves these as they are, and some readers take them for ends of lines.
_LINE_SEPARATORS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def conversation(system: str, prompt: str, response: str) -> dict[str, Any]:
    """One example: what the model is told, what the user says, and what the model is to answer.

    Args:
        system: The system instruction; empty for none.
        prompt: What the user says.
        response: What the model is to answer.
    """
    contents = [{"role": "user", "parts": [{"text": prompt}]}, {"role": "model", "parts": [{"text": response}]}]
    return ({"systemInstruction": {"parts": [{"text": system}]}} if system else {}) | {"contents": contents}


class ConversationWriter:
    """Writes conversations one by one.

    Attributes:
        rows: How many there are.
        size: How many bytes they take.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.rows = self.size = 0

    def write(self, example: dict[str, Any]) -> None:
        """Writes a conversation, which is checked first."""
        check_conversation(example, f"Conversation {self.rows + 1}")
        line = json.dumps(example, ensure_ascii=False)
        for separator, escaped in _LINE_SEPARATORS.items():
            line = line.replace(separator, escaped)
        self.rows += 1
        self.size += self._file.write(line.encode() + b"\n")


@contextmanager
def write_conversations(path: str | Path, metadata: dict[str, Any]) -> Iterator[ConversationWriter]:
    """Writes a folder of conversations, which is complete after the block.

    Args:
        path: The folder.
        metadata: For the manifest, may be filled until the block ends; `rows` and `bytes` are added.
    """
    with write_folder(path, kind="conversations", metadata=metadata) as folder, (folder / FILE_NAME).open("wb") as file:
        writer = ConversationWriter(file)
        yield writer
        metadata |= {"rows": writer.rows, "bytes": writer.size}


def check_conversation(value: object, place: str) -> None:
    """Checks that a JSON value is a conversation of text that can be tuned on.

    The roles are those of the API's `Content`, "user" and "model". Turns alternate, the user's is first, the model's is
    last: nothing would be learnt from a question after it.

    Args:
        value: One line's value.
        place: What it is, for the message.

    Raises:
        InputError: If it is none.
    """
    advice = "Write conversations as render_prompts does."
    check_fields(value, {"contents": (list,)}, place, advice)
    assert isinstance(value, dict)
    turns = value["contents"]
    if "systemInstruction" in value:
        _check_parts(value["systemInstruction"], f"The systemInstruction of {place}", advice)
    for position, turn in enumerate(turns):
        here, role = f"Turn {position + 1} of {place}", ("user", "model")[position % 2]
        check_fields(turn, {"role": (str,)}, here, advice)
        if turn["role"] != role:
            raise InputError(f"{here} has the role {turn['role']!r}; expected {role!r}, by turns. {advice}")
        _check_parts(turn, here, advice)
    if not turns or len(turns) % 2:
        raise InputError(f"{place} has {len(turns)} turns; expected the last one to be the model's. {advice}")


def _check_parts(content: object, place: str, advice: str) -> None:
    check_fields(content, {"parts": (list,)}, place, advice)
    assert isinstance(content, dict)
    for part in content["parts"]:
        check_fields(part, {"text": (str,)}, f"A part of {place}", advice)
    if not any(part["text"].strip() for part in content["parts"]):
        raise InputError(f"{place} has no text. {advice}")


def refusals(train_rows: int, train_bytes: int, test_rows: int, train_rows_with_system: int) -> list[str]:
    """What a tuning job on Vertex AI would refuse or advise against; mostly nothing.

    Args:
        train_rows: Conversations of train.
        train_bytes: Size of their file.
        test_rows: Conversations of test.
        train_rows_with_system: How many of train have a system instruction.
    """
    found = []
    if train_rows > MOST_TRAIN_EXAMPLES:
        found.append(f"{train_rows:,} train conversations; a tuning job takes {MOST_TRAIN_EXAMPLES:,} at most.")
    if train_bytes > MOST_BYTES:
        found.append(f"{train_bytes / 1e9:.2f} GB of train conversations; a tuning job takes 1 GB at most.")
    if test_rows > MOST_VALIDATION_EXAMPLES:
        found.append(
            f"{test_rows:,} test conversations; a validation data set has {MOST_VALIDATION_EXAMPLES:,} at most. "
            "Validate on a sample of them."
        )
    if train_rows < RECOMMENDED_TRAIN_EXAMPLES:
        found.append(f"{train_rows:,} train conversations; at least {RECOMMENDED_TRAIN_EXAMPLES} are recommended.")
    if 0 < train_rows_with_system < train_rows:
        found.append(
            f"{train_rows - train_rows_with_system:,} train conversations have no system instruction, the others have "
            "one; expected all or none."
        )
    return found
