"""Fine-tuning of a pretrained transformer into a text classifier: PyTorch, one process, a GPU where there is one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts import MANIFEST_NAME, Manifest, file_sha256, peek_manifest, read_json, read_manifest, write_folder
from ..prediction.models import LARGEST_FOLDER_BYTES
from ..prediction.transformer import (
    by_length,
    device,
    encode,
    fit_tokenizer,
    has_bfloat16,
    load_network,
    load_tokenizer,
    pad,
    quiet,
)
from ..runtime import InputError, Progress
from .examples import read_examples

_WARM_UP = 0.1
_WEIGHT_DECAY = 0.01
_LARGEST_GRADIENT = 1.0
_BATCHES_PER_BUCKET = 50
_MOST_POINTS = 100


@dataclass(frozen=True)
class Settings:
    """How to fine-tune.

    Attributes:
        epochs: How often each row is seen; 0.5 sees half of the rows.
        learning_rate: The highest, after a warm-up over a tenth of the steps; it falls to 0 linearly.
        batch_size: Rows per step.
        maximum_tokens: Where texts are cut, in training and from then on.
        seed: Of the order of the rows and the weights of the new head.
    """

    epochs: float = 1.0
    learning_rate: float = 1e-4
    batch_size: int = 16
    maximum_tokens: int = 128
    seed: int = 0

    def check(self) -> None:
        """Refuses what cannot be carried out.

        Raises:
            InputError: If a value is out of range.
        """
        ranges: dict[str, tuple[float, float]] = {
            "epochs": (0.001, 1000),
            "learning_rate": (1e-8, 1),
            "batch_size": (1, 4096),
            "maximum_tokens": (2, 100_000),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected a number from {low:g} to {high:g}.")


@dataclass
class LossCurve:
    """The training loss, averaged over equal stretches of the training so that there are at most 100 points.

    Attributes:
        points: Rows seen so far, and the mean loss (nats) of the rows since the point before.
    """

    steps_per_point: int
    points: list[list[float]] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)
    _rows: list[int] = field(default_factory=list)

    def add(self, loss: float, rows: int, *, last: bool) -> None:
        """Takes in the mean loss of one step's rows.

        Raises:
            InputError: If it is no number: the training has diverged.
        """
        if not math.isfinite(loss):
            raise InputError(
                f"The training diverged: after {self._seen:,} rows the loss is {loss}. Pass a smaller learning_rate."
            )
        self._losses.append(loss)
        self._rows.append(rows)
        if last or len(self._losses) == self.steps_per_point:
            self.points.append([self._seen, float(np.average(self._losses, weights=self._rows))])
            self._losses, self._rows = [], []

    @property
    def _seen(self) -> int:
        return int(self.points[-1][0] if self.points else 0) + sum(self._rows)


def finetune(
    table: str | Path, pretrained: str | Path, model: str | Path, settings: Settings
) -> tuple[Manifest, dict[str, float]]:
    """Fine-tunes all weights of a pretrained transformer on a table folder and writes a model folder.

    The loss is cross-entropy; AdamW with weight decay 0.01, gradients cut at norm 1. Dropout is off: with each row seen
    once or a few times it costs a fifth of the time and gains nothing that could be measured.

    Args:
        table: Table folder with the columns `text` and `label`.
        pretrained: Hugging Face folder of an encoder, or a model folder that this function has written, whose training
            then goes on if the labels are the same.
        model: The model folder to write: a Hugging Face folder in safetensors, with a manifest.
        settings: How.

    Returns:
        The manifest of the model folder, and the metrics: rows, labels, steps, training_loss (nats, of the last tenth),
        rows_per_second.

    Raises:
        InputError: If a setting is out of range, the table lacks a column, has no rows, holds nulls or one label only,
            the pretrained model cannot be loaded, or the training diverges.
    """
    import torch

    settings.check()
    texts, labels, digest = read_examples(table)
    names = sorted(set(labels))
    if len(names) < 2:
        raise InputError(
            f"All {len(texts):,} training rows have the label {names[0]!r}; a classifier needs two or more. Check the "
            "label column."
        )
    folder = Path(pretrained)
    _check_pretrained(folder)
    torch.manual_seed(settings.seed)
    tokenizer, network = load_tokenizer(folder), _network(folder, names)
    fit_tokenizer(tokenizer, network, settings.maximum_tokens, folder)
    tokenizer.chat_template = None  # of no use, and a file that the model server does not copy
    tokens = encode(tokenizer, texts)
    steps = plan_steps([len(ids) for ids in tokens], settings)
    codes = [names.index(label) for label in labels]
    curve, rows_per_second = _train(network, tokens, codes, tokenizer.pad_token_id, steps, settings.learning_rate)
    metadata = {
        "labels": names,
        "model_type": "transformer",
        "training_rows": len(texts),
        "training_digest": digest,
        "pretrained_sha256": file_sha256(folder / "model.safetensors"),
        "precision": "bfloat16" if has_bfloat16() else "float32",
        "loss_curve": curve.points,
    }
    with write_folder(model, kind="model", metadata=metadata) as written, quiet():
        network.to("cpu").save_pretrained(written)
        tokenizer.save_pretrained(written)
    last = curve.points[-math.ceil(len(curve.points) / 10) :]
    return peek_manifest(model, kind="model"), {
        "rows": len(texts),
        "labels": len(names),
        "steps": len(steps),
        "training_loss": float(np.mean([loss for _, loss in last])),
        "rows_per_second": rows_per_second,
    }


def plan_steps(lengths: Sequence[int], settings: Settings) -> list[list[int]]:
    """The rows of each step: at random, but rows of similar length together, so that little is padded.

    Args:
        lengths: Tokens of each row.
        settings: Epochs, batch size and seed.
    """
    generator = np.random.default_rng(settings.seed)
    left = max(1, round(settings.epochs * len(lengths)))
    bucket_size = settings.batch_size * _BATCHES_PER_BUCKET
    steps: list[list[int]] = []
    while left:
        order = generator.permutation(len(lengths))[:left]
        left -= len(order)
        buckets = [order[start : start + bucket_size] for start in range(0, len(order), bucket_size)]
        epoch = [
            bucket[places].tolist()
            for bucket in buckets
            for places in by_length([lengths[row] for row in bucket], settings.batch_size)
        ]
        steps += [epoch[place] for place in generator.permutation(len(epoch))]
    return steps


def _check_pretrained(folder: Path) -> None:
    """Checks a model that has a manifest, which Hugging Face's folders have not; refuses one too large to be served."""
    if (folder / MANIFEST_NAME).exists():
        read_manifest(folder, kind="model")
    weights = folder / "model.safetensors"
    if weights.is_file() and (size := weights.stat().st_size) > LARGEST_FOLDER_BYTES:
        raise InputError(
            f"{weights} has {size:,} bytes; a model of at most {LARGEST_FOLDER_BYTES:,} can be served. Pass a smaller "
            "pretrained model."
        )


def _network(folder: Path, labels: Sequence[str]) -> Any:
    """The pretrained network with a head for the labels: its own if it has one for exactly these, else a new one."""
    # On a CPU the backward pass of the library's fused attention takes longer than all its parts.
    network, missing = load_network(folder, labels, attention="eager" if device() == "cpu" else None)
    body = f"{network.base_model_prefix}."
    if lacking := sorted(name for name in missing if name.startswith(body) and ".pooler." not in name):
        raise InputError(
            f"{folder} lacks {len(lacking)} of the weights that its config.json names, or has them in another shape "
            f"({lacking[0]}, …): its files do not belong together. Pass the folder of one Hugging Face model as "
            "pretrained."
        )
    own = read_json(folder / "config.json", "Pass the folder of a Hugging Face model.").get("id2label")
    if own != {str(position): label for position, label in enumerate(labels)} and network.base_model is not network:
        _renew_head(network, body)
    return network


def _renew_head(network: Any, body: str) -> None:
    """Draws the weights outside of the body anew: where they stem from other labels they would be a wrong start."""
    import torch

    new = type(network)(network.config).state_dict()
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if not name.startswith(body):
                weights.copy_(new[name])


def _train(
    network: Any,
    tokens: Sequence[Sequence[int]],
    codes: Sequence[int],
    pad_token_id: int,
    steps: Sequence[Sequence[int]],
    learning_rate: float,
) -> tuple[LossCurve, float]:
    """Trains the network in place; returns the loss curve and the rows per second."""
    import torch

    curve = LossCurve(math.ceil(len(steps) / _MOST_POINTS))
    progress = Progress(sum(map(len, steps)), "rows")
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(steps)))
    for number, rows in enumerate(steps, start=1):
        batch = pad([tokens[row] for row in rows], pad_token_id)
        targets = torch.tensor([codes[row] for row in rows], device=device())
        with torch.autocast(device(), torch.bfloat16, enabled=has_bfloat16()):
            loss = network(**batch, labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        curve.add(loss.item(), len(rows), last=number == len(steps))
        progress.advance(len(rows), loss=round(loss.item(), 4))
    return curve, progress.per_second


def _rate(step: int, steps: int) -> float:
    """Share of the highest learning rate at a step: up over the first tenth, then down to 0."""
    warm_up = max(1.0, _WARM_UP * steps)
    return min(1.0, (step + 1) / warm_up, (steps - step) / max(1.0, steps - warm_up))
