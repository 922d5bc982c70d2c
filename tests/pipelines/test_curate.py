"""The pipeline `curate`: a first version by inferred rules, then an increment by given ones."""

import json
from pathlib import Path

from google.cloud import storage

from seatrial.components.artifacts import read_table
from seatrial.pipelines.submit import RunStatus, TaskStatus, follow, submit
from seatrial.pipelines.templates import find_template

RULES = "columns:\n  price: {type: number, range: {minimum: 0}}\nmaximum_quarantine_share: 0.2\n"
COLUMNS = ["review", "score", "price"]
FIRST = [
    (f"text number {number} of the first version", "good" if number % 2 else "bad", number) for number in range(40)
]
SECOND = [(f"a later text with the number {number}", "good" if number % 2 else "bad", number) for number in range(38)]


def csv(rows: list[tuple]) -> str:
    return "\n".join(",".join(map(str, row)) for row in [COLUMNS, *rows])


def run(bucket: str, rows: list[tuple], **changes: object) -> dict[str, TaskStatus]:
    blob = storage.Client().bucket(bucket).blob("rows.csv")
    blob.upload_from_string(csv(rows))
    parameters = {
        "train_uri": f"gs://{bucket}/rows.csv",
        "text_column": "review",
        "label_column": "score",
        "schema": {"price": "string"},
        "prompt_template": "Good or bad? {{ text }}",
        **changes,
    }
    where = {"project": "local-project", "location": "us-central1", "pipeline_root": f"gs://{bucket}/runs"}
    status: RunStatus = follow(submit(find_template("curate"), parameters, **where), lambda status: None, local=True)
    assert status.state == "SUCCEEDED", status.error
    return {task.name: task for task in status.tasks if task.state == "SUCCEEDED"}


def test_the_second_version_holds_what_is_new_and_keeps_the_rules(bucket, vertex):
    first = run(bucket, FIRST, version="v1")

    storage.Client().bucket(bucket).blob("rules.yaml").upload_from_string(RULES)
    second = run(
        bucket,
        [*SECOND, FIRST[0], ("a text of no price", "good", "gratis")],
        rules_uri=f"gs://{bucket}/rules.yaml",
        known_uri=first["curate-text"].outputs["fingerprints"],
        version="v2",
    )

    def folder(task: TaskStatus, output: str) -> Path:
        return vertex.home / "buckets" / task.outputs[output].removeprefix("gs://")

    def table(task: TaskStatus, output: str) -> list[dict]:
        return read_table(folder(task, output)).to_pylist()

    [quarantined] = table(second["validate-table"], "quarantine")
    assert (quarantined["price"], quarantined["rule"]) == ("gratis", "price.type")
    reasons = {entry["operation"]: entry["reason"] for entry in table(second["curate-text"], "ledger")}
    assert reasons["known_texts"] == "identical to a row of v1"
    kept = [row for split in ("train", "test") for row in table(second["curate-text"], split)]
    assert {type(row["price"]) for row in kept} == {float}
    assert not {row["text"] for row in kept} & {text for text, _, _ in FIRST}
    prompts = folder(second["render-prompts"], "train_conversations") / "conversations.jsonl"
    conversation = json.loads(prompts.read_text().splitlines()[0])
    assert conversation["contents"][0]["parts"][0]["text"].startswith("Good or bad? a later text")
