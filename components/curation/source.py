"""Which objects of Cloud Storage are the source: their names, formats and generations, at one point in time."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..runtime import InputError

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Client

FORMATS = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
_URI = re.compile(r"gs://(?P<bucket>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?:/(?P<path>.*))?", re.DOTALL)
_FIRST_WILDCARD = re.compile(r"[*?\[]")


def resolve(client: "Client", train_uri: str, test_uri: str = "") -> list[dict[str, str]]:
    """Lists the objects that one or two URIs stand for.

    Args:
        client: Client of Cloud Storage.
        train_uri: `gs://bucket/folder/*.parquet`, `gs://bucket/folder` or `gs://bucket/object.csv`.
        test_uri: The same for test data; empty when there is none of its own.

    Returns:
        One entry an object, sorted by split and URI: uri, generation (decimal digits as text, since the JSON numbers
        of a pipeline are floating point), split ("train", "test", or "" when no `test_uri` is given), format.

    Raises:
        InputError: If a URI is malformed, stands for nothing or for what cannot be read, or both name one object.
    """
    uris = {"train": train_uri, "test": test_uri} if test_uri else {"": train_uri}
    entries = [entry for split, uri in uris.items() for entry in _entries(client, uri, split)]
    shared = [uri for uri, count in Counter(entry["uri"] for entry in entries).items() if count > 1]
    if shared:
        raise InputError(
            f"train_uri {train_uri!r} and test_uri {test_uri!r} both name {shared[0]}. Test data must not be trained "
            "on: name other objects, or leave test_uri empty and let curate_text split the data."
        )
    return sorted(entries, key=lambda entry: (entry["split"], entry["uri"]))


def _entries(client: "Client", uri: str, split: str) -> Iterator[dict[str, str]]:
    bucket, path = parse_uri(uri)
    with storage_errors(uri):
        blobs = list(client.list_blobs(bucket, prefix=listing_prefix(path)))
    chosen = set(choose([blob.name for blob in blobs], path))
    if not chosen:
        raise InputError(
            f"Nothing matches {uri!r}. Expected an object, a folder, or a pattern such as gs://bucket/folder/*.csv. "
            f"List what is there: gcloud storage ls gs://{bucket}/"
        )
    for blob in blobs:
        if blob.name in chosen:
            yield _entry(blob, split)


def _entry(blob: "Blob", split: str) -> dict[str, str]:
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    format = FORMATS.get(PurePosixPath(blob.name).suffix.lower())
    if format is None:
        raise InputError(
            f"{uri} is of no known format. Expected a name that ends in {', '.join(FORMATS)}. "
            "Convert the object, or name only the data with a pattern such as gs://bucket/folder/*.parquet."
        )
    if not blob.size:
        raise InputError(f"{uri} is empty (0 bytes). Write it again, or delete it if it holds no data.")
    return {"uri": uri, "generation": str(blob.generation), "split": split, "format": format}


def parse_uri(uri: str) -> tuple[str, str]:
    """Takes `gs://bucket/path` apart: bucket and path, which may be empty.

    Raises:
        InputError: If it is no such URI.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise InputError(
            f"{uri!r} is no Cloud Storage URI. Expected gs://bucket/folder/*.parquet, gs://bucket/folder or "
            "gs://bucket/object.csv. Copy local files to a bucket first: gcloud storage cp FILE gs://bucket/folder/"
        )
    return match["bucket"], match["path"] or ""


def listing_prefix(path: str) -> str:
    """The part of a path or pattern that every object it stands for begins with."""
    return _FIRST_WILDCARD.split(path, maxsplit=1)[0]


def choose(names: list[str], path: str) -> list[str]:
    """The objects that a path stands for: the one of this name, or else a pattern's matches or a folder's content.

    In a pattern `*`, `?` and `[…]` stay within one folder level. Of a folder everything below it is taken but
    names that begin with `_` or `.`, which hold no data by convention (`_SUCCESS`, `_MANIFEST.json`), and placeholders
    of folders.

    Args:
        names: Names of objects in the bucket.
        path: What follows the bucket in the URI.
    """
    if path in names and not path.endswith("/"):
        return [path]
    if _FIRST_WILDCARD.search(path):
        return [name for name in names if not name.endswith("/") and PurePosixPath("/" + name).match("/" + path)]
    folder = path.rstrip("/") + "/" if path else ""
    return [name for name in names if name.startswith(folder) and _holds_data(name)]


def _holds_data(name: str) -> bool:
    return not name.endswith("/") and not name.rsplit("/", 1)[-1].startswith(("_", "."))


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turns what a user can correct into an `InputError`: a wrong name, no such bucket or object, no permission."""
    from google.api_core.exceptions import BadRequest, Forbidden, NotFound

    try:
        yield
    except NotFound:
        raise InputError(
            f"{uri!r} was not found: its bucket does not exist, or the object was replaced or deleted since the source "
            "was resolved. Correct the URI, or run the pipeline again to take the objects that are there now."
        ) from None
    except BadRequest as error:
        raise InputError(
            f"Cloud Storage refuses {uri!r} ({error.message}). Correct the bucket's name and the path in the URI."
        ) from None
    except Forbidden as error:
        raise InputError(
            f"{uri!r} may not be read by this task ({error.message}). Grant its service account "
            "roles/storage.objectViewer on the bucket."
        ) from None
