"""Resources on disk: every message the emulator keeps, in one SQLite file.

A write is committed before the caller hears of it, so what a client was told survives `kill -9` of the server.
The server is one thread: code between two `await`s sees and changes the store undisturbed.
"""

import asyncio
import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from .api import ApiError, message


class Store:
    """Messages by resource name.

    Args:
        path: The SQLite file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS resources (
                name TEXT PRIMARY KEY, type TEXT NOT NULL, body BLOB NOT NULL, number INTEGER NOT NULL
            );
            CREATE INDEX IF NOT EXISTS resources_by_type ON resources (type, number);
            CREATE TABLE IF NOT EXISTS facts (kind TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, key));
            """
        )
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Keeps either all or none of the block's writes. A block within another one belongs to it; none may await."""
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def find(self, name: str) -> Any | None:
        """A fresh copy of a resource, or None."""
        row = self._database.execute("SELECT type, body FROM resources WHERE name = ?", (name,)).fetchone()
        return None if row is None else message(row[0]).FromString(row[1])

    def get(self, name: str) -> Any:
        """A fresh copy of a resource.

        Raises:
            ApiError: NOT_FOUND.
        """
        found = self.find(name)
        if found is None:
            raise ApiError("NOT_FOUND", f"The resource {name!r} was not found.")
        return found

    def create(self, resource: Any) -> Any:
        """Stores a new resource, with its creation time and etag.

        Raises:
            ApiError: ALREADY_EXISTS.
        """
        if self.find(resource.name) is not None:
            raise ApiError("ALREADY_EXISTS", f"The resource {resource.name!r} already exists.")
        _stamp(resource, "create_time")
        return self.save(resource)

    def save(self, resource: Any) -> Any:
        """Stores a resource under its name, with a new update time and etag, and returns it."""
        _stamp(resource, "update_time")
        if "etag" in resource.DESCRIPTOR.fields_by_name:
            resource.etag = str(time.time_ns() // 1000)  # digits that grow: the SDK retries metadata updates by them
        self._database.execute(
            "INSERT INTO resources VALUES (?, ?, ?, (SELECT IFNULL(MAX(number), 0) + 1 FROM resources))"
            " ON CONFLICT (name) DO UPDATE SET body = excluded.body, type = excluded.type",
            (resource.name, resource.DESCRIPTOR.full_name, resource.SerializeToString()),
        )
        self._notify()
        return resource

    def delete(self, name: str) -> None:
        """Removes a resource and everything below its name."""
        self.get(name)
        self._database.execute(
            "DELETE FROM resources WHERE name = ? OR substr(name, 1, ?) = ?", (name, len(name) + 1, name + "/")
        )
        self._notify()

    def all(self, type_name: str) -> list[Any]:
        """All resources of a type, oldest first."""
        message_class = message(type_name)
        rows = self._database.execute(
            "SELECT body FROM resources WHERE type = ? ORDER BY number", (message_class.DESCRIPTOR.full_name,)
        )
        return [message_class.FromString(body) for (body,) in rows]

    def list(self, parent: str, type_name: str) -> list[Any]:
        """All resources of a type directly below a parent, oldest first.

        Args:
            parent: Resource name; "-" stands for any one segment.
            type_name: Message name: "Endpoint".
        """
        segment = "[^/]+"
        pattern = "/".join(segment if part == "-" else re.escape(part) for part in parent.split("/"))
        below = re.compile(f"{pattern}/{segment}/{segment}")
        message_class = message(type_name)
        rows = self._database.execute(
            "SELECT name, body FROM resources WHERE type = ? ORDER BY number", (message_class.DESCRIPTOR.full_name,)
        )
        return [message_class.FromString(body) for name, body in rows if below.fullmatch(name)]

    def remember(self, kind: str, key: str, value: str) -> None:
        """Stores a fact that is no resource of the API: a cache entry, a lineage link."""
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (kind, key, value))

    def recall(self, kind: str, key: str) -> str | None:
        """The fact stored under a kind and key, or None."""
        row = self._database.execute("SELECT value FROM facts WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else row[0]

    def forget(self, kind: str, key: str) -> None:
        """Removes a fact, if it is there."""
        self._database.execute("DELETE FROM facts WHERE kind = ? AND key = ?", (kind, key))

    def facts(self, kind: str, prefix: str = "") -> dict[str, str]:
        """All facts of a kind whose key starts with a prefix, in the order of their keys."""
        rows = self._database.execute(
            "SELECT key, value FROM facts WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY key",
            (kind, len(prefix), prefix),
        )
        return dict(rows.fetchall())

    async def wait(self, name: str, until: Callable[[Any], bool], seconds: float) -> Any:
        """Waits until a resource meets a condition or the time is over, and returns it as it then is."""
        try:
            async with asyncio.timeout(seconds):
                while not until(resource := self.get(name)):
                    await self._changed.wait()
        except TimeoutError:
            resource = self.get(name)
        return resource

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def now() -> timestamp_pb2.Timestamp:
    """The present time, to microseconds."""
    stamp = timestamp_pb2.Timestamp()
    stamp.GetCurrentTime()
    stamp.nanos -= stamp.nanos % 1000
    return stamp


def stamp(target: Any, field: str) -> None:
    """Sets a timestamp field to now."""
    getattr(target, field).MergeFromString(now().SerializeToString())


def _stamp(resource: Message, field: str) -> None:
    if field in resource.DESCRIPTOR.fields_by_name:
        resource.ClearField(field)
        stamp(resource, field)
