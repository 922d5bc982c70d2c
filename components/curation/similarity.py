"""Which texts share most of their wording: Jaccard similarity of word shingles, found without comparing all pairs.

The relation is exact and its candidates are complete, by prefix filtering (Chaudhuri, Ganti and Kaushik, "A Primitive
Operator for Similarity Joins in Data Cleaning", 2006; Bayardo, Ma and Srikant, "Scaling Up All Pairs Similarity
Search", 2007): if two sets have similarity t or more, then they share an element among the first
n - ceil(t n) + 1 of each, n being the set's size, under any one order of the elements. Rare elements are first, so few
sets meet there.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..runtime import Progress

WORDS_PER_SHINGLE = 3
# Chinese and Japanese are written without spaces: there each character counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ShingleSets:
    """The distinct shingles of some texts, as numbers that are equal exactly where shingles are.

    Attributes:
        numbers: int64, all sets one after the other, each ascending; rare shingles have small numbers.
        offsets: int64, text i has `numbers[offsets[i]:offsets[i + 1]]`.
    """

    numbers: np.ndarray
    offsets: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """How many distinct shingles each text has."""
        return np.diff(self.offsets)

    def similarity(self, left: int, right: int) -> float:
        """Jaccard similarity of two texts, at least one of which has a word: shared shingles / distinct shingles."""
        first, second = (self.numbers[self.offsets[text] : self.offsets[text + 1]] for text in (left, right))
        shared = np.intersect1d(first, second, assume_unique=True).size
        return shared / (first.size + second.size - shared)


def words(text: str) -> list[str]:
    """The words of a text: case and punctuation do not count."""
    return _WORD.findall(text.casefold())


def shingle_sets(texts: list[str]) -> ShingleSets:
    """Collects the shingles (three words in a row) of texts; one or two words are one shingle, no word is none."""
    vocabulary: dict[str, int] = {}
    numbered, lengths = [], []
    for text in texts:
        numbers = [vocabulary.setdefault(word, len(vocabulary) + 1) for word in words(text)]
        if numbers:
            numbers += [0] * (WORDS_PER_SHINGLE - len(numbers))
        numbered += numbers
        lengths.append(len(numbers))
    shingles = _number_runs(np.array(numbered, dtype=np.int64), len(vocabulary) + 1)
    text_of_word = np.repeat(np.arange(len(texts)), lengths)
    whole = text_of_word[: len(shingles)] == text_of_word[WORDS_PER_SHINGLE - 1 :]
    return _sets(text_of_word[: len(shingles)][whole], shingles[whole], len(texts))


def _number_runs(numbers: np.ndarray, base: int) -> np.ndarray:
    """Numbers each run of three words; equal runs, and only these, get equal numbers."""
    runs = numbers
    for word in range(1, WORDS_PER_SHINGLE):
        longer = runs[: max(len(numbers) - word, 0)] * base + numbers[word:]
        runs = np.unique(longer, return_inverse=True)[1]  # Small again, so that the next product fits 64 bits.
    return runs


def _sets(texts: np.ndarray, shingles: np.ndarray, count: int) -> ShingleSets:
    kinds = int(shingles.max(initial=0)) + 1
    ordered = np.sort(texts * kinds + shingles)
    texts, shingles = np.divmod(ordered[np.diff(ordered, prepend=-1) != 0], kinds)
    frequency = np.bincount(shingles)
    rank = np.empty(len(frequency), dtype=np.int64)
    rank[np.argsort(frequency, kind="stable")] = np.arange(len(frequency))
    numbers = rank[shingles]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(texts, minlength=count))])
    return ShingleSets(numbers[np.lexsort((numbers, texts))], offsets)


def candidate_pairs(sets: ShingleSets, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields batches of pairs left < right among which are all pairs of this similarity.

    Args:
        sets: The shingles of the texts.
        threshold: Least similarity, above 0 and at most 1.
    """
    sizes = sets.sizes
    prefixes = np.minimum(sizes, sizes - np.ceil(threshold * sizes - _ROUNDING).astype(np.int64) + 1)
    place = np.arange(len(sets.numbers)) - np.repeat(sets.offsets[:-1], sizes)
    in_prefix = place < np.repeat(prefixes, sizes)
    texts, shingles = np.repeat(np.arange(len(sizes)), sizes)[in_prefix], sets.numbers[in_prefix]
    order = np.lexsort((texts, shingles))
    texts, shingles = texts[order], shingles[order]
    groups = np.bincount(shingles)
    progress = Progress(int((groups * (groups - 1) // 2).sum()), "candidate pairs")
    # Texts with one shingle are now neighbours: pair each with the next, then with the one after that, and so on.
    start = np.arange(len(shingles))
    for distance in itertools.count(1):
        start = start[start + distance < len(shingles)]
        start = start[shingles[start] == shingles[start + distance]]
        if not len(start):
            return
        left, right = texts[start], texts[start + distance]
        smaller, larger = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        possible = smaller >= threshold * larger - _ROUNDING
        pairs = np.unique(left[possible] * len(sizes) + right[possible])
        yield pairs // len(sizes), pairs % len(sizes)
        progress.advance(len(start))
