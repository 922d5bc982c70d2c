"""The methods of the JSON API on buckets."""

import uuid
from dataclasses import replace

from aiohttp import web

from ..names import project_number
from .errors import StorageError, json_response, required
from .listing import make_page_token, page_size, read_page_token
from .preconditions import Preconditions
from .requests import Call, json_object
from .resources import bucket_resource, policy_resource, requested_bucket_fields
from .store import Bucket, Store

_BUCKET_METAGENERATION = 1  # no method changes a bucket's metadata


class Buckets:
    """The methods on the buckets of a store; each takes a call and answers it, or raises `StorageError`.

    Args:
        store: The store.
        project_number: The project of buckets that were not made by a call.
    """

    def __init__(self, store: Store, project_number: str) -> None:
        self._store, self._project_number = store, project_number

    def list(self, call: Call) -> web.Response:
        """buckets.list."""
        project = _requested_project(call)
        prefix, after = call.query.get("prefix", ""), read_page_token(call.query.get("pageToken", ""))
        found = [
            bucket
            for bucket in self._store.buckets()
            if self._project(bucket) == project and bucket.name.startswith(prefix) and bucket.name > after
        ]
        page = found[: page_size(call.query)]
        body: dict = {"kind": "storage#buckets", "items": [self._resource(call, bucket) for bucket in page]}
        if len(found) > len(page):
            body["nextPageToken"] = make_page_token(page[-1].name)
        return json_response(body)

    def insert(self, call: Call) -> web.Response:
        """buckets.insert."""
        project, resource = _requested_project(call), json_object(call.body)
        name = resource.get("name")
        if not isinstance(name, str):
            raise required("name")
        fields = {**requested_bucket_fields(resource), "projectNumber": project}
        return json_response(self._resource(call, self._store.create_bucket(name, fields)))

    def get(self, call: Call, name: str) -> web.Response:
        """buckets.get."""
        bucket = self._store.bucket(name)
        Preconditions.from_query(call.query).check(0, _BUCKET_METAGENERATION, reading=True)
        return json_response(self._resource(call, bucket))

    def delete(self, call: Call, name: str) -> web.Response:
        """buckets.delete."""
        self._store.bucket(name)
        Preconditions.from_query(call.query).check(0, _BUCKET_METAGENERATION)
        self._store.delete_bucket(name)
        return web.Response(status=204)

    def get_policy(self, name: str) -> web.Response:
        """buckets.getIamPolicy."""
        return json_response(policy_resource(self._store.bucket(name)))

    def set_policy(self, call: Call, name: str) -> web.Response:
        """buckets.setIamPolicy."""
        bucket, policy = self._store.bucket(name), json_object(call.body)
        current = policy_resource(bucket)["etag"]
        if policy.get("etag") not in (None, current):
            raise StorageError(412, "conditionNotMet", "The policy was changed since it was read: its etag is another.")
        changed = {
            "version": policy.get("version", 1),
            "bindings": policy.get("bindings", []),
            "etag": uuid.uuid4().hex,
        }
        self._store.set_policy(name, changed)
        return json_response(policy_resource(replace(bucket, policy=changed)))

    def test_permissions(self, call: Call, name: str) -> web.Response:
        """buckets.testIamPermissions: everything is permitted."""
        self._store.bucket(name)
        permissions = call.query.getall("permissions", [])
        return json_response({"kind": "storage#testIamPermissionsResponse", "permissions": permissions})

    def _resource(self, call: Call, bucket: Bucket) -> dict:
        return bucket_resource(bucket, call.origin, self._project(bucket))

    def _project(self, bucket: Bucket) -> str:
        """The number of a bucket's project; a folder that somebody made is in the default one."""
        return bucket.fields.get("projectNumber", self._project_number)


def _requested_project(call: Call) -> str:
    """The number of the project that a call names by its id or its number."""
    project = call.query.get("project", "")
    if not project:
        raise required("project")
    return project if project.isdigit() else project_number(project)
