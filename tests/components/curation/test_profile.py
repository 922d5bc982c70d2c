"""What a profile says of the columns of a table."""

import datetime
import json
import math
from decimal import Decimal

import numpy
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.artifacts import write_json
from seatrial.components.curation.profile import profile, read_profile
from seatrial.components.runtime import InputError


def table_of(**columns) -> pyarrow.Table:
    rows = len(next(iter(columns.values()), []))
    row_ids = pyarrow.array([f"row-0-{row}" for row in range(rows)], pyarrow.string())
    return pyarrow.table({**columns, "row_id": row_ids, "split": pyarrow.nulls(rows, pyarrow.string())})


def entry_of(values, type: pyarrow.DataType | None = None) -> dict:
    values = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, type)
    [entry] = profile(table_of(x=values))["columns"].values()
    return entry


def problems_of(values, type: pyarrow.DataType | None = None) -> dict[str, str]:
    return {problem["code"]: problem["text"] for problem in entry_of(values, type)["problems"]}


def test_the_document_says_its_version_rows_and_columns_but_not_row_id_and_split():
    document = profile(table_of(a=[1, 2], b=["x", None]))

    assert {key: document[key] for key in ("kind", "schema_version", "rows")} == {
        "kind": "table_profile",
        "schema_version": "1",
        "rows": 2,
    }
    assert list(document["columns"]) == ["a", "b"]
    assert document["columns"]["b"]["nulls"] == 1


@given(st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=1))
@settings(max_examples=40)
def test_numbers_are_measured_without_nan_and_infinities_which_are_counted(values):
    entry = entry_of(values, pyarrow.float64())

    finite = [value for value in values if value is not None and math.isfinite(value)]
    statistics = entry["statistics"]
    assert entry["nulls"] == values.count(None)
    assert statistics["nan"] == sum(value is not None and math.isnan(value) for value in values)
    assert statistics["infinite"] == sum(value is not None and math.isinf(value) for value in values)
    assert statistics["minimum"] == min(finite, default=None)
    assert statistics["maximum"] == max(finite, default=None)
    json.dumps(entry, allow_nan=False)
    if finite:
        largest = max(map(abs, finite))
        assert statistics["mean"] == pytest.approx(
            math.fsum(value / len(finite) for value in finite), abs=1e-9 * largest
        )
        assert sum(entry["histogram"]["counts"]) == len(finite)
        assert statistics["quantiles"]["0.5"] == sorted(finite)[(len(finite) - 1) // 2]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
@settings(max_examples=25)
def test_whole_numbers_are_exact(values):
    entry = entry_of(values, pyarrow.int64())

    assert entry["statistics"]["minimum"] == min(values)
    assert entry["statistics"]["maximum"] == max(values)
    assert entry["distinct"] == len(set(values))
    assert sum(entry["histogram"]["counts"]) == len(values)


def test_unsigned_numbers_and_decimals_are_exact():
    assert entry_of([2**64 - 1], pyarrow.uint64())["statistics"]["maximum"] == 2**64 - 1
    decimals = entry_of([Decimal("0.10"), Decimal("99999999999999999999999999999999.99")], pyarrow.decimal128(38, 2))
    assert decimals["statistics"]["minimum"] == "0.10"
    assert decimals["statistics"]["maximum"] == "99999999999999999999999999999999.99"


def test_standard_deviation_is_that_of_a_sample():
    values = numpy.random.default_rng(3).normal(5, 2, 500)

    assert entry_of(values.tolist())["statistics"]["standard_deviation"] == pytest.approx(numpy.std(values, ddof=1))


def test_few_whole_numbers_have_a_bar_each():
    assert entry_of([1, 1, 2, 5])["histogram"] == {"edges": [1, 2, 3, 4, 5, 6], "counts": [2, 1, 0, 0, 1]}


def test_texts_are_measured_in_characters():
    entry = entry_of(["näh", "", " a\u00a0", "12.5", None, "näh", "🫖"])

    assert entry["statistics"] == {
        "shortest": 0,
        "longest": 4,
        "mean_length": pytest.approx(14 / 6),
        "empty": 1,
        "padded": 1,
        "with_whitespace": 1,
        "numeric": 1,
    }
    assert entry["distinct"] == 5
    assert entry["frequent"][0] == ["näh", 2]


def test_times_have_a_range_in_utc():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    times = [datetime.datetime(2026, 1, 1, 1, tzinfo=zone), datetime.datetime(2026, 3, 1, tzinfo=zone)]

    entry = entry_of(times, pyarrow.timestamp("us", "Europe/Berlin"))

    assert entry["kind"] == "timestamp"
    assert entry["statistics"] == {"earliest": "2025-12-31T23:00:00", "latest": "2026-02-28T22:00:00"}
    assert entry["histogram"]["edges"][0] == "2025-12-31"


def test_booleans_are_counted():
    assert entry_of([True, False, True, None])["statistics"] == {"true": 2}


@pytest.mark.parametrize(
    "values",
    [
        pyarrow.array([[1], None]),
        pyarrow.array([{"a": 1}, None]),
        pyarrow.array([b"\xff", None]),
        pyarrow.array([1, None], pyarrow.duration("s")),
        pyarrow.array([[("a", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    ],
)
def test_of_other_types_only_nulls_are_counted(values):
    entry = entry_of(values)

    assert (entry["kind"], entry["nulls"], entry["distinct"], entry["statistics"]) == (None, 1, None, {})


@pytest.mark.parametrize(
    "values",
    [
        pyarrow.array([1.5, 2.5], pyarrow.float16()),
        pyarrow.array([Decimal("9" * 60)], pyarrow.decimal256(70, 2)),
        pyarrow.array(["a", "b"]).dictionary_encode(),
        pyarrow.array(["a"], pyarrow.string_view()),
        pyarrow.array([1], pyarrow.timestamp("s")),
        pyarrow.array([86_400_000], pyarrow.date64()),
        pyarrow.array([5], pyarrow.timestamp("ns", "UTC")),
    ],
)
def test_types_that_duckdb_does_not_know_are_measured_all_the_same(values):
    assert entry_of(values)["distinct"] == len(values)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["same"] * 3, "constant"),
        ([None] * 3, "all_null"),
        ([None] * 3 + [1], "many_nulls"),
        ([*range(99), 5], "nearly_unique"),
        ([1.0, float("nan")], "not_finite"),
        (["a", "b "], "padded"),
        (["a", ""], "empty"),
        (["1", "2.5", "-3e4", "x"], "mixed"),
        (["tea", "N/A"], "sentinel"),
        ([3, 14, 15, 9999, 9999], "sentinel"),
        ([3.5, 14.0, -1.0, -1.0], "sentinel"),
        ([datetime.date(1970, 1, 1)] * 2 + [datetime.date(2026, 1, 1)], "sentinel"),
    ],
)
def test_what_is_odd_about_a_column_is_said(values, problem):
    assert problem in problems_of(values)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3, 2],
        [-1, -2, -5, -1],
        [98, 99, 99, 97],
        ["tea", "cup", "tea"],
        [True, False],
        ["1", "2"],
        ["a 1", "b 2"],
    ],
)
def test_what_is_in_order_has_no_problem(values):
    assert problems_of(values) == {}


def test_a_cell_of_10_mb_and_names_that_look_like_sql_are_no_trouble():
    document = profile(table_of(**{'x"; DROP TABLE data; --': ["a" * 10**7, "b"], "": [1, 2]}))

    assert document["columns"]['x"; DROP TABLE data; --']["statistics"]["longest"] == 10**7
    assert len(json.dumps(document)) < 5_000


def test_a_million_identical_rows_are_profiled():
    entry = entry_of(pyarrow.array(["tea"] * 10**6))

    assert (entry["distinct"], entry["frequent"]) == (1, [["tea", 10**6]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_of(a=pyarrow.array([], pyarrow.int64())), "has no rows"),
        (table_of(a=[1]).drop_columns("split"), "no column 'split'"),
        (pyarrow.table({"row_id": ["a", "a"], "split": ["", ""]}), "'row_id' has nulls or repetitions"),
        (pyarrow.table({"row_id": [1], "split": [""]}), "'row_id' has the type int64; expected strings"),
        (
            table_of(a=pyarrow.Array.from_buffers(pyarrow.string(), 1, pyarrow.array([b"\xff"]).buffers())),
            "values that are not of their type",
        ),
        (table_of(a=pyarrow.array([2**62], pyarrow.timestamp("s"))), "'a' .* further than 290,000 years"),
    ],
)
def test_what_is_no_table_of_ingest_table_is_refused(table, message):
    with pytest.raises(InputError, match=message):
        profile(table)


def test_a_profile_is_read_as_it_was_written(tmp_path):
    document = profile(table_of(a=[1, 2], b=["x", None], c=[0.5, None], d=[[1], [2]]))
    write_json(tmp_path / "profile", document)

    assert read_profile(tmp_path / "profile") == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": "2"}, "schema version 2; expected a table_profile of schema version 1"),
        ({"kind": "model"}, "is a model of schema version 1"),
        ({"columns": []}, "has the 'columns' \\[\\]"),
        ({"columns": {"a": {"nulls": 0}}}, "'a' of the profile .* has no 'distribution'"),
        (
            {"columns": {"a": {"nulls": 0, "distribution": {"of": "x", "bounds": [1], "counts": [1]}}}},
            "contradicts itself",
        ),
        (
            {"columns": {"a": {"nulls": 0, "distribution": {"of": "values", "bounds": [2, 1], "counts": [0] * 4}}}},
            "contradicts itself",
        ),
        (
            {"columns": {"a": {"nulls": 0, "distribution": {"of": "values", "bounds": [10**99], "counts": [0] * 3}}}},
            "contradicts itself",
        ),
    ],
)
def test_a_profile_of_another_version_or_that_was_changed_is_refused(change, message, tmp_path):
    write_json(tmp_path / "profile", profile(table_of(a=[1])) | change)

    with pytest.raises(InputError, match=message):
        read_profile(tmp_path / "profile")
