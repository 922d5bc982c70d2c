"""How many tokens texts have: counted with a model's tokenizer, or estimated without one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..artifacts import read_manifest
from ..runtime import InputError

CHARACTERS_PER_TOKEN = 4
COUNTED, ESTIMATED = "counted with the tokenizer", f"estimated, {CHARACTERS_PER_TOKEN} characters a token"
_FILE_NAME = "tokenizer.json"

TokenCounter = Callable[[Sequence[str]], list[int]]


def estimate(texts: Sequence[str]) -> list[int]:
    """A token for every four characters begun, Google's rule of thumb for Gemini.

    It is for English ("Understand and count tokens" in the documentation of the Gemini API); texts in other scripts
    have more.
    """
    return [-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts]


def token_counter(folder: str | Path) -> TokenCounter:
    """Loads a tokenizer to count with.

    Args:
        folder: Model folder with a tokenizer.json, as `ingest_model` writes it.

    Returns:
        A function: texts → tokens of each, none cut off and without special tokens, which differ with the template that
        a server wraps a conversation in.

    Raises:
        InputError: If the folder is no complete model folder or its tokenizer cannot be read.
    """
    from tokenizers import Tokenizer

    advice = "Pass a model with a fast tokenizer, as ingest_model writes it, or none to have tokens estimated."
    if _FILE_NAME not in read_manifest(folder, kind="model").files:
        raise InputError(f"The model {folder} has no {_FILE_NAME}. {advice}")
    path = Path(folder) / _FILE_NAME
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises nothing more specific.
        raise InputError(f"{path} cannot be read ({error}). {advice}") from None
    # Both are often set in the file, and either would make another number of it.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        distinct = list(dict.fromkeys(texts))
        encodings = tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
        counts = {text: len(encoding.ids) for text, encoding in zip(distinct, encodings, strict=True)}
        return [counts[text] for text in texts]

    return count
