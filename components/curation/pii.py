"""Finds personal data in texts and puts a placeholder in its place: `[EMAIL]`, `[PHONE]`, `[CARD]`, `[IBAN]`.

What is found by its form alone:

- email: name@domain with a domain of two labels or more that ends in letters. Not: "name (at) domain", quoted names.
- card: 13 to 19 digits, together or grouped as on cards, with an issuer's prefix and length, that pass Luhn's test.
- iban: a country of the registry, its length, a remainder of 1 modulo 97; together or in groups.
- phone: international numbers (+ or 00, an existing country code, 8 to 15 digits); ten digits as North America groups
  them; national numbers that begin with 0 and are grouped, as most of Europe writes them; a few groupings without 0
  (Spain, Brazil). Other numbers, among them digits without any grouping, only after a word such as "call" or "Tel.".

A number after a word that says what else it is ("order", "ISBN") or beside a currency is neither phone nor card.
Other decimal digits, full-width signs, dashes and spaces count as their ASCII counterparts: ＠ is @, ٣ is 3, – is -.
Names and addresses have no form: `named_entities` finds them.

Every pattern begins where no letter or digit precedes it and is of bounded length, so the time is linear in the text.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pyarrow
from pyarrow import compute

from ..runtime import InputError

if TYPE_CHECKING:
    from .named_entities import NamedEntities

FORMS = ("email", "iban", "card", "phone")
ENTITIES = ("name", "address")


class Finding(NamedTuple):
    """Personal data of one kind, at characters `start` to `end` (exclusive) of a text."""

    kind: str
    start: int
    end: int


class Redaction(NamedTuple):
    """Redacted texts, and for each kind that was asked for how many were found in each text (int64)."""

    texts: pyarrow.Array
    counts: dict[str, pyarrow.Array]


# What finds personal data costs a few microseconds a text; most texts have neither an @ nor enough digits.
_DIGITS = r"\p{Nd}(?:[^\p{L}\p{N}\n]*\p{Nd}){6}"
_BEGINNING_OF_IBAN = r"\p{L}{2}\p{Nd}{2}[^\p{L}\p{N}\n]?[\p{L}\p{Nd}]{2}"
_CANDIDATE = rf"[@\x{{FE6B}}\x{{FF20}}]|{_DIGITS}|{_BEGINNING_OF_IBAN}"
_PLACEHOLDER = re.compile("\\[(?:" + "|".join(kind.upper() for kind in (*FORMS, *ENTITIES)) + ")\\]")
# Takes the place of a finding while others are looked for.
_BLANK = "\0"
# One finding can be what kept its neighbour from being one: texts are searched again, so that redacting a redacted text
# changes nothing. Natural texts need two rounds; the limit is for those that were built to need thousands.
_ROUNDS = 10

_LOCAL = r"\w.%+&'~-"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]++@(?:{_LABEL}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,63}})(?![^\W_])",
    re.IGNORECASE,
)
_LONGEST_LOCAL = 64
# Names of files such as logo@2x.png; none of these is a top-level domain.
_FILE_SUFFIXES = frozenset(
    (
        "bmp",
        "css",
        "csv",
        "gif",
        "gz",
        "heic",
        "html",
        "ico",
        "jpeg",
        "jpg",
        "js",
        "json",
        "pdf",
        "png",
        "svg",
        "tif",
        "txt",
        "webp",
    )
)

# A lookahead, since what only looks like the beginning of one may be followed by a real one.
_IBAN = re.compile(r"(?<!\w)(?=([A-Z]{2}\d\d(?:[ -]?[A-Z0-9]){11,29}))", re.IGNORECASE | re.ASCII)
# Lengths of the IBAN registry (SWIFT; ISO 13616), by country.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC",
        "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

_CARD = re.compile(
    r"""(?<![\w+])(?<!\d[.,/-])(?<![A-Z]{2}\d\d[ -])(?:        # not within an IBAN with a wrong digit
    (?P<groups>\d{4}([ -])\d{4}\2\d{4}\2\d{4})(?:\2\d{1,3})?  # most issuers
    | \d{4}([ -])\d{6}\3\d{4,5}                               # American Express, Diners Club
    | \d{6}([ -])\d{13}                                       # UnionPay
    | \d{4}([ -])\d{3}\5\d{3}\5\d{3}                          # Visa's old ones
    | \d{13,19}
    )(?!\w)(?![.,-]\d)""",
    re.VERBOSE,
)
# Issuer identification numbers and lengths as the issuers publish them.
_ISSUERS = re.compile(
    r"""4(?:\d{12}|\d{15}|\d{18})                                     # Visa
    | (?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}  # Mastercard
    | 3[47]\d{13}                                                     # American Express
    | (?:6011|64[4-9]\d|65\d\d)\d{12,15}                              # Discover
    | 3(?:0[0-5]|095|[689])\d+                                        # Diners Club, from 14 digits
    | 35(?:2[89]|[3-8]\d)\d{12,15}                                    # JCB
    | (?:62|81)\d{14,17}                                              # UnionPay
    | (?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}              # Maestro
    | 220[0-4]\d{12,15}                                               # Mir
    | (?:60|82|508\d|9792)\d{12,14}                                   # RuPay, Troy
    """,
    re.VERBOSE,
)

_BEGIN, _END = r"(?<![\w+])(?<!\d[.,:/-])", r"(?!\w)(?![.,:/-]\d)"
_ALONE = r"(?<!\d[ ])"
_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ ]?\d{1,5})?"
_JOINED = r"(?:[ ]?\(\d{1,4}\)[ ]?|[./ -])?"
_INTERNATIONAL = re.compile(
    rf"""(?:(?<![\w+])\+[ ]?\(?[1-9]\)? | {_BEGIN}{_ALONE}00(?P<code>[1-9]\d{{0,2}})(?=[ ./-]))
    (?:{_JOINED}\d){{6,15}}{_END}""",
    re.VERBOSE,
)
_GROUPED = re.compile(
    rf"""{_BEGIN}(?:
    (?:\+?1[ .-]?)?\([2-9]\d\d\)[ ]?[2-9]\d\d[ .-]\d{{4}}
    | (?:1([ .-]))?[2-9]\d\d([ .-])[2-9]\d\d\2\d{{4}}
    | \(\d\d\)[ ]?9?\d{{4}}-\d{{4}}
    ){_EXTENSION}{_END}""",
    re.VERBOSE | re.IGNORECASE,
)
_NATIONAL = re.compile(
    rf"""{_BEGIN}{_ALONE}(?P<number>
    \(0[1-9]\d{{0,3}}\)[ ]?\d{{2,8}}(?:[ .-]\d{{2,4}}){{0,3}}
    | 0[1-9]\d{{0,3}}[ ]?[ ./-][ ]?\d{{2,8}}(?:[ .-]\d{{2,4}}){{0,4}}
    | [67]\d\d(?:[ ]\d\d){{3}}(?![ ]\d) | [89]\d[ ]\d{{3}}[ ]\d\d[ ]\d\d(?![ ]\d)
    ){_EXTENSION}{_END}""",
    re.VERBOSE | re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    rf"{_BEGIN}(?P<number>\(?\d(?:{_JOINED}\d){{6,14}}){_EXTENSION}{_END}", re.VERBOSE | re.IGNORECASE
)
_ANNOUNCEMENT = re.compile(
    r"""(?<![\w[])(?:tel|t[ée]l[ée]phone|telef[oó]no?s?|phone|phoned|call|called|calling|ring|rang|dial|mobile|cell|handy
    |mobil|fax|hotline|whatsapp|sms|text[ ]me|ruf|rufen|anruf|reach|my[ ]number|appel(?:ez|er)?|ll[aá]m[ae]\w*)
    (?![\w@])[^\d\n\0\[\]]{0,24}$""",
    re.VERBOSE | re.IGNORECASE,
)
_OTHERWISE_NAMED = re.compile(
    r"""(?<!\w)(?:isbn(?:-1[03])?|issn|ean|upc|gtin|asin|sku|imei|vin|order|invoice|tracking|parcel|serial|ticket|case
    |customer|account|part|model|item|article|version|build|id|ref|reference|bestellung|bestellnummer|rechnung|kundennummer
    |commande|facture|pedido)
    (?:[ ]?(?:number|no|nr|num|code|id)\b\.?)?[ ]?[:#]?[ ]?[#]?$""",
    re.VERBOSE | re.IGNORECASE,
)
_BEFORE_AMOUNT = re.compile(r"(?:[$€£¥₹]|(?<!\w)(?:usd|eur|gbp|chf|jpy|inr|cad|aud))[ ]?$", re.IGNORECASE)
_AFTER_AMOUNT = re.compile(
    r"[ ]?(?:[$€£¥₹%]|(?:usd|eur|euros?|gbp|chf|jpy|inr|cad|aud|dollars?|pounds)\b)", re.IGNORECASE
)
_DATE = re.compile(r"\d\d([./ -])\d\d\1(?:19|20)\d\d(?!\d)|(?:19|20)\d\d([./ -])\d\d\2\d\d(?!\d)")
_IP_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_BOOK = re.compile(r"97[89][ -]?\d")
_LOOK_BACK = 48
# ITU-T E.164: one digit, two digits; all others that begin so have three.
_COUNTRY_CODE = re.compile(
    r"1(?![01])|7(?![0-2])|2[07]|3[0123469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1234569]\d|3[578]\d|42[013]|50\d|59\d|67\d|68\d|69[0-2]|80[08]|85[02356]|88[0-368]|96\d|97\d|99[2-68]"
)


def find(text: str) -> list[Finding]:
    """Finds e-mail addresses, card numbers, IBANs and telephone numbers.

    Returns:
        Findings that do not overlap, in the order of the text.
    """
    blanked = text if text.isascii() else text.translate(_COUNTERPARTS)
    findings: list[Finding] = []
    for _ in range(_ROUNDS):
        before = len(findings)
        for kind, spans in _SEARCHES:
            found = [Finding(kind, start, end) for start, end in spans(blanked)]
            blanked = _replace(blanked, found, lambda finding: _BLANK * (finding.end - finding.start))
            findings += found
        if len(findings) == before:
            break
    return sorted(findings, key=lambda finding: finding.start)


def redact(texts: pyarrow.Array, kinds: Collection[str], entities: "NamedEntities | None" = None) -> Redaction:
    """Puts a placeholder in the place of personal data.

    Redacting once more changes nothing; with `entities` that holds as far as the model judges alike a text with
    placeholders.

    Args:
        texts: Strings; null stays null.
        kinds: What to redact, of `FORMS` and `ENTITIES`.
        entities: What finds names and addresses; needed if `kinds` has one of them.

    Raises:
        InputError: `kinds` has one that is unknown, or that needs `entities`.
    """
    if unknown := sorted(set(kinds) - {*FORMS, *ENTITIES}):
        raise InputError(f"kinds of personal data: {unknown} unknown; choose from {[*FORMS, *ENTITIES]}")
    named = set(kinds) & set(ENTITIES)
    if named and entities is None:
        raise InputError(
            f"kinds of personal data: {sorted(named)} need a model of named entities; give one or leave them"
        )
    candidates = compute.fill_null(compute.match_substring_regex(texts, _CANDIDATE), False)
    texts, counts = _redact_where(
        candidates, texts, kinds, [find(text) for text in texts.filter(candidates).to_pylist()]
    )
    if named and entities is not None:
        valid = texts.is_valid()
        written = texts.filter(valid).to_pylist()
        found = [_outside_placeholders(*pair) for pair in zip(written, entities.find(written), strict=True)]
        texts, named_counts = _redact_where(valid, texts, named, found)
        counts |= named_counts
    return Redaction(texts, {kind: counts[kind] for kind in kinds})


def _redact_where(
    where: pyarrow.Array, texts: pyarrow.Array, kinds: Collection[str], findings: list[list[Finding]]
) -> Redaction:
    """Redacts the texts for which `where` is true; `findings` are theirs."""
    chosen = [[finding for finding in found if finding.kind in kinds] for found in findings]
    redacted = [
        _replace(text, found, lambda finding: f"[{finding.kind.upper()}]")
        for text, found in zip(texts.filter(where).to_pylist(), chosen, strict=True)
    ]
    zeros = pyarrow.repeat(pyarrow.scalar(0, pyarrow.int64()), len(texts))
    counts = {}
    for kind in kinds:
        numbers = [sum(finding.kind == kind for finding in found) for found in chosen]
        counts[kind] = compute.replace_with_mask(zeros, where, pyarrow.array(numbers, pyarrow.int64()))
    return Redaction(compute.replace_with_mask(texts, where, pyarrow.array(redacted, texts.type)), counts)


def _replace(text: str, findings: list[Finding], substitute: Callable[[Finding], str]) -> str:
    """The text with something else in the place of each finding; they are in order."""
    if not findings:
        return text
    starts = [0, *(finding.end for finding in findings)]
    ends = [*(finding.start for finding in findings), len(text)]
    kept = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return kept[0] + "".join(substitute(finding) + after for finding, after in zip(findings, kept[1:], strict=True))


def _outside_placeholders(text: str, findings: list[Finding]) -> list[Finding]:
    """Models take placeholders for names: what they found, without the placeholders in it."""
    placeholders = [match.span() for match in _PLACEHOLDER.finditer(text)]
    outside = []
    for kind, start, last in findings:
        for left, right in [*(span for span in placeholders if span[1] > start and span[0] < last), (last, last)]:
            if part := text[start:left].strip():
                place = text.index(part, start)
                outside.append(Finding(kind, place, place + len(part)))
            start = right
    return outside


class _Counterparts(dict[int, str]):
    """Character → its ASCII counterpart, worked out when it is first met; one for one, so that places stay."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        digit, category = unicodedata.decimal(sign, None), unicodedata.category(sign)
        if digit is not None:
            sign = str(digit)
        elif 0xFF01 <= code <= 0xFF5E:  # full-width forms
            sign = chr(code - 0xFEE0)
        elif category == "Zs":
            sign = " "
        elif category == "Pd" or sign == "\N{MINUS SIGN}":
            sign = "-"
        self[code] = sign
        return sign


_COUNTERPARTS = _Counterparts()


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        local, _, domain = match.group().partition("@")
        name = local.lstrip(".%+&'~-")
        if 0 < len(name) <= _LONGEST_LOCAL and domain.rpartition(".")[2].lower() not in _FILE_SUFFIXES:
            yield match.start() + len(local) - len(name), match.end()


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    last = 0
    for match in _IBAN.finditer(text):
        start, candidate = match.start(), match.group(1)
        length = _IBAN_LENGTHS.get(candidate[:2].upper(), 0)
        places = [place for place, sign in enumerate(candidate) if sign.isalnum()][:length]
        end = start + places[-1] + 1 if places else start
        number = "".join(candidate[place] for place in places).upper()
        if start >= last and len(number) == length > 0 and not text[end : end + 1].isalnum() and _passes_iban(number):
            last = end
            yield start, end


def _passes_iban(number: str) -> bool:
    """ISO 7064 MOD 97-10, with letters as 10 to 35 and the first four signs at the end."""
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        for group in (0, "groups"):
            if _passes_card(re.sub("[ -]", "", match[group] or "")) and not _is_something_else(text, match):
                yield match.span(group)
                break


def _passes_card(digits: str) -> bool:
    """An issuer's prefix and length, and Luhn's test (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return bool(_ISSUERS.fullmatch(digits)) and (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _international_phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _INTERNATIONAL.finditer(text):
        number = _digits_of(match.group()).removeprefix("00")
        known = _COUNTRY_CODE.match(number) if match["code"] is None else _COUNTRY_CODE.fullmatch(match["code"])
        if 8 <= len(number) <= 15 and known and not _is_something_else(text, match):
            yield match.span()


def _grouped_phones(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _GROUPED.finditer(text) if not _is_something_else(text, match))


def _national_phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _NATIONAL.finditer(text):
        if 9 <= len(_digits_of(match["number"])) <= 12 and not _is_something_else(text, match):
            yield match.span()


def _announced_phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _ANNOUNCED.finditer(text):
        number = match["number"]
        if (
            len(_digits_of(number)) >= (9 if number.isdigit() else 7)
            and _ANNOUNCEMENT.search(text[max(0, match.start() - _LOOK_BACK) : match.start()])
            and not _is_something_else(text, match)
        ):
            yield match.span()


def _digits_of(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _is_something_else(text: str, match: re.Match[str]) -> bool:
    """An amount, a date, an IP address, a book's number, or what the word before says."""
    before = text[max(0, match.start() - _LOOK_BACK) : match.start()]
    return bool(
        _OTHERWISE_NAMED.search(before)
        or _BEFORE_AMOUNT.search(before)
        or _AFTER_AMOUNT.match(text, match.end())
        or _DATE.match(text, match.start())
        or _IP_ADDRESS.fullmatch(match.group())
        or _BOOK.match(text, match.start())
    )


# In this order: what is found is blank for those that follow.
_SEARCHES = (
    ("email", _emails),
    ("iban", _ibans),
    ("card", _cards),
    ("phone", _international_phones),
    ("phone", _grouped_phones),
    ("phone", _national_phones),
    ("phone", _announced_phones),
)
