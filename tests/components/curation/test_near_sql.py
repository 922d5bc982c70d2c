"""Statements and kernel keep the very same rows: on generated corpora, and on 100,000 rows."""

import itertools
import random

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.artifacts import TableStream, write_table
from seatrial.components.curation import operations
from seatrial.components.curation.duckdb_engine import DuckDBEngine, duckdb_engine
from seatrial.components.curation.fingerprints import REFERENCE_SCHEMA
from seatrial.components.curation.near_kernel import KernelNear
from seatrial.components.curation.near_sql import SqlNear
from seatrial.components.curation.prepare import PREPARED_SCHEMA, Preparation
from seatrial.components.curation.select_rows import select_rows
from seatrial.components.curation.shingles import shingle_sets
from seatrial.components.curation.text_rules import TextRules
from seatrial.components.runtime import InputError

ROWS = 100_000
TEXTS = st.lists(st.lists(st.sampled_from("abcdä"), max_size=8).map(" ".join), max_size=16)
NEAR = "SELECT row_number, related_number, percent FROM near ORDER BY row_number"


def load_texts(engine: DuckDBEngine, rows: list[tuple[int, str]]) -> None:
    sides, texts = ([row[place] for row in rows] for place in (0, 1))
    columns = {
        "side": pyarrow.array(sides, pyarrow.int64()),
        "row_number": pyarrow.array(range(len(rows)), pyarrow.int64()),
        "text_shingles": shingle_sets(pyarrow.array(texts, pyarrow.string())).to_arrow(),
    }
    table = pyarrow.table(columns)
    engine.load("near_texts", iter(table.to_batches()), table.schema)


@pytest.fixture(scope="module")
def engine():
    with duckdb_engine() as found:
        yield found


@settings(max_examples=8, deadline=None)
@given(TEXTS, st.sampled_from([1, 3333, 5000, 7000, 10_000]))
@pytest.mark.parametrize(("method", "sides"), [("duplicates", [2]), ("matches", [0, 1])])
def test_statements_and_kernel_find_the_same_near_texts(engine, method, sides, texts, threshold):
    load_texts(engine, [(sides[number % len(sides)], text) for number, text in enumerate(texts)])
    found = []
    for near in (KernelNear(), SqlNear()):
        getattr(near, method)(engine, threshold)
        found.append(engine.rows(NEAR))

    assert found[0] == found[1]


def corpus() -> pyarrow.Table:
    """Texts of natural lengths, a tenth of which repeat another, whole, nearly, or with another label."""
    chance = random.Random(5)
    vocabulary = [f"wörd{number}" if number % 9 == 0 else f"word{number}" for number in range(20_000)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(vocabulary))))
    texts: list[str] = []
    while len(texts) < ROWS:
        words = chance.choices(vocabulary, cum_weights=weights, k=max(1, round(chance.lognormvariate(2.8, 0.5))))
        if texts and chance.random() < 0.1:
            words = chance.choice(texts).split()
            for _ in range(chance.choice([0, 1, 1, 2, 4])):
                words[chance.randrange(len(words))] = chance.choice(vocabulary)
        texts.append(" ".join(words))
    return pyarrow.table(
        {
            "row_id": [f"row-{number}" for number in range(ROWS)],
            "split": pyarrow.nulls(ROWS, pyarrow.string()),
            "text": texts,
            "label": [chance.choice("ab") for _ in texts],
        }
    )


def test_statements_and_kernel_keep_the_same_of_100_000_rows(tmp_path):
    write_table(tmp_path / "table", corpus(), metadata={})
    rules = TextRules("text", "label", maximum_class_ratio=1.01)
    prepared = list(Preparation(TableStream(tmp_path / "table"), rules).batches())
    ledgers, counts = [], []
    for near in (KernelNear(), SqlNear()):
        with duckdb_engine() as engine:
            engine.load("reference", iter([]), REFERENCE_SCHEMA)
            engine.load("prepared", iter(prepared), PREPARED_SCHEMA)
            counts.append(select_rows(engine, near, rules))
            ledgers.append(engine.table(operations.LEDGER))

    assert counts[0] == counts[1]
    assert ledgers[0].equals(ledgers[1])
    for operation in ("label_conflicts", "exact_duplicates", "near_duplicates", "near_leaked_test_rows"):
        assert counts[0][operation] > 300


def test_what_would_compare_too_many_pairs_is_refused_before_it_does(engine):
    load_texts(engine, [(2, f"one two three {number}") for number in range(120_000)])

    with pytest.raises(InputError, match="pairs of texts share wording; expected at most 10,000,000,000"):
        SqlNear().duplicates(engine, 1_000)


def test_a_long_chain_of_near_texts_is_refused(engine):
    texts = [(2, " ".join(f"w{place}" for place in range(start, start + 12))) for start in range(900)]
    load_texts(engine, texts)

    with pytest.raises(InputError, match="chains of more than 200 texts"):
        SqlNear().duplicates(engine, 7_000)
