"""What curation keeps and removes, and how it accounts for each row."""

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.curate import OPERATIONS, SPLITS, Rules, curate
from seatrial.components.curation.report import render
from seatrial.components.runtime import InputError

RULES = Rules("review", "stars")
TRAIN = [("train", "good tea", "great"), ("train", "bad coffee", "other")]
TEST = [("test", "fine cup", "great")]


def source(rows: list[tuple], **extra: list) -> pyarrow.Table:
    """A table as ingest_table writes it; each row is split, text, label."""
    splits, texts, labels = map(list, zip(*rows, strict=True))
    columns = {"review": texts, "stars": labels, **extra}
    columns |= {"row_id": [f"row-{number}" for number in range(len(rows))]}
    return pyarrow.table(columns).append_column("split", pyarrow.array(splits, pyarrow.string()))


def removed(rows: list[tuple], rules: Rules = RULES) -> list[tuple]:
    return [tuple(entry.values()) for entry in curate(source(rows), rules).ledger.to_pylist()]


def test_texts_are_cleaned_and_other_columns_are_untouched():
    table = source(
        [("train", "good<br />tea", 5), ("train", "bad", 1), ("test", "caf&eacute;", 5)], price=[1.5, None, 2]
    )

    curated = curate(table, RULES)

    assert curated.train.to_pylist() == [
        {"row_id": "row-0", "text": "good tea", "label": "5", "price": 1.5},
        {"row_id": "row-1", "text": "bad", "label": "1", "price": None},
    ]
    assert curated.test.to_pylist() == [{"row_id": "row-2", "text": "café", "label": "5", "price": 2.0}]
    assert curated.ledger.num_rows == 0


@pytest.mark.parametrize("text", [None, "", " \n", "<br />", "\u200b"])
def test_a_row_without_text_is_removed(text):
    assert removed([*TRAIN, ("train", text, "other"), *TEST]) == [
        ("row-2", "empty_texts", "no text after cleaning", None)
    ]


def test_texts_shorter_or_longer_than_the_limits_are_removed():
    rules = Rules("review", "stars", minimum_characters=4, maximum_characters=10)
    rows = [*TRAIN, ("train", "tea<br>", "great"), *TEST, ("test", "tea " * 3, "great"), ("test", "4444", "other")]

    assert removed(rows, rules) == [
        ("row-2", "too_short", "3 characters, minimum 4", None),
        ("row-4", "too_long", "11 characters, maximum 10", None),
    ]


def test_the_first_of_equal_texts_is_kept_in_each_split_and_the_ledger_names_it():
    rows = [
        *TRAIN,
        ("train", "good tea", "great"),
        ("train", "good  tea", "great"),
        *TEST,
        ("test", "fine cup", "great"),
    ]

    assert removed(rows) == [
        ("row-2", "exact_duplicates", "identical as written", "row-0"),
        ("row-3", "cleaned_duplicates", "identical after cleaning", "row-0"),
        ("row-5", "exact_duplicates", "identical as written", "row-4"),
    ]


def test_a_near_duplicate_is_removed_from_train_and_stays_in_test():
    rows = [*TRAIN, ("train", "Good tea!", "great"), *TEST, ("test", "Fine cup!", "great")]

    assert removed(rows) == [("row-2", "near_duplicates", "similarity 1.00", "row-0")]


def test_test_rows_that_were_trained_on_are_removed_and_train_keeps_its_rows():
    rows = [("test", "good  tea", "great"), *TEST, *TRAIN, ("test", "BAD coffee", "other")]

    assert removed(rows) == [
        ("row-0", "leaked_test_rows", "identical after cleaning", "row-2"),
        ("row-4", "near_leaked_test_rows", "similarity 1.00", "row-3"),
    ]


def test_a_text_leaks_only_from_a_row_that_is_still_trained_on():
    rules = Rules("review", "stars", near_duplicate_threshold=0.6)
    chain = ["a b c d e f", "b c d e f g", "c d e f g h"]
    rows = [*TRAIN, ("train", chain[0], "great"), ("train", chain[1], "great"), ("test", chain[2], "great")]

    assert removed(rows, rules) == [("row-3", "near_duplicates", "similarity 0.60", "row-2")]


def test_a_duplicate_with_another_label_is_counted_and_the_ledger_says_so():
    curated = curate(source([*TRAIN, ("train", "good tea", "other"), *TEST]), RULES)

    assert curated.counts["relabelled_duplicates"] == 1
    assert curated.ledger["reason"].to_pylist() == ["identical as written; its label is 'other', there 'great'"]


def test_without_a_split_in_the_source_equal_texts_go_to_the_same_side():
    rows = [(None, f"text {number % 50}", str(number % 2)) for number in range(150)]

    curated = curate(source(rows), Rules("review", "stars", test_share=0.4))

    assert curated.counts["leaked_test_rows"] == 0
    assert curated.counts["exact_duplicates"] == 100
    assert curated.test.num_rows > 5


def leads_to_kept_rows(ledger: pyarrow.Table) -> bool:
    """Whether from each row that repeats another the ledger leads, row by row, to one that is kept."""
    related = dict(zip(ledger["row_id"].to_pylist(), ledger["related_row_id"].to_pylist(), strict=True))
    for row in [row for row, other in related.items() if other is not None]:
        seen = set()
        while row in related and row not in seen:
            seen.add(row)
            row = related[row]
        if row is None or row in seen:
            return False
    return True


WORDS = st.sampled_from(["good", "tea", "Tea", "<br>", "", "bad"])
ROWS = st.lists(
    st.tuples(st.sampled_from(SPLITS), st.lists(WORDS, max_size=6).map(" ".join), st.sampled_from("ab")), max_size=20
)


@given(ROWS, st.floats(0.1, 1), st.integers(1, 5))
def test_every_row_is_kept_or_in_the_ledger_once_and_a_second_curation_removes_nothing(rows, threshold, minimum):
    anchors = [("train", "alpha anchor", "a"), ("train", "beta anchor", "b"), ("test", "gamma anchor", "a")]
    table = source([*rows, *anchors])
    rules = Rules("text", "label", near_duplicate_threshold=threshold, minimum_characters=minimum)
    table = table.rename_columns(["text", "label", "row_id", "split"])

    curated = curate(table, rules)

    outcome = (curated.train, curated.test, curated.ledger)
    row_ids = [row_id for part in outcome for row_id in part["row_id"].to_pylist()]
    assert sorted(row_ids) == sorted(table["row_id"].to_pylist())
    assert sum(curated.counts[operation] for operation in OPERATIONS) == curated.ledger.num_rows
    assert leads_to_kept_rows(curated.ledger)
    parts = [
        part.append_column("split", pyarrow.array([split] * part.num_rows))
        for split, part in (("train", curated.train), ("test", curated.test))
    ]
    assert curate(pyarrow.concat_tables(parts), rules).ledger.num_rows == 0
    assert render(table, curated, rules).endswith("</html>\n")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"text_column": "stars"}, "text_column and label_column are both 'stars'"),
        ({"labels": [1, 2]}, r"labels is \[1, 2\]; expected a list of strings"),
        ({"minimum_characters": 0}, "minimum_characters is 0"),
        ({"minimum_characters": 9, "maximum_characters": 8}, "minimum_characters is 9 and maximum_characters is 8"),
        ({"near_duplicate_threshold": 0.0}, "near_duplicate_threshold is 0.0"),
        ({"near_duplicate_threshold": 80}, "near_duplicate_threshold is 80"),
        ({"near_duplicate_threshold": float("nan")}, "near_duplicate_threshold is nan"),
        ({"test_share": 1.0}, "test_share is 1.0"),
        ({"test_share": 0.0}, "test_share is 0.0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        Rules(**{"text_column": "review", "label_column": "stars", **parameters})


@pytest.mark.parametrize(
    ("table", "rules", "message"),
    [
        (source(TRAIN), Rules("text", "stars"), "text_column is 'text'; the table's columns are 'review', 'stars'"),
        (source(TRAIN), Rules("review", "split"), "label_column is 'split'; the table's columns are 'review', 'stars'"),
        (source(TRAIN).drop_columns("row_id"), RULES, "has no column 'row_id'. Pass the output of ingest_table"),
        (source(TRAIN, text=["a", "b"]), RULES, "has a column 'text' beside the text column 'review'"),
        (source([("train", 1, "a"), ("test", 2, "b")]), RULES, "column 'review' has the type int64; expected text"),
        (source([("train", "a", [1]), ("test", "b", [2])]), RULES, "'stars' has the type list"),
        (source([*TRAIN, ("train", "x", None)]), RULES, "'stars' is empty in 1 of 3 rows, such as row-2"),
        (source([*TRAIN, ("train", "x", " ")]), RULES, "'stars' is empty in 1 of 3 rows"),
        (
            source([*TRAIN, *TEST, ("test", "x", "Great")]),
            Rules("review", "stars", labels=["great", "other"]),
            r"1 unknown labels in 1 rows: 'Great' \(1 rows\); first in the row row-3. Expected one of 'great', 'other'",
        ),
        (source(TRAIN), RULES, "'split' has the values 'train'; expected both"),
        (source([*TRAIN, *TEST, (None, "x", "great")]), RULES, "has the values 'test', 'train', None"),
        (source([*TRAIN, ("test", "good tea", "great")]), RULES, r"No test row is left of 3 rows \(removed: leaked"),
        (source([("train", "", "great"), *TEST]), RULES, "No train row is left of 2 rows"),
        (source([("train", "x", "great"), *TEST]), RULES, "All 1 train rows that are left have the label 'great'"),
        (source([*TRAIN, *TEST]).slice(0, 0), RULES, "has no rows"),
        (pyarrow.concat_tables([source([*TRAIN, *TEST])] * 2), RULES, "'row_id' has nulls or repetitions"),
    ],
)
def test_a_table_that_cannot_be_curated_is_refused_with_what_was_found(table, rules, message):
    with pytest.raises(InputError, match=message):
        curate(table, rules)
