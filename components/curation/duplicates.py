"""Rows that repeat an earlier row: the same text, or nearly the same. The first is kept."""

import numpy as np

from .similarity import candidate_pairs, shingle_sets


def exact_duplicates(texts: list[str]) -> dict[int, int]:
    """Finds texts that are equal to an earlier one.

    Returns:
        Index of each repetition → index of the first text that equals it.
    """
    first: dict[str, int] = {}
    return {index: kept for index, text in enumerate(texts) if (kept := first.setdefault(text, index)) != index}


def near_duplicates(texts: list[str], threshold: float) -> dict[int, tuple[int, float]]:
    """Finds texts that share most of their wording with others, and keeps the first of each cluster.

    Texts whose sets of three-word shingles have a Jaccard similarity of `threshold` or more are in one cluster, and so
    are those linked by a chain of such pairs. Texts without any word are in none.

    Args:
        texts: Texts without exact duplicates.
        threshold: Least similarity, above 0 and at most 1.

    Returns:
        Index of each text to remove → index of its cluster's first text, and its own similarity to that text (below
        the threshold where a chain links the two).
    """
    sets = shingle_sets(texts)
    cluster = np.arange(len(texts))  # The first text of each text's cluster, as far as is known.
    members = {first: [first] for first in range(len(texts))}
    for left, right in candidate_pairs(sets, threshold):
        apart = cluster[left] != cluster[right]
        for one, other in zip(left[apart].tolist(), right[apart].tolist(), strict=True):
            if cluster[one] != cluster[other] and sets.similarity(one, other) >= threshold:
                first, second = sorted((int(cluster[one]), int(cluster[other])))
                joining = members.pop(second)
                members[first] += joining
                cluster[joining] = first
    removed = [(text, first) for text, first in enumerate(cluster.tolist()) if text != first]
    return {text: (first, sets.similarity(first, text)) for text, first in removed}
