"""What a request asks to be true before it is carried out: generations, metagenerations, entity tags."""

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import StorageError, invalid

_KINDS = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")


@dataclass(frozen=True)
class Preconditions:
    """The generation preconditions of one object or bucket; None where nothing is asked."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], subject: str = "") -> "Preconditions":
        """Reads ifGenerationMatch and its kin; a subject "Source" reads ifSourceGenerationMatch."""
        return cls(*(integer(query, f"if{subject}{kind}") for kind in _KINDS))

    def check(self, generation: int, metageneration: int, *, reading: bool = False) -> None:
        """Compares with what is live.

        Args:
            generation: The live generation, 0 where no object is.
            metageneration: The live metageneration, 0 where no object is.
            reading: Whether the request only reads, for which an unmet "not match" is 304.

        Raises:
            StorageError: With code 412 or 304.
        """
        if self.generation_match not in (None, generation) or self.metageneration_match not in (None, metageneration):
            raise _failed(reading=False)
        if self.generation_not_match == generation or self.metageneration_not_match == metageneration:
            raise _failed(reading)


def check_etags(headers: Mapping[str, str], etag: str, *, reading: bool) -> None:
    """Compares the headers If-Match and If-None-Match with an entity tag.

    Raises:
        StorageError: With code 412 or 304.
    """
    wanted, unwanted = _etags(headers.get("If-Match", "")), _etags(headers.get("If-None-Match", ""))
    if wanted and not wanted & {etag, "*"}:
        raise _failed(reading=False)
    if unwanted & {etag, "*"}:
        raise _failed(reading)


def integer(query: Mapping[str, str], name: str) -> int | None:
    """Reads a whole number from the query.

    Raises:
        StorageError: With code 400, when it is none or too large for one of the API's.
    """
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise invalid(f"Invalid value for {name}: {value!r} is not a whole number.")
    return int(value)


def _etags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",") if tag.strip()}


def _failed(reading: bool) -> StorageError:
    if reading:
        return StorageError(304, "notModified", "Not modified.")
    return StorageError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
