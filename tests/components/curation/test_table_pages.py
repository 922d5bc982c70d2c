"""The pages of profile_table and validate_table: complete, escaped, and without a need of the network."""

from datetime import UTC, datetime
from html.parser import HTMLParser

import pyarrow
import pytest

from seatrial.components.curation.profile import profile
from seatrial.components.curation.profile_page import profile_page
from seatrial.components.curation.rules import parse_rules
from seatrial.components.curation.validate import validate
from seatrial.components.curation.validation_page import EXAMPLES_OF_EACH, validation_page

HOSTILE = "<script>alert(1)</script> \"'&"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
RULES = f"""
unexpected_columns: fail
columns:
  price: {{type: number, range: {{minimum: 0}}, drift: {{psi: 0.25, null_share: 0.1}}}}
  "<b>name</b>": {{type: string, allowed: ["{HOSTILE.replace('"', chr(92) + '"')}"], drift: {{psi: 0.25}}}}
  gone: {{type: date, freshness: {{days: 1}}}}
"""


class Page(HTMLParser):
    """Collects the texts, the elements and their attributes, and checks that elements are closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.texts, self.elements, self.attributes, self.open = [], [], [], []
        self.feed(markup)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def table_of(price: list, name: list) -> pyarrow.Table:
    return pyarrow.table(
        {
            "price": price,
            "<b>name</b>": name,
            "row_id": [f"<i>{row}</i>" for row in range(len(price))],
            "split": pyarrow.nulls(len(price), pyarrow.string()),
        }
    )


@pytest.fixture(scope="module")
def profiled() -> Page:
    columns = {
        "when": pyarrow.array([1, 2, 3, 10**15], pyarrow.timestamp("us")),
        "tags": [["<u>"]] * 4,
        "nothing": pyarrow.nulls(4),
        "large": [1, 2, 3, 5_000_000],
        "ok": [True, False, True, None],
        "long": ["x" * 200 + "1", "x" * 200 + "2"] * 2,
        "same": [1.5] * 4,
    }
    table = table_of([1.0, 2.0, float("nan"), None], [HOSTILE, HOSTILE, "N/A", " tea"])
    for name, values in columns.items():
        table = table.append_column(name, [values])
    return Page(profile_page(profile(table)))


@pytest.fixture(scope="module")
def validated() -> Page:
    accepted = profile(table_of([1.0, 2.0] * 50, [HOSTILE] * 100))
    rules = parse_rules(RULES)
    table = table_of([-1.0, 5.0] * 50, ["<u>tea</u>", *[HOSTILE] * 99])
    return Page(validation_page(validate(table.append_column("extra", [[1] * 100]), rules, accepted, NOW), rules))


def test_a_profile_begins_with_what_is_worth_a_look(profiled):
    text = profiled.text

    assert text.index("Worth a look") < text.index("1 values are NaN, 0 infinite.") < text.index("Columns")
    assert "Values that may stand for nothing: 'N/A' (1 times)." in text
    assert "1 texts begin or end with white space." in text
    assert "Every value is null." in text


def test_a_profile_has_every_column_with_its_facts(profiled):
    names = [
        text for text in profiled.texts if text in ("price", "<b>name</b>", "when", "tags", "nothing", "large", "ok")
    ]

    assert {name: names.count(name) >= 2 for name in names} == dict.fromkeys(names, True)
    assert "2001-09-09T01:46:40" in profiled.text
    assert "5M" in profiled.texts
    targets = {value.removeprefix("#") for name, value in profiled.attributes if name == "href"}
    assert targets == {value for name, value in profiled.attributes if name == "id"}


def test_texts_that_begin_alike_have_a_bar_each(profiled):
    assert sum(text.startswith("xxxx") and text.endswith("…") for text in profiled.texts) >= 1


def test_a_table_in_order_has_nothing_to_look_at():
    assert "Nothing: no column is constant" in profile_page(profile(table_of([1, 2], ["a", "b"])))


def test_a_refused_table_says_so_first_with_all_that_is_wrong(validated):
    text = validated.text

    assert text.index("The table is refused") < text.index("rows in")
    for broken in ("gone.required", "unexpected_columns", "maximum_quarantine_share", "price.drift"):
        assert broken in text[: text.index("rows in")]


def test_rules_have_their_rows_and_examples(validated):
    lines = " ".join(validated.texts)

    assert "price.range 0 or more 50 50.00%" in " ".join(lines.split())
    assert validated.texts.count("price is -1; expected 0 or more") == EXAMPLES_OF_EACH
    assert "the newest value is at most 1 day, 0:00:00 old" in lines


def test_drift_has_bars_of_before_and_now(validated):
    assert "accepted profile" in validated.texts
    assert "500 → 0" in validated.texts


def test_a_valid_table_is_accepted():
    rules = parse_rules("columns: {price: {drift: {psi: 0.25}, type: integer}}")
    page = Page(validation_page(validate(table_of([1, 2], ["a", "b"]), rules, None, NOW), rules))

    assert "The table is accepted: the valid rows go on." in page.text
    assert "Drift was not checked: there is no accepted profile." in page.text
    assert "No row is in quarantine." in page.text


@pytest.mark.parametrize("which", ["profiled", "validated"])
def test_what_comes_from_the_data_is_text_and_nothing_comes_from_the_network(which, request):
    page = request.getfixturevalue(which)

    assert not {"script", "u", "i", "img", "link", "iframe"} & set(page.elements)
    assert any("<script>alert(1)</script>" in text for text in page.texts)
    assert not [value for name, value in page.attributes if value and name in ("href", "src") and value[0] != "#"]
