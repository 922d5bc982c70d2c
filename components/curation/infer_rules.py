"""The profile of a table that is in order → rules for tables to come, as a YAML file for a person to edit.

The rules let the profiled table itself pass whole, and leave room:

- Types as they are; columns without nulls get `nullable: false`, others twice their share of nulls and a point more.
- Ranges reach half their width further on both sides, but not across zero: they are there for wrong signs and units,
  while drift is for values that move. None for columns of whole numbers that all differ, which are keys, nor where
  values are infinite.
- Texts with at most 20 values, each ten times there on average: these values. Other texts: half the shortest to twice
  the longest length.
- `unique` where at least a hundred values all differ and look like keys: whole numbers, or short texts without spaces.
- Drift by the usual rule of thumb. Nothing on times, but a proposal as a comment: how old they may be nobody can see.
- At least half the rows.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import yaml

from .drift import CATEGORY_CHARACTERS, MOST_CATEGORIES
from .profile import is_key_like
from .rules import DEFAULT_QUARANTINE_SHARE

_PSI = 0.25
_NULL_SHARE = 0.1
_TIMES_EACH = 10
_FEWEST_KEYS = 100
_EXACT = Context(prec=2_000)
_HEAD = """\
# Rules that profile_table inferred from a table of {rows:,} rows, for validate_table. Edit them: they say what that
# table was like, not what must be. Possible keys of a column: type, required, nullable, maximum_null_share, range,
# length, pattern, allowed, unique, freshness, drift. What is not written here is not checked.
"""


class _Flow(dict):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes the innermost mappings and all lists on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
)
_Dumper.add_representer(  # PyYAML writes some line breaks as others, unless it must escape them.
    str,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"'
    ),
)
_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def infer_rules(profile: dict[str, Any]) -> str:
    """Writes the rules.

    Args:
        profile: What `profile` returned.

    Returns:
        YAML that `parse_rules` reads.
    """
    rows = profile["rows"]
    settings = {
        "maximum_quarantine_share": DEFAULT_QUARANTINE_SHARE,
        "unexpected_columns": "fail",
        "rows": _Flow(minimum=max(1, rows // 2)),
    }
    lines = [_HEAD.format(rows=rows), _yaml(settings)]
    if not profile["columns"]:
        return "".join(lines)
    lines.append("columns:\n")
    for name, entry in profile["columns"].items():
        comments = "".join(f"# {_printable(comment)}\n" for comment in _comments(entry))
        block = comments + _yaml({name: _column(entry, rows)})
        lines += [f"  {line}\n" for line in block.rstrip("\n").split("\n")]
    return "".join(lines)


def _yaml(value: dict[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _comments(entry: dict[str, Any]) -> list[str]:
    statistics = entry["statistics"]
    facts = [entry["type"]]
    if entry["distinct"] is not None:
        facts.append(f"{entry['distinct']:,} different values")
    if statistics.get("minimum") is not None:
        facts.append(f"{statistics['minimum']} to {statistics['maximum']}")
    if statistics.get("longest") is not None:
        facts.append(f"{statistics['shortest']:,} to {statistics['longest']:,} characters")
    if statistics.get("latest") is not None:
        facts.append(f"{statistics['earliest']} to {statistics['latest']}")
    comments = [", ".join(facts), *(problem["text"] for problem in entry["problems"])]
    if any(problem["code"] == "mixed" for problem in entry["problems"]):
        comments.append("With `type: number` the texts that are no numbers would go to quarantine.")
    if entry["kind"] in ("timestamp", "date"):
        comments.append("Possible: freshness: {days: 7}")
    return comments


def _column(entry: dict[str, Any], rows: int) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if entry["kind"]:
        rules["type"] = entry["kind"]
    nulls = entry["nulls"] + entry["statistics"].get("nan", 0)
    if not nulls:
        rules["nullable"] = False
    elif nulls < rows:
        rules["maximum_null_share"] = min(1.0, math.ceil(100 * (2 * nulls / rows + 0.01)) / 100)
    values = rows - nulls
    is_key = is_key_like(entry) and values >= _FEWEST_KEYS and entry["distinct"] == values
    if entry["kind"] in ("integer", "number") and not is_key:
        rules |= _range(entry)
    if entry["kind"] == "string" and values:
        rules |= _texts(entry, values)
    if is_key:
        rules["unique"] = True
    elif entry["distribution"]:
        rules["drift"] = _Flow(psi=_PSI, null_share=_NULL_SHARE)
    return rules


def _range(entry: dict[str, Any]) -> dict[str, Any]:
    statistics = entry["statistics"]
    if statistics["minimum"] is None or statistics["infinite"]:
        return {}
    low, high = (Decimal(str(statistics[end])) for end in ("minimum", "maximum"))
    width = _EXACT.subtract(high, low) or abs(high) or Decimal(1)
    half, digit = _EXACT.divide(width, Decimal(2)), Decimal(1).scaleb(width.adjusted() - 1)
    if entry["kind"] == "integer":
        digit = max(digit, Decimal(1))
    below = _EXACT.subtract(low, half).quantize(digit, ROUND_FLOOR, context=_EXACT)
    above = _EXACT.add(high, half).quantize(digit, ROUND_CEILING, context=_EXACT)
    if low >= 0:
        below = max(below, Decimal(0))
    if high <= 0:
        above = min(above, Decimal(0))
    bounds = {"minimum": _written(below, entry["kind"]), "maximum": _written(above, entry["kind"])}
    bounds = {end: bound for end, bound in bounds.items() if bound is not None}
    return {"range": _Flow(bounds)} if bounds else {}


def _written(bound: Decimal, kind: str) -> int | float | str | None:
    """The bound as YAML can hold it; None where it is beyond all floating-point numbers."""
    if kind == "integer" or (bound == bound.to_integral_value() and abs(bound) < 2**53):
        return int(bound)
    if math.isinf(float(bound)):
        return None
    return float(bound) if Decimal(repr(float(bound))) == bound else str(bound)


def _texts(entry: dict[str, Any], values: int) -> dict[str, Any]:
    statistics, found = entry["statistics"], entry["distribution"]
    if (
        found["of"] == "categories"
        and entry["distinct"] <= min(MOST_CATEGORIES, values / _TIMES_EACH)
        and statistics["longest"] <= CATEGORY_CHARACTERS
    ):
        return {"allowed": sorted(found["bounds"])}
    longest = 2 * statistics["longest"]
    unit = 10 ** max(0, len(str(longest)) - 2)
    bounds = {"minimum": max(1, statistics["shortest"] // 2)} if statistics["shortest"] else {}
    return {"length": _Flow(bounds, maximum=-(-longest // unit) * unit)}
