"""Transformers that classify texts, as Hugging Face folders: loading one safely, and predicting in batches of a length.

Only weights in safetensors are read and no code of a folder is run, whatever it says.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime import InputError

# PyTorch's threads wait for each other thousands of times a second. If they spin meanwhile, which is the default, and
# another process wants a core, training takes four times as long. The variable is read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    import torch

ROWS_PER_BATCH = 32
REQUIRED_FILES = ("config.json", "model.safetensors", "tokenizer.json")
FILE_NAMES = (*REQUIRED_FILES, "tokenizer_config.json")
_ADVICE = (
    "Pass the folder of a Hugging Face model in safetensors with a fast tokenizer, as save_pretrained writes it, or "
    "one that finetune_text has written."
)


@dataclass(frozen=True)
class TransformerClassifier:
    """A sequence classifier of the library transformers.

    Attributes:
        tokenizer: Its tokenizer, which cuts texts at the length that the model was trained with.
        network: The network, ready to predict.
    """

    labels: list[str]
    digest: str
    tokenizer: Any
    network: Any
    model_type: str = "transformer"

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Softmax of the network's logits, which are computed in bfloat16 where the processor has instructions for it.

        Texts of similar length share a batch, so a text's result depends on its neighbours by rounding errors.
        """
        import torch

        tokens = encode(self.tokenizer, texts)
        probabilities = np.empty((len(texts), len(self.labels)))
        with torch.inference_mode():
            for rows in by_length([len(ids) for ids in tokens], ROWS_PER_BATCH):
                logits = self.network(**pad([tokens[row] for row in rows], self.tokenizer.pad_token_id)).logits
                probabilities[rows] = torch.softmax(logits.double(), dim=1).cpu().numpy()
        return probabilities


def load_transformer(folder: Path, digest: str) -> TransformerClassifier:
    """Loads a fine-tuned classifier.

    Args:
        folder: Hugging Face folder, already checked against its manifest.
        digest: The folder's digest.

    Raises:
        InputError: If the files cannot be read, do not fit together, or hold weights that are no numbers.
    """
    network, missing = load_network(folder)
    if missing:
        raise InputError(f"{folder} lacks the weights {', '.join(sorted(missing)[:5])}. {_ADVICE}")
    labels = [network.config.id2label.get(position) for position in range(network.config.num_labels)]
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
        raise InputError(f"{folder / 'config.json'}: the labels {labels[:20]} are no distinct strings. {_ADVICE}")
    tokenizer = load_tokenizer(folder)
    fit_tokenizer(tokenizer, network, tokenizer.model_max_length, folder)
    if has_bfloat16():
        network.bfloat16()  # twice as fast; a label's probability changes in the third digit
    return TransformerClassifier(labels, digest, tokenizer, network)


def load_network(
    folder: Path, labels: Sequence[str] | None = None, attention: str | None = None
) -> tuple[Any, set[str]]:
    """Loads a sequence classifier.

    Args:
        folder: Hugging Face folder.
        labels: Labels for a new head; None keeps the one that the folder has.
        attention: How attention is computed, "eager" or "sdpa"; None leaves it to the library.

    Returns:
        The network in evaluation mode, on the device that computes fastest, and the names of weights that the folder
        does not have, or has in another shape.

    Raises:
        InputError: If it cannot be loaded, or holds weights that are no numbers.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    head: dict[str, Any] = {}
    if labels is not None:
        head = {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: position for position, label in enumerate(labels)},
            "problem_type": "single_label_classification",
            "ignore_mismatched_sizes": True,
        }
    _check_files(folder)
    try:
        with quiet():
            network, facts = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                return_dict=True,
                attn_implementation=attention,
                output_loading_info=True,
                **head,
            )
    except Exception as error:  # a configuration can have any line of the library fail
        raise InputError(f"The transformer {folder} cannot be loaded ({_first_line(error)}). {_ADVICE}") from None
    if not all(bool(torch.isfinite(weights).all()) for weights in network.parameters()):
        raise InputError(f"{folder / 'model.safetensors'} holds weights that are no numbers. {_ADVICE}")
    missing = set(facts["missing_keys"]) | {name for name, *_ in facts["mismatched_keys"]}
    return network.float().eval().to(device()), missing


def load_tokenizer(folder: Path) -> Any:
    """Loads the tokenizer of a Hugging Face folder.

    Raises:
        InputError: If it cannot be loaded, cannot fill up short texts, or names no length to cut long ones at.
    """
    from transformers import AutoTokenizer

    _check_files(folder)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises bare exceptions
        raise InputError(f"The tokenizer of {folder} cannot be loaded ({_first_line(error)}). {_ADVICE}") from None
    if tokenizer.pad_token_id is None:
        raise InputError(f"The tokenizer of {folder} has no padding token, which batches of texts need. {_ADVICE}")
    if not isinstance(tokenizer.model_max_length, int) or tokenizer.model_max_length < 2:
        raise InputError(
            f"{folder / 'tokenizer_config.json'}: model_max_length is {tokenizer.model_max_length!r}; expected a whole "
            f"number of 2 or more. {_ADVICE}"
        )
    return tokenizer


def fit_tokenizer(tokenizer: Any, network: Any, maximum_tokens: int, folder: Path) -> None:
    """Has a tokenizer cut texts at `maximum_tokens`, or where the network's positions end.

    Raises:
        InputError: If it gives tokens that the network does not know.
    """
    known, tokens = network.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values()) + 1
    if tokens > known:
        raise InputError(
            f"The tokenizer of {folder} has {tokens:,} tokens, the network {known:,}: its files do not belong "
            f"together. {_ADVICE}"
        )
    tokenizer.model_max_length = min(maximum_tokens, _positions(network) or maximum_tokens)


def _positions(network: Any) -> int:
    """How many tokens a network has positions for; 0 if there is no limit."""
    import torch

    for name, module in network.named_modules():
        if name.rsplit(".", 1)[-1] == "position_embeddings" and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin count from the position after padding_idx.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return max(0, getattr(network.config, "max_position_embeddings", 0))


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, one or more, cut at the tokenizer's `model_max_length`."""
    if not texts:
        return []
    tokens = tokenizer(list(texts), truncation=True, return_attention_mask=False)["input_ids"]
    return [ids or [tokenizer.pad_token_id] for ids in tokens]


def by_length(lengths: Sequence[int], rows_per_batch: int) -> Iterator[list[int]]:
    """Positions in batches of similar lengths, the short ones first, so that little is padded and computed in vain."""
    order = np.argsort(lengths, kind="stable").tolist()
    for start in range(0, len(order), rows_per_batch):
        yield order[start : start + rows_per_batch]


def pad(tokens: Sequence[Sequence[int]], pad_token_id: int) -> dict[str, "torch.Tensor"]:
    """The network's input for a batch, on its device: `input_ids` and `attention_mask` of shape (rows, longest row)."""
    import torch

    longest = max(map(len, tokens))
    ids = torch.tensor([[*row, *[pad_token_id] * (longest - len(row))] for row in tokens], device=device())
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens], device=device())
    return {"input_ids": ids, "attention_mask": mask}


def device() -> str:
    """Where networks compute: "cuda" where there is a GPU, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bfloat16() -> bool:
    """Whether the device multiplies in bfloat16 by instructions of its own; where it does not, that would be slower."""
    import torch

    if device() == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' own progress bars and notes out of the log; what they say is checked here."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _check_files(folder: Path) -> None:
    if missing := [name for name in REQUIRED_FILES if not (folder / name).is_file()]:
        raise InputError(f"{folder} has no {', '.join(missing)}. {_ADVICE}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
