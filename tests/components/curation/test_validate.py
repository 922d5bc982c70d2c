"""Tables under rules: what is valid, what goes to quarantine and why, and what is refused."""

import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.curation.profile import profile
from seatrial.components.curation.rules import parse_rules
from seatrial.components.curation.validate import Validated, check_accepted, time_of, validate
from seatrial.components.runtime import InputError

NOW = datetime(2026, 2, 1, tzinfo=UTC)
ANY_SHARE = "maximum_quarantine_share: 1\nrows: {minimum: 0}\n"


def table_of(**columns) -> pyarrow.Table:
    rows = len(next(iter(columns.values())))
    row_ids = pyarrow.array([f"row-{row}" for row in range(rows)], pyarrow.string())
    return pyarrow.table({**columns, "row_id": row_ids, "split": pyarrow.nulls(rows, pyarrow.string())})


def checked(table: pyarrow.Table, rules: str, accepted: pyarrow.Table | None = None) -> Validated:
    return validate(table, parse_rules(ANY_SHARE + rules), profile(accepted) if accepted else None, NOW)


def column(rules: str, values, type: pyarrow.DataType | None = None) -> Validated:
    values = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, type)
    return checked(table_of(x=values), f"columns: {{x: {{{rules}}}}}")


def reasons(validated: Validated) -> dict[str, str]:
    return dict(zip(*(validated.quarantine[name].to_pylist() for name in ("row_id", "reason")), strict=True))


def breaks(validated: Validated) -> dict[str, str]:
    return {found.rule: found.text for found in validated.table_breaks}


def test_rows_that_break_a_rule_go_to_quarantine_once_as_they_came_with_all_that_they_break():
    table = table_of(price=["1", "-3", "abc", ""], name=["A", "toolong", "B", "C"])
    rules = """
columns:
  price: {type: number, nullable: false, range: {minimum: 0, maximum: 1000}}
  name: {type: string, length: {maximum: 3}, pattern: "[A-Z]+"}
"""

    validated = checked(table, rules)

    assert validated.valid.to_pylist() == [{"price": 1.0, "name": "A", "row_id": "row-0", "split": None}]
    assert validated.quarantine.to_pylist()[0] == {
        "price": "-3",
        "name": "toolong",
        "row_id": "row-1",
        "split": None,
        "operation": "validate_table",
        "rule": "price.range",
        "reason": "price is '-3'; expected 0 to 1000",
        "related_row_id": None,
        "rules": ["price.range", "name.length", "name.pattern"],
    }
    assert reasons(validated) == {
        "row-1": "price is '-3'; expected 0 to 1000",
        "row-2": "price is 'abc'; expected a number",
        "row-3": "price is empty; expected a value",
    }
    assert validated.counts == {
        "rows_in": 4,
        "rows_valid": 1,
        "rows_quarantined": 3,
        "table_breaks": 0,
        "broken[price.type]": 1,
        "broken[price.nullable]": 1,
        "broken[price.range]": 1,
        "broken[name.length]": 1,
        "broken[name.pattern]": 1,
    }


@pytest.mark.parametrize(
    ("rules", "values", "reason"),
    [
        ("type: integer", ["x"], "x is 'x'; expected an integer"),
        ("type: boolean", ["x"], "x is 'x'; expected a boolean"),
        ("type: timestamp", ["x"], "x is 'x'; expected a time in ISO 8601"),
        ("type: date", ["x"], "x is 'x'; expected a date, year-month-day"),
        ("type: integer", [1.5], "x is 1.5; expected an integer"),
        ("nullable: false", [None], "x is null; expected a value"),
        ("nullable: false", [float("nan")], "x is empty; expected a value"),
        ("nullable: false", pyarrow.array([None], pyarrow.list_(pyarrow.int64())), "x is null; expected a value"),
        ("type: number, range: {minimum: 0.5}", [0.25], "x is 0.25; expected 0.5 or more"),
        ("type: integer, range: {maximum: 9007199254740992}", [2**53 + 1], "x is 9007199254740993; expected 900719"),
        ("type: number, range: {minimum: 0.1}", [Decimal("0.09")], "x is 0.09; expected 0.1 or more"),
        (
            "type: date, range: {minimum: 2026-01-01}",
            [date(2025, 12, 31)],
            "x is 2025-12-31; expected 2026-01-01 or more",
        ),
        (
            "type: timestamp, range: {maximum: 2026-01-01}",
            ["2026-01-01T00:00:01Z"],
            "x is '2026-01-01T00:00:01Z'; expected",
        ),
        ("type: string, length: {minimum: 2, maximum: 3}", ["🫖"], "x has 1 characters; expected 2 to 3 characters"),
        ("type: string, pattern: 'a.c'", ["xabc"], "x is 'xabc'; expected a match of a.c"),
        ("type: string, pattern: 'a.c'", ["abcx"], "x is 'abcx'; expected a match of a.c"),
        ("type: string, pattern: 'a|b'", ["ab"], "x is 'ab'; expected a match of a|b"),
        ("type: string, pattern: ''", ["a"], "x is 'a'; expected a match of "),
        ("type: string, allowed: [tea, cup]", ["Tea"], "x is 'Tea'; expected one of 'tea', 'cup'"),
        ("type: integer, allowed: [1, 2, 3, 4, 5, 6]", [7], "x is 7; expected one of 1, 2, 3, 4, 5 and 1 more"),
    ],
)
def test_the_reason_says_the_value_and_what_was_expected(rules, values, reason):
    assert reasons(column(rules, values))["row-0"].startswith(reason)


@pytest.mark.parametrize(
    ("rules", "values"),
    [
        ("type: integer, range: {minimum: -1, maximum: 300}", pyarrow.array([0, 255], pyarrow.uint8())),
        ("type: integer, range: {minimum: 0.5, maximum: 1.5}", [1]),
        ("type: integer, allowed: [1, 300]", pyarrow.array([1], pyarrow.int8())),
        ("type: number, range: {minimum: 0.1, maximum: 0.1}", pyarrow.array([0.1], pyarrow.float32())),
        ("type: number, range: {maximum: '1e400'}", [1.7e308]),
        ("type: number, range: {minimum: 0.1, maximum: '1e50'}", [Decimal("0.10")]),
        ("type: number, range: {minimum: 0}", [float("nan"), None]),
        (
            "type: timestamp, range: {minimum: 2026-01-01}",
            pyarrow.array([1767225600000000001], pyarrow.timestamp("ns")),
        ),
        ("type: string, pattern: 'a.c'", ["a\nc"]),
        ("type: string, length: {minimum: 1}, pattern: x, allowed: [x]", [None, "x"]),
        ("type: string, nullable: false", [""]),
        ("unique: true", [None, None, "a"]),
    ],
)
def test_what_keeps_its_rules_is_valid(rules, values):
    validated = column(rules, values)

    assert (validated.quarantine.num_rows, breaks(validated)) == (0, {})


@pytest.mark.parametrize("low", [300, 10**30])
def test_a_range_that_the_type_cannot_reach_holds_nothing(low):
    values = pyarrow.array([5], pyarrow.int8())
    assert column(f"type: integer, range: {{minimum: {low}}}", values).counts["rows_quarantined"] == 1
    decimals = pyarrow.array([Decimal("5.00")], pyarrow.decimal128(4, 2))
    assert column(f"type: number, range: {{minimum: {low}}}", decimals).counts["rows_quarantined"] == 1


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    st.tuples(st.integers(-(2**65), 2**65), st.integers(-(2**65), 2**65)).map(sorted),
)
@settings(max_examples=25)
def test_ranges_of_whole_numbers_are_those_of_python(values, bounds):
    low, high = bounds

    validated = column(f"type: integer, range: {{minimum: {low}, maximum: {high}}}", values, pyarrow.int64())

    assert validated.valid["x"].to_pylist() == [value for value in values if low <= value <= high]


ROWS = st.lists(
    st.tuples(st.sampled_from(["1", "2", "-1", "x", "", None]), st.sampled_from(["a", "b", "", None])), max_size=15
)


@given(ROWS)
@settings(max_examples=40)
def test_every_row_is_valid_or_in_quarantine_and_valid_rows_keep_the_rules_again(rows):
    numbers, names = map(list, zip(*rows, strict=True)) if rows else ([], [])
    table = table_of(n=pyarrow.array(numbers, pyarrow.string()), s=pyarrow.array(names, pyarrow.string()))
    rules = (
        "unique: [[n, s]]\ncolumns: {n: {type: integer, range: {minimum: 0}}, s: {type: string, length: {minimum: 1}}}"
    )

    validated = checked(table, rules)
    again = checked(validated.valid, rules)

    ids = [*validated.valid["row_id"].to_pylist(), *validated.quarantine["row_id"].to_pylist()]
    assert sorted(ids) == sorted(table["row_id"].to_pylist())
    assert again.valid == validated.valid
    assert all(
        rule == of_row[0]
        for rule, of_row in zip(*(validated.quarantine[c].to_pylist() for c in ("rule", "rules")), strict=True)
    )


def test_of_rows_that_repeat_the_first_stays_and_is_named():
    validated = column("type: string, unique: true", ["a", "b", "a", "a"])

    assert validated.valid["x"].to_pylist() == ["a", "b"]
    assert validated.quarantine["related_row_id"].to_pylist() == ["row-0", "row-0"]
    assert validated.quarantine["reason"].to_pylist() == ["x is 'a'; expected a value that no earlier row has"] * 2


def test_a_row_is_no_repetition_of_one_that_goes_for_another_reason():
    table = table_of(key=["a", "a", "a"], price=[-1, 5, 6])

    validated = checked(table, "columns: {key: {unique: true}, price: {type: integer, range: {minimum: 0}}}")

    assert validated.valid["row_id"].to_pylist() == ["row-1"]
    assert validated.quarantine["related_row_id"].to_pylist() == [None, "row-1"]


def test_sets_of_columns_are_unique_together():
    validated = checked(table_of(a=[1, 1, 1], b=["x", "y", "x"]), "unique: [[a, b]]")

    assert validated.quarantine["rule"].to_pylist() == ["unique[a, b]"]
    assert reasons(validated) == {"row-2": "a, b: expected values that no earlier row has together"}


def test_a_million_identical_rows_leave_one():
    validated = column("type: string, unique: true", pyarrow.array(["tea"] * 10**6))

    assert validated.valid.num_rows == 1
    assert validated.quarantine["related_row_id"].unique().to_pylist() == ["row-0"]


def test_a_cell_of_10_mb_is_checked_and_quoted_in_short():
    validated = column("type: string, pattern: '(a+)+'", ["a" * 10**7, "a" * 10**7 + "b"])

    assert validated.valid.num_rows == 1
    [reason] = reasons(validated).values()
    assert len(reason) < 150
    assert "…" in reason


def test_checking_leaves_arrow_and_the_environment_alone():
    program = """
import os, datetime, pyarrow
before = dict(os.environ)
import seatrial.components.curation.validate
assert dict(os.environ) == before
time = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
assert pyarrow.array([time], pyarrow.timestamp("us", "UTC"))[0].as_py() == time
"""
    variables = {name: value for name, value in os.environ.items() if name != "PYARROW_IGNORE_TIMEZONE"}
    subprocess.run([sys.executable, "-c", program], check=True, env=variables)


def test_times_without_a_zone_are_in_utc():
    rules = "type: timestamp, range: {minimum: 2026-01-01T12:00:00Z}"
    zoned = [datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=2)))]

    assert column(rules, [datetime(2026, 1, 1, 12)]).counts["rows_valid"] == 1
    assert column(rules, zoned, pyarrow.timestamp("us", "Europe/Berlin")).counts["rows_valid"] == 0
    assert column(rules, ["2026-01-01T12:00"]).valid["x"].to_pylist() == [datetime(2026, 1, 1, 12, tzinfo=UTC)]


def test_columns_that_are_missing_unexpected_or_of_another_type_refuse_the_table():
    table = table_of(prize=[1.0], flag=[True], code=[7])
    rules = """
unexpected_columns: fail
unique: [[flag, name]]
columns:
  price: {type: number}
  spare: {required: false, type: number, range: {minimum: 1}}
  flag: {type: number}
  code: {type: string}
"""

    assert breaks(checked(table, rules)) == {
        "price.required": "there is no column 'price'. Did you mean 'prize'?",
        "unique[flag, name]": "there is no column 'name'.",
        "unexpected_columns": "no rule names the column 'prize'",
        "flag.type": "the column is bool, which cannot be read as number.",
        "code.type": "the column is int64, which cannot be read as string. "
        'Ingest it with the schema {"code": "string"}.',
    }


def test_a_table_without_rows_is_refused_by_its_number_of_rows():
    table = table_of(x=pyarrow.array([], pyarrow.string()))

    validated = validate(table, parse_rules("columns: {x: {type: number, nullable: false, unique: true}}"), None, NOW)

    assert breaks(validated) == {"rows": "0 rows are valid; expected 1 or more"}
    assert validated.valid["x"].type == pyarrow.float64()
    assert validated.quarantine.column_names[-5:] == ["operation", "rule", "reason", "related_row_id", "rules"]


def test_too_many_rows_in_quarantine_refuse_the_table():
    rules = parse_rules("maximum_quarantine_share: 0.25\ncolumns: {x: {type: number}}")

    assert breaks(validate(table_of(x=["1", "2", "3", "x"]), rules, None, NOW)) == {}
    assert breaks(validate(table_of(x=["1", "2", "x", "x"]), rules, None, NOW)) == {
        "maximum_quarantine_share": "2 of 4 rows (50.00%) break a rule; expected 25.00% at most"
    }


def test_a_column_of_nulls_breaks_its_share_and_its_freshness():
    found = breaks(column("type: date, maximum_null_share: 0.5, freshness: {days: 1}", [None, None]))

    assert found == {
        "x.maximum_null_share": "100.00% are null; expected 50.00% at most",
        "x.freshness": "there is no value; expected one that is new",
    }


@pytest.mark.parametrize(
    ("newest", "is_fresh"),
    [
        (pyarrow.array([datetime(2026, 1, 30, 12)]), True),
        (pyarrow.array([datetime(2026, 1, 30, 11, 59)]), False),
        (pyarrow.array([datetime(2026, 1, 30, 12)], pyarrow.timestamp("ns", "UTC")), True),
        (pyarrow.array([date(2026, 1, 31)]), True),
        (pyarrow.array([date(2026, 1, 30)]), False),
        (pyarrow.array(["2026-01-30T14:00+02:00", "2020-01-01"]), True),
    ],
)
def test_the_newest_value_is_fresh_or_refuses_the_table(newest, is_fresh):
    type_ = "date" if pyarrow.types.is_date(newest.type) else "timestamp"

    found = breaks(column(f"type: {type_}, freshness: {{days: 1, hours: 12}}", newest))

    assert found.keys() == (set() if is_fresh else {"x.freshness"})


def test_staleness_is_said_in_days():
    found = breaks(column("type: timestamp, freshness: {days: 7}", [datetime(2026, 1, 1)]))

    assert found["x.freshness"] == (
        "the newest value, 2026-01-01 00:00:00, is 31.0 days older than 2026-02-01 00:00 UTC; expected 7 days at most"
    )


def sample(seed: int, mean: float, rows: int = 1_000, nulls: int = 0) -> pyarrow.Table:
    generator = random.Random(seed)
    values = [None if row < nulls else generator.gauss(mean, 1) for row in range(rows)]
    return table_of(x=values, s=["tea" if (value or 0) < 0.5 else "cup" for value in values])


DRIFT = "columns: {x: {type: number, drift: {psi: 0.25, null_share: 0.1}}, s: {type: string, drift: {psi: 0.25}}}"


def test_another_sample_of_the_same_has_no_drift():
    validated = checked(sample(2, 0), DRIFT, sample(1, 0))

    assert breaks(validated) == {}
    assert [shift.column for shift in validated.shifts] == ["x", "s"]
    assert all(0 < shift.index < 0.1 for shift in validated.shifts)


def test_a_few_rows_have_no_drift_by_chance_alone():
    [shift, _] = (validated := checked(sample(2, 0, rows=20), DRIFT, sample(1, 0))).shifts

    assert shift.index > 0.25
    assert breaks(validated) == {}


def test_moved_values_and_more_nulls_are_drift():
    found = breaks(checked(sample(2, 1, nulls=300), DRIFT, sample(1, 0)))

    assert found.keys() == {"x.drift"} | ({"s.drift"} & found.keys())
    assert "its population stability index is" in found["x.drift"]
    assert "its share of nulls went from 0.00% to 30.00%; expected a change of 10.00% at most" in found["x.drift"]


def test_drift_that_cannot_be_measured_is_noted():
    without_column = table_of(other=[1])

    assert checked(sample(2, 0), DRIFT).notes == ["Drift was not checked: there is no accepted profile."]
    assert checked(sample(2, 0), DRIFT, without_column).notes == [
        "Drift of x was not checked: the accepted profile has no such column.",
        "Drift of s was not checked: the accepted profile has no such column.",
    ]


def test_a_profile_in_which_the_column_had_another_type_is_refused():
    with pytest.raises(InputError, match="counts categories of the column 'x', which is number by the rules"):
        checked(sample(2, 0), DRIFT, table_of(x=["a", "a"], s=["tea", "tea"]))


@pytest.mark.parametrize(
    ("table", "rules", "message"),
    [
        (table_of(reason=["x"]), "", "has a column 'reason', which validate_table adds to quarantine. Rename it"),
        (table_of(x=[1]).drop_columns("row_id"), "", "no column 'row_id'. Pass the output of ingest_table"),
        (
            pyarrow.table({"row_id": ["a", "a"], "split": ["train"] * 2}),
            "",
            "'row_id' has nulls or repetitions. Pass the output of ingest_table",
        ),
        (table_of(x=[[1]]), "columns: {x: {unique: true}}", "'x' is to be unique, but its values have the type list"),
    ],
)
def test_what_cannot_be_checked_is_an_error(table, rules, message):
    with pytest.raises(InputError, match=message):
        checked(table, rules)


def test_a_refusal_names_all_that_is_wrong_and_where_to_look():
    with pytest.raises(InputError) as error:
        check_accepted(column("type: date, maximum_null_share: 0.5, freshness: {days: 1}", [None]), "gs://r", "gs://q")

    assert "breaks 2 of the rules for the whole table: x.maximum_null_share: " in str(error.value)
    assert "x.freshness: there is no value" in str(error.value)
    assert "The report is gs://r, the quarantined rows are in gs://q." in str(error.value)
    check_accepted(column("type: date", [None]), "gs://r", "gs://q")


def test_now_is_a_time_in_utc():
    assert time_of("2026-02-01T02:00+02:00") == time_of("2026-02-01") == NOW
    assert abs(time_of("") - datetime.now(UTC)) < timedelta(minutes=5)
    with pytest.raises(InputError, match="now is 'yesterday'; expected a time in ISO 8601"):
        time_of("yesterday")
