"""One table from the objects of a source. Downloads are contract-tested against the local Vertex."""

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.ingest import column_types, combine, ingest
from seatrial.components.curation.source import resolve
from seatrial.components.runtime import InputError


def entry(split: str = "", name: str = "a.csv") -> dict[str, str]:
    return {"uri": f"gs://bucket/{name}", "generation": "1", "split": split, "format": "csv"}


@given(st.lists(st.tuples(st.sampled_from(["train", "test"]), st.integers(1, 5)), min_size=1))
def test_row_ids_are_unique_and_rows_keep_their_order_and_split(objects):
    source = [entry(split) for split, _ in objects]
    tables = [pyarrow.table({"place": list(range(rows))}) for _, rows in objects]

    table = combine(source, tables)

    assert len(set(table["row_id"].to_pylist())) == table.num_rows == sum(rows for _, rows in objects)
    assert table["place"].to_pylist() == [place for _, rows in objects for place in range(rows)]
    assert table["split"].to_pylist() == [split for split, rows in objects for _ in range(rows)]
    assert table == combine(source, tables)


def test_a_row_id_says_split_object_and_row():
    table = pyarrow.table({"text": ["a", "b"]})

    ids = combine([entry("test"), entry("train"), entry("train")], [table, table, table])["row_id"].to_pylist()

    assert ids == ["test-0-0", "test-0-1", "train-0-0", "train-0-1", "train-1-0", "train-1-1"]


def test_without_a_test_source_the_split_is_null():
    table = combine([entry()], [pyarrow.table({"text": ["a"]})])

    assert table.to_pylist() == [{"text": "a", "row_id": "row-0-0", "split": None}]


def test_columns_are_put_in_one_order_and_number_types_are_joined():
    tables = [pyarrow.table({"a": [1], "b": [None]}), pyarrow.table({"b": ["x"], "a": [0.5]})]

    table = combine([entry(), entry()], tables)

    assert table.select(["a", "b"]).to_pylist() == [{"a": 1.0, "b": None}, {"a": 0.5, "b": "x"}]


def test_objects_with_different_columns_are_refused():
    tables = [pyarrow.table({"a": [1], "b": [1]}), pyarrow.table({"a": [1], "c": [1]})]

    with pytest.raises(InputError, match=r"gs://bucket/2.csv and gs://bucket/1.csv differ in the column 'b', 'c'"):
        combine([entry(name="1.csv"), entry(name="2.csv")], tables)


def test_objects_with_types_that_cannot_be_joined_are_refused():
    tables = [pyarrow.table({"a": [1]}), pyarrow.table({"a": ["x"]})]

    with pytest.raises(InputError, match=r"2.csv and the objects before it differ in types: .*Name the type in schema"):
        combine([entry(name="1.csv"), entry(name="2.csv")], tables)


@pytest.mark.parametrize("name", ["row_id", "split"])
def test_a_column_of_a_name_that_is_added_is_refused(name):
    with pytest.raises(InputError, match=f"already has a column '{name}', which ingest_table adds. Rename it"):
        combine([entry()], [pyarrow.table({name: ["x"]})])


def test_types_are_named_as_arrow_names_them():
    assert column_types({"a": "string", "b": "timestamp[us]"}) == {
        "a": pyarrow.string(),
        "b": pyarrow.timestamp("us"),
    }


@pytest.mark.parametrize("name", ["words", "", 1, None])
def test_a_type_that_is_none_is_refused(name):
    with pytest.raises(InputError, match="schema gives the column 'a' the type .* Expected the name of an Arrow type"):
        column_types({"a": name})


@pytest.mark.parametrize("source", [[], ["gs://bucket/a.csv"], [{"uri": "gs://bucket/a.csv"}]])
def test_a_source_that_was_not_resolved_is_refused(source):
    with pytest.raises(InputError, match="Pass the output of resolve_source"):
        ingest(None, source, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "xlsx"}, "format is 'xlsx'; expected 'parquet', 'csv' or 'jsonl'"),
        ({"format": ["csv"]}, "format is"),
        ({"generation": "latest"}, "generation is 'latest'; expected decimal digits"),
        ({"generation": 1.0}, "generation is 1.0; expected decimal digits"),
        ({"split": "validation"}, "split is 'validation'; expected 'train', 'test' or ''"),
        ({"uri": "a.csv"}, "'a.csv' is no Cloud Storage URI"),
        ({"uri": 1}, "uri is 1; expected text"),
    ],
)
def test_a_source_entry_that_was_made_by_hand_is_refused_with_what_is_wrong(changes, message):
    with pytest.raises(InputError, match=message) as error:
        ingest(None, [entry(), {**entry(), **changes}], {})

    assert "source[1]" in str(error.value)


def write(bucket: str, name: str, content: bytes) -> None:
    from google.cloud import storage

    storage.Client().bucket(bucket).blob(name).upload_from_string(content)


def resolved(train_uri: str, test_uri: str = "") -> list[dict[str, str]]:
    from google.cloud import storage

    return resolve(storage.Client(), train_uri, test_uri)


def ingested(source: list[dict[str, str]], schema: dict[str, str] | None = None) -> pyarrow.Table:
    from google.cloud import storage

    return ingest(storage.Client(), source, schema or {})


def test_objects_of_different_formats_become_one_table(bucket):
    write(bucket, "train/1.csv", b"code,text\n007,good\n")
    write(bucket, "train/2.jsonl", b'{"text": "bad", "code": "8"}\n')
    write(bucket, "test.csv", b"code,text\n009,fine\n")

    table = ingested(resolved(f"gs://{bucket}/train", f"gs://{bucket}/test.csv"), {"code": "string"})

    assert table.to_pylist() == [
        {"code": "009", "text": "fine", "row_id": "test-0-0", "split": "test"},
        {"code": "007", "text": "good", "row_id": "train-0-0", "split": "train"},
        {"code": "8", "text": "bad", "row_id": "train-1-0", "split": "train"},
    ]


def test_an_object_that_was_replaced_in_between_is_not_read(bucket):
    write(bucket, "a.csv", b"text\nold\n")
    source = resolved(f"gs://{bucket}/a.csv")
    write(bucket, "a.csv", b"text\nnew\n")

    with pytest.raises(InputError, match="replaced or deleted since the source was resolved"):
        ingested(source)


def test_an_object_that_was_deleted_in_between_is_reported(bucket):
    from google.cloud import storage

    write(bucket, "a.csv", b"text\nold\n")
    source = resolved(f"gs://{bucket}/a.csv")
    storage.Client().bucket(bucket).blob("a.csv").delete()

    with pytest.raises(InputError, match="replaced or deleted since the source was resolved"):
        ingested(source)


def test_a_corrupt_object_is_reported_by_its_uri(bucket):
    write(bucket, "a.parquet", b"not Parquet")

    with pytest.raises(InputError, match=f"gs://{bucket}/a.parquet cannot be read as Parquet"):
        ingested(resolved(f"gs://{bucket}/a.parquet"))
