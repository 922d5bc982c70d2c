"""How a column's values are spread over bins, and how far another table's values have moved between the same bins."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Literal

import duckdb
import pyarrow

from .columns import load

CATEGORY_CHARACTERS = 100
MOST_CATEGORIES = 20
OTHERS = "all others"
_EMPTY_BIN = 0.5
_CHANCE = 0.999
_DECILES = [tenth / 10 for tenth in range(1, 10)]


@dataclass(frozen=True)
class Distribution:
    """How often values fall into each bin.

    Attributes:
        of: What is counted: the "values" of numbers, the "lengths" of texts in characters, or "categories".
        bounds: Of values and lengths the edges a < b < … < z, of n edges n + 2 bins: below a, a itself, above a up to
            and with b, …, above z. Of categories their names, the first `CATEGORY_CHARACTERS` characters of a text,
            and one more bin for all others.
        counts: How many values are in each bin. Nulls and NaN are in none.
    """

    of: Literal["values", "lengths", "categories"]
    bounds: tuple[Any, ...]
    counts: tuple[int, ...]

    @property
    def names(self) -> list[str]:
        """What the bins are called."""
        texts = [str(bound) for bound in self.bounds]
        if self.of == "categories":
            return [*(text if text.strip() else repr(text) for text in texts), OTHERS]
        unit = " characters" if self.of == "lengths" else ""
        upward = [f"above {low}, up to {high}" for low, high in pairwise(texts)]
        return [f"{name}{unit}" for name in (f"below {texts[0]}", texts[0], *upward, f"above {texts[-1]}")]


def distribution(
    connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray, kind: str | None
) -> Distribution | None:
    """Bins that suit values, and how often they fall into them.

    Numbers with few values: an edge each; else the deciles and the ends. Booleans, and texts that repeat (half as many
    values as texts, or few): the most frequent categories. Other texts: their lengths, like numbers.

    Returns:
        None for a column without values or of a kind that is not compared: times go on by themselves.
    """
    _load(connection, values)
    if kind in ("integer", "number"):
        return _of_numbers(connection, "values")
    if kind == "boolean":
        return _of_categories(connection)
    if kind == "string":
        [(texts, distinct)] = connection.execute("SELECT count(x), count(DISTINCT x) FROM data").fetchall()
        repeats = distinct <= max(MOST_CATEGORIES, texts / 2)
        return _of_categories(connection) if repeats else _of_numbers(connection, "lengths")
    return None


def _of_numbers(connection: duckdb.DuckDBPyConnection, of: Literal["values", "lengths"]) -> Distribution | None:
    _measure(connection, of)
    few = connection.execute(
        "SELECT DISTINCT m FROM measured WHERE isfinite(m::DOUBLE) ORDER BY m LIMIT ?", [MOST_CATEGORIES + 1]
    ).fetchall()
    if not few:
        return None
    bounds = [value for (value,) in few]
    if len(bounds) > MOST_CATEGORIES:
        [(low, deciles, high)] = connection.execute(
            f"SELECT min(m), quantile_disc(m, {_DECILES}), max(m) FROM measured WHERE isfinite(m::DOUBLE)"  # noqa: S608
        ).fetchall()
        bounds = sorted({low, *deciles, high})
    return _counted(connection, Distribution(of, tuple(bounds), ()))


def _of_categories(connection: duckdb.DuckDBPyConnection) -> Distribution | None:
    frequent = most_frequent(connection, MOST_CATEGORIES)
    if not frequent:
        return None
    return _counted(connection, Distribution("categories", tuple(name for name, _ in frequent), ()))


def most_frequent(connection: duckdb.DuckDBPyConnection, limit: int) -> list[tuple[str, int]]:
    """The most frequent values of the column `x` of `data` as categories, and how often each occurs."""
    return connection.execute(
        "SELECT left(x::VARCHAR, ?) AS name, count(*) FROM data WHERE x IS NOT NULL GROUP BY name ORDER BY 2 DESC, 1 "
        "LIMIT ?",
        [CATEGORY_CHARACTERS, limit],
    ).fetchall()


def counted(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray, bins: Distribution) -> Distribution:
    """How often values fall into the bins of another distribution."""
    _load(connection, values)
    return _counted(connection, bins)


def _load(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray) -> None:
    """Bins of decimals are those of the nearest floating-point numbers: decimals of two types may not compare."""
    load(connection, {"x": values.cast(pyarrow.float64()) if pyarrow.types.is_decimal(values.type) else values})


def _counted(connection: duckdb.DuckDBPyConnection, bins: Distribution) -> Distribution:
    if bins.of == "categories":
        found = dict(
            connection.execute(
                "SELECT left(x::VARCHAR, ?) AS name, count(*) FROM data WHERE name IN (SELECT unnest(?::VARCHAR[])) "
                "GROUP BY name",
                [CATEGORY_CHARACTERS, list(bins.bounds)],
            ).fetchall()
        )
        [(total,)] = connection.execute("SELECT count(x) FROM data").fetchall()
        counts = [found.get(name, 0) for name in bins.bounds]
        return Distribution(bins.of, bins.bounds, (*counts, total - sum(counts)))
    _measure(connection, bins.of)
    # Cumulative counts: below the first edge, up to each edge, all.
    selected = ["count(*) FILTER (m < ?)", *["count(*) FILTER (m <= ?)"] * len(bins.bounds), "count(*)"]
    [reached] = connection.execute(
        f"SELECT {', '.join(selected)} FROM measured",  # noqa: S608
        [bins.bounds[0], *bins.bounds],
    ).fetchall()
    steps = (after - before for before, after in zip((0, *reached), reached, strict=False))
    return Distribution(bins.of, bins.bounds, tuple(steps))


def _measure(connection: duckdb.DuckDBPyConnection, of: str) -> None:
    measured = {"values": "x", "lengths": "length(x)"}[of]
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW measured AS SELECT {measured} AS m FROM data "  # noqa: S608
        "WHERE x IS NOT NULL AND NOT isnan(m::DOUBLE)"
    )


def population_stability_index(expected: Sequence[int], actual: Sequence[int]) -> float:
    """How far counts in bins have moved: the sum over bins of (a − e)·ln(a / e), with a and e the shares of a bin.

    The measure and the rule of thumb (below 0.1 no change worth a look, from 0.25 a shift) are those of N. Siddiqi,
    Credit Risk Scorecards, 2006, chapter 8. Half a value is added to each count, so that an empty bin has a logarithm.

    Args:
        expected: Values in each bin before.
        actual: Values in the same bins now.
    """

    def shares(counts: Sequence[int]) -> Iterable[float]:
        total = sum(counts) + _EMPTY_BIN * len(counts)
        return [(count + _EMPTY_BIN) / total for count in counts]

    pairs = zip(shares(expected), shares(actual), strict=True)
    return math.fsum((now - before) * math.log(now / before) for before, now in pairs)


def index_by_chance(expected: Sequence[int], actual: Sequence[int]) -> float:
    """What the index exceeds once in a thousand times if both counts are samples of one population.

    Without a shift it is distributed as (1/n + 1/m)·χ² with one degree of freedom less than there are bins (B. Yurdakul
    and J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation, 2020);
    the quantile of χ² is that of Wilson and Hilferty, 1931. Small tables move far by chance alone.
    """
    used = sum(before + now > 0 for before, now in zip(expected, actual, strict=True))
    freedom = max(1, used - 1)
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + NormalDist().inv_cdf(_CHANCE) * math.sqrt(spread)) ** 3
    return quantile * (1 / max(1, sum(expected)) + 1 / max(1, sum(actual)))
