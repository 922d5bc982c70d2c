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
from seatrial.components.evaluation.loss_curve import LossCurve
from seatrial.components.evaluation.report_run import Run, confusion_of, mix_ups, removed_by_operation, render

from .conftest import arm, first_model, promoted, rolled_back, rollout, step

VOID = {"meta"}


def model(accuracy: float, kind: str) -> dict:
    interval = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    return {"model_digest": kind * 4, "model_type": kind, "accuracy": interval}


def run(outcome: str = "promoted", decided: str = "promote", code: str = "non_inferior", **changes) -> Run:
    rollouts = {
        "promoted": promoted(),
        "rolled_back": rolled_back(),
        "kept": rollout([], f"hold: {code}", outcome="kept", challenger=None),
    }
    fields = {
        "verdict": {
            "verdict": decided,
            "reasons": [{"code": code, "text": "Why the gate decided so."}],
            "evidence": {
                "rows": 993,
                "challenger": model(0.81, "linear"),
                "champion": model(0.65, "majority_class"),
            },
        },
        "rollout": rollouts[outcome],
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


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("not_ready", "The new model never became ready to serve."),
        ("no_evidence", "The new model answered too few requests to be judged and was taken back."),
        ("ended_before", "The new model was taken back."),
    ],
)
def test_a_model_that_was_taken_back_for_another_reason_is_not_said_to_have_done_harm(code, sentence):
    text = Page(render(run(rollout=rollout([], code)))).text

    assert f"{sentence} The earlier model answers all requests." in text
    assert "did harm" not in text


def test_the_first_model_has_nobody_to_compare_with():
    evidence = {"rows": 993, "challenger": model(0.81, "linear")}

    text = Page(render(run(rollout=first_model(champion=arm(0)), verdict={**run().verdict, "evidence": evidence}))).text

    assert "The first model is in service" in text
    assert "old model" not in text.lower()


def test_both_accuracies_are_given_with_their_intervals():
    text = Page(render(run())).text

    assert "81.0 % [79.0, 83.0]" in text
    assert "65.0 % [63.0, 67.0]" in text


def test_the_page_says_how_many_duplicates_and_leaked_rows_were_removed():
    text = Page(render(run())).text

    assert "Of 5,000 rows 4,973 were kept." in text
    assert "20 exact duplicates and 7 test rows that also were in train" in text


@pytest.mark.parametrize(
    ("made", "tests"),
    [
        (
            run(),
            ["On held-out rows ✓ passed Why the gate decided so.", "In the traffic ✓ passed How the rollout went."],
        ),
        (run("rolled_back"), ["On held-out rows ✓ passed", "In the traffic ✗ failed How the rollout went."]),
        (run("kept", "reject", "worse"), ["On held-out rows ✗ failed", "In the traffic – not made"]),
        (run("kept", "hold", "undecided"), ["On held-out rows – not decided", "In the traffic – not made"]),
        (run("kept", "hold", "identical"), ["On held-out rows – the same model", "In the traffic – not made"]),
    ],
    ids=["promoted", "rolled back", "worse", "undecided", "identical"],
)
def test_what_came_of_both_tests_is_told_with_the_reasons(made, tests):
    text = Page(render(made)).text

    assert [test for test in tests if test not in text] == []


def test_a_rollback_is_framed_and_named():
    assert '<div class="rolled-back-run">' in render(run("rolled_back"))
    assert "✗ rolled back" in Page(render(run("rolled_back"))).text
    assert '<div class="rolled-back-run">' not in render(run())


def test_the_sections_go_from_the_outcome_to_the_details():
    made = run(loss=LossCurve([(1, 0.7), (2, 0.5)]))

    headings = re.findall(r"<h[12]>([^<]*)</h[12]>", render(made))
    assert headings == [
        "The new model is in service and answers all requests.",
        "How good are the models?",
        "What did the traffic do?",
        "What did each step show?",
        "What was removed from the data?",
        "How did the training go?",
        "What does the new model mix up?",
        "The run",
    ]


def test_the_other_metrics_come_with_their_meaning_and_interval():
    text = Page(render(run())).text

    assert "Macro F1 0.770 [0.740, 0.800] mean over the labels of the balance of precision and recall" in text
    assert "Calibration error 0.030 mean gap" in text


def test_a_kept_champion_moved_no_traffic():
    assert "No traffic moved. Traffic: 7@1 100 %." in Page(render(run("kept", "hold", "identical"))).text


def test_the_page_needs_no_script_and_no_network():
    page = Page(render(run()))

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(page.elements)
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert "url(" not in render(run())
    assert "@import" not in render(run())


def with_text_from_outside(text: str) -> Page:
    made = run("rolled_back")
    steps = [step(0, split={text: 100}), step(10, decision="roll_back")]
    reason = {"code": text, "text": text}
    hostile = run(
        verdict={**made.verdict, "reasons": [reason]},
        rollout={**made.rollout, "reason": reason, "challenger": text, "split_after": {text: 100}, "steps": steps},
        removed={text: 1},
        confusion=([text, "other"], [[1, 2], [0, 1]]),
        facts={text: text},
    )
    return Page(render(hostile))


@given(st.text(alphabet="<>&\"'ab", min_size=1, max_size=12))
def test_text_from_outside_stays_text(text):
    page, plain = with_text_from_outside(text), with_text_from_outside("plain")

    assert page.elements == plain.elements
    assert page.texts.count(text) == plain.texts.count("plain") > 4


def test_a_run_without_removed_rows_and_without_confusion_is_rendered():
    text = Page(render(run(removed={}, confusion=None, curation={}))).text

    assert "0 exact duplicates" in text
    assert "mix up" not in text


def test_of_many_labels_the_most_frequent_are_shown():
    labels = [str(number) for number in range(13)]

    text = Page(render(run(confusion=(labels, [[1] * 13] * 13)))).text
    assert "The 12 most frequent labels; 1 others are left out." in text


def test_the_most_frequent_mistakes_are_told_first():
    assert mix_ups(["a", "b", "c"], [[5, 1, 0], [9, 5, 2], [0, 3, 5]], most=2) == [
        "9 of 16 rows with the label “b” were taken for “a”",
        "3 of 8 rows with the label “c” were taken for “b”",
    ]


def test_a_model_without_mistakes_mixes_nothing_up():
    assert mix_ups(["a", "b"], [[5, 0], [0, 7]]) == []
    assert "Nothing: every row got its label." in Page(render(run(confusion=(["a", "b"], [[5, 0], [0, 7]])))).text


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
        "curation": dsl.Metrics(
            metadata={"rows_in": 3.0, "rows_out": 2.0, "parameters": {"text_column": "Text", "labels": ["a", "b"]}}
        ),
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
    assert "curation: text_column Text curation: labels a, b" in text
    assert inputs["report"].metadata["headline"] == "The new model is in service and answers all requests."


def test_the_component_draws_the_loss_curve_of_a_model_that_has_one(tmp_path):
    model = dsl.Model(metadata={"loss_curve": [[100.0, 0.7], [200.0, 0.4]]})

    report_run.python_func(**component_inputs(tmp_path), model=model)

    assert "from 0.700 to 0.400 nats in 200 rows" in Page((tmp_path / "report").read_text()).text


def test_the_component_leaves_the_section_out_for_a_model_that_has_none(tmp_path):
    report_run.python_func(**component_inputs(tmp_path), model=dsl.Model(metadata={"labels": ["a"]}))

    assert "training" not in Page((tmp_path / "report").read_text()).text


def test_the_component_refuses_a_loss_curve_that_cannot_be_drawn(tmp_path, capsys):
    model = dsl.Model(metadata={"loss_curve": [[100.0, "low"]]})

    with pytest.raises(SystemExit, match="1"):
        report_run.python_func(**component_inputs(tmp_path), model=model)

    assert "loss_curve[0] is [100.0, 'low']" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_the_component_refuses_what_is_no_rollout(tmp_path, capsys):
    inputs = component_inputs(tmp_path)
    (tmp_path / "rollout").write_text("{}")

    with pytest.raises(SystemExit, match="1"):
        report_run.python_func(**inputs)

    assert "holds no rollout" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
