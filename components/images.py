"""Names of the container images that components run in: PREFIX/TARGET:HASH-OF-THE-SOURCE.

Vertex AI caches a task by its inputs and its component spec. Component functions are thin and call this package, so
only the image's tag can tell Vertex that the code behind an unchanged function has changed.
"""

import hashlib
import os
from pathlib import Path
from typing import Literal

PREFIX_VARIABLE = "SEATRIAL_IMAGE_PREFIX"
DEFAULT_PREFIX = "seatrial"


def image(target: Literal["cpu", "gpu", "serving"]) -> str:
    """The image of one Dockerfile target, with the prefix that is set when the pipeline is compiled."""
    return f"{os.environ.get(PREFIX_VARIABLE, DEFAULT_PREFIX)}/{target}:{source_hash()}"


def source_hash() -> str:
    """Twelve hexadecimal digits that change when a Python file of the component collection does."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12]
