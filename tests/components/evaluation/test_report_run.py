"""The page of a whole run: what it says to whom, and that it is safe and needs nothing else."""

import json
import re
from html.parser import HTMLParser

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl

from seatrial.components import report_run
from seatrial.components.artifacts import write_table
from seatrial.components.evaluation.report_run import Run, confusion_of, removed_by_operation, render

VOID = {"meta"}


def model(accuracy: float, kind: str) -> dict:
    interval = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    return {"model_digest": kind * 4, "model_type": kind, "accuracy": interval}


def arm(requests: int) -> dict:
    numbers = {"accuracy": 0.8, "latency_p50_ms": 4.0, "latency_p95_ms": 12.0}
    return {"requests": requests, "errors": 0, **(numbers if requests else dict.fromkeys(numbers))}


def step(percent: int, decision: str = "proceed") -> dict:
    return {
        "percent": percent,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.25,
        "split": {name: share for name, share in (("7@2", percent), ("7@1", 100 - percent)) if share},
        "requests": 200,
        "errors": 3,
        "distinct_rows": 150,
        "champion": arm(2 * (100 - percent)),
        "challenger": arm(2 * percent),
        "decision": decision,
        "p_values": {"errors": 0.5, "quality": 0.25, "latency": None} if percent else {},
    }


def run(outcome: str = "promoted", verdict: str = "promote", code: str = "non_inferior", **changes) -> Run:
    promoted = outcome == "promoted"
    steps = [step(0), step(10), step(50), step(100)] if promoted else [step(0), step(10, "roll_back")]
    rollout = {
        "outcome": outcome,
        "reason": {"code": "no_harm" if promoted else "quality", "text": "How the rollout went."},
        "challenger": None if outcome == "kept" else "7@2",
        "split_before": {"7@1": 100},
        "split_after": {"7@2" if promoted else "7@1": 100},
        "steps": [] if outcome == "kept" else steps,
    }
    fields = {
        "verdict": {
            "verdict": verdict,
            "reasons": [{"code": code, "text": "Why the gate decided so."}],
            "evidence": {
                "rows": 993,
                "challenger": model(0.81, "linear"),
                "champion": model(0.65, "majority_class"),
            },
        },
        "rollout": rollout,
        "removed": {"exact_duplicates": 20, "leaked_test_rows": 7},
        "curation": {"rows_in": 5000.0, "rows_out": 4973.0},
        "evaluation": {"macro_f1": 0.77, "macro_f1_low": 0.74, "macro_f1_high": 0.8, "calibration_error": 0.03},
        "confusion": (["great", "other"], [[600, 47], [143, 203]]),
        "facts": {"pipeline job": "projects/p/locations/l/pipelineJobs/j"},
    }
    return Run(**{**fields, **changes})


class Page(HTMLParser):
    """Checks the nesting of a page's elements and collects its text and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (run(), "The new model is in service and answers all requests."),
        (run("rolled_back"), "The new model did harm and was taken back. The earlier model answers all requests."),
        (run("kept", "hold", "identical"), "Nothing changes: the new model is the same as the one in service."),
        (
            run("kept", "hold", "undecided"),
            "The model in service stays: the new one has not been shown to be good enough.",
        ),
        (run("kept", "reject", "worse"), "The model in service stays: the new one is not good enough."),
    ],
    ids=["promoted", "rolled back", "identical", "undecided", "worse"],
)
def test_the_outcome_comes_first_in_a_sentence(made, sentence):
    page = Page(render(made))

    assert page.text.index(sentence) < page.text.index("Why the gate decided so.")


def test_a_model_that_never_got_ready_did_no_harm():
    made = run("rolled_back")
    rollout = {**made.rollout, "reason": {"code": "not_ready", "text": "It never answered."}, "steps": [step(0)]}

    assert "The new model never became ready to serve." in Page(render(run(rollout=rollout))).text


def test_the_first_model_has_nobody_to_compare_with():
    made = run()
    rollout = {**made.rollout, "split_before": {}, "steps": [step(100)]}
    evidence = {"rows": 993, "challenger": model(0.81, "linear")}

    text = Page(render(run(rollout=rollout, verdict={**made.verdict, "evidence": evidence}))).text

    assert "The first model is in service" in text
    assert "old model:" not in text


def test_both_accuracies_are_given_with_their_intervals():
    text = Page(render(run())).text

    assert "81.0 % [79.0, 83.0]" in text
    assert "65.0 % [63.0, 67.0]" in text


def test_the_page_says_how_many_duplicates_and_leaked_rows_were_removed():
    text = Page(render(run())).text

    assert "Of 5,000 rows 4,973 were kept." in text
    assert "20 exact duplicates and 7 test rows that also were in train" in text


def test_each_step_of_the_traffic_is_told_with_its_evidence():
    text = Page(render(run())).text

    for heading in ("Before the rollout", "10 % to the new model", "50 % to the new model", "100 % to the new model"):
        assert heading in text
    assert "200 requests with 150 rows, 3 failed. p-values: errors 0.5, quality 0.25." in text
    assert "2026-01-02 03:04:05 UTC, 1.2 s" in text


def test_a_kept_champion_moved_no_traffic():
    assert "No traffic moved. How the rollout went." in Page(render(run("kept", "hold", "identical"))).text


def test_the_page_needs_no_script_and_no_network():
    page = Page(render(run()))

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.elements)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert "url(" not in render(run())
    assert "@import" not in render(run())


@given(st.text(alphabet="<>&\"'ab", min_size=1, max_size=12))
def test_text_from_outside_stays_text(text):
    made = run()
    hostile = run(
        verdict={**made.verdict, "reasons": [{"code": "x", "text": text}]},
        rollout={**made.rollout, "reason": {"code": "x", "text": text}, "challenger": text, "split_after": {text: 100}},
        removed={text: 1},
        confusion=([text, "b"], [[1, 0], [0, 1]]),
        facts={text: text},
    )

    page = Page(render(hostile))

    assert set(page.elements) == set(Page(render(made)).elements)
    assert page.texts.count(text) >= 4


def test_a_run_without_removed_rows_and_without_confusion_is_rendered():
    text = Page(render(run(removed={}, confusion=None, curation={}))).text

    assert "0 exact duplicates" in text
    assert "mix up" not in text


def test_many_labels_are_left_to_the_evaluations_own_page():
    labels = [str(number) for number in range(13)]

    assert "mix up" not in Page(render(run(confusion=(labels, [[1] * 13] * 13)))).text


def test_removed_rows_are_counted_in_the_order_of_curations_work():
    counts = removed_by_operation(["mine", "leaked_test_rows", "exact_duplicates", "exact_duplicates"])

    assert list(counts.items()) == [("exact_duplicates", 2), ("leaked_test_rows", 1), ("mine", 1)]


def test_the_confusion_matrix_is_read_from_classification_metrics():
    metrics = dsl.ClassificationMetrics()
    assert confusion_of(metrics.metadata) is None

    metrics.log_confusion_matrix(["great", "other"], [[1, 2], [3, 4]])
    assert confusion_of(metrics.metadata) == (["great", "other"], [[1, 2], [3, 4]])


def component_inputs(folder) -> dict:
    made = run()
    columns = {"row_id": ["r"], "operation": ["exact_duplicates"], "reason": ["same"], "related_row_id": ["q"]}
    write_table(folder / "ledger", pyarrow.table(columns), metadata={})
    (folder / "verdict").write_text(json.dumps(made.verdict))
    (folder / "rollout").write_text(json.dumps(made.rollout))
    return {
        "job": "projects/p/locations/l/pipelineJobs/j",
        "ledger": dsl.Dataset(uri=str(folder / "ledger")),
        "curation": dsl.Metrics(metadata={"rows_in": 3.0, "rows_out": 2.0, "parameters": {"text_column": "Text"}}),
        "evaluation": dsl.Metrics(metadata=made.evaluation),
        "verdict": dsl.Artifact(uri=str(folder / "verdict")),
        "rollout": dsl.Artifact(uri=str(folder / "rollout")),
        "report": dsl.HTML(uri=str(folder / "report")),
    }


def test_the_component_writes_the_page(tmp_path):
    inputs = component_inputs(tmp_path)

    report_run.python_func(**inputs)

    text = Page((tmp_path / "report").read_text()).text
    assert "1 exact duplicates" in text
    assert "pipelineJobs/j" in text
    assert "curation: text_column Text" in text
    assert inputs["report"].metadata["headline"] == "The new model is in service and answers all requests."


def test_the_component_refuses_what_is_no_rollout(tmp_path, capsys):
    inputs = component_inputs(tmp_path)
    (tmp_path / "rollout").write_text("{}")

    with pytest.raises(SystemExit, match="1"):
        report_run.python_func(**inputs)

    assert "holds no rollout" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
