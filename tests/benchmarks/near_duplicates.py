"""Near duplicates with clusters in many short texts: our kernel, rensa and datasketch, in one run.

    python tests/benchmarks/near_duplicates.py [--json] [--rows N] [--seed N]

Texts are generated from a seed: pronounceable words whose frequencies follow Zipf's law, about 40 a text (log-normal),
lower case without punctuation, so that splitting at spaces is all that a peer has to do; 3 % of the texts have accents.
One row in twenty is an edit of an earlier row: words replaced, inserted, removed, swapped, so many that the similarity
is about a number drawn from 0.5 to 1. No text is there twice. Similarity is Jaccard's, of the sets of three words in a
row, computed here from Python sets.

Each side is timed from the texts as they are given to it (an Arrow array to ours, Python strings to the others) to the
clusters: which row each removed row repeats. The peers are used as their documentation has it: shingles as joined words
in lists, one bulk call for the sketches (128 permutations), their index at 0.8, pairs whose estimated similarity is 0.8
or more joined by union-find. datasketch chooses its bands by the threshold; rensa has no such choice: of the divisions
of 128, 16 bands of 8 rows is the coarsest that still finds most pairs of 0.8. Of the seconds of rensa, those that
Python needs for the shingles are also given apart.

Sides alternate, medians of five, without Python's garbage collection, which lists of so many texts would set off: it
costs rensa's side most. Compiling our functions is not in it (once per machine, a cache keeps it), nor is importing a
peer. datasketch gets the first fifth of the rows, for it is slow; its rows per second hardly depend on it.

Recall: of the planted pairs of 0.8 or more, the share whose rows are in one cluster. Precision: of the removed rows,
the share that is 0.8 or more similar to the row that is kept for it. They are the same for any number of CPUs.
"""

import argparse
import gc
import json
import logging
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow

THRESHOLD = 0.8
PERMUTATIONS = 128
RENSA_BANDS = 16
REPEAT = 5
_WORDS = 50_000
_LEAST_WORDS, _MOST_WORDS = 8, 300
_ACCENTS = str.maketrans("aeou", "äéöü")

Repeats = Mapping[int, int]
"""Removed row → the row that is kept for it."""
Side = Callable[[Any], tuple[Repeats, dict[str, float]]]


def vocabulary() -> list[str]:
    """Words of one, two and three syllables, the shorter ones first."""
    draw = random.Random(0)
    syllables = ["".join(parts) for parts in product("bdfghklmnprstvwyz", "aeiou", ("", "n", "r"))]
    draw.shuffle(syllables)
    words = dict.fromkeys(syllables)
    while len(words) < _WORDS:
        words["".join(draw.choices(syllables, k=2 if len(words) < _WORDS // 5 else 3))] = None
    return list(words)


def texts_of(count: int, draw: np.random.Generator, words: Sequence[str]) -> list[str]:
    """Texts without any plan."""
    lengths = np.clip(draw.lognormal(np.log(40), 0.4, count), _LEAST_WORDS, _MOST_WORDS).astype(int)
    cumulated = np.cumsum(1 / np.arange(1, len(words) + 1))
    ranks = np.searchsorted(cumulated, draw.random(lengths.sum()) * cumulated[-1])
    drawn = np.array(words, object)[ranks].tolist()
    ends = np.cumsum(lengths).tolist()
    texts = [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True)]
    for row in np.flatnonzero(draw.random(count) < 0.03).tolist():
        texts[row] = texts[row].translate(_ACCENTS)
    return texts


def edited(text: str, similarity: float, draw: random.Random, words: Sequence[str]) -> str:
    """A text with so many changes that about this similarity is left, and at least one."""
    parts = text.split()
    shingles = len(parts) - 2
    # A change of one word touches three shingles on either side.
    for _ in range(max(1, round(shingles * (1 - similarity) / (3 * (1 + similarity))))):
        place = draw.randrange(len(parts) - 1)
        change = draw.choice(("replace", "insert", "remove", "swap"))
        if change == "replace":
            parts[place] = draw.choice(words)
        elif change == "insert":
            parts.insert(place, draw.choice(words))
        elif change == "remove":
            del parts[place]
        else:
            parts[place], parts[place + 1] = parts[place + 1], parts[place]
    return " ".join(parts)


def shingles_of(text: str) -> frozenset[tuple[str, ...]]:
    """The three words in a row that a text has."""
    parts = text.split()
    return frozenset(zip(parts, parts[1:], parts[2:], strict=False))


def similarity_of(one: str, other: str) -> float:
    """Jaccard similarity of the shingles of two texts."""
    left, right = shingles_of(one), shingles_of(other)
    return len(left & right) / len(left | right)


def generated(rows: int, seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Texts, and which of them is an edit of which earlier one."""
    words, draw = vocabulary(), random.Random(seed)
    texts = texts_of(rows, np.random.default_rng(seed), words)
    seen = set(texts)
    assert len(seen) == rows, "two texts are the same by chance"
    edits = sorted(draw.sample(range(rows // 100 + 1, rows), rows // 20))
    is_edit, pairs = set(edits), []
    for row in edits:
        source = draw.randrange(row)
        while source in is_edit:
            source = draw.randrange(row)
        while True:
            text = edited(texts[source], draw.uniform(0.5, 1), draw, words)
            if text not in seen and similarity_of(text, texts[source]) >= 0.5:
                break
        texts[row] = text
        seen.add(text)
        pairs.append((row, source))
    return texts, pairs


def joined(pairs: Iterable[tuple[int, int]]) -> Repeats:
    """Clusters by union-find: each row but the first of its cluster → that first row."""
    parent: dict[int, int] = {}

    def first(row: int) -> int:
        while parent.get(row, row) != row:
            parent[row] = parent.get(parent[row], parent[row])
            row = parent[row]
        return row

    for one, other in pairs:
        low, high = sorted((first(one), first(other)))
        parent[high] = low
    return {row: first(row) for row in parent if first(row) != row}


def ours(texts: pyarrow.Array) -> tuple[Repeats, dict[str, float]]:
    from seatrial.components.curation.near import near_duplicates
    from seatrial.components.curation.shingles import shingle_sets

    found = near_duplicates(shingle_sets(texts), THRESHOLD)
    return joined(zip(found.rows.tolist(), found.related.tolist(), strict=True)), {}


def rensa(texts: Sequence[str]) -> tuple[Repeats, dict[str, float]]:
    from rensa import RMinHash, RMinHashLSH

    started = time.perf_counter()
    shingles = [list(map(" ".join, zip(w, w[1:], w[2:], strict=False))) for w in map(str.split, texts)]
    parts = {"rensa_shingles_s": time.perf_counter() - started}
    sketches = RMinHash.from_token_sets(shingles, num_perm=PERMUTATIONS, seed=42)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=RENSA_BANDS)
    index.insert_many(sketches)
    return joined(
        (row, other)
        for row, found in enumerate(index.query_all(sketches))
        if len(found) > 1
        for other in found
        if other < row and sketches[row].jaccard(sketches[other]) >= THRESHOLD
    ), parts


def datasketch(texts: Sequence[str]) -> tuple[Repeats, dict[str, float]]:
    from datasketch import MinHash, MinHashLSH

    words = (text.encode().split() for text in texts)
    shingles = (list(map(b" ".join, zip(w, w[1:], w[2:], strict=False))) for w in words)
    index, sketches = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), []
    pairs = []
    for row, sketch in enumerate(MinHash.generator(shingles, num_perm=PERMUTATIONS)):
        pairs += [(row, other) for other in index.query(sketch) if sketch.jaccard(sketches[other]) >= THRESHOLD]
        index.insert(row, sketch, check_duplication=False)
        sketches.append(sketch)
    return joined(pairs), {}


def judged(repeats: Repeats, texts: Sequence[str], pairs: Iterable[tuple[int, int]]) -> tuple[float, float]:
    """Recall and precision."""
    near = [pair for pair in pairs if similarity_of(texts[pair[0]], texts[pair[1]]) >= THRESHOLD]
    together = sum(repeats.get(row, row) == repeats.get(source, source) for row, source in near)
    right = sum(similarity_of(texts[row], texts[kept]) >= THRESHOLD for row, kept in repeats.items())
    return round(together / max(1, len(near)), 4), round(right / max(1, len(repeats)), 4)


def measure(rows: int = 200_000, seed: int = 0) -> dict[str, Any]:
    """Generates the texts, runs all sides over them and compares.

    Returns:
        `rows_per_s`, `recall`, `precision` of ours, the same with `_rensa` and `_datasketch`; `ratio_rensa` and
        `ratio_datasketch`: our rows per second by theirs; `ratio_rensa_without_shingles`: the same if rensa were given
        its shingles; and what was generated.
    """
    texts, pairs = generated(rows, seed)
    fewer = texts[: rows // 5]
    given: dict[str, tuple[Side, Any, Sequence[str]]] = {
        "": (ours, pyarrow.array(texts), texts),
        "_rensa": (rensa, texts, texts),
        "_datasketch": (datasketch, fewer, fewer),
    }
    seconds: dict[str, list[float]] = {}
    found: dict[str, Repeats] = {}
    for number in range(REPEAT + 1):
        for name, (side, argument, _) in given.items():
            # Warm up with few rows: compiles our functions, imports the peers.
            gc.disable()
            started = time.perf_counter()
            found[name], parts = side(argument if number else argument[:1_000])
            parts["seconds" + name] = time.perf_counter() - started
            gc.enable()
            gc.collect()
            for key, taken in parts.items() if number else ():
                seconds.setdefault(key, []).append(taken)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    result: dict[str, Any] = {"rows": rows, "rows_datasketch": len(fewer)}
    speeds = {name: len(own) / median["seconds" + name] for name, (_, _, own) in given.items()}
    for name, (_, _, own) in given.items():
        recall, precision = judged(found[name], own, [pair for pair in pairs if pair[0] < len(own)])
        result |= {f"rows_per_s{name}": round(speeds[name]), f"recall{name}": recall, f"precision{name}": precision}
    without = rows / (median["seconds_rensa"] - median["rensa_shingles_s"])
    return result | {
        "ratio_rensa": round(speeds[""] / speeds["_rensa"], 2),
        "ratio_datasketch": round(speeds[""] / speeds["_datasketch"], 2),
        "ratio_rensa_without_shingles": round(speeds[""] / without, 2),
        "characters": round(statistics.mean(map(len, texts))),
        "planted": len(pairs),
        "planted_near": sum(similarity_of(texts[row], texts[source]) >= THRESHOLD for row, source in pairs),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--rows", type=int, default=200_000, help="texts (default 200,000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the texts")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    result = measure(arguments.rows, arguments.seed)
    print(json.dumps(result) if arguments.json else "\n".join(f"{k:<32}{v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
