"""The evaluation's page: one file, everything escaped, everything that was left out said."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from seatrial.components.evaluation.classification_page import classification_page
from seatrial.components.evaluation.classify import evaluate
from seatrial.components.evaluation.predictions import Predictions


class Balance(HTMLParser):
    """Collects the elements of a page and checks that each is closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(labels: list[str], truth: list[str] | None = None) -> str:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(len(labels)), size=200)
    answers = [labels[best] for best in probabilities.argmax(axis=1)]
    truth = truth or [labels[number] for number in generator.integers(len(labels), size=200)]
    evaluation = evaluate(
        Predictions([str(n) for n in range(200)], truth, answers, probabilities, labels, "digest", "linear", "d"),
        confidence_level=0.9,
        seed=0,
    )
    return classification_page(evaluation, title="Evaluation <1>", subtitle="Model & co", confidence_level=0.9)


@pytest.mark.parametrize("labels", [["bad", "good"], [f"label {number}" for number in range(30)], ["only"]])
def test_the_page_is_well_formed_and_needs_nothing_from_the_network(labels):
    parsed = Balance(page(labels))

    assert {"img", "script", "link", "iframe"}.isdisjoint(tag for tag, _ in parsed.elements)
    assert not any({"src", "href", "srcset"} & set(attributes) for _, attributes in parsed.elements)
    assert "url(" not in page(labels)


def test_hostile_labels_are_shown_as_text():
    hostile = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>"]

    parsed = Balance(page(hostile, truth=["</svg><b>unknown</b>"] * 200))

    assert {"script", "img"}.isdisjoint(tag for tag, _ in parsed.elements)
    assert "<script>alert(1)</script>" in parsed.text
    assert "</svg><b>unknown</b>" in parsed.text


def test_the_page_has_the_metrics_their_intervals_and_a_plot_of_each_kind():
    content = page(["bad", "good"])
    parsed = Balance(content)

    plots = [attributes["aria-label"] for tag, attributes in parsed.elements if tag == "svg"]
    assert plots == ["Metrics with intervals", "Confusion matrix", "Calibration", "ROC curve"]
    assert re.search(r"Accuracy0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", parsed.text)
    assert "90 % confidence" in parsed.text
    assert "nan" not in content


def test_many_labels_are_all_in_the_table_and_the_most_frequent_in_the_plots():
    parsed = Balance(page([f"label {number}" for number in range(30)]))

    assert all(f"label {number}" in parsed.text for number in range(30))
    assert "The 12 most frequent labels; 18 others are left out." in parsed.text


def test_what_was_left_out_is_said():
    parsed = Balance(page(["bad", "good"], truth=["good"] * 200))

    assert "ROC AUC is left out" in parsed.text
    assert "ROC curve" not in parsed.text
