"""The methods of the JSON API on objects, apart from uploads and downloads."""

from collections.abc import Mapping
from contextlib import ExitStack

from aiohttp import web

from .errors import invalid, json_response, no_such_object, not_implemented, required
from .listing import Query
from .preconditions import Preconditions, check_etags, integer
from .requests import Call, json_object
from .resources import merged, object_etag, object_resource, requested_object_fields
from .store import Destination, Store, StoredObject, check_generations

_MOST_SOURCES = 32


class Objects:
    """The methods on the objects of a store; each takes a call and answers it, or raises `StorageError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, call: Call, bucket: str) -> web.Response:
        """objects.list. Only live objects exist, so that `versions` changes nothing."""
        found, page = await self._store.list_objects(bucket, Query.from_parameters(call.query))
        body: dict = {"kind": "storage#objects", "items": [object_resource(item, call.origin) for item in found]}
        if page.prefixes:
            body["prefixes"] = page.prefixes
        if page.next_page_token:
            body["nextPageToken"] = page.next_page_token
        return json_response(body)

    async def get(self, call: Call, bucket: str, name: str) -> web.Response:
        """objects.get without alt=media."""
        found = checked(call.query, call.headers, await self._store.look(bucket, name), bucket, name, reading=True)
        return json_response(object_resource(found, call.origin))

    async def patch(self, call: Call, bucket: str, name: str) -> web.Response:
        """objects.patch: changes the fields that are given."""
        changes = requested_object_fields(_without_storage_class(json_object(call.body)))
        current = checked(call.query, call.headers, await self._store.look(bucket, name), bucket, name)
        return self._updated(call, current, merged(current.fields, changes))

    async def update(self, call: Call, bucket: str, name: str) -> web.Response:
        """objects.update: replaces the fields by those that are given."""
        requested = merged({}, requested_object_fields(_without_storage_class(json_object(call.body))))
        current = checked(call.query, call.headers, await self._store.look(bucket, name), bucket, name)
        kept = {field: current.fields[field] for field in ("componentCount", "storageClass") if field in current.fields}
        return self._updated(call, current, {**requested, **kept})

    async def delete(self, call: Call, bucket: str, name: str) -> web.Response:
        """objects.delete."""
        self._store.delete(checked(call.query, call.headers, await self._store.look(bucket, name), bucket, name))
        return web.Response(status=204)

    async def copy(self, call: Call, source: tuple[str, str], target: tuple[str, str]) -> web.Response:
        """objects.copy."""
        return json_response(object_resource(await self._copied(call, source, target), call.origin))

    async def rewrite(self, call: Call, source: tuple[str, str], target: tuple[str, str]) -> web.Response:
        """objects.rewrite, which is always done in one call."""
        stored = await self._copied(call, source, target)
        size = str(stored.size)
        body = {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
        return json_response({**body, "resource": object_resource(stored, call.origin)})

    async def compose(self, call: Call, bucket: str, name: str) -> web.Response:
        """objects.compose."""
        request = json_object(call.body)
        if request.get("deleteSourceObjects"):
            raise not_implemented("the field 'deleteSourceObjects' of compose requests")
        sources = request.get("sourceObjects")
        if not isinstance(sources, list) or not 1 <= len(sources) <= _MOST_SOURCES:
            raise invalid(f"The number of source components provided has to be between 1 and {_MOST_SOURCES}.")
        destination_resource = request.get("destination", {})
        if not isinstance(destination_resource, dict):
            raise invalid("Invalid value for destination: it has to be an object resource.")
        requested = merged({}, requested_object_fields(destination_resource))
        with ExitStack() as stack:
            opened, components = [], 0
            for source in sources:
                stored, file = await self._store.open(bucket, _source_name(source))
                opened.append(stack.enter_context(file))
                checked(_source_conditions(source), {}, stored, bucket, stored.name)
                components += stored.fields.get("componentCount", 1)
            fields = {**requested, "componentCount": components}
            destination = Destination(bucket, name, fields, Preconditions.from_query(call.query))
            return json_response(object_resource(await self._store.copy(opened, destination), call.origin))

    async def _copied(self, call: Call, source: tuple[str, str], target: tuple[str, str]) -> StoredObject:
        changes = requested_object_fields(json_object(call.body))
        stored, file = await self._store.open(*source)
        with file:
            generation = integer(call.query, "sourceGeneration")
            if generation not in (None, stored.generation):
                raise no_such_object(*source)
            check_generations(Preconditions.from_query(call.query, "Source"), stored)
            fields = merged(stored.fields, changes)
            return await self._store.copy([file], Destination(*target, fields, Preconditions.from_query(call.query)))

    def _updated(self, call: Call, current: StoredObject, fields: dict) -> web.Response:
        return json_response(object_resource(self._store.update(current, fields), call.origin))


def checked(
    query: Mapping[str, str],
    headers: Mapping[str, str],
    current: StoredObject | None,
    bucket: str,
    name: str,
    *,
    reading: bool = False,
) -> StoredObject:
    """Returns the live object when it is the generation that a request names and as the request asks it to be.

    Raises:
        StorageError: 404, 412 or, for a request that only reads, 304.
    """
    if current is None or integer(query, "generation") not in (None, current.generation):
        raise no_such_object(bucket, name)
    check_generations(Preconditions.from_query(query), current, reading=reading)
    check_etags(headers, object_etag(current), reading=reading)
    return current


def _without_storage_class(resource: dict) -> dict:
    """The resource of a change of metadata: the storage class changes by rewriting only."""
    return {name: value for name, value in resource.items() if name != "storageClass"}


def _source_name(source: object) -> str:
    name = source.get("name") if isinstance(source, dict) else None
    if not isinstance(name, str):
        raise required("sourceObjects[].name")
    return name


def _source_conditions(source: Mapping) -> dict[str, str]:
    """The conditions on a component of a compose request, as a query has them."""
    preconditions = source.get("objectPreconditions", {})
    if not isinstance(preconditions, dict):
        raise invalid("Invalid value for sourceObjects[].objectPreconditions: it has to be an object.")
    asked = {"generation": source.get("generation"), **preconditions}
    return {name: str(value) for name, value in asked.items() if value is not None}
