"""Names and addresses in texts, by Presidio with a language model of spaCy (extra `pii`).

People are names; Presidio's locations are addresses. That is more and less than an address: cities and countries count,
while of a street and a house number a general model often finds nothing. What is found depends on the model and its
language, and no model is complete: the small English one takes many brands for people. It reads some 200 short texts a
second on one core, which is what to expect of the whole step.

A model is a package that is installed before the task runs. Nothing is downloaded: spaCy's and Presidio's own downloads
are for models that are missing, which are refused here, and no recogniser is used that asks the network for a list.
"""

from collections.abc import Iterator
from typing import Any

from ..runtime import InputError
from .pii import Finding

_KINDS = {"PERSON": "name", "LOCATION": "address"}
# What the recognition of names needs none of.
_UNUSED_PIPES = ("tagger", "parser", "senter", "morphologizer", "attribute_ruler", "lemmatizer")
_LANGUAGE = "any"
_BATCH = 128
# spaCy refuses a million characters, and needs memory in proportion.
_LONGEST_PIECE = 50_000


class NamedEntities:
    """Finds names and addresses.

    Args:
        model: The name of an installed spaCy model with named entities: "en_core_web_lg".

    Raises:
        InputError: Presidio or the model is not installed, or the model has no named entities.
    """

    def __init__(self, model: str) -> None:
        try:
            import spacy
            from presidio_analyzer.nlp_engine import SpacyNlpEngine
            from presidio_analyzer.predefined_recognizers import SpacyRecognizer
        except ModuleNotFoundError as error:
            raise InputError(
                f"names and addresses: {error.name} is not installed; install seatrial[curation,pii] in the image"
            ) from None
        name, installed = model.replace("-", "_"), sorted(spacy.util.get_installed_models())
        if name not in installed:
            raise InputError(
                f"names and addresses: the spaCy model {model!r} is not installed; install its package in the image, or"
                f" choose from what is: {', '.join(installed) or 'none'}"
            )
        self._engine: Any = SpacyNlpEngine(models=[{"lang_code": _LANGUAGE, "model_name": name}])
        self._engine.load()
        pipeline = self._engine.get_nlp(_LANGUAGE)
        if "ner" not in pipeline.pipe_names:
            raise InputError(
                f"names and addresses: the spaCy model {model!r} has no named entities; choose one with the pipe 'ner'"
            )
        for pipe in _UNUSED_PIPES:
            if pipe in pipeline.pipe_names:
                pipeline.disable_pipe(pipe)
        self._recogniser = SpacyRecognizer(supported_language=_LANGUAGE, supported_entities=list(_KINDS))

    def find(self, texts: list[str]) -> list[list[Finding]]:
        """Finds the kinds "name" and "address".

        Returns:
            For each text its findings, which do not overlap, in the order of the text.
        """
        found: list[list[Finding]] = [[] for _ in texts]
        pieces = [piece for number, text in enumerate(texts) for piece in _pieces(text, number)]
        batches = self._engine.process_batch(pieces, _LANGUAGE, batch_size=_BATCH, as_tuples=True)
        for piece, artifacts, (number, offset) in batches:
            for result in self._recogniser.analyze(piece, list(_KINDS), artifacts):
                found[number].append(Finding(_KINDS[result.entity_type], offset + result.start, offset + result.end))
        return found


def _pieces(text: str, number: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """The text in pieces that end at a space where there is one, each with the text's number and the piece's place."""
    start = 0
    while start < len(text):
        end = start + _LONGEST_PIECE
        if end < len(text):
            end = text.rfind(" ", start, end) + 1 or end
        yield text[start:end], (number, start)
        start = end
