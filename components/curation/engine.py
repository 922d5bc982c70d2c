"""What an engine of curation can do: keep tables by name, and make new ones by GoogleSQL."""

from collections.abc import Mapping
from typing import Any, Protocol


class Engine(Protocol):
    """Tables by name. Statements are GoogleSQL of the constructs in `googlesql.py`; `@name` is a parameter."""

    def create(self, name: str, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Makes a table, or makes it anew, of what a statement selects; it may select from the same table."""

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a statement selects, as Python values."""


class Near(Protocol):
    """Finds near texts, and leaves them in the table `near`: row_number, related_number, percent of similarity.

    The texts are in the table `near_texts`: side, row_number, text_shingles. Texts of side 2 are compared with each
    other, those of side 1 with those of side 0. The threshold is the least Jaccard similarity, in ten-thousandths.
    """

    def duplicates(self, engine: Any, threshold: int) -> None:
        """Texts of side 2 that are near to one with a smaller number that is kept: the most similar, else the first."""

    def matches(self, engine: Any, threshold: int) -> None:
        """Texts of side 1 that are near to one of side 0: the most similar, else the first."""
