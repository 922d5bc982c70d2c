"""The list-filter language: what matches, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.localvertex.api import ApiError
from seatrial.localvertex.filters import parse_filter

RESOURCE = {
    "displayName": "reviews",
    "state": "PIPELINE_STATE_SUCCEEDED",
    "labels": {"team": "search", "cost-center": "7"},
    "createTime": "2026-11-02T10:00:00Z",
    "metadata": {"accuracy": 0.81, "name": "linear"},
    "versionAliases": ["champion", "default"],
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        'display_name="reviews"',
        "displayName = 'reviews'",
        'display_name="rev*"',
        "state!=PIPELINE_STATE_FAILED",
        "labels.team=search",
        "labels.cost-center=7",
        "labels.team:*",
        "labels:team",
        "version_aliases:champion",
        'create_time>"2026-11-01T00:00:00Z" AND create_time<"2026-12-01T00:00:00Z"',
        'create_time>"2026-11-02T10:30:00+01:00" AND create_time<"2026-11-02T10:00:00.5Z"',
        'create_time="2026-11-02T11:00:00+01:00"',
        'create_time>"2026-11-02" AND create_time<"2026-11-03"',
        "metadata.accuracy.number_value>0.8",
        "metadata.name.string_value=linear",
        'NOT display_name="other"',
        'display_name="other" OR (state=PIPELINE_STATE_SUCCEEDED AND NOT labels.team=ads)',
        'display_name="reviews" labels.team="search"',
    ],
)
def test_a_filter_that_holds_matches(text):
    assert parse_filter(text)(RESOURCE)


@pytest.mark.parametrize(
    "text",
    [
        'display_name="review"',
        "labels.owner:*",
        "labels.owner=x",
        "version_aliases:previous",
        "metadata.accuracy>0.9",
        'display_name="reviews" AND labels.team=ads',
        'NOT (display_name="reviews" OR labels.team=ads)',
        'create_time<"2026-11-01T00:00:00Z"',
    ],
)
def test_a_filter_that_does_not_hold_does_not_match(text):
    assert not parse_filter(text)(RESOURCE)


@pytest.mark.parametrize("text", ["display_name=", "= x", "(a=b", "a=b)", "a b c", "no_such(x)", '"a"="b"', "a=b AND"])
def test_a_malformed_filter_is_refused_with_its_text(text):
    with pytest.raises(ApiError, match="Invalid filter expression") as error:
        parse_filter(text)
    assert error.value.code.name == "INVALID_ARGUMENT"


def test_functions_come_from_the_caller():
    def in_context(name):
        return lambda resource: resource["displayName"] == name

    functions = {"in_context": in_context}

    assert parse_filter('in_context("reviews") AND state:*', functions)(RESOURCE)
    assert not parse_filter('in_context("other")', functions)(RESOURCE)


@given(st.text())
def test_any_quoted_text_is_compared_as_it_is(value):
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    wanted = "*" not in value

    assert parse_filter(f'display_name="{quoted}"')({"displayName": value}) or not wanted


@given(st.text(max_size=40))
def test_no_text_crashes_the_parser(text):
    try:
        parse_filter(text)({})
    except ApiError as error:
        assert error.code.name == "INVALID_ARGUMENT"
