"""Which texts share most of their wording: Jaccard similarity of shingle sets, exact, without comparing all pairs.

Two texts with a and b shingles, s of them shared, are near if s * 10,000 >= T * (a + b - s), T being the threshold in
ten-thousandths: whole numbers throughout, so that SQL decides each row alike.

Candidates are complete, by prefix filtering (Chaudhuri, Ganti and Kaushik, "A Primitive Operator for Similarity Joins
in Data Cleaning", 2006; Bayardo, Ma and Srikant, "Scaling Up All Pairs Similarity Search", 2007): texts of similarity t
or more share a shingle among the first n - ceil(t n) + 1 of each, n being the text's size, under any one order of all
shingles. Here those that occur in few texts are first, by counts that may be too high but never too low; shingles of
one text take their places and are looked up nowhere. How many shingles are left behind the place where two texts first
meet bounds their similarity (Xiao et al., "Efficient Similarity Joins for Near Duplicate Detection", 2008): no text,
and no list of texts, is looked at that cannot reach the threshold or beat the best one found.

Time is linear where shingles that many texts have are last in them, or in texts that are near each other. The worst
case is quadratic: very many texts of different lengths, all sharing much of their wording and yet below the threshold.

Memory besides the sets: 4 bytes of count for each shingle, 268 MB at most, and 24 to 56 bytes of index for each shingle
of a kept text's prefix that several texts may have.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..runtime import InputError, Progress
from .shingles import ShingleSets, compiled, sort, usable_cpus

_SCALE = 10_000
_SHINGLES_PER_SLICE = 1 << 20
_LEAST_COUNTER_BITS, _MOST_COUNTER_BITS = 12, 26
# A shingle's place in the order: its rank by frequency in the upper bits, part of its number in the lower ones. Two
# shingles with one key (once in 2^56 pairs) are taken for one in the filter, and told apart when texts are compared.
_KEY_BITS = 56
_KEY_MASK = (1 << _KEY_BITS) - 1
_EXACT_RANKS, _RANKS = 64, 128
# Columns of an index's lists (one for each key) and of its entries (one for each text in a list).
_FIRST, _MOST_LEFT, _SMALLEST = range(3)
_ROW, _LEFT, _NEXT = range(3)


@dataclass(frozen=True)
class Matches:
    """Texts that are near to another one, in the order of `rows`.

    Attributes:
        rows: int64, the text.
        related: int64, the text that it is near to.
        similarity: float64, Jaccard similarity of the two.
    """

    rows: np.ndarray
    related: np.ndarray
    similarity: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def ten_thousandths(threshold: float) -> int:
    """The threshold as the whole number that decides.

    Raises:
        InputError: If it is not between 0.0001 and 1.
    """
    if not 1 / _SCALE <= threshold <= 1:
        raise InputError(
            f"The threshold of similarity is {threshold}; expected a number from {1 / _SCALE} (any two texts with a "
            "shingle in common) to 1 (the same shingles). Correct the parameter."
        )
    return round(threshold * _SCALE)


def near_duplicates(sets: ShingleSets, threshold: float) -> Matches:
    """Finds the texts to remove so that no two texts that stay are near: the first of its like is kept.

    In their order, each text is removed that is near to an earlier text which is kept. So each removal is justified by
    a text that stays, and no chain of small differences ties unlike texts together. Texts without shingle all stay.

    Args:
        sets: The shingles of the texts.
        threshold: Least Jaccard similarity, from 0.0001 to 1; counts to four decimals.

    Returns:
        The texts to remove; `related` is the most similar of the earlier texts that are kept, the first of equals.

    Raises:
        InputError: If the threshold is out of range.
    """
    prefixes = _Prefixes(ten_thousandths(threshold), [sets])
    index, best = _Index(), _Best(len(sets))
    progress = Progress(len(sets), "texts compared")
    for start, end in _slices(sets):
        found = prefixes.of(sets, start, end)
        index.make_room(len(found[0]))
        _search(*found, start, end, *sets.arrays, *sets.arrays, *index.arrays, *best.arrays, prefixes.least, True)
        progress.advance(end - start)
    return best.matches()


def near_matches(queries: ShingleSets, reference: ShingleSets, threshold: float) -> Matches:
    """Finds for each query the most similar reference text, if it is near to one.

    Args:
        queries: The shingles of the texts to look for.
        reference: The shingles of the texts to look among.
        threshold: Least Jaccard similarity, from 0.0001 to 1; counts to four decimals.

    Returns:
        The queries that are near to a reference text; `related` is the most similar one, the first of equals.

    Raises:
        InputError: If the threshold is out of range.
    """
    prefixes = _Prefixes(ten_thousandths(threshold), [queries, reference])
    index, best = _Index(), _Best(len(queries))
    progress = Progress(len(reference) + len(queries), "texts compared")
    for start, end in _slices(reference):
        found = prefixes.of(reference, start, end)
        index.make_room(len(found[0]))
        _fill(*found, start, end, reference.offsets, *index.arrays)
        progress.advance(end - start)
    for start, end in _slices(queries):
        found = prefixes.of(queries, start, end)
        arrays = (*queries.arrays, *reference.arrays, *index.arrays, *best.arrays)
        _search(*found, start, end, *arrays, prefixes.least, False)
        progress.advance(end - start)
    return best.matches()


def _slices(sets: ShingleSets) -> list[tuple[int, int]]:
    """Cuts the rows so that each slice but those of one text has about a million shingles."""
    if not len(sets):
        return []
    cuts = np.searchsorted(sets.offsets, np.arange(0, sets.offsets[-1] + 1, _SHINGLES_PER_SLICE))
    bounds = np.unique(np.concatenate([[0], np.minimum(cuts, len(sets)), [len(sets)]])).tolist()
    return list(pairwise(bounds))


class _Prefixes:
    """The first shingles of texts, in the one order of all shingles.

    Args:
        least: The threshold in ten-thousandths.
        all_sets: All texts, for the frequencies of their shingles.
    """

    def __init__(self, least: int, all_sets: list[ShingleSets]) -> None:
        self.least = least
        shingles = sum(len(sets.numbers) for sets in all_sets)
        bits = min(max(shingles.bit_length(), _LEAST_COUNTER_BITS), _MOST_COUNTER_BITS)
        self._counts = np.zeros(1 << bits, np.int32)
        for sets in all_sets:
            _count(sets.numbers, self._counts)

    def of(self, sets: ShingleSets, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The keys of the prefixes of the rows from `start` to `end` that other texts may have, in their order.

        Returns:
            The keys; for each, how many shingles of its text are there from it on; where each row's keys begin.
        """
        bounds = np.unique(np.linspace(start, end, usable_cpus() + 1).astype(int)).tolist()
        with ThreadPoolExecutor(usable_cpus()) as pool:
            parts = list(pool.map(lambda bound: self._of(sets, *bound), pairwise(bounds)))
        keys, left, lengths = (np.concatenate(column) for column in zip(*parts, strict=True))
        return keys, left, np.concatenate([[0], np.cumsum(lengths)])

    def _of(self, sets: ShingleSets, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = int(sets.offsets[end] - sets.offsets[start])
        keys, left = np.empty(size, np.int64), np.empty(size, np.int64)
        lengths = np.zeros(end - start, np.int64)
        scratch = np.empty(int(sets.sizes[start:end].max(initial=0)), np.int64)
        used = _collect_prefixes(*sets.arrays, start, end, self._counts, self.least, keys, left, lengths, scratch)
        return keys[:used], left[:used], lengths


class _Index:
    """From a key to the list of the texts in whose prefix it is."""

    def __init__(self) -> None:
        slots = 1 << 12
        self._keys = np.full(slots, -1, np.int64)
        self._lists = np.zeros((slots, 3), np.int64)
        self._entries = np.zeros((slots // 2, 3), np.int64)
        self._used = np.zeros(2, np.int64)  # Slots and entries that are taken.

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the compiled functions work on."""
        return self._keys, self._lists, self._entries, self._used

    def make_room(self, count: int) -> None:
        """Sees to it that so many more keys can be entered."""
        needed = self._used + count
        if needed[1] > len(self._entries):
            entries = np.zeros((max(int(needed[1]), 2 * len(self._entries)), 3), np.int64)
            entries[: self._used[1]] = self._entries[: self._used[1]]
            self._entries = entries
        if 2 * needed[0] > len(self._keys):
            slots = 1 << (2 * int(needed[0])).bit_length()
            keys, lists = np.full(slots, -1, np.int64), np.zeros((slots, 3), np.int64)
            _move(self._keys, self._lists, keys, lists)
            self._keys, self._lists = keys, lists


class _Best:
    """The best match of each text so far: its row or -1, shared and distinct shingles of the two."""

    def __init__(self, rows: int) -> None:
        self._related = np.full(rows, -1, np.int64)
        self._shared, self._total = np.zeros(rows, np.int64), np.ones(rows, np.int64)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the compiled functions work on."""
        return self._related, self._shared, self._total

    def matches(self) -> Matches:
        """The texts that have one."""
        rows = np.flatnonzero(self._related >= 0)
        return Matches(rows, self._related[rows], self._shared[rows] / self._total[rows])


@compiled
def _count(numbers: np.ndarray, counts: np.ndarray) -> None:
    mask = len(counts) - 1
    for number in numbers:
        if counts[number & mask] < 2_147_483_647:
            counts[number & mask] += 1


@compiled
def _key(number: int, count: int) -> int:
    """The more texts a shingle may be in, the larger its key."""
    rank = count if count < _EXACT_RANKS else min(_RANKS - 1, _EXACT_RANKS + int(4 * np.log2(count / _EXACT_RANKS)))
    return (rank << _KEY_BITS) | (number & _KEY_MASK)


@compiled
def _collect_prefixes(
    numbers: np.ndarray,
    offsets: np.ndarray,
    start: int,
    end: int,
    counts: np.ndarray,
    least: int,
    keys: np.ndarray,
    left: np.ndarray,
    lengths: np.ndarray,
    scratch: np.ndarray,
) -> int:
    """Writes the prefixes of some rows; returns how many keys there are."""
    mask, used = len(counts) - 1, 0
    ordered = np.empty(len(scratch), np.int64)
    for row in range(start, end):
        size = offsets[row + 1] - offsets[row]
        for place in range(size):
            number = numbers[offsets[row] + place]
            ordered[place] = _key(number, counts[number & mask])
        sort(ordered[:size], scratch)
        prefix = size - (least * size + _SCALE - 1) // _SCALE + 1
        for place in range(min(prefix, size)):
            if ordered[place] >> _KEY_BITS > 1:  # Else no other text has it.
                keys[used], left[used] = ordered[place], size - place
                used += 1
                lengths[row - start] += 1
    return used


@compiled
def _slot(key: int, keys: np.ndarray) -> int:
    """Where a key is, or the free place for it."""
    mask = len(keys) - 1
    slot = (key * 0x1E3779B97F4A7C15 >> 17) & mask
    while keys[slot] != -1 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _move(old_keys: np.ndarray, old_lists: np.ndarray, keys: np.ndarray, lists: np.ndarray) -> None:
    for old in range(len(old_keys)):
        if old_keys[old] != -1:
            slot = _slot(old_keys[old], keys)
            keys[slot] = old_keys[old]
            lists[slot] = old_lists[old]


@compiled
def _enter(
    row: int,
    size: int,
    keys_of_row: np.ndarray,
    left_of_row: np.ndarray,
    keys: np.ndarray,
    lists: np.ndarray,
    entries: np.ndarray,
    used: np.ndarray,
) -> None:
    """Puts a text into the lists of its keys."""
    for place in range(len(keys_of_row)):
        slot, left = _slot(keys_of_row[place], keys), left_of_row[place]
        if keys[slot] == -1:
            keys[slot] = keys_of_row[place]
            lists[slot, _FIRST], lists[slot, _MOST_LEFT], lists[slot, _SMALLEST] = -1, 0, size
            used[0] += 1
        entry = used[1]
        used[1] += 1
        entries[entry, _ROW], entries[entry, _LEFT], entries[entry, _NEXT] = row, left, lists[slot, _FIRST]
        lists[slot, _FIRST] = entry
        lists[slot, _MOST_LEFT] = max(lists[slot, _MOST_LEFT], left)
        lists[slot, _SMALLEST] = min(lists[slot, _SMALLEST], size)


@compiled
def _fill(
    row_keys: np.ndarray,
    row_left: np.ndarray,
    bounds: np.ndarray,
    start: int,
    end: int,
    offsets: np.ndarray,
    keys: np.ndarray,
    lists: np.ndarray,
    entries: np.ndarray,
    used: np.ndarray,
) -> None:
    for row in range(start, end):
        first, last = bounds[row - start], bounds[row - start + 1]
        size = offsets[row + 1] - offsets[row]
        _enter(row, size, row_keys[first:last], row_left[first:last], keys, lists, entries, used)


@compiled
def _shared(left: np.ndarray, right: np.ndarray) -> int:
    """How many numbers two ascending arrays share."""
    count = one = other = 0
    while one < len(left) and other < len(right):
        if left[one] == right[other]:
            count += 1
            one += 1
            other += 1
        elif left[one] < right[other]:
            one += 1
        else:
            other += 1
    return count


@compiled
def _search(
    row_keys: np.ndarray,
    row_left: np.ndarray,
    bounds: np.ndarray,
    start: int,
    end: int,
    numbers: np.ndarray,
    offsets: np.ndarray,
    other_numbers: np.ndarray,
    other_offsets: np.ndarray,
    keys: np.ndarray,
    lists: np.ndarray,
    entries: np.ndarray,
    used: np.ndarray,
    related: np.ndarray,
    best_shared: np.ndarray,
    best_total: np.ndarray,
    least: int,
    entering: bool,
) -> None:
    """Finds the best match of each row from `start` to `end`; enters those without one, if that is wanted."""
    looked_at = np.full(len(other_offsets) - 1, -1, np.int32)
    for row in range(start, end):
        first, last = bounds[row - start], bounds[row - start + 1]
        here = numbers[offsets[row] : offsets[row + 1]]
        size = len(here)
        for place in range(first, last):
            slot = _slot(row_keys[place], keys)
            if keys[slot] == -1:
                continue
            most = min(row_left[place], lists[slot, _MOST_LEFT])
            if _SCALE * most < least * (size + lists[slot, _SMALLEST] - most):
                continue
            entry = lists[slot, _FIRST]
            while entry != -1:
                other, most = entries[entry, _ROW], min(row_left[place], entries[entry, _LEFT])
                entry = entries[entry, _NEXT]
                if looked_at[other] == row - start:
                    continue
                looked_at[other] = row - start
                there = other_numbers[other_offsets[other] : other_offsets[other + 1]]
                total = size + len(there) - most
                if _SCALE * most < least * total or most * best_total[row] < best_shared[row] * total:
                    continue
                shared = _shared(here, there)
                total = size + len(there) - shared
                if _SCALE * shared < least * total:
                    continue
                gain = shared * best_total[row] - best_shared[row] * total
                if gain > 0 or (gain == 0 and other < related[row]):
                    related[row], best_shared[row], best_total[row] = other, shared, total
        if entering and related[row] == -1:
            _enter(row, size, row_keys[first:last], row_left[first:last], keys, lists, entries, used)
