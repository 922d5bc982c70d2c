"""Resource names: projects/PROJECT/locations/LOCATION/COLLECTION/ID."""

import itertools
import secrets
import zlib
from typing import Literal

RuntimeName = Literal["process", "docker"]
DEFAULT_PROJECT = "local-project"
_serial = itertools.count(secrets.randbelow(10**15))


def location_of(name: str) -> str:
    """The location that a resource belongs to: its name's first four segments."""
    return "/".join(name.split("/")[:4])


def new_id() -> str:
    """A resource id as Vertex AI makes them: up to 19 digits, unique, in no telling order."""
    return str(10**18 + next(_serial) * 6_700_417 % (9 * 10**18))


def project_number(project: str) -> str:
    """The number of a project: twelve digits that follow from its id, so that every server knows the same ones."""
    return str(100_000_000_000 + zlib.crc32(project.encode()))
