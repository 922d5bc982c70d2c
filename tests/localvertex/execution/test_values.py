"""Parameter values: whole numbers, types, conversion to what a receiver declares."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.localvertex.api import message
from seatrial.localvertex.execution.values import convert, from_struct, matches, shown

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), _JSON))
def test_a_struct_gives_back_the_values_that_were_put_in(document: dict[str, object]) -> None:
    artifact = message("Artifact")()
    artifact.metadata.update(document)
    assert from_struct(artifact.metadata) == document


def test_whole_numbers_of_a_struct_are_ints_and_others_are_floats() -> None:
    artifact = message("Artifact")()
    artifact.metadata.update({"version": 1, "nested": [{"rate": 0.5, "rows": 3}], "nan": math.nan, "huge": 1e300})
    values = from_struct(artifact.metadata)
    assert repr(values["version"]) == "1"
    assert repr(values["nested"][0]["rows"]) == "3"
    assert values["nested"][0]["rate"] == 0.5
    assert math.isnan(values["nan"])
    assert isinstance(values["huge"], float)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        ("a", "STRING"),
        (1, "NUMBER_INTEGER"),
        (1, "NUMBER_DOUBLE"),
        (0.5, "NUMBER_DOUBLE"),
        (True, "BOOLEAN"),
        ([1], "LIST"),
        ({}, "STRUCT"),
    ],
)
def test_a_value_matches_its_type(value: object, declared: str) -> None:
    assert matches(value, declared)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (1, "STRING"),
        (0.5, "NUMBER_INTEGER"),
        (True, "NUMBER_INTEGER"),
        (True, "NUMBER_DOUBLE"),
        ("1", "NUMBER_INTEGER"),
        (0, "BOOLEAN"),
        ({}, "LIST"),
        ([], "STRUCT"),
    ],
)
def test_a_value_of_another_type_does_not_match(value: object, declared: str) -> None:
    assert not matches(value, declared)


@pytest.mark.parametrize(
    ("value", "declared", "converted"),
    [
        (1, "NUMBER_DOUBLE", 1.0),
        (3.0, "NUMBER_INTEGER", 3),
        ("3", "NUMBER_INTEGER", 3),
        ("0.5", "NUMBER_DOUBLE", 0.5),
        ("True", "BOOLEAN", True),
        ('{"a": 1}', "STRUCT", {"a": 1}),
        ("[1, 2]", "LIST", [1, 2]),
        (1, "STRING", "1"),
        ({"a": 1}, "STRING", '{"a": 1}'),
        ("1", "STRING", "1"),
    ],
)
def test_a_value_is_converted_to_what_its_receiver_declares(value: object, declared: str, converted: object) -> None:
    assert repr(convert(value, declared)) == repr(converted)


@pytest.mark.parametrize(
    ("value", "declared"),
    [("abc", "NUMBER_INTEGER"), (0.5, "NUMBER_INTEGER"), (True, "NUMBER_INTEGER"), ('"[]"', "LIST"), (1, "BOOLEAN")],
)
def test_a_value_that_cannot_be_read_as_the_type_is_refused(value: object, declared: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        convert(value, declared)


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(shown("x" * 1_000_000)) < 100
