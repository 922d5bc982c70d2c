"""The page that shows what curation did."""

import re
from html.parser import HTMLParser
from urllib.parse import urlparse

import pyarrow
import pytest

from seatrial.components.curation.report import side_by_side
from seatrial.components.curation.text_rules import TextRules

from .curated import curated

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'here' 5 &lt; 6"


class Page(HTMLParser):
    """Collects the text and the attributes of a page, and checks that its tags are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.attributes, self.tags, self.open = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "col", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page() -> Page:
    table = pyarrow.table(
        {
            "review<b>": ["good tea", "good tea", HOSTILE, "&lt;i&gt;bad&lt;/i&gt; cup", "bad cup", "fine"],
            "stars": ["<u>great</u>"] * 3 + ["other"] * 3,
            "row_id": [f"row-{number}" for number in range(6)],
            "split": ["train"] * 5 + ["test"],
        }
    )
    rules = TextRules("review<b>", "stars", minimum_characters=2, near_duplicate_threshold=0.5)
    return Page(curated(table, rules).page)


def test_the_page_says_what_came_in_and_what_is_left(page):
    assert page.text[page.text.index("rows in") - 1] == "6"
    assert page.text[page.text.index("removed") - 1] == "1"
    assert page.text[page.text.index("train rows") - 1] == "4"
    assert page.text[page.text.index("test rows") - 1] == "1"


def test_the_page_shows_a_removed_row_beside_the_row_that_it_repeats(page):
    text = " ".join(page.text)

    assert re.search("identical as written +row-1 +good tea +row-0 +good tea", text)


def test_what_comes_from_the_data_is_text_and_not_markup(page):
    assert {"script", "u", "b", "i"} & set(page.tags) == {"b"}  # The page's own numbers are bold.
    assert "<u>great</u>" in page.text


def test_the_page_needs_no_network(page):
    assert not {"link", "script", "img", "iframe"} & set(page.tags)
    assert not [value for _, value in page.attributes if value and urlparse(value).scheme in ("http", "https")]


def test_words_that_differ_are_marked_and_long_shared_runs_are_cut():
    shared = " ".join(f"w{number}" for number in range(40))

    first, second = side_by_side(f"{shared} good tea", f"{shared} bad tea")

    assert first.endswith("w39 <mark>good</mark> tea")
    assert second.endswith("w39 <mark>bad</mark> tea")
    assert "w11 … w28" in first
    assert "w20" not in first


def test_a_removed_row_without_a_related_row_is_shown_alone():
    table = pyarrow.table(
        {
            "review": [None, "good tea", "bad", "fine cup"],
            "stars": ["a", "a", "b", "b"],
            "row_id": list("0123"),
            "split": ["train"] * 3 + ["test"],
        }
    )
    rules = TextRules("review", "stars")

    assert "No text, or none after cleaning" in " ".join(Page(curated(table, rules).page).text)
