"""What cleaning takes out of a text, and what it leaves."""

import re
import unicodedata

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.clean import clean, clean_all

PLAIN = st.text(st.characters(exclude_characters="<>&", exclude_categories=["Cs", "Cc", "Cf"]))


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("Great.<br /><br />Would buy again", "Great. Would buy again"),
        ('<a href="http://x.org/?a=1&b=2">this</a> tea', "this tea"),
        ("<P\nclass='x'>one</P>", "one"),
        ("caf&eacute; &amp; bar &#128522;", "café & bar 😊"),
        ("cafe\u0301", "café"),
        ("so\u00adft\u200b hy\ufeffphen", "soft hyphen"),
        ("  two \t words\r\n\u00a0here ", "two words here"),
        ("bell\x07 and null\x00", "bell and null"),
        ("left\u202eright", "leftright"),
    ],
)
def test_markup_references_and_invisible_characters_go(written: str, cleaned: str) -> None:
    assert clean(written) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "I <3 this",
        "write to <me@example.org>",
        "a < b and c > d",
        "AT&T",
        "👩\u200d🍳",
        "می\u200cخواهم",
        "日本語のお茶",
    ],
)
def test_what_only_looks_like_markup_and_joined_characters_stay(text: str) -> None:
    assert clean(text) == text


def test_escaped_markup_is_text_that_the_author_wrote() -> None:
    assert clean("use &lt;br&gt; here") == "use <br> here"


@given(st.text())
def test_a_cleaned_text_is_normal_and_has_single_spaces_and_no_control_characters(text: str) -> None:
    cleaned = clean(text)

    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not any(unicodedata.category(character) == "Cc" for character in cleaned)


@given(PLAIN)
def test_text_without_markup_keeps_its_words_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = clean(text)

    assert cleaned.split() == unicodedata.normalize("NFC", text).split()
    assert clean(cleaned) == cleaned


@given(st.lists(PLAIN, min_size=1, max_size=5), st.sampled_from(["<br>", "<br/>", "</p>", '<span class="tiny">']))
def test_a_tag_separates_words_as_a_space_does(parts: list[str], tag: str) -> None:
    assert clean(tag.join(parts)) == clean(" ".join(parts))
    assert not re.search(r"</?\w+.*>", clean(tag.join(parts)))


@given(
    st.lists(st.none() | st.text() | st.text("aé <>&;#10bp/\n\t\x00\u0301")),
    st.sampled_from([pyarrow.string(), pyarrow.large_string()]),
)
def test_a_whole_column_is_cleaned_as_its_texts_are_and_no_text_is_an_empty_one(
    texts: list[str | None], kind: pyarrow.DataType
) -> None:
    cleaned = clean_all(pyarrow.array(texts, kind))

    assert cleaned.to_pylist() == [clean(text or "") for text in texts]
    assert cleaned.type == kind


def test_a_slice_of_a_column_is_cleaned_by_itself() -> None:
    column = pyarrow.array([" a", "b  b", "c<br>c", None, "d"])

    assert clean_all(column[1:4]).to_pylist() == ["b b", "c c", ""]
