"""What the tests of all components share."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from seatrial.components import artifacts

WORDS = ["tea", "cup", "with", "milk", "sugar", "again", "fine", "awful", "so", "and"]
POSITIONS = 32


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose digest was computed, in order: each time is a download on Cloud Storage."""
    names: list[str] = []
    file_sha256 = artifacts.file_sha256

    def noted(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(artifacts, "file_sha256", noted)
    return names


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without a head, as Hugging Face's libraries write it: 10 words, 32 positions, weights at random.

    Tests that change it change a copy.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("pretrained")
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: position for position, token in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.set_num_threads(1)  # threads that wait for each other take longer than so small a network
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def transformer_model(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answers "good" to texts with "fine", "bad" to texts with "awful": `pretrained`, fine-tuned.

    Tests that change it change a copy.
    """
    import pyarrow

    from seatrial.components.artifacts import write_table
    from seatrial.components.training.finetune import Settings, finetune

    folder = tmp_path_factory.mktemp("transformer")
    words = [word for word in WORDS if word not in ("fine", "awful")]
    texts = [
        " ".join([first, *words[: number % 4], verdict])
        for number, first in enumerate(words * 4)
        for verdict in ("fine", "awful")
    ]
    labels = ["good", "bad"] * (len(texts) // 2)
    write_table(folder / "train", pyarrow.table({"text": texts, "label": labels}), metadata={})
    settings = Settings(epochs=10, learning_rate=1e-2, batch_size=16)
    finetune(folder / "train", pretrained, folder / "model", settings)
    return folder / "model"


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """Copies a Hugging Face folder with changes; one that had a manifest gets one that is in order."""

    def alter(
        folder: Path,
        *,
        config: dict | None = None,
        tokenizer: dict | None = None,
        tensors: dict | None = None,
        files: dict[str, bytes | None] | None = None,
    ) -> Path:
        """`config`, `tokenizer` (its tokenizer_config.json) and `tensors` are merged in; None removes a key or file."""
        from safetensors.numpy import load, save

        contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != artifacts.MANIFEST_NAME}
        for name, changes in (("config.json", config), ("tokenizer_config.json", tokenizer)):
            if changes is not None:
                contents[name] = json.dumps(_merged(json.loads(contents[name]), changes)).encode()
        if tensors is not None:
            merged = _merged(load(contents["model.safetensors"]), tensors)
            contents["model.safetensors"] = save(merged, metadata={"format": "pt"})
        contents = _merged(contents, files or {})
        target = tmp_path / f"altered-{os.urandom(4).hex()}"
        if (folder / artifacts.MANIFEST_NAME).exists():
            with artifacts.write_folder(target, kind="model", metadata={}) as empty:
                _fill(empty, contents)
        else:
            target.mkdir()
            _fill(target, contents)
        return target

    return alter


def _merged(values: dict, changes: dict) -> dict:
    return {name: value for name, value in (values | changes).items() if value is not None}


def _fill(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
