"""What a user sees who gives `train_and_deploy` something wrong: the task that says no, what was wrong, what to do."""

import pytest
from google.cloud import storage

from seatrial.pipelines.submit import follow, submit
from seatrial.pipelines.templates import UsageError, find_template

CSV = "review,score\n" + "".join(f"text number {number},{'good' if number % 2 else 'bad'}\n" for number in range(40))


@pytest.fixture(scope="module")
def root(vertex):
    storage.Client().create_bucket("bad-input")
    return "gs://bad-input"


def run(root, **changes):
    parameters = {
        "train_uri": f"{root}/train.csv",
        "text_column": "review",
        "label_column": "score",
        "endpoint_display_name": "none",
        "model_display_name": "none",
        **changes,
    }
    where = {"project": "local-project", "location": "us-central1", "pipeline_root": f"{root}/runs"}
    job = submit(find_template("train_and_deploy"), parameters, **where)
    return follow(job, lambda status: None, local=True)


def upload(name, content):
    storage.Client().bucket("bad-input").blob(name).upload_from_string(content)


CASES = {
    "a bucket that does not exist": (
        {"train_uri": "gs://no-such-bucket/x.csv"},
        "",
        "resolve-source",
        "no-such-bucket",
    ),
    "nothing at the place": ({"train_uri": "gs://bad-input/nowhere/*.csv"}, "", "resolve-source", "nowhere"),
    "an empty file": ({}, "", "resolve-source", "0 bytes"),
    "no rows": ({}, "review,score\n", "ingest-table", "no rows"),
    "a missing column": ({"text_column": "comment"}, CSV, "curate-text", "'review', 'score'"),
    "an unknown label": ({"labels": ["good"]}, CSV, "curate-text", "'bad'"),
    "steps that do not end in 100": ({"traffic_steps": [50, 10]}, CSV, "plan-rollout", "[50, 10]"),
    "a first step too small": ({"requests_per_step": 50}, CSV, "plan-rollout", "requests_per_step is 50"),
    "a transformer of nothing": (
        {"estimator": "transformer"},
        CSV,
        "resolve-model",
        "pretrained_uri of train_and_deploy), is empty",
    ),
    "a drill that there is not": ({"drill": "explode"}, CSV, "plan-rollout", "drill is 'explode'"),
    "a drill without a champion": ({"drill": "slow"}, CSV, "plan-rollout", "no model serves to go back to"),
    "a latency below nothing": ({"latency_floor_ms": -1.0}, CSV, "plan-rollout", "latency_floor_ms -1.0"),
    "an unknown estimator": ({"estimator": "oracle"}, CSV, "train-linear", "oracle"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_fails_the_run_in_the_task_that_meets_it(root, case):
    changes, content, task, said = CASES[case]
    name = f"{task}-{len(case)}.csv"
    upload(name, content)
    status = run(root, **{"train_uri": f"{root}/{name}", **changes})

    assert status.state == "FAILED"
    assert [found.name for found in status.tasks if found.state == "FAILED"] == [task]
    assert task in status.error
    assert said in status.error
    assert "Traceback" not in status.error


def test_a_corrupt_parquet_file_is_named(root):
    upload("corrupt.parquet", b"PAR1 this is none PAR1")
    status = run(root, train_uri=f"{root}/corrupt.parquet")

    assert status.state == "FAILED"
    assert "corrupt.parquet" in status.error


@pytest.mark.parametrize("changes", [{"requests_per_step": "many"}, {"traffic_steps": 7}, {"no_such_parameter": 1}])
def test_a_parameter_of_the_wrong_type_is_refused_before_any_task_runs(root, changes):
    with pytest.raises(UsageError, match=next(iter(changes))):
        run(root, **changes)
