"""Texts → sets of numbered word shingles, the form in which near duplicates are searched and fingerprints are kept.

A number depends on the words of its shingle and on nothing else: it is the same on every machine, in every run and for
every corpus, so that the sets of an earlier version can be compared with those of a later one.
"""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numba
import numpy as np
import pyarrow
import pyarrow.compute

from ..runtime import InputError, Progress

Texts: TypeAlias = pyarrow.Array | pyarrow.ChunkedArray

WORDS_PER_SHINGLE = 3
# Chinese and Japanese are written without spaces: there each character counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_BYTES_PER_SLICE = 1 << 20
_SHORT_RUN = 24

# FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
# The finaliser of SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
# Odd, without a pattern: the golden ratio of SplitMix64, and a prime of xxHash.
_PLACE_1, _PLACE_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_NO_WORD, _ONE = np.uint64(0), np.uint64(1)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has numba compile a function that releases the GIL, and keeps the machine code on disk where there is room.

    Without a folder to write to (a package in a read-only image, no home) each process compiles it again.
    """
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # "no locator available"
        return numba.njit(nogil=True)(function)


def usable_cpus() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ShingleSets:
    """The distinct shingles of some texts, as numbers. The arrays cannot be written to.

    Attributes:
        numbers: int64, not negative: all sets one after the other, each ascending and without repetitions.
        offsets: int64, text i has `numbers[offsets[i]:offsets[i + 1]]`.
    """

    numbers: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        # Arrow's arrays are read-only; with all of them so, numba compiles one version of each function.
        object.__setattr__(self, "numbers", _read_only(self.numbers))
        object.__setattr__(self, "offsets", _read_only(self.offsets))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What compiled functions work on."""
        return self.numbers, self.offsets

    @property
    def sizes(self) -> np.ndarray:
        """How many distinct shingles each text has: int64."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> "ShingleSets":
        """The sets of some texts, in the given order."""
        rows = np.asarray(rows, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(self.sizes[rows])]).astype(np.int64)
        numbers = np.empty(offsets[-1], dtype=np.int64)
        _gather(self.numbers, self.offsets, _read_only(rows), offsets, numbers)
        return ShingleSets(numbers, offsets)

    def to_arrow(self) -> pyarrow.ListArray:
        """The sets as `list<int64>`, whose values are not copied.

        Raises:
            pyarrow.ArrowInvalid: If there are 2^31 shingles or more.
        """
        offsets = pyarrow.array(self.offsets).cast(pyarrow.int32())
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(self.numbers))

    @classmethod
    def from_arrow(cls, sets: Texts) -> "ShingleSets":
        """Reads a column that `to_arrow` made; the values of one chunk are not copied. A null is an empty set.

        Raises:
            InputError: If the column is no such list, or a set is not ascending, has repetitions or negative numbers.
        """
        if not _is_list_of_int64(sets.type):
            raise InputError(f"The fingerprints are {sets.type}; expected list<int64>, as curate_text writes them.")
        if isinstance(sets, pyarrow.ChunkedArray):
            sets = sets.combine_chunks()
        values = sets.flatten()
        if values.null_count:
            raise InputError("The fingerprints have nulls among their numbers; expected those curate_text writes.")
        sizes = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(sets), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        found = cls(values.to_numpy(), offsets)
        row = _first_wrong_set(found.numbers, found.offsets)
        if row >= 0:
            raise InputError(
                f"The fingerprint in row {row} is no ascending list of distinct numbers from 0 on; expected those that "
                "curate_text writes. Give the unchanged output of an earlier run."
            )
        return found


def words(text: str) -> list[str]:
    """The words of a text: case and punctuation do not count."""
    return _WORD.findall(text.casefold())


def shingle_sets(texts: Texts) -> ShingleSets:
    """Collects the distinct shingles (three words in a row) of texts; one or two words are one shingle, none is none.

    A shingle's number has 63 bits: each word's bytes give 64 bits by FNV-1a and a strong mixer; these are multiplied by
    constants for their places, added and mixed again. Among n shingles some two share a number with a probability of
    about n^2 / 2^64: one in ten thousand for the 40 million shingles of a million short texts. Even then a decision
    changes only if the two shingles are in texts that are compared, and that are one shingle away from the threshold.
    The hash has no secret, as it must be the same for ever: who wants to can construct collisions.

    All CPUs are used, on slices of about 1 MB of text. Besides the result this takes as much memory again for a moment.

    Args:
        texts: Strings; a null has no shingle.

    Returns:
        One set for each text.
    """
    slices = [part for chunk in _chunks(texts) for part in _slices(chunk)]
    progress = Progress(len(texts), "texts")
    numbers, sizes = [np.empty(0, np.int64)], [np.zeros(1, np.int64)]
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for part_numbers, part_sizes in pool.map(_sets_of_slice, slices):
            numbers.append(part_numbers)
            sizes.append(part_sizes)
            progress.advance(len(part_sizes))
    return ShingleSets(np.concatenate(numbers), np.cumsum(np.concatenate(sizes)))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = np.ascontiguousarray(array, dtype=np.int64).view()
    view.flags.writeable = False
    return view


def _is_list_of_int64(kind: pyarrow.DataType) -> bool:
    lists = pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    return lists and pyarrow.types.is_int64(kind.value_type)


def _chunks(texts: Texts) -> list[pyarrow.Array]:
    if not pyarrow.types.is_string(texts.type) and not pyarrow.types.is_large_string(texts.type):
        texts = texts.cast(pyarrow.large_string())
    return texts.chunks if isinstance(texts, pyarrow.ChunkedArray) else [texts]


def _offsets(texts: pyarrow.Array) -> np.ndarray:
    """Where each text begins in the array's buffer of bytes, and where the last one ends: int64."""
    width = np.int64 if pyarrow.types.is_large_string(texts.type) else np.int32
    return np.frombuffer(texts.buffers()[1], width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def _slices(texts: pyarrow.Array) -> list[pyarrow.Array]:
    """Cuts an array so that each slice but those of one text has about 1 MB."""
    if not len(texts):
        return []
    offsets = _offsets(texts)
    cuts = np.searchsorted(offsets, np.arange(offsets[0], offsets[-1], _BYTES_PER_SLICE))
    bounds = np.unique(np.concatenate([[0], cuts, [len(texts)]])).tolist()
    return [texts.slice(start, end - start) for start, end in pairwise(bounds)]


def _sets_of_slice(texts: pyarrow.Array) -> tuple[np.ndarray, np.ndarray]:
    """The sets of some texts one after the other, and their sizes."""
    texts = _normal(texts)
    offsets = _offsets(texts)
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    # n bytes hold (n + 1) / 2 words at most.
    numbers = np.empty((offsets[-1] - offsets[0] + len(texts)) // 2 + 1, np.int64)
    sizes = np.empty(len(texts), np.int64)
    count = _collect(data, offsets, _LETTERS, numbers, np.empty_like(numbers), sizes)
    return numbers[:count].copy(), sizes


def _normal(texts: pyarrow.Array) -> pyarrow.Array:
    """Texts in which words are runs of ASCII letters, digits, `_` and bytes from 0x80 on, as in all texts of ASCII."""
    if texts.null_count:
        texts = pyarrow.compute.fill_null(texts, "")
    ascii_only = pyarrow.compute.string_is_ascii(texts)
    if pyarrow.compute.all(ascii_only).as_py():
        return texts
    other = pyarrow.compute.invert(ascii_only)
    written = [" ".join(words(text)) for text in texts.filter(other).to_pylist()]
    return pyarrow.compute.replace_with_mask(texts, other, pyarrow.array(written, texts.type))


def _letters() -> np.ndarray:
    """For each byte: the byte that stands for it in a word, or 0 if it separates words."""
    letters = np.zeros(256, np.uint64)
    letters[0x80:] = np.arange(0x80, 256)
    for code in range(0x80):
        letters[code] = sum(map(ord, words(chr(code))))
    return letters


_LETTERS = _letters()


@compiled
def _mix(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _SHIFT_1)) * _MIX_1
    value = (value ^ (value >> _SHIFT_2)) * _MIX_2
    return value ^ (value >> _SHIFT_3)


@compiled
def _number(first: np.uint64, second: np.uint64, third: np.uint64) -> np.int64:
    return np.int64(_mix(first * _PLACE_1 + second * _PLACE_2 + third) >> _ONE)


@compiled
def _collect(
    data: np.ndarray,
    offsets: np.ndarray,
    letters: np.ndarray,
    numbers: np.ndarray,
    scratch: np.ndarray,
    sizes: np.ndarray,
) -> int:
    """Writes the set of each text to `numbers` and its size to `sizes`; returns how many numbers there are."""
    filled = 0
    for row in range(len(offsets) - 1):
        start, position, end = filled, offsets[row], offsets[row + 1]
        first = second = _NO_WORD
        count = 0
        while position < end:
            letter = letters[data[position]]
            position += 1
            if letter == 0:
                continue
            word = (_FNV_OFFSET ^ letter) * _FNV_PRIME
            while position < end:
                letter = letters[data[position]]
                if letter == 0:
                    break
                word = (word ^ letter) * _FNV_PRIME
                position += 1
            third = _mix(word)
            count += 1
            if count >= WORDS_PER_SHINGLE:
                numbers[filled] = _number(first, second, third)
                filled += 1
            first, second = second, third
        if count == 1:
            first, second = second, _NO_WORD
        if 0 < count < WORDS_PER_SHINGLE:
            numbers[filled] = _number(first, second, _NO_WORD)
            filled += 1
        sort(numbers[start:filled], scratch)
        filled = start + _distinct(numbers[start:filled])
        sizes[row] = filled - start
    return filled


@compiled
def sort(values: np.ndarray, scratch: np.ndarray) -> None:
    """Sorts by merging, so that no text, however it is made, takes quadratic time."""
    count = len(values)
    for start in range(0, count, _SHORT_RUN):
        for place in range(start + 1, min(start + _SHORT_RUN, count)):
            value = values[place]
            while place > start and values[place - 1] > value:
                values[place] = values[place - 1]
                place -= 1
            values[place] = value
    width = _SHORT_RUN
    while width < count:
        for start in range(0, count - width, 2 * width):
            _merge(values[start : min(start + 2 * width, count)], width, scratch)
        width *= 2


@compiled
def _merge(values: np.ndarray, half: int, scratch: np.ndarray) -> None:
    """Merges the two sorted parts of `values`, of which the first has `half` elements."""
    if values[half - 1] <= values[half]:
        return
    scratch[:half] = values[:half]
    left, right, place = 0, half, 0
    while left < half and right < len(values):
        if values[right] < scratch[left]:
            values[place] = values[right]
            right += 1
        else:
            values[place] = scratch[left]
            left += 1
        place += 1
    values[place : place + half - left] = scratch[left:half]


@compiled
def _distinct(values: np.ndarray) -> int:
    """Moves the distinct of sorted values to the front; returns how many there are."""
    count = 0
    for value in values:
        if count == 0 or value != values[count - 1]:
            values[count] = value
            count += 1
    return count


@compiled
def _gather(
    numbers: np.ndarray, offsets: np.ndarray, rows: np.ndarray, new_offsets: np.ndarray, taken: np.ndarray
) -> None:
    for place in range(len(rows)):
        row = rows[place]
        taken[new_offsets[place] : new_offsets[place + 1]] = numbers[offsets[row] : offsets[row + 1]]


@compiled
def _first_wrong_set(numbers: np.ndarray, offsets: np.ndarray) -> int:
    for row in range(len(offsets) - 1):
        previous = -1
        for number in numbers[offsets[row] : offsets[row + 1]]:
            if number <= previous:
                return row
            previous = number
    return -1
