"""What curation keeps and removes, and how it accounts for each row."""

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.components.curation.select_rows import OPERATIONS, SPLITS
from seatrial.components.curation.text_rules import TextRules
from seatrial.components.runtime import InputError

from .curated import curated as curate

RULES = TextRules("review", "stars")
TRAIN = [("train", "good tea", "great"), ("train", "bad coffee", "other")]
TEST = [("test", "fine cup", "great")]


def source(rows: list[tuple], **extra: list) -> pyarrow.Table:
    """A table as ingest_table writes it; each row is split, text, label."""
    splits, texts, labels = map(list, zip(*rows, strict=True))
    columns = {"review": texts, "stars": labels, **extra}
    columns |= {"row_id": [f"row-{number}" for number in range(len(rows))]}
    return pyarrow.table(columns).append_column("split", pyarrow.array(splits, pyarrow.string()))


def removed(rows: list[tuple], rules: TextRules = RULES) -> list[tuple]:
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
    rules = TextRules("review", "stars", minimum_characters=4, maximum_characters=10)
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

    assert removed(rows) == [("row-2", "near_duplicates", "similarity 100 %", "row-0")]


def test_test_rows_that_were_trained_on_are_removed_and_train_keeps_its_rows():
    rows = [("test", "good  tea", "great"), *TEST, *TRAIN, ("test", "BAD coffee", "other")]

    assert removed(rows) == [
        ("row-0", "leaked_test_rows", "identical after cleaning", "row-2"),
        ("row-4", "near_leaked_test_rows", "similarity 100 %", "row-3"),
    ]


def test_a_text_leaks_only_from_a_row_that_is_still_trained_on():
    rules = TextRules("review", "stars", near_duplicate_threshold=0.6)
    chain = ["a b c d e f", "b c d e f g", "c d e f g h"]
    rows = [*TRAIN, ("train", chain[0], "great"), ("train", chain[1], "great"), ("test", chain[2], "great")]

    assert removed(rows, rules) == [("row-3", "near_duplicates", "similarity 60 %", "row-2")]


def test_a_duplicate_with_another_label_is_counted_and_the_ledger_says_so():
    rules = TextRules("review", "stars", label_conflicts="first")

    curated = curate(source([*TRAIN, ("train", "good tea", "other"), *TEST]), rules)

    assert curated.counts["relabelled_duplicates"] == 1
    assert curated.ledger["reason"].to_pylist() == ["identical as written; its label is other, there great"]


def conflict(*labels: str, policy: str = "majority") -> list[tuple]:
    rows = [("train", "good tea", label) for label in labels]
    anchors = [("train", "a cup", "great"), ("train", "a mug", "other")]
    return removed([*rows, *anchors, *TEST], TextRules("review", "stars", label_conflicts=policy))


def test_of_contradicting_labels_the_strict_majority_is_kept():
    assert conflict("other", "great", "great") == [
        (
            "row-0",
            "label_conflicts",
            "its label is other, but 2 of the 3 rows with this text have great",
            "row-1",
        ),
        ("row-2", "exact_duplicates", "identical as written", "row-1"),
    ]


@pytest.mark.parametrize(
    ("labels", "policy"), [(("great", "other"), "majority"), (("great",) * 2 + ("other",), "remove")]
)
def test_without_a_majority_or_if_so_wanted_no_row_of_a_contradicted_text_is_kept(labels, policy):
    entries = conflict(*labels, policy=policy)

    assert [entry[:2] for entry in entries] == [(f"row-{row}", "label_conflicts") for row in range(len(labels))]
    assert all("none of them is kept" in entry[2] for entry in entries)


def test_the_order_column_says_which_of_equal_rows_is_kept():
    rows = [*TRAIN, ("train", "good tea", "great"), *TEST]
    table = source(rows, date=["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"])

    newest = curate(table, TextRules("review", "stars", order_by="-date"))

    assert newest.ledger.to_pylist()[0]["row_id"] == "row-0"
    assert newest.ledger.to_pylist()[0]["related_row_id"] == "row-2"


def test_a_test_row_of_a_group_that_is_in_train_is_removed():
    table = source([*TRAIN, *TEST, ("test", "a mug", "great")], product=["p1", "p2", "p1", "p3"])

    ledger = curate(table, TextRules("review", "stars", group_column="product")).ledger

    assert [tuple(entry.values()) for entry in ledger.to_pylist()] == [
        ("row-2", "straddling_groups", "the group p1 is in train", "row-0")
    ]


def test_a_hash_puts_each_group_on_one_side():
    rows = [(None, f"text number {number}", str(number % 2)) for number in range(200)]
    table = source(rows, product=[f"p{number % 40}" for number in range(200)])

    result = curate(table, TextRules("review", "stars", group_column="product", near_duplicate_threshold=1.0))

    assert not set(result.train["product"].to_pylist()) & set(result.test["product"].to_pylist())
    assert result.counts["rows_out"] == 200
    assert 10 <= result.counts["test_rows"] <= 80


@pytest.mark.parametrize(
    ("rules", "tested"),
    [({"test_share": 0.25}, [6, 7]), ({"test_from": "2026-01-04"}, [3, 4, 5, 6, 7]), ({"test_share": 0.01}, [7])],
)
def test_the_newest_rows_are_tested_on(rules, tested):
    rows = [(None, f"text {number}", str(number % 2)) for number in range(8)]
    table = source(rows, date=[f"2026-01-0{number + 1}" for number in range(8)])

    result = curate(table, TextRules("review", "stars", time_column="date", **rules))

    assert result.test["row_id"].to_pylist() == [f"row-{number}" for number in tested]


def test_surplus_rows_of_a_frequent_label_are_removed_from_train_the_same_ones_each_time():
    rows = [("train", f"text {number}", "great" if number < 30 else "other") for number in range(40)]
    rules = TextRules("review", "stars", maximum_class_ratio=1.5)

    ledgers = [curate(source([*rows, *TEST]), rules).ledger for _ in range(2)]

    assert ledgers[0].num_rows == 15
    assert set(ledgers[0]["reason"].to_pylist()) == {"the label great has 30 rows, the rarest 10"}
    assert ledgers[0].equals(ledgers[1])


def test_texts_of_an_earlier_version_and_what_is_nearly_one_are_removed_whatever_their_split():
    words = " ".join(f"w{number}" for number in range(20))
    earlier = curate(source([*TRAIN, ("train", words, "great"), *TEST]), RULES, version="v0")
    rows = [
        ("test", "good tea", "other"),
        ("train", f"{words} more", "great"),
        ("train", "a cup", "great"),
        ("train", "a mug", "other"),
        ("test", "a jug", "great"),
    ]

    result = curate(source(rows), RULES, known=earlier.fingerprints)

    assert [tuple(entry.values()) for entry in result.ledger.to_pylist()] == [
        ("row-0", "known_texts", "identical to a row of v0; its label is other, there great", "row-0"),
        ("row-1", "near_known_texts", "similarity 94 % to a row of v0", "row-2"),
    ]
    assert result.fingerprints["source"].to_pylist() == ["v0"] * 4 + ["v1"] * 3


def test_no_train_row_has_a_text_of_the_benchmark_and_test_rows_may():
    benchmark = pyarrow.table({"row_id": ["b-0", "b-1"], "review": ["Good<br>tea", "Fine cup!"]})
    rows = [*TRAIN, ("train", "good tea!", "great"), ("train", "Good tea", "great"), ("train", "a mug", "great"), *TEST]

    result = curate(source(rows), RULES, benchmark=benchmark)

    assert [tuple(entry.values()) for entry in result.ledger.to_pylist()] == [
        ("row-0", "near_benchmark_texts", "similarity 100 % to a row of the benchmark", "b-0"),
        ("row-2", "near_benchmark_texts", "similarity 100 % to a row of the benchmark", "b-0"),
        ("row-3", "benchmark_texts", "identical to a row of the benchmark", "b-0"),
    ]


def test_texts_without_labels_are_curated_too():
    rows = [("train", "good tea", None), ("train", "good tea", None), ("test", "fine cup", None)]

    result = curate(source(rows).drop_columns("stars"), TextRules("review"))

    assert result.train.column_names == ["row_id", "text"]
    assert result.ledger["operation"].to_pylist() == ["exact_duplicates"]


def test_a_text_in_another_language_is_removed_and_one_too_short_to_tell_is_kept():
    german = "Der Tee schmeckt wunderbar und wird von uns jeden Morgen getrunken."
    english = "The tea tastes wonderful and we drink it every single morning."
    rows = [*TRAIN, ("train", german, "great"), ("train", english, "great"), *TEST]

    [entry] = curate(source(rows), TextRules("review", "stars", languages=["en", "fr"])).ledger.to_pylist()

    assert (entry["row_id"], entry["operation"]) == ("row-2", "other_languages")
    assert entry["reason"].startswith("language de with probability ")
    with pytest.raises(InputError, match="languages has 'english'; expected ISO 639-1 codes"):
        curate(source(rows), TextRules("review", "stars", languages=["english"]))


def test_personal_data_is_redacted_and_each_changed_row_is_named():
    rows = [*TRAIN, ("train", "Write to joe@example.org or ann@example.org, card 4111 1111 1111 1111", "great"), *TEST]

    result = curate(source(rows), RULES)

    assert result.train["text"][2].as_py() == "Write to [EMAIL] or [EMAIL], card [CARD]"
    assert [tuple(entry.values()) for entry in result.edits.to_pylist()] == [
        ("row-2", "redacted_email", 2),
        ("row-2", "redacted_card", 1),
    ]
    assert (result.counts["redacted_email"], result.counts["redacted_phone"]) == (1, 0)
    assert "joe@example.org" not in result.page
    kept = curate(source(rows), TextRules("review", "stars", personal_data=[]))
    assert "joe@example.org" in kept.train["text"][2].as_py()


def test_lines_that_many_texts_share_are_taken_out():
    rows = [("train", f"tea number {number}\nSent from my new phone", str(number % 2)) for number in range(40)]

    result = curate(source([*rows, *TEST]), RULES)

    assert result.train["text"][0].as_py() == "tea number 0"
    assert result.counts["boilerplate"] == 40
    assert "sent from my new phone" in result.page


def test_a_million_identical_rows_leave_one():
    table = pyarrow.table(
        {
            "row_id": [f"row-{number}" for number in range(1_000_000)],
            "split": ["train"] * 999_999 + ["test"],
            "review": ["good tea"] * 999_999 + ["fine cup"],
        }
    )

    result = curate(table, TextRules("review"))

    assert result.train.num_rows == 1
    assert result.counts["exact_duplicates"] == 999_998


def test_a_cell_of_10_megabytes_is_removed_and_the_rest_is_curated():
    rows = [*TRAIN, ("train", "tea <br> & " * 1_000_000, "great"), *TEST]

    result = curate(source(rows), RULES)

    assert result.ledger["operation"].to_pylist() == ["too_long"]


def test_columns_of_any_type_come_out_as_they_went_in():
    extra = {
        "nothing": pyarrow.nulls(3),
        "when": pyarrow.array([0, 1, None], pyarrow.timestamp("ns", "Europe/Berlin")),
        "price": pyarrow.array([1, None, 3], pyarrow.decimal128(20, 3)),
        "tags": pyarrow.array([["a"], [], None]),
        "of": pyarrow.array([{"x": 1.5}, None, {"x": None}]),
        "raw": pyarrow.array([b"\xff", None, b""]),
        "small": pyarrow.array([1, 2, None], pyarrow.int8()),
        "day": pyarrow.array([0, 1, None], pyarrow.date32()),
        "odd name `\"'": pyarrow.array([True, False, None]),
    }
    table = source([*TRAIN, *TEST])
    for name, column in extra.items():
        table = table.append_column(name, column)

    result = curate(table, RULES)

    kept = pyarrow.concat_tables([result.train, result.test])
    for name in extra:
        assert kept[name].type == table[name].type
        assert kept[name].to_pylist() == table[name].to_pylist()


def test_without_a_split_in_the_source_equal_texts_go_to_the_same_side():
    rows = [(None, f"text {number % 50}", str(number % 2)) for number in range(150)]

    curated = curate(source(rows), TextRules("review", "stars", test_share=0.4))

    assert curated.counts["leaked_test_rows"] == 0
    assert curated.counts["exact_duplicates"] == 100
    assert curated.test.num_rows > 5


def leads_to_kept_rows(ledger: pyarrow.Table) -> bool:
    """Whether from each row that repeats another the ledger leads, row by row, to one that is kept, if any is."""
    related = {
        entry["row_id"]: entry["related_row_id"]
        for entry in ledger.to_pylist()
        if not entry["reason"].endswith("none of them is kept")
    }
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


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(0.1, 1), st.integers(1, 5))
def test_every_row_is_kept_or_in_the_ledger_once_and_a_second_curation_removes_nothing(rows, threshold, minimum):
    anchors = [("train", "alpha anchor", "a"), ("train", "beta anchor", "b"), ("test", "gamma anchor", "a")]
    table = source([*rows, *anchors])
    rules = TextRules("text", "label", near_duplicate_threshold=threshold, minimum_characters=minimum)
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
    assert curated.page.endswith("</html>\n")


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
        ({"label_conflicts": "last"}, "label_conflicts is 'last'; expected one of 'majority', 'remove', 'first'"),
        ({"personal_data": ["iris"]}, "personal_data has 'iris'; expected some of 'email'"),
        ({"personal_data": ["name"]}, "personal_data has 'name' and entity_model is ''"),
        ({"test_from": "2026-01-01"}, "test_from is '2026-01-01' without time_column"),
        ({"test_from": "soon", "time_column": "date"}, "test_from is 'soon'; expected a time"),
        ({"maximum_class_ratio": 0.5}, "maximum_class_ratio is 0.5"),
        ({"label_column": "", "labels": ["a"]}, r"labels is \['a'\] without label_column"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        TextRules(**{"text_column": "review", "label_column": "stars", **parameters})


@pytest.mark.parametrize(
    ("table", "rules", "message"),
    [
        (source(TRAIN), TextRules("text", "stars"), "text_column is 'text'; the table's columns are 'review', 'stars'"),
        (
            source(TRAIN),
            TextRules("review", "split"),
            "label_column is 'split'; the table's columns are 'review', 'stars'",
        ),
        (source(TRAIN).drop_columns("row_id"), RULES, "has no column 'row_id'. Pass the output of ingest_table"),
        (source(TRAIN, text=["a", "b"]), RULES, "has a column 'text' beside the text column 'review'"),
        (source([("train", 1, "a"), ("test", 2, "b")]), RULES, "column 'review' has the type int64; expected text"),
        (source([("train", "a", [1]), ("test", "b", [2])]), RULES, "'stars' has the type list"),
        (source([*TRAIN, ("train", "x", None)]), RULES, "'stars' is empty in 1 of 3 rows, such as row-2"),
        (source([*TRAIN, ("train", "x", " ")]), RULES, "'stars' is empty in 1 of 3 rows"),
        (
            source([*TRAIN, *TEST, ("test", "x", "Great")]),
            TextRules("review", "stars", labels=["great", "other"]),
            r"1 unknown labels in 1 rows: 'Great' \(1 rows\); first in the row row-3. Expected one of 'great', 'other'",
        ),
        (source(TRAIN), RULES, "'split' has the values 'train'; expected both"),
        (source([*TRAIN, *TEST, (None, "x", "great")]), RULES, "has the values 'test', 'train', None"),
        (source([*TRAIN, ("test", "good tea", "great")]), RULES, r"No test row is left of 3 rows \(removed: leaked"),
        (source([("train", "", "great"), *TEST]), RULES, "No train row is left of 2 rows"),
        (source([("train", "x", "great"), *TEST]), RULES, "All 1 train rows that are left have the label 'great'"),
        (source([*TRAIN, *TEST]).slice(0, 0), RULES, "has no rows"),
        (
            source([(None, "a", "x"), (None, "b", "y")], date=["2026-01-01", "never"]),
            TextRules("review", "stars", time_column="date"),
            "time_column 'date' has the type string, whose values are not all times",
        ),
        (
            source([*TRAIN, *TEST], date=["2026-01-01"] * 3),
            TextRules("review", "stars", time_column="date"),
            "time_column is 'date', but the source says itself which rows are 'test'",
        ),
        (source(TRAIN), TextRules("review", "stars", order_by="-date"), "order_by is '-date'; the table's columns are"),
        (pyarrow.concat_tables([source([*TRAIN, *TEST])] * 2), RULES, "'row_id' has nulls or repetitions"),
    ],
)
def test_a_table_that_cannot_be_curated_is_refused_with_what_was_found(table, rules, message):
    with pytest.raises(InputError, match=message):
        curate(table, rules)
