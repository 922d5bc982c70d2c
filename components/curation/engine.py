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
    """Finds near texts, and leaves them in the table `near`: row_number, related_number, percent of similarity."""

    def duplicates(self, engine: Any, texts: str, threshold: int) -> None:
        """Texts that are near to an earlier one that is kept."""

    def matches(self, engine: Any, queries: str, references: str, threshold: int) -> None:
        """Queries that are near to a reference."""
