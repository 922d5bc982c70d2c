"""Which lines are boilerplate, and what a text is without them."""

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation import boilerplate
from seatrial.components.curation.boilerplate import BoilerplateCounter, remove
from seatrial.components.curation.clean import clean

SIGNATURE = "Sent from my iPhone"


def found(texts: list[str | None], batch: int = 7) -> dict[str, int]:
    counter = BoilerplateCounter()
    for start in range(0, len(texts), batch):
        counter.observe(pyarrow.array(texts[start : start + batch], pyarrow.string()))
    return counter.lines()


def without(text: str, *lines: str) -> tuple[str, int]:
    texts, counts = remove(pyarrow.array([text]), lines)
    return texts[0].as_py(), counts[0].as_py()


def test_a_line_that_twenty_texts_share_is_boilerplate() -> None:
    texts = [f"Message {number}\n{SIGNATURE}" for number in range(20)]

    assert found(texts) == {"sent from my iphone": 20}
    assert found(texts[:19]) == {}


def test_in_a_large_corpus_a_line_must_be_in_one_row_of_a_hundred() -> None:
    shared = [f"Message {number}\n{SIGNATURE}" for number in range(25)]
    others: list[str | None] = [None, "Only one line"]

    assert found(shared + others * 1_237) == {"sent from my iphone": 25}
    assert found(shared + others * 1_238) == {}


@pytest.mark.parametrize(
    "written",
    [
        "Message {}\r\nSENT from\tmy&nbsp;iPhone",
        "Message {}<br />sent from my <b>iPhone</b>",
        "<p>Message {}</p><P class='x'>Sent from my iPhone</P>",
        "<div>Message {}</div><div>Sent from my iPhone</div>",
        "<ul><li>Message {}<li>Sent from my iPhone</ul>",
        "<h2>Message {}</h2>Sent from my iPhone",
        "<table><tr><td>Message {}</tr><tr><td>Sent from my iPhone</tr></table>",
    ],
)
def test_lines_end_at_newlines_and_block_tags_and_are_compared_cleaned_and_without_case(written: str) -> None:
    texts = [written.format(number) for number in range(30)]

    assert found(texts) == {"sent from my iphone": 30}
    text, count = without(texts[0], *found(texts))
    assert (clean(text), count) == ("Message 0", 1)


def test_copies_of_one_text_count_once_within_a_batch_and_across_batches() -> None:
    assert found([f"One message\n{SIGNATURE}"] * 1_000, batch=100) == {}


def test_a_line_counts_once_in_a_text_that_repeats_it() -> None:
    assert found([f"Message {number}" + f"\n{SIGNATURE}" * 5 for number in range(19)]) == {}


def test_texts_that_consist_of_the_line_alone_do_not_count_and_are_left_alone() -> None:
    alone = [f"{SIGNATURE}\n" + " " * number for number in range(30)]

    assert found(alone) == {}
    assert without(alone[3], "sent from my iphone") == (alone[3], 0)


def test_a_text_that_is_boilerplate_throughout_is_left_alone() -> None:
    text = "We use cookies here\nSent from my iPhone"

    assert without(text, "we use cookies here", "sent from my iphone") == (text, 0)


def test_lines_of_two_words_are_no_boilerplate() -> None:
    assert found([f"Message {number}\nBest regards\nvery best regards" for number in range(30)]) == {
        "very best regards": 30
    }


def test_characters_count_as_words_where_words_are_not_separated() -> None:
    assert found([f"{number} 個\n私のiPhoneから送信\n以上" for number in range(30)]) == {"私のiphoneから送信": 30}


def test_every_occurrence_goes_and_the_rest_of_the_text_stays_as_it_was_written() -> None:
    text = f"{SIGNATURE}<br>A &amp; <b>B</b>\n\n{SIGNATURE}\nC"

    assert without(text, "sent from my iphone") == ("<br>A &amp; <b>B</b>\n\n\nC", 2)


def test_a_newline_within_a_tag_is_not_the_end_of_a_line() -> None:
    text, count = without('See <a\nhref="x y z">this</a>\nand that one', 'href="x y z">this</a>', "and that one")

    assert (clean(text), count) == ("See this", 1)


def test_columns_may_be_sliced_empty_or_null_and_keep_their_type() -> None:
    column = pyarrow.array(["a b c\nd", None, "a b c\ne", "a b c"], pyarrow.large_string())

    texts, counts = remove(column[1:], ["a b c"])

    assert (texts.to_pylist(), texts.type) == ([None, "\ne", "a b c"], pyarrow.large_string())
    assert counts.to_pylist() == [0, 1, 0]
    empty = pyarrow.array([], pyarrow.string())
    assert [result.to_pylist() for result in remove(empty, ["a b c"])] == [[], []]
    BoilerplateCounter().observe(empty)


def test_with_fewer_counters_than_lines_the_frequent_lines_are_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boilerplate, "_COUNTERS", 200)
    texts = [
        f"Message number {number}\nand another line {number}\n{SIGNATURE if number % 10 == 0 else 'No signature'}"
        for number in range(2_000)
    ]

    lines = found(texts, batch=50)

    assert list(lines) == ["sent from my iphone"]
    assert 200 - len(texts) * 2 / 200 <= lines["sent from my iphone"] <= 200


@given(st.lists(st.text("ab <br>\n&c", max_size=40), max_size=30), st.sets(st.text("ab c", min_size=1), max_size=5))
def test_removing_twice_changes_nothing_more_and_no_text_becomes_empty(texts: list[str], lines: set[str]) -> None:
    once, counts = remove(pyarrow.array(texts, pyarrow.string()), lines)
    twice, none = remove(once, lines)

    assert twice == once
    assert not any(none.to_pylist())
    for before, after, count in zip(texts, once.to_pylist(), counts.to_pylist(), strict=True):
        assert bool(clean(before)) == bool(clean(after))
        assert count or before == after
