"""What templates may do, and what stops those that do more."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.templates import Templates
from seatrial.components.runtime import InputError

ROW = {"row_id": "row-7", "text": "fine tea", "price": None, "product name": "tea"}
COLUMNS = ["text", "price", "product name"]


def render(source: str, row: dict = ROW, shots: list | None = None, seconds: int = 10) -> str:
    columns = [name for name in row if name != "row_id"]
    with Templates({"prompt_template": source}, {"prompt_template": columns}, seconds) as templates:
        return templates.render("prompt_template", [row], [shots or []])[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ text }}", "fine tea"),
        ("<b>{{ text|upper }}</b> & co", "<b>FINE TEA</b> & co"),
        ("{{ row['product name'] }}", "tea"),
        ("{{ price|default('unknown', true) }}", "unknown"),
        ("{{ {'answer': 'Käse & \"Brot\"'}|tojson }}", '{"answer": "Käse & \\"Brot\\""}'),
        ("{% if text is string %}\nA\n{% endif %}\nB", "A\nB"),
        ("{% set n = namespace(x=0) %}{% for i in range(3) %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}", "3"),
        ("{% for shot in shots %}{{ loop.index }} {{ shot.text }};{% endfor %}", "1 a;2 b;"),
        ("{% raw %}{{ text }}{% endraw %}", "{{ text }}"),
    ],
)
def test_a_template_turns_a_row_into_a_text(source, text):
    assert render(source, shots=[{"text": "a"}, {"text": "b"}]) == text


@pytest.mark.parametrize(
    "text", ["{{ 7*7 }}", "{% include 'x' %}", "{0.__class__}", "%s", "<b>&amp;", "\x00 \u2028 \ud7ff 😀"]
)
def test_rows_are_data_and_come_out_as_they_are(text):
    assert render("{{ text }}", {"row_id": "row-7", "text": text}) == text


def test_values_that_json_has_no_form_for_are_written_as_text():
    row = {"row_id": "row-7", "day": date(2024, 2, 29), "time": datetime(2024, 2, 29, 12), "price": Decimal("1.50")}

    assert render("{{ day }} {{ time }} {{ price }}", row) == "2024-02-29 2024-02-29T12:00:00 1.50"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% include '/etc/passwd' %}", "line 1: 'include' is not possible: templates read no files"),
        ("a\n{% import '/etc/passwd' as words %}", "line 2: 'import' is not possible"),
        ("{% from 'x' import y %}", "line 1: 'import' is not possible"),
        ("{% extends text %}", "line 1: 'extends' is not possible"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ text|attr('__class__') }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ range.__globals__ }}", "access to attribute '__globals__' of 'function' object is unsafe"),
        ("{{ namespace.__init__.__globals__ }}", "access to attribute '__init__' of 'type' object is unsafe"),
        ("{{ self._TemplateReference__context }}", "is unsafe"),
        ("{{ '{0.__class__}'.format(text) }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ '%s'.__mod__.__self__ }}", "is unsafe"),
        ("{{ lipsum.__globals__ }}", "'lipsum' is unknown; the names are text, price, product name, row, shots"),
        ("{{ cycler.__init__.__globals__ }}", "'cycler' is unknown"),
        ("{{ text|random }}", "No filter named 'random'"),
    ],
)
def test_a_template_reaches_nothing_but_its_row(source, message):
    with pytest.raises(InputError, match="^prompt_template, line") as caught:
        render(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for i in range(10**9) %}x{% endfor %}", "Range too big"),
        ("{{ 'x' * 10**10 }}", "more than 512 MB of memory"),
        ("{{ '{:>9999999999}'.format(1) }}", "more than 512 MB of memory"),
        ("{{ text.center(10**10) }}", "more than 512 MB of memory"),
        ("{% set n = namespace(x='xx') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "512 MB"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
            "gives more than 10,810 characters",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply"),
        ("{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}", "nested too deeply"),
    ],
)
def test_a_template_that_floods_is_stopped(source, message):
    with pytest.raises(InputError, match="prompt_template") as caught:
        render(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",  # While a row is rendered.
        "{{ 1|round(1000000000, 'ceil') }}",  # One operation of Python's, while the template is compiled.
    ],
)
def test_a_template_that_never_ends_is_stopped(source):
    with pytest.raises(InputError, match="^prompt_template takes more than 1 s of processor time"):
        render(source, seconds=1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ text", "line 1: unexpected end of template, expected 'end of print statement'. Correct the template."),
        ("\n{% for %}", "line 2: "),
        ("a\n\n{{ text|shout }}", "line 3: No filter named 'shout'. Correct"),
        ("\n{{ txt }}", "line 2: 'txt' is unknown; the names are text, price, product name, row, shots. Correct"),
        ("{{ row.txt }}", "'dict object' has no attribute 'txt'. The names are text, price"),
        ("\n{{ price }}", "line 2: a value is null; write what stands for it, as in {{ price|default("),
        ("{{ [text] }}", "a value is of type list; expected text or a number. Use |join"),
        ("{{ text.upper }}", "a value is of type builtin_function_or_method"),
        ("\n\n{{ 1 / 0 }}", "line 3: division by zero. The row is 'row-7'. Correct the template."),
        ("{{ '\\ud800' }}", "half of a surrogate pair"),
    ],
)
def test_an_error_says_what_and_where(source, message):
    with pytest.raises(InputError, match="prompt_template") as caught:
        render(source)
    assert message in str(caught.value)


def test_an_error_names_the_row_that_it_came_up_for():
    rows = [{"row_id": f"row-{number}", "text": "x" * number} for number in range(5)]

    with (
        Templates({"prompt_template": "{{ 1 / (3 - text|length) }}"}, {"prompt_template": ["text"]}) as templates,
        pytest.raises(InputError, match="division by zero. The row is 'row-3'"),
    ):
        templates.render("prompt_template", rows, [[]] * 5)


def test_a_value_that_is_no_text_is_refused():
    with pytest.raises(InputError, match="a value of type bytes; expected text, numbers"):
        render("{{ picture }}", {"row_id": "row-7", "picture": b"\xff"})


def test_a_value_of_megabytes_is_no_flood():
    assert len(render("{{ text }}", {"row_id": "row-7", "text": "word " * 2_000_000})) == 10_000_000


def test_a_row_that_does_not_fit_is_an_error():
    with pytest.raises(InputError, match="prompt_template: the row is too long to render with 512 MB.*'row-7'"):
        render("{{ text }}", {"row_id": "row-7", "text": "word " * 40_000_000})


def test_a_module_called_jinja2_in_the_current_folder_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "jinja2.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)

    assert render("{{ text }}") == "fine tea"


@pytest.fixture(scope="module")
def templates():
    with Templates({"t": "{{ text }}"}, {"t": ["text"]}) as templates:
        yield templates


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=50)))
def test_any_text_comes_out_as_it_went_in(templates, texts):
    rows = [{"row_id": str(number), "text": text} for number, text in enumerate(texts)]

    assert templates.render("t", rows, [[]] * len(rows)) == texts
