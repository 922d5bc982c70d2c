"""The parts of which every report is made: complete, escaped, and in proportion."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.page import (
    LARGEST_MATRIX,
    Html,
    Measured,
    bars,
    cards,
    confusion_matrix,
    facts,
    interval_chart,
    legend,
    most_frequent,
    page,
    shortened,
    table,
)


class Parsed(HTMLParser):
    """Checks the nesting of a page's elements and collects them and the texts between them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()
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
        self.texts.append(data)

    def all(self, tag: str, name: str) -> list[str | None]:
        """An attribute of each element of a kind that has it."""
        return [attributes[name] for found, attributes in self.elements if found == tag and name in attributes]


def everything(text: str) -> str:
    sections = [
        cards([(text, text)]),
        table([text, "n"], [[text, text]], numbers=(1,)),
        facts({text: text}),
        legend({text: "red"}),
        bars({text: [1]}),
        interval_chart(text, [Measured(text, text, 0.5, (0.4, 0.6))], [(0, text), (1, text)]),
        confusion_matrix([text, "other"], [[1, 2], [3, 4]]),
    ]
    return page(text, sections)


@given(st.text(alphabet="<>&\"'ab", min_size=1, max_size=9))
def test_text_is_escaped_wherever_it_stands(text):
    parsed, plain = Parsed(everything(text)), Parsed(everything("plain"))

    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in plain.elements]
    assert parsed.texts.count(text) == plain.texts.count("plain")
    assert text in parsed.all("svg", "aria-label")


def test_a_page_loads_nothing():
    content = everything("text")

    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in Parsed(content).elements)
    assert not re.search(r"url\(|@import|https?:|src=|href=", content)


def test_a_page_adapts_to_telephone_and_paper():
    content = page("title", ["text"], style=".own { color: red; }")

    assert 'name="viewport"' in content
    assert content.index("@media (max-width") < content.index("@media print") < content.index(".own")


def test_an_empty_section_is_left_out():
    assert page("title", ["one", "", "two"]).count("<section>") == 2


def test_markup_in_a_cell_stays_markup():
    assert "<td><b>5 &lt; 6</b></td>" in table(["a"], [[Html("<b>5 &lt; 6</b>")]])


def test_columns_of_numbers_are_aligned_with_their_heading():
    markup = table(["name", "value"], [["a", "1"]], numbers=(1,))

    assert '<th>name</th><th class="number">value</th>' in markup
    assert '<td>a</td><td class="number">1</td>' in markup


def test_the_longest_bar_fills_the_width_and_the_others_keep_the_proportion():
    assert Parsed(bars({"a": [1, 4], "b": [2, 0]}, ("red", "blue"))).all("rect", "width") == [
        "25.00%",
        "100.00%",
        "50.00%",
        "0.00%",
    ]


@pytest.mark.parametrize("counts", [{}, {"a": [0]}])
def test_bars_of_nothing_have_no_length(counts):
    assert set(Parsed(bars(counts)).all("rect", "width")) <= {"0.00%"}


def test_an_interval_lies_on_the_scale_of_the_ticks():
    lines = [Measured("a", "0.75", 0.75, (0.6, 0.9)), Measured("b", "0.5", 0.5)]

    markup = interval_chart("Chart", lines, [(0.5, "low"), (1, "high")])

    assert Parsed(markup).all("circle", "cx") == ["50.00%", "0.00%"]
    assert '<line x1="20.00%" x2="80.00%"' in markup
    assert markup.count("stroke-opacity") == 1  # No bar without an interval.


def test_the_shade_of_the_confusion_matrix_is_the_share_of_the_row():
    parsed = Parsed(confusion_matrix(["a", "b", "never"], [[3, 1, 0], [0, 1000, 0], [0, 0, 0]]))

    shades = [float(shade or "") for shade in parsed.all("rect", "fill-opacity")]
    assert shades == [0.75, 0.25, 0, 0, 1, 0, 0, 0, 0]
    assert "1,000" in parsed.texts


def test_a_large_confusion_matrix_shows_the_most_frequent_labels_and_says_so():
    size = LARGEST_MATRIX + 3
    counts = [[int(row == column and row > 2) for column in range(size)] for row in range(size)]

    assert most_frequent(counts) == list(range(3, size))
    text = " ".join(Parsed(confusion_matrix([f"l{number}" for number in range(size)], counts)).texts)
    assert "l2" not in text
    assert "The 12 most frequent labels; 3 others are left out." in text


@given(st.text(), st.integers(1, 20))
def test_a_shortened_name_is_the_name_or_begins_like_it(name, longest):
    short = shortened(name, longest)

    assert len(short) <= longest
    assert short == name or (short.endswith("…") and name.startswith(short[:-1]))
