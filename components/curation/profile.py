"""What a table holds, column by column: statistics, histograms, problems worth a look, as one JSON document.

The document, which `validate_table` reads as the last accepted profile:

    {"kind": "table_profile", "schema_version": "1", "rows": 4000,
     "columns": {"score": {
        "type": "int64",            as Arrow names it
        "kind": "integer",          string, integer, number, boolean, timestamp, date; null: only nulls are counted
        "nulls": 0,
        "distinct": 5,              values that differ, NaN among them; null where they are not counted
        "statistics": {…},          by kind, see below
        "histogram": {"edges": […], "counts": […]},      or null; the last edge belongs to the last bin
        "frequent": [["5", 2810], …],                    the most frequent values, cut to 100 characters
        "distribution": {"of", "bounds", "counts"},      or null; the bins of `drift.Distribution`
        "problems": [{"code": "constant", "text": "…"}]}}}

Statistics of numbers: minimum, maximum, quantiles (values of the column), mean, standard_deviation (of a sample),
zeros, nan, infinite; all but the last two are of finite values. Of texts: shortest, longest, mean_length, empty (""),
padded (white space at an end), with_whitespace, numeric (reads as a number), and the histogram is that of the lengths
in characters. Of times and dates: earliest, latest, as ISO 8601, in UTC if the column has a zone. Of booleans: true.
Integers are exact; decimals are text. What a column without values has not is null.
"""

import math
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy
import pyarrow
import pyarrow.compute

from ..artifacts import check_fields, read_json
from ..runtime import InputError, Progress
from .columns import check_table, duckdb_session, kind_of, load, plain
from .drift import Distribution, distribution, most_frequent
from .ingest import ADDED_COLUMNS

KIND, SCHEMA_VERSION = "table_profile", "1"
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_BINS = 20
_FREQUENT_VALUES = 10
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MANY_NULLS = 0.5
_NEARLY_UNIQUE = 0.95
_LONGEST_KEY = 100
_TEXTS_FOR_NOTHING = (
    *("n/a", "#n/a", "na", "nan", "null", "(null)", "nil", "none", "missing", "unknown", "undefined", "tbd"),
    *("-", "--", "?", "??", "."),
)
_NUMBERS_FOR_NOTHING = {-1, -(2**31), 2**31 - 1, -(2**63), 2**63 - 1}
_DAYS_FOR_NOTHING = {"0001-01-01", "1899-12-30", "1900-01-01", "1970-01-01", "2038-01-19", "9999-12-31"}
_ADVICE = "Pass the profile that profile_table wrote."


def profile(table: pyarrow.Table) -> dict[str, Any]:
    """Measures every column of a table but `row_id` and `split`.

    Args:
        table: What `ingest_table` wrote, with at least one row.

    Returns:
        The document of this module's docstring.

    Raises:
        InputError: If it is no such table or has no rows.
    """
    check_table(table)
    if not table.num_rows:
        raise InputError("The table has no rows. Pass the output of ingest_table, which has one at least.")
    names = [name for name in table.column_names if name not in ADDED_COLUMNS]
    progress = Progress(len(names), "columns")
    columns = {}
    with duckdb_session() as connection:
        for name in names:
            columns[name] = _column(connection, table[name], name)
            progress.advance()
    return {"kind": KIND, "schema_version": SCHEMA_VERSION, "rows": table.num_rows, "columns": columns}


def _column(connection: duckdb.DuckDBPyConnection, column: pyarrow.ChunkedArray, name: str) -> dict[str, Any]:
    kind = kind_of(column.type)
    entry: dict[str, Any] = {
        "type": str(column.type),
        "kind": kind,
        "nulls": column.null_count,
        "distinct": None,
        "statistics": {},
        "histogram": None,
        "frequent": [],
        "distribution": None,
    }
    if kind:
        values = plain(column, name)
        load(connection, {"x": values})
        [(entry["distinct"],)] = connection.execute("SELECT count(DISTINCT x) FROM data").fetchall()
        measure = {"string": _texts, "boolean": _booleans, "timestamp": _times, "date": _times}.get(kind, _numbers)
        entry["statistics"], entry["histogram"] = measure(connection, values)
        entry["frequent"] = [list(pair) for pair in most_frequent(connection, _FREQUENT_VALUES)]
    problems = _problems(connection, entry, len(column))
    if found := distribution(connection, values, kind) if kind else None:
        entry["distribution"] = {"of": found.of, "bounds": list(found.bounds), "counts": list(found.counts)}
    return entry | {"problems": [{"code": code, "text": text} for code, text in problems.items()]}


def _numbers(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray) -> tuple[dict[str, Any], Any]:
    [(low, quantiles, high, zeros, nan, infinite)] = connection.execute(
        f"SELECT min(x) FILTER (f), quantile_disc(x, {list(_QUANTILES)}) FILTER (f), max(x) FILTER (f), "  # noqa: S608
        "count(*) FILTER (x = 0), count(*) FILTER (isnan(x::DOUBLE)), count(*) FILTER (isinf(x::DOUBLE)) "
        "FROM (SELECT x, isfinite(x::DOUBLE) AS f FROM data)"
    ).fetchall()
    numbers = values.drop_null().cast(pyarrow.float64(), safe=False).to_numpy()
    numbers = numbers[numpy.isfinite(numbers)]
    mean, deviation = _moments(numbers)
    statistics = {
        "minimum": _json(low),
        "maximum": _json(high),
        "quantiles": dict(zip(map(str, _QUANTILES), map(_json, quantiles or [None] * len(_QUANTILES)), strict=True)),
        "mean": mean,
        "standard_deviation": deviation,
        "zeros": zeros,
        "nan": nan,
        "infinite": infinite,
    }
    if low is None:
        return statistics, None
    whole = pyarrow.types.is_integer(values.type)
    return statistics, _whole_histogram(numbers, low, high) if whole else _histogram(numbers)


def _moments(numbers: numpy.ndarray) -> tuple[float | None, float | None]:
    """Mean and standard deviation; None where there is none, or it is no finite number."""
    if not len(numbers):
        return None, None
    scale = max(1.0, float(numpy.abs(numbers).max()) / 1e100)  # Squares of larger numbers are infinite.
    mean = float(numpy.mean(numbers / scale)) * scale
    deviation = float(numpy.std(numbers / scale, ddof=1)) * scale if len(numbers) > 1 else None
    return mean, deviation if deviation is not None and math.isfinite(deviation) else None


def _histogram(numbers: numpy.ndarray) -> dict[str, list[Any]]:
    """Counts in bins of equal width."""
    scale = float(numpy.abs(numbers).max()) or 1.0  # The range of numbers near the largest is infinite.
    scaled = numbers / scale
    low, high = float(scaled.min()), float(scaled.max())
    if low == high:
        return {"edges": [float(numbers.min()), float(numbers.max())], "counts": [len(numbers)]}
    places = numpy.minimum((_BINS * ((scaled - low) / (high - low))).astype(int), _BINS - 1)
    edges = [(low + (high - low) * number / _BINS) * scale for number in range(_BINS)] + [float(numbers.max())]
    return {"edges": edges, "counts": numpy.bincount(places, minlength=_BINS).tolist()}


def _whole_histogram(numbers: numpy.ndarray, low: int, high: int) -> dict[str, list[Any]]:
    """The same, with edges that are whole numbers; the last is one above the largest that its bin can hold."""
    width = -((low - high - 1) // _BINS)
    bins = (high - low) // width + 1
    places = numpy.clip(((numbers - float(low)) / float(width)).astype(int), 0, bins - 1)
    counts = numpy.bincount(places, minlength=bins).tolist()
    return {"edges": [low + width * number for number in range(bins + 1)], "counts": counts}


def _json(value: Any) -> Any:
    """A number as JSON has it: exact; decimals as text."""
    return format(value, "f") if isinstance(value, Decimal) else value


def _texts(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray) -> tuple[dict[str, Any], Any]:
    names = ("shortest", "longest", "mean_length", "empty", "padded", "with_whitespace", "numeric")
    [row] = connection.execute(
        r"SELECT min(length(x)), max(length(x)), avg(length(x)), count(*) FILTER (x = ''), "
        r"count(*) FILTER (regexp_matches(x, '^[\s\pZ]|[\s\pZ]$')), count(*) FILTER (regexp_matches(x, '[\s\pZ]')), "
        r"count(*) FILTER (regexp_full_match(x, ?)) FROM data",
        [rf"\s*{NUMBER}\s*"],
    ).fetchall()
    statistics = dict(zip(names, row, strict=True))
    if statistics["shortest"] is None:
        return statistics, None
    lengths = pyarrow.compute.utf8_length(values.drop_null()).to_numpy()
    return statistics, _whole_histogram(lengths, statistics["shortest"], statistics["longest"])


def _booleans(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray) -> tuple[dict[str, Any], Any]:
    [(true,)] = connection.execute("SELECT count(*) FILTER (x) FROM data").fetchall()
    return {"true": true}, None


def _times(connection: duckdb.DuckDBPyConnection, values: pyarrow.ChunkedArray) -> tuple[dict[str, Any], Any]:
    [(low, high)] = connection.execute("SELECT min(x)::VARCHAR, max(x)::VARCHAR FROM data").fetchall()
    if low is None:
        return {"earliest": None, "latest": None}, None
    statistics = {"earliest": low.replace(" ", "T", 1), "latest": high.replace(" ", "T", 1)}
    numbers = values.drop_null().cast(pyarrow.int32() if pyarrow.types.is_date(values.type) else pyarrow.int64())
    histogram = _histogram(numbers.to_numpy().astype(float))
    per_day = 1 if pyarrow.types.is_date(values.type) else {"us": 86_400e6, "ns": 86_400e9}[values.type.unit]
    return statistics, histogram | {"edges": [_day(edge / per_day) for edge in histogram["edges"]]}


def _day(days: float) -> str:
    """The date so many days after 1970 began, near enough for an axis."""
    try:
        return datetime.fromtimestamp(days * 86_400, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{1970 + days / 365.2425:.0f}"


def _problems(connection: duckdb.DuckDBPyConnection, entry: dict[str, Any], rows: int) -> dict[str, str]:
    """Code → what is odd about a column."""
    statistics, nulls, distinct = entry["statistics"], entry["nulls"], entry["distinct"]
    values = rows - nulls
    if not values:
        return {"all_null": "Every value is null."}
    problems = {}
    if nulls > _MANY_NULLS * rows:
        problems["many_nulls"] = f"{nulls:,} of {rows:,} values are null ({nulls / rows:.1%})."
    if distinct == 1 and values > 1:
        problems["constant"] = f"All {values:,} values are the same."
    if is_key_like(entry) and values >= _BINS and _NEARLY_UNIQUE * values <= distinct < values:
        repeated = values - distinct
        problems["nearly_unique"] = f"{distinct:,} of {values:,} values differ: a key with {repeated:,} repetitions?"
    if statistics.get("nan") or statistics.get("infinite"):
        problems["not_finite"] = f"{statistics['nan']:,} values are NaN, {statistics['infinite']:,} infinite."
    if padded := statistics.get("padded"):
        problems["padded"] = f"{padded:,} texts begin or end with white space."
    if empty := statistics.get("empty"):
        problems["empty"] = f"{empty:,} texts are empty."
    if 0 < (numeric := statistics.get("numeric", 0)) < values and 2 * numeric >= values:
        problems["mixed"] = f"{numeric:,} of {values:,} texts are numbers ({numeric / values:.1%}), the others are not."
    if sentinels := _sentinels(connection, entry["kind"]):
        found = ", ".join(f"{value!r} ({count:,} times)" for value, count in sentinels)
        problems["sentinel"] = f"Values that may stand for nothing: {found}."
    return problems


def is_key_like(entry: dict[str, Any]) -> bool:
    """Whether a column's entry of the profile may be that of a key: whole numbers, or short texts without spaces."""
    if entry["kind"] == "string":
        return not entry["statistics"]["with_whitespace"] and (entry["statistics"]["longest"] or 0) <= _LONGEST_KEY
    return entry["kind"] == "integer"


def _sentinels(connection: duckdb.DuckDBPyConnection, kind: str | None) -> list[tuple[Any, int]]:
    if kind == "string":
        return connection.execute(
            "SELECT x, count(*) FROM data WHERE length(x) < 20 AND lower(trim(x)) IN (SELECT unnest(?::VARCHAR[])) "
            "GROUP BY x ORDER BY 2 DESC, 1 LIMIT 5",
            [list(_TEXTS_FOR_NOTHING)],
        ).fetchall()
    if kind in ("timestamp", "date"):
        return connection.execute(
            "SELECT left(x::VARCHAR, 10) AS day, count(*) FROM data WHERE day IN (SELECT unnest(?::VARCHAR[])) "
            "AND x IN ((SELECT min(x) FROM data), (SELECT max(x) FROM data)) GROUP BY day HAVING count(*) > 1 "
            "ORDER BY 1",
            [sorted(_DAYS_FOR_NOTHING)],
        ).fetchall()
    return _numeric_sentinels(connection) if kind in ("integer", "number") else []


def _numeric_sentinels(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, int]]:
    """Ends of the range that repeat, are a usual sign for nothing, and lie apart from all other values."""
    [(low, high)] = connection.execute("SELECT min(x), max(x) FROM data WHERE isfinite(x::DOUBLE)").fetchall()
    if low is None or low == high:
        return []
    [(second, before, lows, highs)] = connection.execute(
        "SELECT min(x) FILTER (x > $low), max(x) FILTER (x < $high), count(*) FILTER (x = $low), "
        "count(*) FILTER (x = $high) FROM data WHERE isfinite(x::DOUBLE)",
        {"low": low, "high": high},
    ).fetchall()
    found = []
    if lows > 1 and _stands_for_nothing(low) and (second >= 0 if low == -1 else second - low > high - second):
        found.append((low, lows))
    if highs > 1 and _stands_for_nothing(high) and high - before > before - low:
        found.append((high, highs))
    return [(_json(value), count) for value, count in found]


def _stands_for_nothing(value: int | float | Decimal) -> bool:
    if value != int(value):
        return False
    digits = str(abs(int(value)))
    return int(value) in _NUMBERS_FOR_NOTHING or (len(digits) > 1 and set(digits) == {"9"})


def read_profile(path: str | Path) -> dict[str, Any]:
    """Reads a profile that `profile_table` wrote.

    Raises:
        InputError: If it is none, or one of another version.
    """
    document = read_json(path, _ADVICE)
    fields = {"kind": (str,), "schema_version": (str,), "rows": (int,), "columns": (dict,)}
    check_fields(document, fields, f"The profile {path}", _ADVICE)
    if (document["kind"], document["schema_version"]) != (KIND, SCHEMA_VERSION):
        raise InputError(
            f"{path} is a {document['kind'][:100]} of schema version {document['schema_version'][:100]}; expected a "
            f"{KIND} of schema version {SCHEMA_VERSION}. Run profile_table of this version on the accepted table."
        )
    for name, entry in document["columns"].items():
        place = f"The column {name!r} of the profile {path}"
        check_fields(entry, {"nulls": (int,), "distribution": (dict, None)}, place, _ADVICE)
        if entry["distribution"] is not None:
            read_distribution(entry["distribution"], place)
    return document


def read_distribution(value: dict[str, Any], place: str) -> Distribution:
    """The bins of a column's entry.

    Raises:
        InputError: If they contradict themselves.
    """
    check_fields(value, {"of": (str,), "bounds": (list,), "counts": (list,)}, f"{place}: its distribution", _ADVICE)
    of, bounds, counts = value["of"], value["bounds"], value["counts"]
    try:
        sound_bounds = {
            "categories": lambda: all(isinstance(bound, str) for bound in bounds) and len(set(bounds)) == len(bounds),
            "values": lambda: all(type(bound) in (int, float) for bound in bounds) and _grow(bounds),
            "lengths": lambda: all(type(bound) is int for bound in bounds) and _grow(bounds),
        }[of]()
    except KeyError:
        sound_bounds = False
    bins = len(bounds) + (1 if of == "categories" else 2)
    if not (bounds and sound_bounds and len(counts) == bins and all(type(n) is int and n >= 0 for n in counts)):
        raise InputError(f"{place} has the distribution {str(value)[:200]}, which contradicts itself. {_ADVICE}")
    return Distribution(of, tuple(bounds), tuple(counts))


def _grow(bounds: list[Any]) -> bool:
    sound = all(-(2**64) < bound < 2**64 if isinstance(bound, int) else math.isfinite(bound) for bound in bounds)
    return sound and all(low < high for low, high in pairwise(bounds))
