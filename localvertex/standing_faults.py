"""The faults in force in a server, and what becomes of the calls that they hit."""

import asyncio
import contextlib
import difflib
import logging
import secrets
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .api import ApiError, invalid
from .faults import Fault
from .storage.errors import StorageError

_logger = logging.getLogger(__name__)


class DroppedError(Exception):
    """The caller is to get no answer: its connection has to break."""


@dataclass
class _Added:
    """A fault in force, and how many calls of its method it has seen and hit."""

    id: str
    fault: Fault
    seen: int = 0
    hit: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self.fault), "seen": self.seen, "hit": self.hit}


class StandingFaults:
    """The faults in force in one server; they end with its process."""

    def __init__(self) -> None:
        self._added: dict[str, _Added] = {}

    def add(self, document: Any, methods: Collection[str]) -> dict[str, Any]:
        """Puts a fault in force.

        Args:
            document: The fields of a `Fault`.
            methods: The names that its method may have.

        Returns:
            What `listed` says of it.

        Raises:
            ApiError: INVALID_ARGUMENT.
        """
        try:
            fault = Fault(**document)
        except (TypeError, ValueError) as error:
            raise invalid(f"This is no fault: {error}") from None
        if fault.method not in methods:
            raise invalid(_unknown_method(str(fault.method), methods))
        added = _Added(secrets.token_hex(3), fault)
        self._added[added.id] = added
        return added.as_json()

    def remove(self, fault_id: str) -> dict[str, Any]:
        """Ends a fault, and the delays that it causes, and returns what `listed` said of it.

        Raises:
            ApiError: NOT_FOUND.
        """
        added = self._added.pop(fault_id, None)
        if added is None:
            raise ApiError("NOT_FOUND", f"There is no fault {fault_id!r}; a restarted server has none.")
        added.ended.set()
        return added.as_json()

    def clear(self) -> list[dict[str, Any]]:
        """Ends all faults and returns what `listed` said of them."""
        return [self.remove(fault_id) for fault_id in list(self._added)]

    def listed(self) -> list[dict[str, Any]]:
        """The faults in force: their fields, id, and how many calls each has seen and hit."""
        return [added.as_json() for added in self._added.values()]

    @contextlib.asynccontextmanager
    async def around(self, method: str) -> AsyncIterator[None]:
        """Applies the faults of a method to a call whose effect takes place in the block.

        Raises:
            ApiError: If the call is to fail.
            DroppedError: If the caller is to get no answer.
        """
        hitting = self._hitting(method)
        await _apply(added for added in hitting if added.fault.when == "before")
        try:
            yield
        except (ApiError, StorageError):  # the answer is lost also if it is an error
            await _apply(added for added in hitting if added.fault.when == "after")
            raise
        await _apply(added for added in hitting if added.fault.when == "after")

    def _hitting(self, method: str) -> list[_Added]:
        """Counts a call and returns the faults that hit it."""
        found = []
        for added in self._added.values():
            if added.fault.method == method:
                added.seen += 1
                if added.fault.hits(added.seen):
                    added.hit += 1
                    found.append(added)
        return found


async def _apply(hitting: Iterable[_Added]) -> None:
    for added in hitting:
        fault = added.fault
        _logger.info("%s: %s %s its effect", fault.method, fault.action, fault.when)
        if fault.action == "delay":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(added.ended.wait(), fault.seconds)
        elif fault.action == "drop":
            raise DroppedError(fault.method)
        else:
            raise ApiError(fault.code, f"{fault.method} was told to fail {fault.when} its effect.")


def _unknown_method(name: str, methods: Collection[str]) -> str:
    by_lower_case = {method.lower(): method for method in methods}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=3) or [
        method for method in by_lower_case if name and method.endswith(f".{name.lower()}")
    ]
    hint = f"Did you mean {' or '.join(by_lower_case[method] for method in near)}?" if near else "Names are such as"
    examples = "" if near else " EndpointService.UpdateEndpoint and storage.objects.insert."
    return f"{name!r} is no method that the local Vertex AI emulates. {hint}{examples}"
