"""Curation: near duplicates beside two peers, exact duplicates beside the bare engine, the whole, personal data.

    python tests/benchmarks/curation.py [--json] [--rows N]

`near_duplicates.py` and `personal_data.py` say what they measure. Here:

- Exact duplicates: the two statements that `curate_text` runs to find the rows that repeat an earlier text, for which
  row, and whether they do as written, on prepared rows; beside a GROUP BY of the texts themselves in the same DuckDB
  with the same limits, which gives the repeated texts, how often and where first. Both leave a table; medians of five
  that alternate. Hashing the texts is no part of it: it belongs to preparing a row, so to the whole.
- The whole: the component's function from the table folder to all of its outputs, with its defaults, a label column
  and a split by hash, at a tenth, three tenths and all of the rows. Each size has a process of its own, which curates a
  small table first: what a start costs whatever the rows (imports, compiled functions) is in no number. The exponent is
  the slope of the logarithm of the seconds over that of the rows (least squares). Memory is the largest resident set of
  the process, files that it maps included.

The rows of the last two are the texts of `near_duplicates.py`. Of a hundred, ten have markup, five personal data; five
are edits of an earlier row, two repeat one as it is, one repeats one with another label.
"""

import argparse
import json
import logging
import multiprocessing
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import near_duplicates
import numpy as np
import personal_data
import pyarrow
from kfp import dsl

from seatrial.components.artifacts import TableStream, write_batches

BATCHES = 20
SIZES = {"tenth": 2, "three tenths": 6, "all": 20}
WARM_UP_ROWS = 2_000
REPEAT = 5
LABELS = ("great", "good", "other")
SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in ("row_id", "split", "text", "label", "product")])


def batches(rows: int) -> Iterator[pyarrow.RecordBatch]:
    """The rows to curate, in `BATCHES` batches."""
    words, draw, numbers = near_duplicates.vocabulary(), random.Random(0), np.random.default_rng(0)
    texts: list[str] = []
    labels: list[str] = []
    size = rows // BATCHES
    for first in range(0, size * BATCHES, size):
        texts += [dressed(text, draw) for text in near_duplicates.texts_of(size, numbers, words)]
        labels += draw.choices(LABELS, k=size)
        for row in draw.sample(range(first + 1, first + size), size * 8 // 100):
            source, kind = draw.randrange(row), draw.choices(("near", "same", "conflict"), (5, 2, 1))[0]
            texts[row] = texts[source]
            if kind == "near":
                texts[row] = near_duplicates.edited(texts[source], draw.uniform(0.5, 1), draw, words)
            elif kind == "same":
                labels[row] = labels[source]
            else:
                labels[row] = draw.choice([label for label in LABELS if label != labels[source]])
        columns = {
            "row_id": [f"row-{row}" for row in range(first, first + size)],
            "split": [None] * size,
            "text": texts[first:],
            "label": labels[first:],
            "product": [f"product {draw.randrange(1 + rows // 10)}" for _ in range(size)],
        }
        yield pyarrow.RecordBatch.from_pydict(columns, schema=SCHEMA)


def dressed(text: str, draw: random.Random) -> str:
    """A text, one in ten of them with markup, one in twenty with personal data."""
    chance = draw.random()
    if chance < 0.05:
        return f"<p>{text}</p><br/>\n&quot;tea&quot; &amp; more"
    if chance < 0.1:
        return text.replace(" ", "&nbsp; ", 3).replace(" ", " <b>", 4) + "</b>"
    if chance < 0.15:
        writer = draw.choice((personal_data.email, personal_data.phone, personal_data.card, personal_data.iban))
        return f"{text} write to {writer(draw)} soon"
    return text


def in_new_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own, which inherits nothing."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def curate(table: Path, output: Path) -> None:
    """Runs the component."""
    from seatrial.components import curate_text

    names = ("train", "test", "ledger", "edits", "fingerprints")
    outputs: dict[str, Any] = {name: dsl.Dataset(uri=str(output / name)) for name in names}
    curate_text.python_func(
        table=dsl.Dataset(uri=str(table)),
        text_column="text",
        label_column="label",
        report=dsl.HTML(uri=str(output / "report.html")),
        metrics=dsl.Metrics(uri=str(output / "metrics")),
        **outputs,
    )


def whole(table: Path, warm_up: Path, output: Path) -> tuple[float, float]:
    """Seconds of a curation, and the gigabytes that the process had at most."""
    logging.disable(logging.INFO)
    curate(warm_up, output)
    started = time.perf_counter()
    curate(table, output)
    seconds = time.perf_counter() - started
    # Not ru_maxrss, in which Linux counts what the process was before it became another program.
    kilobytes = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert kilobytes
    return seconds, int(kilobytes[1]) * 1024 / 1e9


def exact(table: Path) -> tuple[float, float]:
    """Seconds of our statements for exact duplicates and of the bare GROUP BY."""
    from seatrial.components.curation import operations
    from seatrial.components.curation.duckdb_engine import duckdb_engine
    from seatrial.components.curation.prepare import PREPARED_SCHEMA, Preparation
    from seatrial.components.curation.text_rules import TextRules

    logging.disable(logging.INFO)
    rules = TextRules("text", "label", personal_data=[], remove_boilerplate=False)
    grouped = "SELECT text, COUNT(*) AS times, MIN(row_number) AS first_number FROM texts GROUP BY text"
    sides = {
        "ours": [("repeated", operations.REPEATED), ("ours", operations.EXACT_DUPLICATES)],
        "bare": [("bare", f"{grouped} HAVING COUNT(*) > 1")],
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    with duckdb_engine() as engine:
        engine.load("prepared", Preparation(TableStream(table), rules).batches(), PREPARED_SCHEMA)
        engine.create("remaining", operations.SPLIT_BY_HASH, {"test_share": "3" + "0" * 15, "split_seed": "0"})
        engine.create("texts", "SELECT text, row_number FROM prepared")
        for number in range(REPEAT + 1):
            for side, statements in sides.items():
                started = time.perf_counter()
                for name, statement in statements:
                    engine.create(name, statement)
                if number:  # the first one is a warm-up
                    seconds[side].append(time.perf_counter() - started)
        [(found,)] = engine.rows("SELECT COUNT(*) FROM ours")
        [(expected,)] = engine.rows("SELECT SUM(times - 1) FROM bare")
        assert found == expected, (found, expected)
    return statistics.median(seconds["ours"]), statistics.median(seconds["bare"])


def measure(rows: int) -> dict[str, Any]:
    """Measures everything; the near duplicates on a fifth of the rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_batches(folder / "all", SCHEMA, batches(rows), metadata={})
        write_batches(folder / "warm-up", SCHEMA, batches(WARM_UP_ROWS), metadata={})
        for size in ("tenth", "three tenths"):
            parts = islice(TableStream(folder / "all").batches(rows // BATCHES), SIZES[size])
            write_batches(folder / size, SCHEMA, parts, metadata={})
        wholes = {
            rows // BATCHES * count: in_new_process(whole, folder / size, folder / "warm-up", folder / "output")
            for size, count in SIZES.items()
        }
        ours, bare = in_new_process(exact, folder / "all")
    counts, seconds = list(wholes), [taken for taken, _ in wholes.values()]
    return near_duplicates.measure(rows // 5) | {
        "exact_ratio": round(ours / bare, 2),
        "exact_s": round(ours, 3),
        "exact_bare_s": round(bare, 3),
        "scale_exponent": round(float(np.polyfit(np.log(counts), np.log(seconds), 1)[0]), 3),
        "peak_gb": round(wholes[counts[-1]][1], 2),
        "rows_per_s_whole": round(counts[-1] / seconds[-1]),
        "whole": [{"rows": n, "seconds": round(s, 1), "gb": round(gb, 2)} for n, (s, gb) in wholes.items()],
        "pii": personal_data.measure(),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the whole (default a million)")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    result = measure(arguments.rows)
    print(json.dumps(result) if arguments.json else "\n".join(f"{k:<32}{v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
