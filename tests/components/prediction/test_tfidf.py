"""Features of texts: the same as scikit-learn's, row by row, whatever the batch."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from seatrial.components.prediction.tfidf import terms, tfidf

TEXTS = st.lists(st.text(st.sampled_from("aB é9_'-. \n")) | st.text(), min_size=1, max_size=8)


def dense(texts, vocabulary, frequencies):
    rows, columns, values = tfidf(texts, vocabulary, frequencies)
    matrix = np.zeros((len(texts), len(vocabulary)))
    matrix[rows, columns] = values
    return matrix


def test_terms_are_words_of_two_characters_or_more_and_neighbouring_pairs():
    assert terms("I'd BUY it, again") == ["buy", "it", "again", "buy it", "it again"]


@settings(deadline=None)
@given(TEXTS)
def test_terms_are_those_of_scikit_learn(texts):
    analyze = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).build_analyzer()

    assert [terms(text) for text in texts] == [analyze(text) for text in texts]


@settings(deadline=None)
@given(TEXTS)
def test_features_are_those_of_scikit_learn(texts):
    texts = [*texts, "two words"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    expected = vectorizer.fit_transform(texts).toarray()

    np.testing.assert_allclose(dense(texts, vectorizer.vocabulary_, vectorizer.idf_), expected, atol=1e-12)


def test_a_text_without_a_known_term_is_a_row_of_zeros():
    assert dense(["", "unknown", "tea"], {"tea": 0}, np.array([2.0])).tolist() == [[0], [0], [1]]
