"""Columns as they were ingested, read in the type of their rule."""

from datetime import UTC, date, datetime

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.curation.coerce import Coerced, coerce
from seatrial.components.curation.columns import duckdb_session

WRONG = "wrong"


def coerced(values: pyarrow.Array, type: str | None) -> Coerced | None:
    with duckdb_session() as connection:
        return coerce(connection, pyarrow.chunked_array([values]), "x", type)


def read(values: pyarrow.Array, type: str) -> list:
    found = coerced(values, type)
    wrong = found.wrong.to_pylist() if found.wrong is not None else [False] * len(values)
    return [WRONG if is_wrong else value for value, is_wrong in zip(found.values.to_pylist(), wrong, strict=True)]


@pytest.mark.parametrize(
    ("type", "texts"),
    [
        (
            "integer",
            {
                " 7 ": 7,
                "+7": 7,
                "7.0": 7,
                "9007199254740993.0": 2**53 + 1,
                "9223372036854775807": 2**63 - 1,
                "9223372036854775808": WRONG,
                "7.5": WRONG,
                "1e3": WRONG,
                "seven": WRONG,
                "1,000": WRONG,
                "": None,
                " \t": None,
            },
        ),
        ("number", {"7": 7.0, ".5": 0.5, "-1e3": -1000.0, "nan": WRONG, "inf": WRONG, "1e999": WRONG, "1,5": WRONG}),
        ("boolean", {"True": True, "FALSE": False, "1": True, "0": False, "yes": WRONG, "": None}),
        ("date", {"2026-01-31": date(2026, 1, 31), "2026-02-30": WRONG, "31.01.2026": WRONG, "2026-1-1": WRONG}),
        (
            "timestamp",
            {
                "2026-01-31": datetime(2026, 1, 31, tzinfo=UTC),
                "2026-01-31T12:30": datetime(2026, 1, 31, 12, 30, tzinfo=UTC),
                "2026-01-31 12:30:05.25Z": datetime(2026, 1, 31, 12, 30, 5, 250_000, tzinfo=UTC),
                "2026-01-31T12:30+02": datetime(2026, 1, 31, 10, 30, tzinfo=UTC),
                "2026-01-31T12:30:00-0530": datetime(2026, 1, 31, 18, tzinfo=UTC),
                "2026-01-31T25:00": WRONG,
                "infinity": WRONG,
                "epoch": WRONG,
            },
        ),
    ],
)
def test_texts_are_read_or_said_to_be_wrong(type, texts):
    assert read(pyarrow.array(list(texts)), type) == list(texts.values())


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1))
@settings(max_examples=25)
def test_whole_numbers_come_back_from_their_texts(numbers):
    texts = [None if number is None else str(number) for number in numbers]

    assert read(pyarrow.array(texts, pyarrow.string()), "integer") == numbers


def test_many_texts_keep_their_order():
    numbers = pyarrow.array(range(500_000))

    assert coerced(numbers.cast(pyarrow.string()), "integer").values.combine_chunks() == numbers


def test_numbers_without_a_fraction_may_be_integers():
    assert read(pyarrow.array([1.0, 1.5, None, float("nan"), float("inf"), 1e19]), "integer") == [
        *(1, WRONG, None, None, WRONG, WRONG)
    ]


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (pyarrow.array([2**63], pyarrow.uint64()), "integer"),
        (pyarrow.array([2**53 + 1]), "number"),
        (pyarrow.array([b"x"]), None),
        (pyarrow.array(["a"]).dictionary_encode(), "string"),
        (pyarrow.array([1], pyarrow.timestamp("ns")), "timestamp"),
        (pyarrow.array([1], pyarrow.timestamp("s", "Europe/Berlin")), "timestamp"),
    ],
)
def test_what_is_of_the_kind_stays_as_it_is(values, type):
    assert coerced(values, type).values.combine_chunks() == values


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (pyarrow.array([7]), "string"),
        (pyarrow.array([True]), "number"),
        (pyarrow.array([1], pyarrow.timestamp("us")), "date"),
        (pyarrow.array([[1]]), "string"),
        (pyarrow.array([b"7"]), "integer"),
    ],
)
def test_what_cannot_be_of_the_type_is_refused(values, type):
    assert coerced(values, type) is None


def test_a_column_of_nulls_is_of_any_type():
    assert read(pyarrow.nulls(2), "date") == [None, None]
