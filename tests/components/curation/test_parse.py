"""What is read from Parquet, CSV and JSON Lines, and how bad content is reported."""

import contextlib
import csv
import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.parse import parse
from seatrial.components.runtime import InputError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def read(content: bytes | str, format: str = "csv", types: dict | None = None) -> pyarrow.Table:
    content = content.encode() if isinstance(content, str) else content
    return parse(content, format, f"gs://bucket/x.{format}", types or {})


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def test_the_three_formats_give_the_same_table() -> None:
    tables = [
        read("review,stars\nfine,4\n"),
        read('{"review": "fine", "stars": 4}\n', "jsonl"),
        read(parquet(review=["fine"], stars=[4]), "parquet"),
    ]

    assert tables[0] == tables[1] == tables[2]


def test_plain_types_replace_dictionary_encoding_and_large_strings_and_metadata_goes() -> None:
    category = pyarrow.array(["a", "a"]).dictionary_encode()
    text = pyarrow.array(["b", "c"], pyarrow.large_string())
    table = read(parquet(category=category, text=text), "parquet")

    assert table.schema == pyarrow.schema([("category", pyarrow.string()), ("text", pyarrow.string())])
    assert table.schema.metadata is None


@given(st.lists(TEXT, min_size=1), st.lists(TEXT, min_size=1))
def test_any_text_survives_json_lines(texts: list[str], others: list[str]) -> None:
    rows = [{"text": text, "other": other} for text, other in zip(texts, others, strict=False)]
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)

    assert read(content, "jsonl").to_pylist() == rows


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1))
def test_any_printable_text_survives_csv_even_with_quotes_and_line_breaks(texts: list[str]) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["id", "text"], *[["x", f'"{text}",\n"'] for text in texts]])

    assert read(file.getvalue())["text"].to_pylist() == [f'"{text}",\n"' for text in texts]


def test_a_csv_value_may_be_longer_than_a_block() -> None:
    long = "word " * 1_000_000

    assert read(f"text,label\n{long},a\n")["text"].to_pylist() == [long]


def test_a_byte_order_mark_is_not_part_of_the_first_column_name() -> None:
    assert read(b"\xef\xbb\xbftext,label\na,b\n").column_names == ["text", "label"]
    assert read(b'\xef\xbb\xbf{"text": "a"}', "jsonl").column_names == ["text"]


def test_keys_that_a_json_line_lacks_are_null() -> None:
    assert read('{"a": 1}\n\n{"b": 2}\n', "jsonl").to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": 2}]


def test_csv_types_are_inferred_from_all_rows_unless_they_are_given() -> None:
    assert read("code\n007\n").to_pylist() == [{"code": 7}]
    assert read("code\n007\n", types={"code": pyarrow.string()}).to_pylist() == [{"code": "007"}]
    many = "code\n" + "1\n" * 600_000 + "x\n"
    assert read(many)["code"].type == pyarrow.string()


def test_given_types_are_cast_in_every_format() -> None:
    for content, format in ((parquet(a=[1]), "parquet"), (b'{"a": 1}', "jsonl"), (b"a\n1\n", "csv")):
        assert read(content, format, {"a": pyarrow.float64()}).to_pylist() == [{"a": 1.0}]


@pytest.mark.parametrize(
    ("content", "format", "message"),
    [
        (b"a,b\n1,2\n3\n", "csv", "has 1 values in the row that ends in line 3, and 2 columns"),
        (b"a,b\n1,2,3\n", "csv", "has 3 values in the row that ends in line 2"),
        (b'a,b\n1,"open\n2,y\n', "csv", "no valid CSV up to line 3"),
        (b"", "csv", "has no header line"),
        (b"a,b\n", "csv", "has no rows"),
        (b"a,a\n1,2\n", "csv", "column 'a' more than once"),
        (b"a,b\nok,fine\n1,\xff\n", "csv", "is not UTF-8: byte 0xff in line 3"),
        ("a\nb\n".encode("utf-16"), "csv", "is not UTF-8: byte 0xff in line 1"),
        (b'{"a": 1}\n{"a": }\n', "jsonl", "bad line 2"),
        (b"[" * 100_000, "jsonl", "bad line 1"),
        (b'{"a": 1}\n[1]\n', "jsonl", r"no object in line 2: '\[1\]'"),
        (b'{"a": 1}\n{"a": "x"}\n', "jsonl", "column 'a' that are not of one type: Could not convert 'x'"),
        (b'{"a": 99999999999999999999}', "jsonl", "column 'a' that are not of one type"),
        (b'{"a": "\\ud800"}', "jsonl", "column 'a' that are not of one type"),
        (b'{"a": "\xff"}', "jsonl", "is not UTF-8"),
        (b"\n \n", "jsonl", "has no rows"),
        (b"", "parquet", "cannot be read as Parquet"),
        (b"no Parquet", "parquet", "cannot be read as Parquet"),
        (parquet(a=["text"])[:-20], "parquet", "cannot be read as Parquet"),
        (parquet(a=[1])[:4] + b"\xff" * 20 + parquet(a=[1])[24:], "parquet", "cannot be read as Parquet"),
        (parquet(a=pyarrow.array([b"\xff"]).view(pyarrow.string())), "parquet", "Invalid UTF8"),
        (parquet(a=pyarrow.array([], pyarrow.string())), "parquet", "has no rows"),
    ],
)
def test_bad_content_is_reported_with_its_object_and_place(content: bytes, format: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read(content, format)

    assert f"gs://bucket/x.{format}" in str(raised.value)


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_value_that_is_not_of_the_given_type_is_reported(format: str) -> None:
    content = {"csv": b"a\nx\n", "jsonl": b'{"a": "x"}', "parquet": parquet(a=["x"])}[format]

    with pytest.raises(InputError, match="'?x'?"):
        read(content, format, {"a": pyarrow.int64()})


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_given_type_for_a_missing_column_is_reported_with_the_columns_there_are(format: str) -> None:
    content = {"csv": b"a\nx\n", "jsonl": b'{"a": "x"}', "parquet": parquet(a=["x"])}[format]

    with pytest.raises(InputError, match=r"names the column 'b', which gs://.* it has 'a'"):
        read(content, format, {"b": pyarrow.int64()})


@given(st.one_of(st.binary(), st.text(alphabet='a1,"\r\n{}[]:é').map(str.encode)), st.sampled_from(["csv", "jsonl"]))
def test_any_bytes_give_a_table_or_a_clear_error(content: bytes, format: str) -> None:
    with contextlib.suppress(InputError):
        assert read(content, format).num_rows > 0
