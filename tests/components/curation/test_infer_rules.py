"""Rules that are inferred from a profile: the profiled table keeps them, and a person can read them."""

import string
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial.components.curation.infer_rules import infer_rules
from seatrial.components.curation.profile import profile
from seatrial.components.curation.rules import Bounds, ColumnRules, Drift, parse_rules
from seatrial.components.curation.validate import validate

NOW = datetime(2026, 2, 1, tzinfo=UTC)
DRIFT = Drift(0.25, 0.1)
COLUMNS = {
    pyarrow.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    pyarrow.uint8(): st.integers(0, 255),
    pyarrow.float64(): st.floats(width=64),
    pyarrow.float32(): st.floats(width=32),
    pyarrow.decimal128(20, 3): st.decimals(-(10**16), 10**16, places=3, allow_nan=False),
    pyarrow.string(): st.text(max_size=8) | st.sampled_from(["a", "b"]),
    pyarrow.bool_(): st.booleans(),
    pyarrow.date32(): st.dates(),
    pyarrow.timestamp("us"): st.datetimes(),
    pyarrow.list_(pyarrow.int64()): st.lists(st.integers(0, 3), max_size=2),
}


@st.composite
def tables(draw) -> pyarrow.Table:
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3, unique=True))
    columns = {}
    for name in names:
        type_ = draw(st.sampled_from(list(COLUMNS)))
        values = draw(st.lists(st.none() | COLUMNS[type_], min_size=rows, max_size=rows))
        columns[name] = pyarrow.array(values, type_)
    added = {"row_id": [str(row) for row in range(rows)], "split": pyarrow.nulls(rows, pyarrow.string())}
    return pyarrow.table(columns | added)


@given(tables())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_the_profiled_table_keeps_the_rules_inferred_from_it(table):
    found = profile(table)

    validated = validate(table, parse_rules(infer_rules(found)), found, NOW)

    assert validated.valid.num_rows == table.num_rows
    assert validated.table_breaks == []


def inferred(values: pyarrow.Array) -> ColumnRules:
    added = {"row_id": [str(row) for row in range(len(values))], "split": pyarrow.nulls(len(values), pyarrow.string())}
    return parse_rules(infer_rules(profile(pyarrow.table({"x": values} | added)))).columns["x"]


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ([10, 20, 20], ColumnRules(type="integer", nullable=False, range=Bounds(Decimal(5), Decimal(25)), drift=DRIFT)),
        (
            [0.5, 2.5, 2.5],
            ColumnRules(type="number", nullable=False, range=Bounds(Decimal(0), Decimal("3.5")), drift=DRIFT),
        ),
        ([-3, -1, -1], ColumnRules(type="integer", nullable=False, range=Bounds(Decimal(-4), Decimal(0)), drift=DRIFT)),
        ([True, None], ColumnRules(type="boolean", maximum_null_share=1.0, drift=DRIFT)),
        (["a", "b"] * 10, ColumnRules(type="string", nullable=False, allowed=("a", "b"), drift=DRIFT)),
        (["four", "a b"], ColumnRules(type="string", nullable=False, length=Bounds(1, 8), drift=DRIFT)),
        ([date(2026, 1, 1)], ColumnRules(type="date", nullable=False)),
        ([float("nan"), 1.0, float("inf")], ColumnRules(type="number", maximum_null_share=0.68, drift=DRIFT)),
        ([[1], [2]], ColumnRules(nullable=False)),
        ([None, None], ColumnRules()),
    ],
)
def test_each_kind_of_column_has_rules_with_room(values, rules):
    assert inferred(pyarrow.array(values)) == rules


def test_what_looks_like_a_key_is_unique_and_has_no_range():
    assert inferred(pyarrow.array(range(100))) == ColumnRules(type="integer", nullable=False, unique=True)
    keys = inferred(pyarrow.array([f"k{row:03}" for row in range(100)]))
    assert (keys.unique, keys.drift) == (True, None)


def test_texts_that_happen_to_differ_are_no_key():
    assert not inferred(pyarrow.array([f"a fine cup, number {row}" for row in range(100)])).unique


def test_ids_and_splits_have_no_rules_and_other_columns_are_unexpected():
    table = pyarrow.table({"x": [1] * 9, "row_id": list("abcdefghi"), "split": ["train"] * 9})

    rules = parse_rules(infer_rules(profile(table)))

    assert list(rules.columns) == ["x"]
    assert (rules.unexpected_columns, rules.rows) == ("fail", Bounds(minimum=4))


def test_names_that_yaml_would_take_for_something_else_are_kept():
    names = ["no", "1", "null", "a: b", "# x", "", "é\n\x85", "x" * 2_000, "&a", "*a", *string.punctuation]
    added = {"row_id": ["a"], "split": pyarrow.nulls(1, pyarrow.string())}
    table = pyarrow.table({name: ["x"] for name in names} | added)

    assert list(parse_rules(infer_rules(profile(table))).columns) == names


def test_comments_say_what_was_found_and_cannot_end_the_comment():
    table = pyarrow.table({"x": ["1", "2", "3", "n/a\n: [", "NA\n"], "row_id": list("abcde"), "split": ["train"] * 5})

    text = infer_rules(profile(table))

    assert "# 3 of 5 texts are numbers (60.0%), the others are not." in text
    assert "With `type: number` the texts that are no numbers would go to quarantine." in text
    assert parse_rules(text).columns["x"].type == "string"
