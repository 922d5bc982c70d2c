"""What `curate_text` keeps, changes and removes: its parameters, checked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ..runtime import InputError
from .pii import ENTITIES, FORMS

_LABEL_CONFLICTS = ("majority", "remove", "first")


@dataclass(frozen=True)
class TextRules:
    """The parameters of the component `curate_text`, which documents them.

    Raises:
        InputError: If a value is out of range, or two values contradict each other.
    """

    text_column: str
    label_column: str = ""
    labels: list[str] = field(default_factory=list)
    minimum_characters: int = 1
    maximum_characters: int = 100_000
    languages: list[str] = field(default_factory=list)
    remove_boilerplate: bool = True
    personal_data: list[str] = field(default_factory=lambda: ["email", "phone", "card", "iban"])
    entity_model: str = ""
    label_conflicts: str = "majority"
    near_duplicate_threshold: float = 0.7
    order_by: str = ""
    group_column: str = ""
    time_column: str = ""
    test_from: str = ""
    test_share: float = 0.2
    split_seed: int = 0
    maximum_class_ratio: float = 0.0

    @property
    def threshold(self) -> int:
        """The least similarity of near duplicates, in ten-thousandths: decisions are made on whole numbers."""
        return round(self.near_duplicate_threshold * 10_000)

    @property
    def test_from_microseconds(self) -> int:
        """The time from which on rows are tested on, as microseconds since 1970; without a zone it is UTC."""
        moment = datetime.fromisoformat(self.test_from)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    def __post_init__(self) -> None:
        _require(bool(self.text_column), "text_column is empty", "the name of the column with the text")
        _require(
            self.text_column != self.label_column,
            f"text_column and label_column are both {self.text_column!r}",
            "two different columns",
        )
        _require_strings("labels", self.labels)
        _require_strings("languages", self.languages)
        _require(
            not self.labels or bool(self.label_column),
            f"labels is {self.labels} without label_column",
            "a label_column",
        )
        _require(
            1 <= self.minimum_characters <= self.maximum_characters,
            f"minimum_characters is {self.minimum_characters} and maximum_characters is {self.maximum_characters}",
            "1 <= minimum_characters <= maximum_characters",
        )
        unknown = sorted(set(self.personal_data) - {*FORMS, *ENTITIES})
        _require(
            not unknown, f"personal_data has {', '.join(map(repr, unknown))}", f"some of {_listed([*FORMS, *ENTITIES])}"
        )
        entities = sorted(set(self.personal_data) & set(ENTITIES))
        _require(
            bool(self.entity_model) == bool(entities),
            f"personal_data has {_listed(entities) or 'neither names nor addresses'} and entity_model is "
            f"{self.entity_model!r}",
            "a spaCy model, such as 'en_core_web_sm', exactly where names or addresses are to be found",
        )
        _require(
            self.label_conflicts in _LABEL_CONFLICTS,
            f"label_conflicts is {self.label_conflicts!r}",
            f"one of {_listed(_LABEL_CONFLICTS)}",
        )
        _require(
            0.0001 <= self.near_duplicate_threshold <= 1,
            f"near_duplicate_threshold is {self.near_duplicate_threshold}",
            "a number from 0.0001 (at 0 any two texts are near) to 1 (the same three-word shingles)",
        )
        _require(0 < self.test_share < 1, f"test_share is {self.test_share}", "a number above 0 and below 1")
        _require(
            not self.test_from or bool(self.time_column),
            f"test_from is {self.test_from!r} without time_column",
            "the time_column that it is compared with",
        )
        _require(_is_time(self.test_from), f"test_from is {self.test_from!r}", "a time such as 2026-01-31T12:00:00Z")
        _require(
            self.maximum_class_ratio == 0 or 1 <= self.maximum_class_ratio <= 1e9,
            f"maximum_class_ratio is {self.maximum_class_ratio}",
            "0 for any ratio, or a number from 1 on",
        )
        _require(
            not self.maximum_class_ratio or bool(self.label_column),
            f"maximum_class_ratio is {self.maximum_class_ratio} without label_column",
            "a label_column",
        )


def _require(holds: bool, problem: str, expected: str) -> None:
    if not holds:
        raise InputError(f"{problem}; expected {expected}. Correct the parameter.")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text or "1970-01-01")
    except ValueError:
        return False
    return True


def _require_strings(name: str, values: list[str]) -> None:
    _require(all(isinstance(value, str) for value in values), f"{name} is {values}", "a list of strings")


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(repr, names))
