"""Training of the linear text classifier (TF-IDF and logistic regression) and of its trivial baseline."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..artifacts import Manifest
from ..prediction.models import LARGEST_FOLDER_BYTES, save_model
from ..prediction.tfidf import SparseRows, terms, tfidf
from ..runtime import InputError, Progress
from .examples import read_examples

ESTIMATORS = ("logistic_regression", "majority_class")
_MAXIMUM_ITERATIONS = 1000
_VOCABULARY_BYTES_BESIDE_A_TERM = 20  # of its JSON line: blanks, quotes, comma, column
_ROWS_PER_BATCH = 1000


@dataclass(frozen=True)
class FittedModel:
    """What `save_model` writes, and facts on the fit for the metrics."""

    model_type: str
    labels: list[str]
    tensors: dict[str, np.ndarray]
    vocabulary: dict[str, int] | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    table: str | Path, model: str | Path, *, estimator: str, regularisation: float, maximum_features: int
) -> tuple[Manifest, dict[str, float]]:
    """Trains a classifier on a table folder and writes a model folder.

    Args:
        table: Table folder with the columns `text` and `label`.
        model: The model folder to write.
        estimator: "logistic_regression" or "majority_class".
        regularisation: Strength of the L2 penalty, above 0.
        maximum_features: How many terms the vocabulary may have.

    Returns:
        The manifest of the model folder, and the metrics: rows, labels, and what the fit reports.

    Raises:
        InputError: If a parameter is out of range, the table lacks a column, has no rows, holds nulls or has too many
            labels, or nothing that can be served can be learnt from it.
    """
    _check_parameters(estimator, regularisation, maximum_features)
    texts, labels, digest = read_examples(table)
    if estimator == "majority_class":
        fitted = fit_majority_class(labels)
    else:
        fitted = fit_logistic_regression(texts, labels, regularisation, maximum_features)
    metadata = {
        "labels": fitted.labels,
        "model_type": fitted.model_type,
        "training_rows": len(texts),
        "training_digest": digest,
    }
    manifest = save_model(
        model,
        model_type=fitted.model_type,
        labels=fitted.labels,
        tensors=fitted.tensors,
        vocabulary=fitted.vocabulary,
        metadata=metadata,
    )
    return manifest, {"rows": len(texts), "labels": len(fitted.labels), **fitted.metrics}


def fit_majority_class(labels: Sequence[str]) -> FittedModel:
    """The trivial baseline: the shares of the labels."""
    counts = Counter(labels)
    names = sorted(counts)
    frequencies = np.array([counts[name] for name in names], dtype=np.float64) / len(labels)
    return FittedModel("majority_class", names, {"frequencies": frequencies})


def fit_logistic_regression(
    texts: Sequence[str], labels: Sequence[str], regularisation: float, maximum_features: int
) -> FittedModel:
    """Fits scikit-learn's logistic regression (L-BFGS, L2 penalty) to TF-IDF features.

    The solver draws no random numbers: the same rows in the same order give the same model, on one kind of processor
    with one version of the libraries. The training loss is the mean over rows, without the penalty, in nats.

    Raises:
        InputError: If there are fewer than two labels, no text has a word, the model would be too large to be loaded,
            or the solver does not converge.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from threadpoolctl import threadpool_limits

    if len(set(labels)) < 2:
        raise InputError(
            f"All {len(labels):,} training rows have the label {labels[0]!r}; logistic regression needs two or more "
            "labels. Check the label column, or pass estimator='majority_class'."
        )
    vocabulary, inverse_document_frequencies = fit_vocabulary(texts, maximum_features)
    _check_size(len(set(labels)), vocabulary)
    features = _features(texts, vocabulary, inverse_document_frequencies)
    matrix = csr_matrix((features.values, (features.rows, features.columns)), shape=(len(texts), len(vocabulary)))
    with threadpool_limits(limits=1):  # sums in one order, however many cores; it is the faster way, too
        regression = LogisticRegression(C=1 / regularisation, max_iter=_MAXIMUM_ITERATIONS).fit(matrix, labels)
    iterations = int(regression.n_iter_.max())
    if iterations >= _MAXIMUM_ITERATIONS:
        raise InputError(
            f"The fit did not converge in {_MAXIMUM_ITERATIONS:,} iterations with regularisation={regularisation:g}. "
            "Pass a larger value."
        )
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # one row of weights, for the second label: the first label's are zero
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
    return FittedModel(
        "linear",
        [str(label) for label in regression.classes_],
        {
            "inverse_document_frequencies": inverse_document_frequencies,
            "coefficients": coefficients,
            "intercepts": intercepts,
        },
        vocabulary,
        {
            "features": len(vocabulary),
            "iterations": iterations,
            "training_log_loss": float(log_loss(labels, regression.predict_proba(matrix))),
        },
    )


def fit_vocabulary(texts: Sequence[str], maximum_features: int) -> tuple[dict[str, int], np.ndarray]:
    """The terms that most texts contain, and their inverse document frequencies.

    Returns:
        Term → column in alphabetical order, and ln((1 + n) / (1 + d)) + 1 for a term that d of the n texts contain
        (scikit-learn's smoothed form). Of terms in equally many texts, the alphabetically first are kept.

    Raises:
        InputError: If no text has a word.
    """
    document_frequencies: Counter[str] = Counter()
    for text in texts:
        document_frequencies.update(set(terms(text)))
    if not document_frequencies:
        raise InputError(
            f"None of the {len(texts):,} training texts has a word of two letters or more. Check the text column."
        )
    kept = heapq.nsmallest(maximum_features, document_frequencies.items(), key=lambda item: (-item[1], item[0]))
    frequencies = dict(sorted(kept))
    counts = np.array(list(frequencies.values()), dtype=np.float64)
    return {term: column for column, term in enumerate(frequencies)}, np.log((1 + len(texts)) / (1 + counts)) + 1


def _check_size(labels: int, vocabulary: dict[str, int]) -> None:
    """Refuses, before the fit, a model that `load_model` would refuse after it."""
    size = 8 * (labels + 1) * len(vocabulary)  # float64: a weight for each label, and the inverse document frequency
    size += sum(len(term.encode()) + _VOCABULARY_BYTES_BESIDE_A_TERM for term in vocabulary)
    if size > LARGEST_FOLDER_BYTES:
        raise InputError(
            f"A model of {labels:,} labels and {len(vocabulary):,} features has {size:,} bytes; at most "
            f"{LARGEST_FOLDER_BYTES:,} are loaded. Check that label_column of curate_text names categories, or lower "
            f"maximum_features to {len(vocabulary) * LARGEST_FOLDER_BYTES // size} or less."
        )


def _features(texts: Sequence[str], vocabulary: dict[str, int], inverse_document_frequencies: np.ndarray) -> SparseRows:
    progress = Progress(len(texts), "rows")
    batches = []
    for start in range(0, len(texts), _ROWS_PER_BATCH):
        batch = tfidf(texts[start : start + _ROWS_PER_BATCH], vocabulary, inverse_document_frequencies)
        batches.append(batch._replace(rows=batch.rows + start))
        progress.advance(min(_ROWS_PER_BATCH, len(texts) - start))
    return SparseRows(*map(np.concatenate, zip(*batches, strict=True)))


def _check_parameters(estimator: str, regularisation: float, maximum_features: int) -> None:
    if estimator not in ESTIMATORS:
        expected = " or ".join(map(repr, ESTIMATORS))
        raise InputError(
            f"estimator is {estimator!r}; expected {expected} (a 'transformer' is what finetune_text trains)."
        )
    if not 1e-6 <= regularisation <= 1e6:
        raise InputError(f"regularisation is {regularisation!r}; expected a number from 1e-6 to 1e6, such as 0.1.")
    if maximum_features < 1:
        raise InputError(f"maximum_features is {maximum_features!r}; expected 1 or more, such as 200000.")
