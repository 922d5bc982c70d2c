"""The file of rules: what it may say, and what is said of one that is wrong."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.curation import rules as module
from seatrial.components.curation.rules import Bounds, ColumnRules, Drift, Rules, parse_rules, read_rules
from seatrial.components.runtime import InputError


def test_the_example_of_the_documentation_is_read():
    example = module.__doc__.split("checked to the last key.")[1].split("Rules of a row")[0]

    assert parse_rules(example) == Rules(
        columns={
            "price": ColumnRules(
                type="number",
                nullable=False,
                maximum_null_share=0.1,
                range=Bounds(Decimal(0), Decimal("1000.5")),
                drift=Drift(0.25, 0.1),
            ),
            "country": ColumnRules(type="string", length=Bounds(2, 2), pattern="[A-Z]{2}", allowed=("DE", "FR")),
            "order": ColumnRules(unique=True),
            "written": ColumnRules(type="timestamp", freshness=timedelta(days=1, hours=12)),
        },
        unique=(("product", "review"),),
        rows=Bounds(1, 1_000_000),
    )


def test_what_is_left_out_is_not_checked():
    assert parse_rules("{}") == Rules({}, (), Bounds(minimum=1), "allow", 0.05)
    assert parse_rules("columns: {a: , b: {}}").columns == {"a": ColumnRules(), "b": ColumnRules()}


@pytest.mark.parametrize(
    ("type", "written", "bound"),
    [
        ("number", "0.1", Decimal("0.1")),
        ("number", "1e3", Decimal(1000)),
        ("number", "'12345678901234567890.123'", Decimal("12345678901234567890.123")),
        ("integer", "9007199254740993", Decimal(9007199254740993)),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("date", "'2026-01-31'", date(2026, 1, 31)),
        ("timestamp", "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("timestamp", "2026-01-31 12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("timestamp", "2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_bounds_are_exact_and_times_in_utc(type, written, bound):
    rules = parse_rules(f"columns: {{a: {{type: {type}, range: {{minimum: {written}}}}}}}")

    assert rules.columns["a"].range == Bounds(minimum=bound)


def wrong(text: str) -> str:
    with pytest.raises(InputError) as error:
        parse_rules(text)
    assert str(error.value).startswith("The rules")
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is None; expected a mapping"),
        ("- price", "the file is ['price']; expected a mapping"),
        ("{", "cannot be read: expected the node content"),
        ("\x00", "cannot be read: unacceptable character"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor for the tag"),
        ("a: &a [x]\nb: [*a, *a]", "there is an alias, *a in line 2"),
        ("columns: {a: {}}\ncolumns: {}", "the key 'columns' is there twice in line 2"),
        ("[" * 1_500, "nested too deeply"),
        ("rows: !!timestamp x", "cannot be read"),
        ("rows: !!int ''", "cannot be read"),
        ("rows: {minimum: 1" + "0" * 5_000 + "}", "cannot be read: Exceeds the limit"),
        ("? [a]\n: b", "unhashable key"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text, message):
    assert message in wrong(text)


def test_aliases_that_stand_for_billions_are_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]

    assert "there is an alias" in wrong("\n".join(lines))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("tpye: string", "columns.a has the unknown key 'tpye'; expected type, required"),
        ("tpye: string", "Did you mean 'type'?"),
        ("type: strng", "Did you mean 'string'?"),
        ("type: [string]", "columns.a.type is ['string']; expected string, integer"),
        ("required: maybe", "columns.a.required is 'maybe'; expected true or false"),
        ("nullable: 1", "columns.a.nullable is 1; expected true or false"),
        ("maximum_null_share: 2", "columns.a.maximum_null_share is 2; expected a number from 0 to 1"),
        ("range: {minimum: 1}", "columns.a has the rule 'range' and no type; expected the type integer, number"),
        ("type: boolean, range: {minimum: 1}", "the rule 'range' and the type 'boolean'"),
        ("type: number, range: 5", "columns.a.range is 5; expected a mapping"),
        ("type: number, range: {}", "expected a minimum, a maximum or both"),
        ("type: number, range: {minimum: 2, maximum: 1}", "expected a minimum that is not above the maximum"),
        ("type: number, range: {mininum: 2}", "Did you mean 'minimum'?"),
        ("type: number, range: {minimum: x}", "columns.a.range.minimum is 'x'; expected a number"),
        ("type: number, range: {minimum: .nan}", "expected a number"),
        ("type: number, range: {minimum: '1e999999999'}", "expected a number"),
        (f"type: integer, range: {{minimum: 0x{'f' * 5_000}}}", "is a number of thousands of digits"),
        ("type: date, range: {minimum: 5}", "expected a date, such as 2026-01-31"),
        ("type: timestamp, range: {minimum: soon}", "expected a time, such as"),
        ("type: string, length: {minimum: -1}", "expected a whole number of 0 or more"),
        ("type: string, length: {minimum: 1.5}", "expected a whole number of 0 or more"),
        ("type: string, pattern: '('", "expected a regular expression of RE2"),
        ("type: string, pattern: '(?=a)a'", "which has no look-around"),
        ("type: string, pattern: '(a{900}){900}'", "expected a regular expression of RE2"),
        ("type: string, allowed: yes", "columns.a.allowed is True; expected a list of values"),
        ("type: string, allowed: []", "expected a list of values"),
        ("type: string, allowed: [yes, no]", "a value of columns.a.allowed is True; expected text; put it in quotes"),
        ("type: integer, allowed: [1.5]", "is 1.5; expected whole numbers"),
        ("type: date, freshness: {days: 0}", "expected more than nothing"),
        ("type: date, freshness: {days: .inf}", "expected days, hours or both, as numbers"),
        ("type: date, freshness: 3", "columns.a.freshness is 3; expected a mapping"),
        ("type: string, drift: {}", "expected psi, null_share or both"),
        ("type: string, drift: {psi: true}", "columns.a.drift.psi is True; expected a number above 0"),
        ("type: timestamp, drift: {psi: 1}", "the rule 'drift' and the type 'timestamp'"),
    ],
)
def test_a_wrong_rule_of_a_column_is_named(rules, message):
    assert message in wrong(f"columns: {{a: {{{rules}}}}}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colums: {}", "the file has the unknown key 'colums'"),
        ("columns: [a]", "columns is ['a']; expected a mapping"),
        ("columns: {no: {}}", "a key of columns is False; expected text; put a name such as 'no' or '1' in quotes"),
        ("rows: {minimum: a}", "rows.minimum is 'a'"),
        ("unique: a", "unique is 'a'; expected a list"),
        ("unique: [a]", "unique[0] is 'a'; expected a list of columns"),
        ("unique: [[a, a]]", "expected different columns"),
        ("unexpected_columns: deny", "unexpected_columns is 'deny'; expected allow or fail"),
        ("maximum_quarantine_share: 5%", "maximum_quarantine_share is '5%'; expected a number from 0 to 1"),
    ],
)
def test_a_wrong_rule_of_the_table_is_named(text, message):
    assert message in wrong(text)


@given(
    st.recursive(
        st.text(max_size=5) | st.integers() | st.booleans() | st.none(),
        lambda some: (
            st.lists(some, max_size=3)
            | st.dictionaries(
                st.sampled_from(["columns", "a", "type", "range", "minimum", "rows", "unique", "drift", "psi"]),
                some,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=80)
def test_any_document_is_read_or_refused_in_plain_words(document):
    import yaml

    try:
        assert isinstance(parse_rules(yaml.safe_dump(document)), Rules)
    except InputError as error:
        assert len(str(error)) < 1_500


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff", "are not UTF-8"), (b"#" * 1_000_001, "are larger than 1,000,000 bytes")],
)
def test_a_file_that_is_too_large_or_no_text_is_refused(content, message, tmp_path):
    (tmp_path / "rules").write_bytes(content)

    with pytest.raises(InputError, match=message):
        read_rules(tmp_path / "rules")


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        read_rules(tmp_path / "rules")
