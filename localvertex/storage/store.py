"""Buckets and objects as folders and files, and what files cannot hold in SQLite.

The file FOLDER/BUCKET/NAME is the object NAME of BUCKET, whoever wrote it. A database row holds its generation,
checksums and metadata, and counts only while the file's fingerprint (inode, size, time of change) is the one in the
row. A file without such a row appeared or changed behind the API's back: it gets a new row, with a new generation, when
it is next looked at. So a crash leaves nothing to repair: an upload writes its row, then renames its file into place.
An object whose name ends in "/" is a folder with a row; a folder without one is only implied by what lies in it.

All methods run in one event loop thread. Work on an object's bytes happens in another thread, on a temporary file;
checking preconditions, renaming and writing the row then happen in one step without an await.
"""

import asyncio
import io
import json
import os
import sqlite3
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from .errors import StorageError, conflict, invalid, no_such_bucket, no_such_object
from .files import (
    concatenate,
    fingerprint,
    guessed_content_type,
    open_regular,
    read_checksums,
    remove_empty_folders,
)
from .listing import Page, Query, list_page, walk
from .names import check_object_name, is_bucket_name, object_name_problem
from .preconditions import Preconditions

# No bucket can have this name, and as a neighbour of the buckets it is on their file system.
_TEMPORARY_FOLDER = ".uploads"
# Two writes within one tick of the kernel's clock (at most 10 ms) can leave the same time of change.
_TICK_NS = 20_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, inode TEXT NOT NULL, created_us INTEGER NOT NULL, fields TEXT NOT NULL, policy TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, size INTEGER NOT NULL,
    generation INTEGER NOT NULL, metageneration INTEGER NOT NULL,
    created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, crc32c TEXT NOT NULL, md5 TEXT NOT NULL,
    fields TEXT NOT NULL, PRIMARY KEY (bucket, name, fingerprint)
) STRICT;
CREATE INDEX IF NOT EXISTS generations ON objects (generation);
CREATE INDEX IF NOT EXISTS markers ON objects (bucket, name) WHERE substr(name, -1) = '/';
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, destination TEXT NOT NULL, created_us INTEGER NOT NULL, finished TEXT
) STRICT;
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket; `fields` and `policy` are as in the API's resources."""

    name: str
    created_us: int
    fields: dict
    policy: dict


@dataclass(frozen=True)
class StoredObject:
    """A live object; checksums are in base64, `fields` are those of the API's resource that a client sets."""

    bucket: str
    name: str
    fingerprint: str
    size: int
    generation: int
    metageneration: int
    created_us: int
    updated_us: int
    crc32c: str
    md5: str
    fields: dict


@dataclass(frozen=True)
class Destination:
    """Where bytes are to go and on what conditions; the checksums are those the sender expects, in base64."""

    bucket: str
    name: str
    fields: dict
    preconditions: Preconditions
    crc32c: str | None = None
    md5: str | None = None


class Store:
    """The folder of buckets and its database.

    Args:
        folder: Holds one folder per bucket.
        database: An SQLite file of this store alone.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self._temporary = self.folder / _TEMPORARY_FOLDER
        self._temporary.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        self.database.row_factory = sqlite3.Row
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.database.executescript(_SCHEMA)
        (self._last_generation,) = self.database.execute("SELECT coalesce(max(generation), 0) FROM objects").fetchone()

    # Buckets

    def create_bucket(self, name: str, fields: dict) -> Bucket:
        """Makes a bucket.

        Raises:
            StorageError: 400 for a name that is not allowed, 409 when it exists.
        """
        if not is_bucket_name(name):
            raise invalid(f"Invalid bucket name: '{name}'")
        if os.path.lexists(self.folder / name):
            raise conflict("Your previous request to create the named bucket succeeded and you already own it.")
        # A folder that appears before its row would be a bucket without its fields.
        folder = self.temporary_path(uuid.uuid4().hex)
        folder.mkdir()
        bucket = self._insert_bucket(name, fields, folder)
        folder.rename(self.folder / name)
        return bucket

    def bucket(self, name: str) -> Bucket:
        """Returns a bucket; a folder that somebody made in the store's is one.

        Raises:
            StorageError: 404.
        """
        if not is_bucket_name(name):
            raise no_such_bucket()
        try:
            status = os.lstat(self.folder / name)
        except FileNotFoundError:
            raise no_such_bucket() from None
        if not stat.S_ISDIR(status.st_mode):  # a file, or a link, which might lead anywhere
            raise no_such_bucket()
        row = self.database.execute("SELECT * FROM buckets WHERE name = ?", (name,)).fetchone()
        if row is None or row["inode"] != str(status.st_ino):
            return self._insert_bucket(name, {}, self.folder / name)
        return Bucket(name, row["created_us"], json.loads(row["fields"]), json.loads(row["policy"]))

    def buckets(self) -> list[Bucket]:
        """Returns all buckets in the order of their names."""
        with os.scandir(self.folder) as entries:
            names = sorted(e.name for e in entries if is_bucket_name(e.name) and e.is_dir(follow_symlinks=False))
        return [self.bucket(name) for name in names]

    def set_policy(self, name: str, policy: dict) -> None:
        """Replaces a bucket's access policy."""
        self.database.execute("UPDATE buckets SET policy = ? WHERE name = ?", (json.dumps(policy), name))

    def delete_bucket(self, name: str) -> None:
        """Deletes a bucket that holds no objects.

        Raises:
            StorageError: 409 when it holds something.
        """
        if self._holds_objects(name, "") or not remove_empty_folders(self.folder / name):
            raise conflict("The bucket you tried to delete is not empty.")
        self.database.execute("DELETE FROM objects WHERE bucket = ?", (name,))
        self.database.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def _insert_bucket(self, name: str, fields: dict, folder: Path) -> Bucket:
        inode = str(folder.stat().st_ino)
        bucket = Bucket(name, time.time_ns() // 1000, fields, {})
        self.database.execute(
            "INSERT OR REPLACE INTO buckets VALUES (?, ?, ?, ?, ?)",
            (name, inode, bucket.created_us, json.dumps(fields), json.dumps(bucket.policy)),
        )
        return bucket

    # Reading objects

    async def look(self, bucket: str, name: str) -> StoredObject | None:
        """Returns what is live under a name, brought up to date with its file.

        Nothing else runs between the last look at the file and the caller's next await.

        Raises:
            StorageError: 404 for the bucket.
        """
        while True:
            self.bucket(bucket)
            status = self._status(bucket, name)
            if status is None:
                return None
            known = self._row(bucket, name, fingerprint(status))
            if known or stat.S_ISDIR(status.st_mode):
                return known
            found = await self._describe(bucket, name, status)
            if found:
                return found

    async def _describe(self, bucket: str, name: str, status: os.stat_result) -> StoredObject | None:
        """Makes the row of a file that appeared or changed; returns None when another has taken its place meanwhile."""
        age = time.time_ns() - status.st_mtime_ns
        if 0 <= age < _TICK_NS:
            await asyncio.sleep((_TICK_NS - age) / 1e9)
        try:
            status, crc32c, md5 = await asyncio.to_thread(read_checksums, self.path(bucket, name))
        except FileNotFoundError:
            return None
        # A file that is still being written is described as it was when it was opened: it may never be still.
        current = self._status(bucket, name)
        if current is None or current.st_ino != status.st_ino:
            return None
        known = self._row(bucket, name, fingerprint(status))
        if known:  # by another request
            return known
        created_us = max(0, min(status.st_mtime_ns, time.time_ns()) // 1000)
        fields = {"contentType": guessed_content_type(name)}
        found = self._new_object(bucket, name, status, (crc32c, md5), created_us, fields)
        self._insert(found)
        self._forget(bucket, name, keep=found.fingerprint)
        return found

    async def open(self, bucket: str, name: str) -> tuple[StoredObject, BinaryIO]:
        """Opens an object's bytes, which stay the same when the object is replaced or deleted.

        Raises:
            StorageError: 404.
        """
        while True:
            found = await self.look(bucket, name)
            if found is None:
                raise no_such_object(bucket, name)
            if name.endswith("/"):
                return found, io.BytesIO()
            try:
                file = open_regular(self.path(bucket, name))
            except FileNotFoundError:
                continue
            if found.fingerprint.startswith(f"{os.fstat(file.fileno()).st_ino}-"):
                return found, file
            file.close()

    async def list_objects(self, bucket: str, query: Query) -> tuple[list[StoredObject], Page]:
        """Returns the objects of one page, and the page."""
        self.bucket(bucket)
        page = await asyncio.to_thread(list_page, self.folder / bucket, self._markers(bucket), query)
        found = []
        for name in page.names:
            item = await self.look(bucket, name)
            if item is not None:
                found.append(item)
            await asyncio.sleep(0)  # others may go on
        return found, page

    # Writing objects

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """Gives the path of a new file on the buckets' file system, and removes what is left there afterwards."""
        path = self.temporary_path(uuid.uuid4().hex)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def temporary_path(self, name: str) -> Path:
        """The path of a file that outlives the request which writes it."""
        return self._temporary / name

    def remove_temporaries(self, keep: set[str]) -> None:
        """Removes what an earlier process left of its temporary files."""
        for path in self._temporary.iterdir():
            if path.is_dir():
                path.rmdir()
            elif path.name not in keep:
                path.unlink()

    async def commit(
        self,
        temporary: Path,
        destination: Destination,
        about_to_appear: Callable[[StoredObject], None] = lambda _: None,
    ) -> StoredObject:
        """Makes a temporary file an object, which leaves its place as the object appears.

        Args:
            temporary: The file.
            destination: Where it is to go.
            about_to_appear: Called with the object before it appears.

        Raises:
            StorageError: 400 when the bytes are not those expected, 412 for a precondition, 409 where a folder or a
                file is in the way.
        """
        _, crc32c, md5 = await asyncio.to_thread(read_checksums, temporary)
        for kind, expected, actual in (("CRC32C", destination.crc32c, crc32c), ("MD5 hash", destination.md5, md5)):
            if expected not in (None, actual):
                raise invalid(f'Provided {kind} "{expected}" doesn\'t match calculated {kind} "{actual}".')
        current = await self.look(destination.bucket, destination.name)
        # No await from here on: what has been checked is what is replaced.
        check_generations(destination.preconditions, current)
        is_marker = destination.name.endswith("/")
        if is_marker and temporary.stat().st_size:
            raise invalid(f"Invalid content of {destination.name!r}: a folder marker (a name ending in /) is empty.")
        path = self._make_way(destination.bucket, destination.name)
        # Set to the nanosecond, the time of change differs from that of any later write, which has the kernel's clock.
        now_ns = time.time_ns()
        os.utime(temporary, ns=(now_ns, now_ns))
        status = path.stat() if is_marker else temporary.stat()
        stored = self._new_object(
            destination.bucket, destination.name, status, (crc32c, md5), now_ns // 1000, destination.fields
        )
        about_to_appear(stored)
        self._insert(stored)
        if is_marker:
            temporary.unlink()
        else:
            os.replace(temporary, path)
        self._forget(destination.bucket, destination.name, keep=stored.fingerprint)
        return stored

    async def copy(self, sources: list[BinaryIO], destination: Destination) -> StoredObject:
        """Writes the bytes of open objects, one after the other, as an object; raises as `commit`."""
        with self.temporary() as path:
            await asyncio.to_thread(concatenate, sources, path)
            return await self.commit(path, destination)

    def update(self, current: StoredObject, fields: dict) -> StoredObject:
        """Replaces an object's fields."""
        updated = replace(
            current,
            fields=fields,
            metageneration=current.metageneration + 1,
            updated_us=max(time.time_ns() // 1000, current.updated_us + 1),
        )
        self._insert(updated)
        return updated

    def delete(self, current: StoredObject) -> None:
        """Deletes an object, and the folders that it alone implied."""
        path = self.path(current.bucket, current.name)
        if current.name.endswith("/"):
            folder = current.name
        else:
            path.unlink(missing_ok=True)
            folder = current.name[: current.name.rfind("/") + 1]
        self._forget(current.bucket, current.name)
        while folder and self._marker(current.bucket, folder) is None:
            try:
                self.path(current.bucket, folder).rmdir()
            except OSError:  # not empty
                return
            folder = folder[: folder.rstrip("/").rfind("/") + 1]

    def _make_way(self, bucket: str, name: str) -> Path:
        """Makes the folders for an object and returns its path."""
        check_object_name(name)
        *folders, last = name.split("/")
        path = self.folder / bucket
        for depth, folder in enumerate(folders, start=1):
            path /= folder
            try:
                path.mkdir()
            except FileExistsError:
                if not stat.S_ISDIR(path.lstat().st_mode):
                    raise _in_the_way(name, "/".join(folders[:depth])) from None
        path /= last
        is_folder = last and path.is_dir() and not path.is_symlink()
        if is_folder and (self._holds_objects(bucket, f"{name}/") or not remove_empty_folders(path)):
            raise _in_the_way(name, f"{name}/")
        return path

    def _holds_objects(self, bucket: str, prefix: str) -> bool:
        markers = self._markers(bucket)
        names = walk(self.folder / bucket, lambda name: name.startswith(prefix) or prefix.startswith(name))
        return any(name.startswith(prefix) and (name in markers or not name.endswith("/")) for name in names)

    # Files and rows

    def path(self, bucket: str, name: str) -> Path:
        """The file of an object, or the folder that a name ending in "/" stands for; the names have to be checked."""
        return self.folder / bucket / name

    def _status(self, bucket: str, name: str) -> os.stat_result | None:
        """The file's, or for a name with "/" at the end the folder's, status; None where there is none of that kind."""
        if object_name_problem(name):
            return None
        path = self.path(bucket, name)
        try:
            if os.path.realpath(path.parent) != str(path.parent):  # a link, which might lead out of the bucket
                return None
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_kind = stat.S_ISDIR if name.endswith("/") else stat.S_ISREG
        return status if is_kind(status.st_mode) else None

    def _markers(self, bucket: str) -> set[str]:
        rows = self.database.execute("SELECT name FROM objects WHERE bucket = ? AND substr(name, -1) = '/'", (bucket,))
        return {row["name"] for row in rows.fetchall() if self._marker(bucket, row["name"])}

    def _marker(self, bucket: str, name: str) -> StoredObject | None:
        status = self._status(bucket, name)
        return self._row(bucket, name, fingerprint(status)) if status else None

    def _row(self, bucket: str, name: str, fingerprint: str) -> StoredObject | None:
        query = "SELECT * FROM objects WHERE bucket = ? AND name = ? AND fingerprint = ?"
        row = self.database.execute(query, (bucket, name, fingerprint)).fetchone()
        return StoredObject(**{**row, "fields": json.loads(row["fields"])}) if row else None

    def _new_object(
        self,
        bucket: str,
        name: str,
        status: os.stat_result,
        checksums: tuple[str, str],
        created_us: int,
        fields: dict,
    ) -> StoredObject:
        # As the real ones, generations are microseconds; one is never given twice, even when the clock is set back.
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return StoredObject(
            bucket=bucket,
            name=name,
            fingerprint=fingerprint(status),
            size=0 if name.endswith("/") else status.st_size,
            generation=self._last_generation,
            metageneration=1,
            created_us=created_us,
            updated_us=created_us,
            crc32c=checksums[0],
            md5=checksums[1],
            fields=fields,
        )

    def _insert(self, stored: StoredObject) -> None:
        columns = {**asdict(stored), "fields": json.dumps(stored.fields)}
        self.database.execute(
            "INSERT OR REPLACE INTO objects VALUES (:bucket, :name, :fingerprint, :size, :generation, :metageneration,"
            " :created_us, :updated_us, :crc32c, :md5, :fields)",
            columns,
        )

    def _forget(self, bucket: str, name: str, keep: str = "") -> None:
        """Removes the rows of a name, but the one of the fingerprint `keep`."""
        query = "DELETE FROM objects WHERE bucket = ? AND name = ? AND fingerprint != ?"
        self.database.execute(query, (bucket, name, keep))


def check_generations(preconditions: Preconditions, current: StoredObject | None, *, reading: bool = False) -> None:
    """Checks preconditions against what is live; raises as `Preconditions.check`."""
    live = (current.generation, current.metageneration) if current else (0, 0)
    preconditions.check(*live, reading=reading)


def _in_the_way(name: str, other: str) -> StorageError:
    return conflict(
        f"Cannot write the object {name!r}: {other!r} exists. Objects are kept as files here, and one name cannot be"
        " both a file and a folder. Delete what exists or choose another name."
    )
