"""How far a column has moved between the bins of an accepted profile."""

import math
import random

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.columns import duckdb_session
from seatrial.components.curation.drift import (
    OTHERS,
    Distribution,
    counted,
    distribution,
    index_by_chance,
    population_stability_index,
)


def column(values: list, type: pyarrow.DataType | None = None) -> pyarrow.ChunkedArray:
    return pyarrow.chunked_array([pyarrow.array(values, type)])


def binned(values: list, kind: str, type: pyarrow.DataType | None = None) -> Distribution | None:
    with duckdb_session() as connection:
        return distribution(connection, column(values, type), kind)


def binned_again(values: list, bins: Distribution, type: pyarrow.DataType | None = None) -> Distribution:
    with duckdb_session() as connection:
        return counted(connection, column(values, type), bins)


def test_the_index_is_that_of_the_book():
    # Half a value more in each bin is nothing beside a million.
    shares = [(0.1, 0.3), (0.4, 0.4), (0.5, 0.3)]
    expected = sum((now - before) * math.log(now / before) for before, now in shares)

    found = population_stability_index(*([round(share * 1e6) for share in side] for side in zip(*shares, strict=True)))

    assert found == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30))
def test_the_index_is_finite_not_negative_and_the_same_both_ways(counts):
    before, now = zip(*counts, strict=True)

    index = population_stability_index(before, now)

    assert 0 <= index < math.inf
    assert index == pytest.approx(population_stability_index(now, before))
    assert population_stability_index(before, before) == 0


def test_samples_of_one_population_stay_below_the_index_by_chance():
    generator = random.Random(5)
    exceeded = 0
    for _ in range(400):
        before, now = ([0] * 10, [0] * 10)
        for counts, values in ((before, 2_000), (now, 300)):
            for _ in range(values):
                counts[generator.randrange(10)] += 1
        exceeded += population_stability_index(before, now) > index_by_chance(before, now)

    assert exceeded <= 3


def test_numbers_with_few_values_have_a_bin_each_and_one_at_each_side():
    found = binned([1, 1, 2, 5, None], "integer")

    assert found == Distribution("values", (1, 2, 5), (0, 2, 1, 1, 0))
    assert found.names == ["below 1", "1", "above 1, up to 2", "above 2, up to 5", "above 5"]
    assert binned_again([0, 3, 9, None], found).counts == (1, 0, 0, 1, 1)


def test_numbers_with_many_values_have_their_deciles():
    found = binned(list(range(1_001)), "integer")

    assert found.bounds == (0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000)
    assert found.counts == (0, 1, *[100] * 10, 0)


def test_whole_numbers_that_floating_point_cannot_tell_apart_are_apart():
    assert binned([2**53, 2**53 + 1], "integer").counts == (0, 1, 1, 0)


def test_nan_is_in_no_bin_and_infinity_beyond_the_last():
    found = binned([1.0, float("nan"), float("inf"), float("-inf")], "number")

    assert found == Distribution("values", (1.0,), (1, 1, 1))


def test_decimals_of_another_type_fall_into_the_same_bins():
    from decimal import Decimal

    found = binned([Decimal("1.25"), Decimal("9.5")], "number", pyarrow.decimal128(38, 2))

    assert binned_again([Decimal("1.2500")], found, pyarrow.decimal128(20, 4)).counts == (0, 1, 0, 0)


def test_texts_that_repeat_are_categories_and_new_ones_are_others():
    found = binned(["a", "a", "b", None], "string")

    assert found == Distribution("categories", ("a", "b"), (2, 1, 0))
    assert found.names == ["a", "b", OTHERS]
    assert binned_again(["a", "c", "d"], found).counts == (1, 0, 2)


def test_texts_that_do_not_repeat_are_compared_by_their_lengths():
    found = binned(["x" * length for length in range(1, 22)], "string")

    assert found.of == "lengths"
    assert sum(found.counts) == 21
    assert found.names[0] == "below 1 characters"


@pytest.mark.parametrize(
    ("values", "kind"),
    [([None], "integer"), ([None], "string"), ([float("nan")], "number"), ([1], "timestamp"), ([[1]], None)],
)
def test_a_column_without_values_or_of_times_is_not_compared(values, kind):
    assert binned(values, kind, pyarrow.int64() if values == [None] and kind == "integer" else None) is None
