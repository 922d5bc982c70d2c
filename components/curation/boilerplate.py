"""Lines that many texts share, such as signatures, cookie banners and navigation: finds them and takes them out.

Lines are those of the text as it was scraped, before cleaning joins them. A line is boilerplate if it has three words
or more and occurs in at least 20 texts and 1 % of all rows, where exact copies of a text count once (they are
duplicates, and go as such) and texts that consist of this line alone do not count. Lines are compared once cleaned,
and without regard to case.

Memory is bounded, whatever the number of rows: lines are counted by 64-bit hashes with the algorithm of Misra and Gries
("Finding Repeated Elements", 1982), and copies are known by a Bloom filter. Both err on the side of leaving a line in:
a count is too low by at most all lines / 262,144, and one text in 2,500 is taken for a copy after 10 million texts.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from hashlib import blake2b

import numpy as np
import pyarrow
from pyarrow import compute

from .clean import TAG, clean_all

MINIMUM_WORDS = 3
MINIMUM_ROWS = 20
MINIMUM_SHARE = 0.01
# Longer ones are paragraphs; this bounds the memory of the texts that are kept to be shown.
_LONGEST_LINE = 2_000
_COUNTERS = 2**18
_FILTER_BITS, _FILTER_HASHES = 2**28, 4
_NEWLINES = "\n\r\x85\u2028\u2029"
_BREAK = rf"[{_NEWLINES}]|</?(?:br|p|div|li|tr|h[1-6])(?:\s[^<>]*)?/?>"
_BREAKS = re.compile(f"({_BREAK})", re.IGNORECASE)
_SPACES = dict.fromkeys(map(ord, _NEWLINES), " ")
# Chinese and Japanese are written without spaces: there each character counts as a word.
_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{M}\p{N}'’]+"


class BoilerplateCounter:
    """Counts in how many texts each line occurs; sees the rows once, in batches, in memory of fixed size."""

    def __init__(self) -> None:
        self._rows = 0
        self._counts: Counter[int] = Counter()
        self._frequent: dict[int, str] = {}
        self._seen = np.zeros(_FILTER_BITS // 8, dtype=np.uint8)

    def observe(self, texts: pyarrow.Array) -> None:
        """Counts the lines of one batch of raw texts; null is a text without lines."""
        self._rows += len(texts)
        several = texts.filter(_has_breaks(texts)).unique().to_pylist()
        new = self._unseen(several)
        batch = Counter(
            line for lines in _compared_lines(new) if len(distinct := set(lines) - {""}) > 1 for line in distinct
        )
        eligible = _with_enough_words(list(batch))
        hashes = [_hash(line) for line in eligible]
        self._counts.update(dict(zip(hashes, map(batch.__getitem__, eligible), strict=True)))
        for number, line in zip(hashes, eligible, strict=True):
            if self._counts[number] >= self._least_rows:
                self._frequent[number] = line
        self._prune()

    def lines(self) -> dict[str, int]:
        """The lines that are boilerplate, as they are compared, each with its number of texts; most frequent first."""
        found = {
            line: self._counts[number]
            for number, line in self._frequent.items()
            if self._counts[number] >= self._least_rows
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def _least_rows(self) -> float:
        return max(MINIMUM_ROWS, MINIMUM_SHARE * self._rows)

    def _unseen(self, texts: list[str]) -> list[str]:
        """The texts that were in no batch before, as far as the Bloom filter knows."""
        digests = b"".join(blake2b(text.encode(), digest_size=4 * _FILTER_HASHES).digest() for text in texts)
        bits = np.frombuffer(digests, dtype="<u4").reshape(len(texts), _FILTER_HASHES) % _FILTER_BITS
        places, masks = bits >> 3, (1 << (bits & 7)).astype(np.uint8)
        seen = (self._seen[places] & masks != 0).all(axis=1)
        np.bitwise_or.at(self._seen, places, masks)
        return [text for text, known in zip(texts, seen, strict=True) if not known]

    def _prune(self) -> None:
        if len(self._counts) <= _COUNTERS:
            return
        counts = np.fromiter(self._counts.values(), dtype=np.int64)
        cut = int(np.partition(counts, -_COUNTERS - 1)[-_COUNTERS - 1])
        self._counts = Counter({number: count - cut for number, count in self._counts.items() if count > cut})
        self._frequent = {number: line for number, line in self._frequent.items() if number in self._counts}


def remove(texts: pyarrow.Array, lines: Collection[str]) -> tuple[pyarrow.Array, pyarrow.Array]:
    """Takes boilerplate out of one batch of raw texts.

    A text of which nothing would be left stays as it is. Line breaks and tags stay where the lines were, so a second
    call finds nothing.

    Args:
        texts: As `BoilerplateCounter.observe` saw them.
        lines: What `BoilerplateCounter.lines` returned, or others in its form: cleaned and casefolded.

    Returns:
        The texts (null stays null), and int64, how many lines each lost.
    """
    boilerplate = frozenset(lines)
    several = _has_breaks(texts)
    written = texts.filter(several).to_pylist()
    kept, removed = [], []
    for text, compared in zip(written, _compared_lines(written), strict=True):
        dropped = [line in boilerplate for line in compared]
        if not any(dropped) or not any(line and not drop for line, drop in zip(compared, dropped, strict=True)):
            kept.append(text)
            removed.append(0)
            continue
        parts = _split(text)
        parts[::2] = ["" if drop else part for part, drop in zip(parts[::2], dropped, strict=True)]
        kept.append("".join(parts))
        removed.append(sum(dropped))
    none = pyarrow.array(np.zeros(len(texts), dtype=np.int64))
    return (
        compute.replace_with_mask(texts, several, pyarrow.array(kept, texts.type)),
        compute.replace_with_mask(none, several, pyarrow.array(removed, pyarrow.int64())),
    )


def _has_breaks(texts: pyarrow.Array) -> pyarrow.Array:
    return compute.fill_null(compute.match_substring_regex(texts, _BREAK, ignore_case=True), False)


def _split(text: str) -> list[str]:
    """Lines at even places, what breaks them between them; a newline within a tag breaks nothing."""
    if "<" in text:
        text = TAG.sub(lambda tag: tag.group().translate(_SPACES), text)
    return _BREAKS.split(text)


def _compared_lines(texts: Iterable[str]) -> list[list[str]]:
    """The lines of each text as they are compared: cleaned, without regard to case."""
    written = [_split(text)[::2] for text in texts]
    every = pyarrow.array([line for lines in written for line in lines], pyarrow.large_string())
    cleaned = iter(clean_all(every).to_pylist())
    return [[next(cleaned).casefold() for _ in lines] for lines in written]


def _with_enough_words(lines: list[str]) -> list[str]:
    lines = [line for line in lines if len(line) <= _LONGEST_LINE]
    words = compute.count_substring_regex(pyarrow.array(lines, pyarrow.large_string()), _WORD)
    return [line for line, count in zip(lines, words.to_pylist(), strict=True) if count >= MINIMUM_WORDS]


def _hash(line: str) -> int:
    return int.from_bytes(blake2b(line.encode(), digest_size=8).digest(), "little")
