"""TF-IDF of words and word pairs: the one definition of a text's features, for training and for serving.

The formulas and the tokens are those of scikit-learn's `TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)`, with
which a test compares them. Serving needs numpy only: importing that vectoriser takes a new replica about two seconds.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

_WORD = re.compile(r"\b\w\w+\b")


class SparseRows(NamedTuple):
    """The values of a sparse matrix that are not zero, ordered by row, then by column."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray


def terms(text: str) -> list[str]:
    """The words of a text (two or more word characters, in lower case), then its pairs of neighbouring words."""
    words = _WORD.findall(text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def tfidf(texts: Sequence[str], vocabulary: Mapping[str, int], inverse_document_frequencies: np.ndarray) -> SparseRows:
    """Features of texts: (1 + log of a term's count) × its inverse document frequency; rows have Euclidean length 1.

    Args:
        texts: The n texts.
        vocabulary: Term → column. Terms that are not in it are ignored.
        inverse_document_frequencies: Float64 of shape (len(vocabulary),).

    Returns:
        The matrix of shape (n, len(vocabulary)). A text without a known term has a row of zeros.
    """
    cells = [
        row * len(vocabulary) + vocabulary[term]
        for row, text in enumerate(texts)
        for term in terms(text)
        if term in vocabulary
    ]
    distinct, counts = np.unique(np.array(cells, dtype=np.int64), return_counts=True)
    rows, columns = np.divmod(distinct, len(vocabulary))
    values = (1 + np.log(counts)) * inverse_document_frequencies[columns]
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(texts)))
    return SparseRows(rows, columns, values / lengths[rows])
