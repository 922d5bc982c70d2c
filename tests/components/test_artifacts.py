"""The contract between components: complete folders, or a clear refusal."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from seatrial.components.artifacts import (
    MANIFEST_NAME,
    check_fields,
    describe,
    open_table,
    peek_manifest,
    read_json,
    read_manifest,
    read_table,
    strings_of,
    write_folder,
    write_json,
    write_table,
)
from seatrial.components.runtime import InputError


def write_example(path, text="content"):
    with write_folder(path, kind="model", metadata={"labels": ["a"]}) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "weights.bin").write_text(text)


def edit_manifest(folder, **changes):
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_written_folder_can_be_read_with_what_was_said_of_it(tmp_path):
    write_example(tmp_path / "model")
    manifest = read_manifest(tmp_path / "model", kind="model")

    assert list(manifest.files) == ["part/weights.bin"]
    assert manifest.metadata == {"labels": ["a"]}


def test_every_user_may_read_what_was_written(tmp_path):
    with write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        (folder / "weights").touch(mode=0o600)

    assert (tmp_path / "model" / "weights").stat().st_mode & 0o777 == 0o644


def test_equal_content_has_an_equal_digest(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        write_example(tmp_path / name, text)
    digests = [read_manifest(tmp_path / name, kind="model").digest for name in "abc"]

    assert digests[0] == digests[1] != digests[2]


def test_a_folder_whose_writer_failed_has_no_manifest(tmp_path):
    with pytest.raises(RuntimeError), write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        (folder / "weights.bin").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(InputError, match="not written to the end"):
        read_manifest(tmp_path / "model", kind="model")


def test_a_second_attempt_leaves_nothing_of_the_first(tmp_path):
    write_example(tmp_path / "model")
    with write_folder(tmp_path / "model", kind="model", metadata={}) as folder:
        assert not (folder / MANIFEST_NAME).exists()
        (folder / "other.bin").write_text("x")

    assert list(read_manifest(tmp_path / "model", kind="model").files) == ["other.bin"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "part" / "weights.bin").write_text("CONTENT"), "is not what was written"),
        (lambda folder: (folder / "part" / "weights.bin").write_text("longer content"), "is not what was written"),
        (lambda folder: (folder / "part" / "weights.bin").unlink(), "in the manifest but not in the folder"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("{"), "is no JSON document"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("[]"), "holds a JSON list; expected an object"),
        (lambda folder: (folder / MANIFEST_NAME).write_text("{}"), "cannot be read"),
        (lambda folder: edit_manifest(folder, metadata=[]), "cannot be read"),
        (lambda folder: edit_manifest(folder, digest="0" * 64), "names the digest 0000.*its files give"),
        (lambda folder: edit_manifest(folder, files={"a": 1}), "cannot be read"),
        (lambda folder: edit_manifest(folder, files={"../a": {"size": 1, "sha256": ""}}), "outside the folder"),
        (lambda folder: edit_manifest(folder, files={"/a": {"size": 1, "sha256": ""}}), "outside the folder"),
        (lambda folder: edit_manifest(folder, extra=1), "cannot be read"),
        (lambda folder: (folder / MANIFEST_NAME).unlink(), "not written to the end"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, damage, message):
    write_example(tmp_path / "model")
    damage(tmp_path / "model")

    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "model", kind="model")


def test_a_folder_of_another_kind_is_refused(tmp_path):
    write_example(tmp_path / "model")

    with pytest.raises(InputError, match="is a model folder .* expected a table folder"):
        read_table(tmp_path / "model")
    with pytest.raises(InputError, match="There is no folder"):
        read_table(tmp_path / "nowhere")


def test_tables_know_their_rows_and_columns(tmp_path):
    table = pyarrow.table({"text": ["a", "b"], "score": [1, 2]})
    manifest = write_table(tmp_path / "table", table, metadata={"source": "test"})

    assert manifest.metadata == {"rows": 2, "columns": {"text": "string", "score": "int64"}, "source": "test"}
    assert read_table(tmp_path / "table").equals(table)
    assert read_table(tmp_path / "table", columns=["score"]).column_names == ["score"]


def test_what_is_written_or_read_is_hashed_once(tmp_path, hashed):
    written = write_table(tmp_path / "table", pyarrow.table({"text": ["a"]}), metadata={})
    assert hashed == ["part-00000.parquet"]

    table, manifest = open_table(tmp_path / "table")

    assert hashed == ["part-00000.parquet"] * 2
    assert table.to_pylist() == [{"text": "a"}]
    assert manifest == written == peek_manifest(tmp_path / "table", kind="table")
    assert hashed == ["part-00000.parquet"] * 2


def test_an_optional_column_is_read_where_there_is_one(tmp_path):
    write_table(tmp_path / "table", pyarrow.table({"text": ["a"], "label": ["b"], "extra": [1]}), metadata={})

    assert read_table(tmp_path / "table", ["text"], optional=["label", "score"]).column_names == ["text", "label"]


def test_only_the_files_of_the_manifest_are_read(tmp_path):
    folder = tmp_path / "split=test"
    write_table(folder, pyarrow.table({"text": ["a"]}), metadata={})
    pyarrow.parquet.write_table(pyarrow.table({"text": ["stray"]}), folder / "part-00001.parquet")

    assert read_table(folder).to_pylist() == [{"text": "a"}]


@pytest.mark.parametrize(
    ("files", "metadata", "message"),
    [
        ({"a.parquet": b""}, {"rows": 0}, "no 'columns'; expected it to be an object"),
        ({"a.parquet": b""}, {"columns": {"text": "string"}}, "no 'rows'; expected it to be a whole number"),
        ({"a.parquet": b""}, {"columns": ["text"], "rows": 0}, "columns.*expected an object"),
        ({"a.csv": b"text"}, {"columns": {"text": "string"}, "rows": 0}, "no Parquet file"),
        ({"a.parquet": b"text"}, {"columns": {"text": "string"}, "rows": 0}, "cannot be read as Parquet"),
    ],
)
def test_a_folder_that_only_claims_to_be_a_table_is_refused(tmp_path, files, metadata, message):
    with write_folder(tmp_path / "table", kind="table", metadata=metadata) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "table")


@pytest.mark.parametrize("type_", [pyarrow.string(), pyarrow.large_string()])
def test_a_column_of_strings_is_a_list_of_them(type_):
    assert strings_of(pyarrow.table({"text": pyarrow.array(["a", "b"], type_)}), "text", "t", "Advice.") == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [1]}, r"^Column 'text' of t has type int64; expected strings\. Advice\.$"),
        ({"text": ["a", None]}, r"^Column 'text' of t has 1 nulls in 2 rows, the first in row 1\. Advice\.$"),
        ({"text": [None, "a"], "row_id": ["x", "y"]}, "the first in row 'x'"),
    ],
)
def test_a_column_of_anything_else_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        strings_of(pyarrow.table(columns), "text", "t", "Advice.")


def test_a_missing_column_is_named_with_those_that_there_are(tmp_path):
    write_table(tmp_path / "table", pyarrow.table({"text": ["a"]}), metadata={})

    with pytest.raises(InputError, match="no column 'review'; it has 'text'"):
        read_table(tmp_path / "table", columns=["review"])


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "verdict.json", {"verdict": "hold"})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "verdict.json", {"score": float("nan")})

    assert json.loads((tmp_path / "verdict.json").read_text()) == {"verdict": "hold"}
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file .*document. Advice."),
        (b"{", "is no JSON document .*Advice."),
        (b"\xff", "is no JSON document"),
        (b"[" * 100_000, "is no JSON document"),
        (b"[]", "holds a JSON list; expected an object. Advice."),
    ],
)
def test_a_file_that_holds_no_json_object_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "document").write_bytes(content)

    with pytest.raises(InputError, match=message):
        read_json(tmp_path / "document", "Advice.")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "^place is a JSON list; expected an object. Advice.$"),
        ({"a": 1}, "^place has no 'b'; expected it to be text or null. Advice.$"),
        ({"a": 1, "b": 2}, "^place has the 'b' 2; expected text or null. Advice.$"),
        ({"a": True, "b": ""}, "^place has the 'a' True; expected a whole number. Advice.$"),
    ],
)
def test_fields_that_are_missing_or_of_another_type_are_named(value, message):
    with pytest.raises(InputError, match=message):
        check_fields(value, {"a": (int,), "b": (str, None)}, "place", "Advice.")


def test_an_artifact_says_what_it_is(tmp_path):
    class Artifact:
        metadata: dict = {}  # noqa: RUF012

    manifest = write_table(tmp_path / "table", pyarrow.table({"a": [1]}), metadata={})
    describe(Artifact, manifest, headline="1 row", seed=7)

    assert Artifact.metadata["rows"] == 1
    assert Artifact.metadata["digest"] == manifest.digest
    assert Artifact.metadata["parameters"] == {"seed": 7}
    assert Artifact.metadata["headline"] == "1 row"
