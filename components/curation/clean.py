"""A text as it was scraped → the text that its author wrote: no markup, no invisible characters, one form of each."""

import html
import re
import unicodedata

import pyarrow
from pyarrow import compute

# A tag's name must be followed by what may follow it, so that <3, <me@example.org> and "a < b" stay.
TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9:-]*(?:\s[^<>]*)?/?>")
# Printable ASCII with single spaces between words and without markup is clean already.
_NOT_PLAIN = r"[^ -~]|[<&]|  |\A | \z"
_WHITESPACE_CONTROLS = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85"
_SOFT_HYPHEN, _ZERO_WIDTH_SPACE, _WORD_JOINER, _BYTE_ORDER_MARK = "\u00ad", "\u200b", "\u2060", "\ufeff"
_DIRECTION_MARKS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = dict.fromkeys(
    {code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _WHITESPACE_CONTROLS}
    | {ord(sign) for sign in _SOFT_HYPHEN + _ZERO_WIDTH_SPACE + _WORD_JOINER + _BYTE_ORDER_MARK + _DIRECTION_MARKS}
)


def clean(text: str) -> str:
    """Cleans one text.

    In this order: each HTML tag becomes a space; character references (`&eacute;`, `&#128522;`) become characters;
    control characters and invisible format characters go (zero-width joiners stay: emoji and several scripts need
    them); Unicode NFC; each run of whitespace becomes one space, and none is left at the ends. An escaped `&lt;br&gt;`
    is text and not markup, so it stays, as `<br>`.
    """
    text = html.unescape(TAG.sub(" ", text)).translate(_INVISIBLE)
    return " ".join(unicodedata.normalize("NFC", text).split())


def clean_all(texts: pyarrow.Array) -> pyarrow.Array:
    """Cleans many texts: `clean` of each, and "" for null. The type stays (string or large_string)."""
    texts = compute.fill_null(texts, "")
    rest = compute.match_substring_regex(texts, _NOT_PLAIN)
    cleaned = [clean(text) for text in texts.filter(rest).to_pylist()]
    return compute.replace_with_mask(texts, rest, pyarrow.array(cleaned, texts.type))
