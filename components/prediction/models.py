"""Text classifiers on disk and in memory: how a model folder is written, checked and used to predict.

A model folder holds `config.json` ({"model_type", "labels"}) and `model.safetensors`, and for `linear` a
`vocabulary.json` ({term: column}); that of a transformer is a Hugging Face folder (`transformer.py`). Nothing in it is
code, and `load_model` refuses a folder whose parts do not fit together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np

from ..artifacts import MANIFEST_NAME, Manifest, peek_manifest, read_json, read_manifest, write_folder, write_json
from ..runtime import InputError
from . import transformer
from .tfidf import tfidf

_CONFIG, _TENSORS, _VOCABULARY = "config.json", "model.safetensors", "vocabulary.json"
FILE_NAMES = (MANIFEST_NAME, _VOCABULARY, *transformer.FILE_NAMES)
LARGEST_FOLDER_BYTES = 2**30
_LARGEST_WEIGHT = 1e9
_ADVICE = "Pass a model folder as seatrial's training components write it, or train the model again."


class TextClassifier(Protocol):
    """What every model can do."""

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the probabilities."""

    @property
    def model_type(self) -> str:
        """What kind of model it is: "linear", "majority_class" or "transformer"."""

    @property
    def digest(self) -> str:
        """Digest of the model folder: equal models, equal digests."""

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the labels: float64 of shape (len(texts), len(labels)), each row sums to 1."""


@dataclass(frozen=True)
class LinearClassifier:
    """Multinomial logistic regression on TF-IDF features.

    Attributes:
        vocabulary: Term → column.
        inverse_document_frequencies: Shape (terms,).
        coefficients: Shape (labels, terms).
        intercepts: Shape (labels,).
    """

    labels: list[str]
    digest: str
    vocabulary: Mapping[str, int]
    inverse_document_frequencies: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    model_type: str = "linear"

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Softmax of features × coefficients + intercepts. A text's result does not depend on its neighbours."""
        rows, columns, values = tfidf(texts, self.vocabulary, self.inverse_document_frequencies)
        scores = np.stack(
            [
                np.bincount(rows, values * weights[columns], minlength=len(texts)) + intercept
                for weights, intercept in zip(self.coefficients, self.intercepts, strict=True)
            ],
            axis=1,
        )
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class MajorityClassClassifier:
    """The trivial baseline: answers each text with the shares of the labels in the training rows.

    Attributes:
        frequencies: Shape (labels,), sums to 1.
    """

    labels: list[str]
    digest: str
    frequencies: np.ndarray
    model_type: str = "majority_class"

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """The same row for every text."""
        return np.tile(self.frequencies, (len(texts), 1))


def save_model(
    path: str | Path,
    *,
    model_type: str,
    labels: Sequence[str],
    tensors: Mapping[str, np.ndarray],
    vocabulary: Mapping[str, int] | None,
    metadata: dict[str, Any],
) -> Manifest:
    """Writes a model folder that `load_model` accepts.

    Args:
        path: The folder.
        model_type: "linear" or "majority_class".
        labels: The labels, in the order of the probabilities.
        tensors: The float64 attributes of the classifier's class, by name.
        vocabulary: Term → column, None for a model without one.
        metadata: JSON-compatible facts for the manifest.
    """
    from safetensors.numpy import save_file

    with write_folder(path, kind="model", metadata=metadata) as folder:
        write_json(folder / _CONFIG, {"model_type": model_type, "labels": list(labels)})
        if vocabulary is not None:
            write_json(folder / _VOCABULARY, dict(vocabulary))
        # safetensors writes the memory as it lies: an array in column order would come back scrambled.
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / _TENSORS)
    return peek_manifest(path, kind="model")


def load_model(path: str | Path) -> TextClassifier:
    """Loads a model folder after checking it whole.

    Raises:
        InputError: If it is no complete model folder, is larger than 1 GiB, or its parts do not fit together: an
            unknown model type, tensors of the wrong names, types or shapes, weights that are no numbers, a
            vocabulary whose columns are not 0, 1, 2, ….
    """
    folder = Path(path)
    manifest = read_manifest(folder, kind="model")
    if (size := sum(entry.size for entry in manifest.files.values())) > LARGEST_FOLDER_BYTES:
        raise InputError(
            f"The model {folder} has {size:,} bytes; at most {LARGEST_FOLDER_BYTES:,} are loaded. {_ADVICE}"
        )
    _check_listed(folder, manifest, _CONFIG, _TENSORS)
    config = read_json(folder / _CONFIG, _ADVICE)
    if "architectures" in config:  # as Hugging Face writes it
        _check_listed(folder, manifest, *transformer.FILE_NAMES)
        return transformer.load_transformer(folder, manifest.digest)
    model_type, labels = config.get("model_type"), config.get("labels")
    if not isinstance(model_type, str) or model_type not in _LOADERS:
        raise InputError(f"{folder / _CONFIG}: model_type is {model_type!r}; expected {_or(_LOADERS)}. {_ADVICE}")
    if not _are_labels(labels):
        raise InputError(f"{folder / _CONFIG}: labels is not a list of one or more distinct strings. {_ADVICE}")
    return _LOADERS[model_type](folder, labels, manifest)


def _check_listed(folder: Path, manifest: Manifest, *names: str) -> None:
    """Refuses a folder with a file that its manifest, and so the check of sizes and digests, leaves out."""
    for name in names:
        if name not in manifest.files:
            raise InputError(f"The manifest of the model {folder} has no {name}. {_ADVICE}")


def _load_linear(folder: Path, labels: list[str], manifest: Manifest) -> LinearClassifier:
    _check_listed(folder, manifest, _VOCABULARY)
    vocabulary = read_json(folder / _VOCABULARY, _ADVICE)
    if not vocabulary or any(type(column) is not int for column in vocabulary.values()):
        raise InputError(f"{folder / _VOCABULARY} does not map one or more terms to whole numbers. {_ADVICE}")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise InputError(
            f"{folder / _VOCABULARY}: the columns of its {len(vocabulary):,} terms are not 0 to "
            f"{len(vocabulary) - 1:,}, each once. {_ADVICE}"
        )
    tensors = _read_tensors(
        folder / _TENSORS,
        inverse_document_frequencies=(len(vocabulary),),
        coefficients=(len(labels), len(vocabulary)),
        intercepts=(len(labels),),
    )
    if not (tensors["inverse_document_frequencies"] > 0).all():
        raise InputError(f"{folder / _TENSORS}: inverse_document_frequencies are not all above 0. {_ADVICE}")
    return LinearClassifier(
        labels=labels,
        digest=manifest.digest,
        vocabulary=vocabulary,
        inverse_document_frequencies=tensors["inverse_document_frequencies"],
        coefficients=tensors["coefficients"],
        intercepts=tensors["intercepts"],
    )


def _load_majority_class(folder: Path, labels: list[str], manifest: Manifest) -> MajorityClassClassifier:
    tensors = _read_tensors(folder / _TENSORS, frequencies=(len(labels),))
    frequencies = tensors["frequencies"]
    if not (frequencies >= 0).all() or not np.isclose(frequencies.sum(), 1):
        raise InputError(f"{folder / _TENSORS}: frequencies are not shares that sum to 1. {_ADVICE}")
    return MajorityClassClassifier(labels=labels, digest=manifest.digest, frequencies=frequencies)


_LOADERS: dict[str, Callable[[Path, list[str], Manifest], TextClassifier]] = {
    "linear": _load_linear,
    "majority_class": _load_majority_class,
}


def _are_labels(labels: object) -> TypeGuard[list[str]]:
    return (
        isinstance(labels, list)
        and len(labels) > 0
        and all(isinstance(label, str) for label in labels)
        and len(set(labels)) == len(labels)
    )


def _read_tensors(path: Path, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Reads a safetensors file that must hold exactly these float64 tensors, with finite and sensible values."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}). {_ADVICE}") from None
    found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
    expected = {name: ("float64", shape) for name, shape in shapes.items()}
    if found != expected:
        raise InputError(f"{path} holds the tensors {found}; the rest of the model needs {expected}. {_ADVICE}")
    for name, tensor in tensors.items():
        if not (np.abs(tensor) <= _LARGEST_WEIGHT).all():
            raise InputError(f"{path}: {name} has values that are no numbers or beyond ±{_LARGEST_WEIGHT:g}. {_ADVICE}")
    return tensors


def _or(names: Mapping[str, object]) -> str:
    return " or ".join(map(repr, names))
