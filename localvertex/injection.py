"""Puts faults into a running local Vertex AI.

    from seatrial.localvertex.faults import Fault
    from seatrial.localvertex.injection import inject

    with inject(Fault("EndpointService.UpdateEndpoint", "drop", when="after")) as injected:
        ...
    assert injected.hit == 1

Each function finds the server by its state folder, as the command line does when none is given. All raise
`LifecycleError` if none runs, or with the reason why it refuses.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import environment, lifecycle
from .faults import Fault
from .lifecycle import LifecycleError

_SECONDS_TO_ANSWER = 60.0


@dataclass
class Injected:
    """A fault in force.

    Attributes:
        fault: The fault.
        id: Its id in the server.
        seen: How many calls of its method there were until it was removed.
        hit: How many of them it hit.
    """

    fault: Fault
    id: str
    seen: int = 0
    hit: int = 0


@contextlib.contextmanager
def inject(fault: Fault, *, home: Path | None = None) -> Iterator[Injected]:
    """Has a fault in force for the block; how many calls it saw and hit is known at its end.

    When the server has ended meanwhile, so has the fault, and what it saw is not known.
    """
    injected = Injected(fault, add(fault, home=home)["id"])
    try:
        yield injected
    finally:
        with contextlib.suppress(LifecycleError):
            removed = remove(injected.id, home=home)
            injected.seen, injected.hit = removed["seen"], removed["hit"]


def add(fault: Fault, *, home: Path | None = None) -> dict[str, Any]:
    """Puts a fault in force until it is removed, and returns what `listed` says of it."""
    return _ask(home, "POST", "faults", asdict(fault))


def remove(fault_id: str, *, home: Path | None = None) -> dict[str, Any]:
    """Ends one fault and returns what `listed` said of it."""
    return _ask(home, "DELETE", f"faults/{fault_id}")


def clear(*, home: Path | None = None) -> list[dict[str, Any]]:
    """Ends all faults and returns what `listed` said of them."""
    return _ask(home, "DELETE", "faults")


def listed(*, home: Path | None = None) -> list[dict[str, Any]]:
    """The faults in force: their fields, id, and how many calls each has seen and hit."""
    return _ask(home, "GET", "faults")


def kill_model(endpoint: str, deployed_model: str = "", *, home: Path | None = None) -> str:
    """Kills the process of a deployed model, which is then started again, and returns the deployed model's id.

    Args:
        endpoint: Resource name or id of the endpoint.
        deployed_model: Id of the deployed model; it may be left out where there is one.
        home: State folder.
    """
    return _ask(home, "POST", "kill-model", {"endpoint": endpoint, "deployed_model": deployed_model})["deployed_model"]


@contextlib.contextmanager
def forbid_directory_renames(*, home: Path | None = None) -> Iterator[None]:
    """Has renames of directories in buckets fail with EMFILE in the processes that are started within the block.

    Cloud Storage FUSE refuses them so. At the end it is as it was before.
    """
    before = set_directory_renames(forbidden=True, home=home)
    try:
        yield
    finally:
        with contextlib.suppress(LifecycleError):  # it ends with the server
            set_directory_renames(forbidden=before, home=home)


def set_directory_renames(*, forbidden: bool, home: Path | None = None) -> bool:
    """Forbids or allows renames of directories in buckets, and returns whether they were forbidden before."""
    return _ask(home, "POST", "directory-renames", {"forbidden": forbidden})["forbidden_before"]


def directory_renames_forbidden(*, home: Path | None = None) -> bool:
    """Whether renames of directories in buckets are forbidden."""
    return _ask(home, "GET", "directory-renames")["forbidden"]


def _ask(home: Path | None, method: str, path: str, document: Any = None) -> Any:
    home = home or environment.home()
    running = lifecycle.status(home)
    if running is None:
        raise LifecycleError(f"The local Vertex AI of {home} does not run. Start it with `seatrial local start`.")
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=_SECONDS_TO_ANSWER)
    try:
        with contextlib.closing(connection):
            connection.request(method, f"/local/{path}", json.dumps(document))
            response = connection.getresponse()
            answer = json.load(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LifecycleError(
            f"The local Vertex AI of {home} did not answer {method} /local/{path}: {error!r}"
        ) from None
    if response.status >= 400:
        raise LifecycleError(answer["error"]["message"])
    return answer
