"""Buckets and objects as the JSON resources of the API, and what a client may set in them."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from .errors import invalid, not_implemented
from .files import DEFAULT_CONTENT_TYPE
from .store import Bucket, StoredObject

_HEADER_FIELDS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType")
_OBJECT_FIELDS = (*_HEADER_FIELDS, "customTime", "metadata", "storageClass")
_BUCKET_FIELDS = ("iamConfiguration", "labels", "location", "storageClass")
# What the server sets. Clients send it back with the rest of a resource, and it is ignored as the real service does.
_OUTPUT_FIELDS = frozenset(
    {
        "bucket",
        "componentCount",
        "crc32c",
        "etag",
        "generation",
        "id",
        "kind",
        "locationType",
        "md5Hash",
        "mediaLink",
        "metageneration",
        "name",
        "projectNumber",
        "selfLink",
        "size",
        "softDeletePolicy",
        "timeCreated",
        "timeFinalized",
        "timeStorageClassUpdated",
        "updated",
    }
)


def object_resource(stored: StoredObject, origin: str) -> dict:
    """The resource of an object.

    Args:
        stored: The object.
        origin: Scheme and authority that the client reached this server by, for the links.
    """
    path = f"storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    created, fields = _time(stored.created_us), dict(stored.fields)
    # As in the real service an object composed of others has no MD5.
    md5 = {} if "componentCount" in fields else {"md5Hash": stored.md5}
    return {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{origin}/{path}",
        "mediaLink": f"{origin}/download/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.size),
        **md5,
        "crc32c": stored.crc32c,
        "etag": object_etag(stored),
        "timeCreated": created,
        "updated": _time(stored.updated_us),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
        **fields,
    }


def object_etag(stored: StoredObject) -> str:
    """The entity tag of an object, which changes with its content and with its metadata."""
    return _etag(stored.generation, stored.metageneration)


def bucket_resource(bucket: Bucket, origin: str, project_number: str) -> dict:
    """The resource of a bucket."""
    location = bucket.fields.get("location", "US").upper()
    created = _time(bucket.created_us)
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{origin}/storage/v1/b/{bucket.name}",
        "projectNumber": project_number,
        "name": bucket.name,
        "metageneration": "1",
        "storageClass": "STANDARD",
        "locationType": "region" if "-" in location else "multi-region",
        "etag": _etag(bucket.created_us, 1),
        "timeCreated": created,
        "updated": created,
        "softDeletePolicy": {"retentionDurationSeconds": "0"},
        "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}, "publicAccessPrevention": "inherited"},
        **bucket.fields,
        "location": location,
    }


def policy_resource(bucket: Bucket) -> dict:
    """A bucket's access policy. It is kept and returned, and nothing is refused because of it."""
    bindings = {"version": 1, "bindings": [], "etag": _etag(bucket.created_us, 0)}
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket.name}", **bindings, **bucket.policy}


def requested_object_fields(resource: Mapping) -> dict:
    """Picks what a client asks to be set on an object; a value of None asks for its removal.

    Raises:
        StorageError: 400 for a value that is not allowed, 501 for a feature that is not implemented.
    """
    fields = _requested(resource, _OBJECT_FIELDS, "objects")
    for name in (*_HEADER_FIELDS, "customTime", "storageClass"):
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise invalid(f"Invalid value for {name}: {value!r} is not a line of text.")
    metadata = fields.get("metadata")
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(value, str | None) for value in metadata.values())
    ):
        raise invalid("Invalid value for metadata: its values have to be strings.")
    return fields


def requested_bucket_fields(resource: Mapping) -> dict:
    """Picks what a client asks to be set on a bucket; raises as `requested_object_fields`."""
    fields = merged({}, _requested(resource, _BUCKET_FIELDS, "buckets"))
    for name in ("location", "storageClass"):
        if not isinstance(fields.get(name, ""), str):
            raise invalid(f"Invalid value for {name}: {fields[name]!r} is not a string.")
    return fields


def merged(fields: dict, changes: Mapping) -> dict:
    """Applies changes as PATCH does: None removes, and the custom metadata is changed key by key."""
    result = {**fields, **changes}
    if changes.get("metadata") is not None:
        result["metadata"] = _without_none({**fields.get("metadata", {}), **changes["metadata"]})
    return _without_none(result)


def download_headers(stored: StoredObject) -> dict[str, str]:
    """The HTTP headers that describe an object next to its bytes."""
    fields = stored.fields
    hashes = f"crc32c={stored.crc32c}" + ("" if "componentCount" in fields else f",md5={stored.md5}")
    headers = {
        "Content-Type": fields.get("contentType", DEFAULT_CONTENT_TYPE),
        "Cache-Control": fields.get("cacheControl"),
        "Content-Disposition": fields.get("contentDisposition"),
        "Content-Encoding": fields.get("contentEncoding"),
        "Content-Language": fields.get("contentLanguage"),
        "ETag": object_etag(stored),
        "Last-Modified": _date(stored.updated_us).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Hash": hashes,
        "X-Goog-Storage-Class": fields.get("storageClass", "STANDARD"),
        "X-Goog-Stored-Content-Encoding": fields.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(stored.size),
    }
    return _without_none(headers)


def _requested(resource: Mapping, known: tuple[str, ...], kind: str) -> dict:
    for name, value in resource.items():
        if value and name not in known and name not in _OUTPUT_FIELDS:
            raise not_implemented(f"the field {name!r} of {kind}")
    return {name: resource[name] for name in known if name in resource}


def _without_none(values: Mapping) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def _etag(generation: int, metageneration: int) -> str:
    return base64.b64encode(f"{generation}/{metageneration}".encode()).decode()


def _date(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _time(microseconds: int) -> str:
    return _date(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
