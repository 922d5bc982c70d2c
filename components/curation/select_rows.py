"""The half of curation that compares rows: runs the operations in their order, and accounts for every row.

Cheap removals are first, so that each row goes for its simplest reason. Near duplicates stay in test: they are what the
model will meet, while in train they are weight that nobody chose. Leakage is late: a test row leaks only from a row
that is still trained on. Balance is last, since it counts what is left.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..runtime import InputError, log
from . import operations
from .engine import Engine, Near
from .text_rules import TextRules

SPLITS = ("train", "test")
OPERATIONS = {
    "empty_texts": "No text, or none after cleaning",
    "too_short": "Shorter than the minimum",
    "too_long": "Longer than the maximum",
    "other_languages": "In another language",
    "straddling_groups": "Test row of a group that is in train",
    "label_conflicts": "Same text, contradicting labels",
    "exact_duplicates": "Same text as an earlier row of its split",
    "cleaned_duplicates": "Same text as an earlier row, once cleaned",
    "known_texts": "Text of an earlier version",
    "near_known_texts": "Nearly a text of an earlier version",
    "benchmark_texts": "Train row with a text of the benchmark",
    "near_benchmark_texts": "Train row with nearly a text of the benchmark",
    "near_duplicates": "Nearly the text of an earlier train row",
    "leaked_test_rows": "Test row with the text of a train row",
    "near_leaked_test_rows": "Test row with nearly the text of a train row",
    "class_balance": "Surplus of a frequent label",
}


def select_rows(engine: Engine, near: Near, rules: TextRules) -> dict[str, int]:
    """Removes the rows that must not be trained or tested on.

    Args:
        engine: With the tables `prepared` and `reference`; gets `remaining` (row_number, split, …) and `removed`.
        near: Finds near texts.
        rules: What to keep.

    Returns:
        rows_in, rows_out, train_rows, test_rows; rows removed by each operation; relabelled_duplicates: how many of the
        duplicates and leaks bear another label than the row that they repeat; clusters and largest_cluster of near
        duplicates.

    Raises:
        InputError: If a split is empty in the end, or train has one label only.
    """
    _split(engine, rules)
    engine.create("removed", operations.NOTHING_REMOVED)
    _remove_unusable(engine, rules)
    _remove_repeated(engine, rules)
    _remove_known(engine, near, rules, kind="known")
    _remove_known(engine, near, rules, kind="benchmark")
    _remove_near(engine, near, rules)
    if rules.maximum_class_ratio:
        ratio = {"maximum_class_ratio": round(rules.maximum_class_ratio * 10_000), "split_seed": str(rules.split_seed)}
        _remove(engine, operations.CLASS_BALANCE, ratio)
    counts = _counts(engine)
    _check_kept(engine, rules, counts)
    log(f"{counts['rows_in']:,} rows in, {counts['rows_out']:,} rows out", **counts)
    return counts


def _split(engine: Engine, rules: TextRules) -> None:
    if engine.rows("SELECT COUNT(split) FROM prepared")[0][0]:
        engine.create("remaining", operations.SPLIT_OF_SOURCE)
    elif rules.time_column:
        engine.create("remaining", operations.SPLIT_BY_TIME, {"test_from": _first_test_time(engine, rules)})
    else:
        # A hash is below this, as a text of hexadecimal digits, with the probability test_share.
        share = f"{int(rules.test_share * 2**64):016x}"
        engine.create("remaining", operations.SPLIT_BY_HASH, {"test_share": share, "split_seed": str(rules.split_seed)})


def _first_test_time(engine: Engine, rules: TextRules) -> int:
    """Microseconds since 1970 from which on rows are tested on: as stated, or so that the newest share is."""
    if rules.test_from:
        return rules.test_from_microseconds
    rows = engine.rows("SELECT COUNT(*) FROM prepared")[0][0]
    place = rows - round(rows * rules.test_share) + 1
    return int(engine.rows(operations.TIME_OF_ROW, {"place": min(place, rows)})[0][0])


def _remove_unusable(engine: Engine, rules: TextRules) -> None:
    limits = {
        "minimum_characters": rules.minimum_characters,
        "maximum_characters": rules.maximum_characters,
        "languages": f" {' '.join(rules.languages)} " if rules.languages else "",
    }
    _remove(engine, operations.UNUSABLE, limits)
    if rules.group_column:
        _remove(engine, operations.STRADDLING_GROUPS)


def _remove_repeated(engine: Engine, rules: TextRules) -> None:
    engine.create("repeated", operations.REPEATED)
    if rules.label_column and rules.label_conflicts != "first":
        _remove(engine, operations.LABEL_CONFLICTS, {"keep_majority": rules.label_conflicts == "majority"})
        engine.create("repeated", operations.REPEATED)
    _remove(engine, operations.EXACT_DUPLICATES)


def _remove_known(engine: Engine, near: Near, rules: TextRules, *, kind: str) -> None:
    of_kind = {"kind": kind}
    if not engine.rows("SELECT COUNT(*) FROM reference WHERE kind = @kind", of_kind)[0][0]:
        return
    _remove(engine, operations.KNOWN_TEXTS, of_kind | {"operation": f"{kind}_texts"})
    engine.create("near_texts", operations.TEXTS_AND_REFERENCE, of_kind)
    near.matches(engine, rules.threshold)
    _remove(engine, operations.NEAR_KNOWN_TEXTS, of_kind | {"operation": f"near_{kind}_texts"})


def _remove_near(engine: Engine, near: Near, rules: TextRules) -> None:
    engine.create("near_texts", operations.TRAIN_TEXTS)
    near.duplicates(engine, rules.threshold)
    _remove(engine, operations.NEAR_TEXTS, {"operation": "near_duplicates"})
    _remove(engine, operations.LEAKED_TEST_ROWS)
    engine.create("near_texts", operations.TEST_AND_TRAIN_TEXTS)
    near.matches(engine, rules.threshold)
    _remove(engine, operations.NEAR_TEXTS, {"operation": "near_leaked_test_rows"})


def _remove(engine: Engine, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
    engine.create("newly_removed", sql, parameters)
    removed = engine.rows("SELECT operation, COUNT(*) FROM newly_removed GROUP BY operation")
    if removed:
        engine.create("removed", operations.ADD_TO_REMOVED)
        engine.create("remaining", operations.REMAINING)
    for operation, rows in removed:
        log(f"{rows:,} rows removed: {OPERATIONS[operation].lower()}", operation=operation, rows=rows)


def _counts(engine: Engine) -> dict[str, int]:
    rows_in = engine.rows("SELECT COUNT(*) FROM prepared")[0][0]
    kept, removed = (Counter(dict(engine.rows(sql))) for sql in (operations.COUNT_REMAINING, operations.COUNT_REMOVED))
    if rows_in != kept.total() + removed.total():
        raise RuntimeError(f"{rows_in} rows in, but {kept.total()} rows out and {removed.total()} removed")
    clusters, largest = engine.rows(operations.COUNT_CLUSTERS)[0]
    return {
        "rows_in": rows_in,
        "rows_out": kept.total(),
        "train_rows": kept["train"],
        "test_rows": kept["test"],
        **{operation: removed[operation] for operation in OPERATIONS},
        "relabelled_duplicates": engine.rows(operations.COUNT_RELABELLED)[0][0],
        "clusters": clusters,
        "largest_cluster": largest or 0,
    }


def _check_kept(engine: Engine, rules: TextRules, counts: Mapping[str, int]) -> None:
    removed = ", ".join(f"{name} {counts[name]:,}" for name in OPERATIONS if counts[name]) or "none"
    for split in SPLITS:
        if not counts[f"{split}_rows"]:
            raise InputError(
                f"No {split} row is left of {counts['rows_in']:,} rows (removed: {removed}). Give more data, or relax "
                "the rules that removed most."
            )
    labels = engine.rows("SELECT DISTINCT label FROM remaining WHERE split = 'train' LIMIT 2")
    if rules.label_column and len(labels) == 1:
        raise InputError(
            f"All {counts['train_rows']:,} train rows that are left have the label {labels[0][0]!r} (removed: "
            f"{removed}); a classifier needs two labels at least. Give data of other labels, or another label_column."
        )
