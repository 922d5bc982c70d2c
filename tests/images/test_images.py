"""The images: a task as Vertex AI runs it in `cpu`, a model as Vertex AI serves it from `serving`."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import yaml

from seatrial.components.artifacts import read_table, write_folder, write_table
from seatrial.components.images import source_hash

from ..model_folders import write_linear_model

# The first test of an image waits until it is built.
pytestmark = pytest.mark.timeout(1800)

COMPILED = Path(__file__).parents[2] / "compiled" / "components"
# Less than Vertex AI allows: what works so does not write outside of /tmp and the mounted buckets, nor call home.
LOCKED_DOWN = ("--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
STAGES = {"cpu": ("curation", "training", "evaluation", "deployment"), "serving": ("prediction",)}

INSPECT = """
import importlib, json, os, pkgutil, sys
import seatrial
from seatrial.components.images import source_hash

for stage in sys.argv[1:]:
    package = importlib.import_module("seatrial.components." + stage)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(package.__name__ + "." + module.name)
found = sorted(module.name for module in pkgutil.iter_modules(seatrial.__path__))
print(json.dumps({"user": os.getuid(), "packages": found, "hash": source_hash()}))
"""

ASK = """
import json, sys, time, urllib.request

for _ in range(600):
    try:
        urllib.request.urlopen("http://127.0.0.1:8080/health")
        break
    except OSError:
        time.sleep(0.1)
body = json.dumps({"instances": json.loads(sys.argv[1])}).encode()
print(urllib.request.urlopen("http://127.0.0.1:8080/predict", body).read().decode())
"""


ROWS = [
    ("train", "Good<br />tea", "great"),
    ("train", "Good tea", "great"),
    ("train", "Bad coffee", "other"),
    ("test", "A fine cup", "great"),
    ("test", "bad coffee!", "other"),
]


def write_rows(path: Path) -> None:
    columns = dict(zip(("split", "review", "score"), map(list, zip(*ROWS, strict=True)), strict=True))
    write_table(path, pyarrow.table({"row_id": [f"row-{n}" for n in range(len(ROWS))], **columns}), metadata={})


def write_transformer(path: Path) -> None:
    """A tiny one, whose head says "good" to every text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    sizes = {
        "vocab_size": 2,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
    }
    network = BertForSequenceClassification(BertConfig(**sizes, id2label={0: "bad", 1: "good"}))
    network.classifier.weight.data.zero_()
    network.classifier.bias.data[1] = 3.0
    with write_folder(path, kind="model", metadata={}) as folder:
        network.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(folder)


def task(component: str, inputs: dict[str, str], parameters: dict[str, Any]) -> list[str]:
    """The command of a compiled component, as Vertex AI fills it in; all artifacts are in `gs://bucket`."""
    specification = yaml.safe_load((COMPILED / f"{component}.yaml").read_text())
    [interface] = specification["components"].values()
    [executor] = specification["deploymentSpec"]["executors"].values()

    def artifacts(names: dict[str, str], definitions: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {"artifacts": [{"name": name, "type": definitions[name]["artifactType"], "uri": uri, "metadata": {}}]}
            for name, uri in names.items()
        }

    defaults = interface["inputDefinitions"]["parameters"].items()
    outputs = interface["outputDefinitions"]["artifacts"]
    executor_input = {
        "inputs": {
            "parameterValues": {name: d["defaultValue"] for name, d in defaults if "defaultValue" in d} | parameters,
            "artifacts": artifacts(inputs, interface["inputDefinitions"]["artifacts"]),
        },
        "outputs": {
            "artifacts": artifacts({name: f"gs://bucket/task/{name}" for name in outputs}, outputs),
            "outputFile": "/gcs/bucket/task/executor_output.json",
        },
    }
    container = executor["container"]
    return [part.replace("{{$}}", json.dumps(executor_input)) for part in container["command"] + container["args"]]


@contextmanager
def running(docker: Callable[..., str], image: str, *options: str) -> Iterator[str]:
    """A container that runs in the background with the image's own command."""
    name = f"seatrial-test-{uuid.uuid4().hex[:12]}"
    docker("run", "--detach", "--name", name, *LOCKED_DOWN, *options, image)
    try:
        yield name
    finally:
        subprocess.run(["docker", "logs", name], check=False)  # pytest shows it if the test fails
        docker("rm", "--force", name)


@pytest.mark.parametrize("target", STAGES)
def test_an_image_holds_what_its_tasks_import_and_no_more_of_seatrial(target, built, engine):
    image = built(target)

    found = json.loads(engine("run", "--rm", *LOCKED_DOWN, image, "python3", "-c", INSPECT, *STAGES[target]))

    assert found == {"user": 10001, "packages": ["components"], "hash": source_hash()}


def test_a_task_runs_as_on_vertex(built, engine, tmp_path):
    write_rows(tmp_path / "table")
    tmp_path.chmod(0o777)
    command = task(
        "curate_text", {"table": "gs://bucket/table"}, {"text_column": "review", "label_column": "score", "labels": []}
    )

    engine("run", "--rm", *LOCKED_DOWN, f"--volume={tmp_path}:/gcs/bucket", built("cpu"), *command)

    outputs = tmp_path / "task"
    assert read_table(outputs / "train")["text"].to_pylist() == ["Good tea", "Bad coffee"]
    assert read_table(outputs / "test")["text"].to_pylist() == ["A fine cup"]
    assert read_table(outputs / "ledger")["row_id"].to_pylist() == ["row-1", "row-4"]
    told = json.loads((outputs / "executor_output.json").read_text())
    assert told["artifacts"]["metrics"]["artifacts"][0]["metadata"]["train_rows"] == 2


@pytest.mark.parametrize(
    ("write_model", "labels"),
    [
        (write_linear_model, {"fine tea": "good", "awful tea": "bad"}),
        (write_transformer, {"tea": "good", "a cup of tea": "good"}),
    ],
    ids=["linear", "transformer"],
)
def test_a_model_is_served_as_on_vertex(write_model, labels, built, engine, tmp_path):
    write_model(tmp_path / "model")
    options = (f"--volume={tmp_path / 'model'}:/model:ro", "--env=AIP_STORAGE_URI=/model")

    with running(engine, built("serving"), *options) as container:
        answer = engine("exec", "--interactive", container, "python3", "-", json.dumps(list(labels)), input=ASK)
        engine("stop", container)
        exit_code = engine("inspect", "--format={{.State.ExitCode}}", container)

    assert [prediction["label"] for prediction in json.loads(answer)["predictions"]] == list(labels.values())
    assert exit_code.strip() == "0"
