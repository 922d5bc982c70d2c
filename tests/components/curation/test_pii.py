"""What is found to be personal data, what is not, and what a text is without it."""

from itertools import pairwise

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.components.curation.pii import FORMS, Finding, find, redact
from seatrial.components.runtime import InputError


def spotted(text: str) -> list[tuple[str, str]]:
    return [(kind, text[start:end]) for kind, start, end in find(text)]


def redacted(text: str) -> str:
    return redact(pyarrow.array([text]), FORMS).texts[0].as_py()


@pytest.mark.parametrize(
    "address",
    [
        "anna@example.org",
        "Anna.O'Brien+shop@mail.example.co.uk",
        "a_b-1%x@shop-24.de",
        "jörg@müller-bau.de",
        "info@xn--mller-kva.xn--p1ai",
        "1234567890@example.com",
    ],
)
@pytest.mark.parametrize("sentence", ["{}", "Write to {}.", "mailto:{};", "(<{}>)", "'{}'", "x,{}/y"])
def test_email_addresses(address: str, sentence: str) -> None:
    assert spotted(sentence.format(address)) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    ["@anna.smith", "anna@home", "react@18.2.0", "logo@2x.png", "5 pcs @ 2.50", "a@.com", "a" * 65 + "@b.org", "@@@"],
)
def test_other_uses_of_the_at_sign(text: str) -> None:
    assert spotted(text) == []


@pytest.mark.parametrize(
    "number",
    [
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "+49 (30) 2399999",
        "+491712399999",
        "+1 (212) 555-0123",
        "+1.212.555.0123",
        "+7 916 123-45-67",
        "+55 11 91234-5678",
        "0044 7700 900123",
        "(212) 555-0123",
        "(212)555-0123 ext. 12",
        "212-555-0123",
        "212.555.0123",
        "1-800-555-0123 x123",
        "020 7946 0958",
        "(030) 239 99 99",
        "0171/2399999",
        "089 / 23999999",
        "06.12.34.56.78",
        "0471/29.99.99",
        "070-123 45 67",
        "612 34 56 78",
        "91 532 12 34",
        "(11) 91234-5678",
    ],
)
@pytest.mark.parametrize("sentence", ["{}", "It was {}, I think", "Fax:{}\nMon-Fri", "({})"])
def test_telephone_numbers(number: str, sentence: str) -> None:
    assert spotted(sentence.format(number)) == [("phone", number)]


@pytest.mark.parametrize("number", ["2125550123", "612 345 678", "555-0123", "98123 45678", "07700900123"])
def test_a_number_of_no_certain_form_is_a_telephone_number_where_the_text_says_so(number: str) -> None:
    for sentence in ("Call {} now", "Tel. {}", "mon téléphone : {}", "you can reach me at {}."):
        assert spotted(sentence.format(number)) == [("phone", number)]
    for sentence in ("{}", "It has {} on the box", "order {}", "recall {}", "Call me. Order no. {}"):
        assert spotted(sentence.format(number)) == []


@pytest.mark.parametrize(
    "text",
    [
        "$1,234,567.00",
        "1 234 567 890 EUR",
        "0800 123 4567 €",
        "2024-05-06 10:45:12",
        "01.02.2020 - 28.12.2026",
        "02-03-2015 10:45",
        "2019-2020",
        "0900-1700",
        "1700000000",
        "ISBN 978-3-16-148410-0",
        "978 3 16 148410 0",
        "ISBN 0-306-40615-X",
        "order 114-1234567-1234567",
        "tracking 9400 1234 5678 9012 3456 00",
        "customer no. 0171 2399999",
        "192.168.100.200",
        "call 192.168.100.200",
        "version 10.0.19041.1234",
        "0 12345 67890 5",
        "48.858370, 2.294481",
        "0.1234567890",
        "12 24 36 48 60 72",
        "+999 123 456 789",
        "IMG_20190101_104455.jpg",
        "123456789012",
    ],
)
def test_numbers_that_are_not_personal(text: str) -> None:
    assert spotted(text) == []
    assert spotted(f"It says {text}, I think.") == []


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "2223003122003222",
        "3782 822463 10005",
        "6011111111111117",
        "3056 930902 5904",
        "3530111333300000",
        "6759649826438453",
    ],
)
def test_payment_cards(number: str) -> None:
    for sentence in ("{}", "Visa {}.", "card {}, exp 04/27", "cc:{} cvv 123", "({})"):
        assert spotted(sentence.format(number)) == [("card", number)]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert spotted(wrong) == []
    assert spotted(f"order {number}") == []


def test_a_card_has_the_prefix_and_the_length_of_an_issuer() -> None:
    assert spotted("0000000000000000") == []
    assert spotted("9111111111111110") == []
    assert spotted("37828224631000") == []


@pytest.mark.parametrize(
    "number",
    [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82-WEST-1234-5698-7654-32",
        "gb82west12345698765432",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        "KW81 CBKU 0000 0000 0000 1234 5601 01",
    ],
)
def test_ibans(number: str) -> None:
    for sentence in ("{}", "IBAN: {}.", "Send it to {} 2 days from now", "{}\nBIC COBADEFFXXX", "PO12 box, {}"):
        assert spotted(sentence.format(number)) == [("iban", number)]


@pytest.mark.parametrize(
    "text",
    ["DE88 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130", "XX89370400440532013000", "DE893704004405320130007"],
)
def test_an_iban_has_a_country_its_length_and_the_right_check_digits(text: str) -> None:
    assert spotted(text) == []


def test_other_scripts_and_full_width_signs_count_as_their_counterparts() -> None:
    assert redacted("mail anna＠example．org") == "mail [EMAIL]"
    assert redacted("＋４４ ２０ ７９４６ ０９５８") == "[PHONE]"
    assert redacted("٠٢٠ ٧٩٤٦ ٠٩٥٨ ok") == "[PHONE] ok"
    assert redacted("212\u2011555\u20110123") == "[PHONE]"
    assert redacted("4111\u00a01111\u00a01111\u00a01111 – ü") == "[CARD] – ü"


def test_the_rest_of_the_text_stays_as_it_is() -> None:
    text = "Ｈi, I’m at anna@example.org – or +44 20 7946 0958!\nIBAN DE89370400440532013000"

    assert redacted(text) == "Ｈi, I’m at [EMAIL] – or [PHONE]!\nIBAN [IBAN]"


def test_only_the_kinds_that_are_asked_for_go_and_each_is_counted() -> None:
    texts = pyarrow.array(
        ["a@b.org and c@d.org", None, "nothing", "4111111111111111, a@b.org", "212-555-0123"], pyarrow.large_string()
    )

    result = redact(texts, ["email", "card", "iban"])

    assert result.texts.type == texts.type
    assert result.texts.to_pylist() == ["[EMAIL] and [EMAIL]", None, "nothing", "[CARD], [EMAIL]", "212-555-0123"]
    assert {kind: counts.to_pylist() for kind, counts in result.counts.items()} == {
        "email": [2, 0, 0, 1, 0],
        "card": [0, 0, 0, 1, 0],
        "iban": [0, 0, 0, 0, 0],
    }
    assert all(counts.type == pyarrow.int64() for counts in result.counts.values())


def test_no_rows() -> None:
    result = redact(pyarrow.array([], pyarrow.string()), FORMS)

    assert (len(result.texts), [len(counts) for counts in result.counts.values()]) == (0, [0] * 4)


def test_unknown_kinds_and_kinds_that_need_a_model_are_refused() -> None:
    texts = pyarrow.array(["text"])
    with pytest.raises(InputError, match=r"\['passport'\] unknown; choose from"):
        redact(texts, ["email", "passport"])
    with pytest.raises(InputError, match=r"\['name'\] need"):
        redact(texts, ["name"])


class KnownNames:
    """Stands for a model: what it finds is written down, so that the rules around it can be tested."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find(self, texts: list[str]) -> list[list[Finding]]:
        return [
            [Finding("name", text.index(name), text.index(name) + len(name)) for name in self.names if name in text]
            for text in texts
        ]


def test_a_placeholder_is_no_name_and_a_name_beside_one_is() -> None:
    texts = pyarrow.array(["Anna a@b.org wrote", None, "[EMAIL] wrote to Ben", "ok"])

    result = redact(texts, ["email", "name"], KnownNames("Anna [EMAIL]", "EMAIL", "Ben"))  # type: ignore[arg-type]

    assert result.texts.to_pylist() == ["[NAME] [EMAIL] wrote", None, "[EMAIL] wrote to [NAME]", "ok"]
    assert result.counts["name"].to_pylist() == [1, 0, 1, 0]
    assert result.counts["email"].to_pylist() == [1, 0, 0, 0]


PIECES = st.sampled_from(
    [
        *(
            "a@b.org",
            "+44 20 7946 0958",
            "020 7946 0958",
            "212-555-0123",
            "4111 1111 1111 1111",
            "DE89370400440532013000",
        ),
        *("612 34 56 78", "2125550123", "call ", "Tel.", "order ", "EUR", "[PHONE]", "[", "]", "é", "＠"),
        *" -./+()@:x,0159\n\0",
    ]
)


@given(st.lists(PIECES, max_size=9).map("".join) | st.text())
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(pyarrow.array([text]), FORMS)
    twice = redact(once.texts, FORMS)

    assert twice.texts == once.texts
    assert all(count[0].as_py() == 0 for count in twice.counts.values())


@given(st.lists(PIECES, max_size=9).map("".join) | st.text())
def test_findings_are_in_order_apart_and_all_that_is_redacted(text: str) -> None:
    findings = find(text)

    assert all(before.end <= after.start for before, after in pairwise(findings))
    assert all(0 <= start < end <= len(text) for _, start, end in findings)
    counts = redact(pyarrow.array([text]), FORMS).counts
    assert {kind: sum(finding.kind == kind for finding in findings) for kind in FORMS} == {
        kind: count[0].as_py() for kind, count in counts.items()
    }


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "@",
        ".",
        "a@",
        "1.",
        "1 ",
        "1  ",
        "1-",
        "(1)",
        "a.",
        "a@a.",
        "01 ",
        "+1 ",
        "tel 1234567",
        "DE89 ",
        "AB12",
        "'",
    ],
)
def test_texts_built_to_take_long_do_not(piece: str) -> None:
    find("x@" + piece * (300_000 // len(piece)))


@pytest.mark.parametrize("piece", ["1", "a"])
def test_ten_million_characters(piece: str) -> None:
    assert find(piece * 10_000_000) == []
