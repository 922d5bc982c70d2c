"""What `seatrial local faults` asks the server for, beside `/healthz` on its own port."""

import json
from typing import Any

from aiohttp import web

from . import rest
from .api import ApiError, invalid
from .bigquery.service import METHODS as BIGQUERY_METHODS
from .dispatcher import HANDLERS
from .environment import buckets_folder
from .renames import RENAMES
from .storage.service import METHODS as STORAGE_METHODS
from .vertex import Vertex


async def handle(vertex: Vertex, request: web.Request) -> web.Response:
    """Answers a request to the server itself."""
    try:
        return web.json_response(await _answer(vertex, request))
    except ApiError as error:
        return rest.error_response(error)


async def _answer(vertex: Vertex, request: web.Request) -> Any:
    match request.method, *request.path.removeprefix("/local/").split("/"):
        case "GET", "faults":
            return vertex.faults.listed()
        case "POST", "faults":
            return vertex.faults.add(await _document(request), [*HANDLERS, *STORAGE_METHODS, *BIGQUERY_METHODS])
        case "DELETE", "faults":
            return vertex.faults.clear()
        case "DELETE", "faults", fault_id:
            return vertex.faults.remove(fault_id)
        case "POST", "kill-model":
            document = await _document(request)
            deployed_id = await vertex.serving.kill(document.get("endpoint", ""), document.get("deployed_model", ""))
            return {"deployed_model": deployed_id}
        case "GET", "directory-renames":
            return {"forbidden": RENAMES.forbidden}
        case "POST", "directory-renames":
            before = RENAMES.forbidden
            if (await _document(request)).get("forbidden"):
                if vertex.runtime.name == "docker":
                    raise ApiError(
                        "FAILED_PRECONDITION",
                        "Renames of directories are forbidden to processes only; the runtime is docker.",
                    )
                await RENAMES.forbid(buckets_folder(vertex.home))
            else:
                RENAMES.allow()
            return {"forbidden_before": before}
    raise ApiError("NOT_FOUND", f"{request.method} {request.path} is not known.")


async def _document(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except ValueError as error:
        raise invalid(f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid("The body is not a JSON object.")
    return document
