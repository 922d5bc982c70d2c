"""Test rows whose text was trained on: they would make a model look better than it is."""

from .similarity import candidate_pairs, shingle_sets


def exact_leaks(train: list[str], test: list[str]) -> dict[int, int]:
    """Finds test texts that are equal to a train text.

    Returns:
        Index of each such test text → index of the first train text that equals it.
    """
    first = {text: index for index, text in reversed(list(enumerate(train)))}
    return {index: first[text] for index, text in enumerate(test) if text in first}


def near_leaks(train: list[str], test: list[str], threshold: float) -> dict[int, tuple[int, float]]:
    """Finds test texts that share most of their wording with a train text.

    Args:
        train: Train texts.
        test: Test texts.
        threshold: Least Jaccard similarity of the sets of three-word shingles, above 0 and at most 1.

    Returns:
        Index of each such test text → index of the most similar train text (the first of equals), and their similarity.
    """
    sets = shingle_sets([*train, *test])
    leaks: dict[int, tuple[int, float]] = {}
    for left, right in candidate_pairs(sets, threshold):
        across = (left < len(train)) & (right >= len(train))
        for train_index, text in zip(left[across].tolist(), right[across].tolist(), strict=True):
            similarity = sets.similarity(train_index, text)
            if similarity >= threshold:
                test_index = text - len(train)
                found = (train_index, similarity)
                leaks[test_index] = min(found, leaks.get(test_index, found), key=lambda leak: (-leak[1], leak[0]))
    return leaks
