"""The model server, `python -m seatrial.components.prediction.server`: Vertex AI's contract for custom containers.

It listens at once; its health route answers 503 until the model is loaded and 200 from then on. A model that cannot
be loaded ends the process with code 1 and one line that says why. After SIGTERM the health route answers 503, requests
under way are finished, and the process ends with code 0 within a few seconds.

Environment (`AIP_…` is set by Vertex AI):
    AIP_STORAGE_URI: The model folder: `gs://BUCKET/FOLDER` or a path.
    AIP_HTTP_PORT: Port, 8080 if unset; 0 takes a free one, which the log names.
    AIP_HEALTH_ROUTE, AIP_PREDICT_ROUTE: `/health` and `/predict` if unset.
    SEATRIAL_HTTP_HOST: Address to listen on. 0.0.0.0 if unset, as the contract wants; 127.0.0.1 outside of a container.
    SEATRIAL_DRILL: A fault on purpose (`drill.py`); none if unset.

Request: `{"instances": ["a text", {"text": "another"}]}`, at most 1,000
instances of 100,000 characters and 1.5 MB in all. Answer, in the same order:
`{"predictions": [{"label": "great", "probability": 0.9, "probabilities": {"great": 0.9, "other": 0.1}}, …]}`.
A request that cannot be answered gets `{"error": "what was wrong, what was expected"}` with 400, 404, 405, 413 or 503.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from ..runtime import InputError, log, task
from .drill import VARIABLE, Drill
from .models import FILE_NAMES, LARGEST_FOLDER_BYTES, TextClassifier, load_model

LARGEST_REQUEST_BYTES = 1_500_000
LONGEST_TEXT_CHARACTERS = 100_000
MOST_INSTANCES = 1000
_SECONDS_UNTIL_TRAFFIC_STOPS = 1.0
_SECONDS_TO_FINISH_REQUESTS = 5.0
_SECONDS_TO_SEND_ANSWERS = 1.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the environment says (see the module's docstring)."""

    storage_uri: str
    host: str
    port: int
    health_route: str
    predict_route: str
    drill: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the settings.

        Raises:
            InputError: If the model is not named, or a value cannot be used.
        """
        port = environment.get("AIP_HTTP_PORT", "8080")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InputError(f"AIP_HTTP_PORT is {port!r}; expected a port number from 0 to 65535.")
        settings = cls(
            storage_uri=environment.get("AIP_STORAGE_URI", ""),
            host=environment.get("SEATRIAL_HTTP_HOST", "0.0.0.0"),  # noqa: S104 (Vertex AI's contract)
            port=int(port),
            health_route=environment.get("AIP_HEALTH_ROUTE", "/health"),
            predict_route=environment.get("AIP_PREDICT_ROUTE", "/predict"),
            drill=environment.get(VARIABLE, ""),
        )
        if not settings.storage_uri:
            raise InputError(
                "AIP_STORAGE_URI is not set; expected the model folder, such as gs://bucket/models/reviews."
            )
        for name, route in (("HEALTH", settings.health_route), ("PREDICT", settings.predict_route)):
            if not route.startswith("/") or set("{}") & set(route):
                raise InputError(f"AIP_{name}_ROUTE is {route!r}; expected a path such as /{name.lower()}.")
        return settings


def answer(model: TextClassifier, body: bytes) -> dict[str, Any]:
    """Answers one prediction request.

    Args:
        model: The model.
        body: The request's body.

    Raises:
        InputError: If the body is no JSON object with texts in `instances`; it names the position of a bad instance.
    """
    texts = _texts(body)
    return {
        "predictions": [
            {
                "label": model.labels[best],
                "probability": probabilities[best],
                "probabilities": dict(zip(model.labels, probabilities, strict=True)),
            }
            for probabilities in model.predict_probabilities(texts).tolist()
            for best in [probabilities.index(max(probabilities))]
        ]
    }


def _texts(body: bytes) -> list[str]:
    expected = 'expected {"instances": [{"text": "…"}, …]}'
    try:
        request = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"The request is no JSON document ({error}); {expected}.") from None
    if not isinstance(request, dict):
        raise InputError(f"The request is a JSON {_json_type(request)}; {expected}.")
    if request.get("parameters"):
        raise InputError("The request has parameters; this model takes none. Leave `parameters` out.")
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        problem = "lacks `instances`" if "instances" not in request else "has instances that are no list of one or more"
        raise InputError(f"The request {problem}; {expected}.")
    if len(instances) > MOST_INSTANCES:
        raise InputError(
            f"The request has {len(instances):,} instances; expected at most {MOST_INSTANCES:,}. Send fewer at a time."
        )
    return [_text(position, instance) for position, instance in enumerate(instances)]


def _text(position: int, instance: object) -> str:
    text = instance.get("text") if isinstance(instance, dict) else instance
    if not isinstance(text, str):
        found = f"a {_json_type(instance)}"
        if isinstance(instance, dict):
            found = f"an object whose text is a {_json_type(text)}" if "text" in instance else "an object without text"
        raise InputError(f'instances[{position}] is {found}; expected a string or {{"text": "…"}}.')
    if len(text) > LONGEST_TEXT_CHARACTERS:
        raise InputError(
            f"instances[{position}] has {len(text):,} characters; expected at most {LONGEST_TEXT_CHARACTERS:,}. "
            "Shorten it."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"instances[{position}] has half a surrogate pair, {text[error.start]!r}, at character {error.start}; "
            "expected whole characters. Do not cut JSON or UTF-16 within one."
        ) from None
    return text


def _json_type(value: object) -> str:
    return {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def fetch_model(storage_uri: str, folder: Path) -> TextClassifier:
    """Loads the model of a `gs://` folder, which it copies into `folder` first, or of a local path.

    Raises:
        InputError: If it cannot be read, or is no sound model folder.
    """
    if storage_uri.startswith("gs://"):
        _download(storage_uri, folder)
        storage_uri = str(folder)
    return load_model(storage_uri)


def _download(storage_uri: str, folder: Path) -> None:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage
    from requests.exceptions import RequestException

    bucket, _, prefix = storage_uri.removeprefix("gs://").rstrip("/").partition("/")
    prefix = f"{prefix}/" if prefix else ""
    try:
        found = {blob.name.removeprefix(prefix): blob for blob in storage.Client().list_blobs(bucket, prefix=prefix)}
        blobs = {name: found[name] for name in FILE_NAMES if name in found}
        if (size := sum(blob.size for blob in blobs.values())) <= LARGEST_FOLDER_BYTES:
            for name, blob in blobs.items():
                blob.download_to_filename(folder / name)
    except (GoogleAPIError, GoogleAuthError, RequestException, ValueError) as error:
        raise InputError(
            f"The model {storage_uri} cannot be read ({error}). Check AIP_STORAGE_URI, and that the service account of "
            "the deployed model may read it."
        ) from None
    if not blobs:
        raise InputError(f"There is no model under {storage_uri}. Check AIP_STORAGE_URI.")
    if size > LARGEST_FOLDER_BYTES:
        raise InputError(f"The model {storage_uri} has {size:,} bytes; at most {LARGEST_FOLDER_BYTES:,} are loaded.")


class Server:
    """The HTTP side: routes, readiness, and the thread that predicts.

    Attributes:
        model: None until it is loaded.
        is_stopping: True after SIGTERM; requests are still answered, but the health route asks for no more.
    """

    def __init__(self, settings: Settings) -> None:
        self.model: TextClassifier | None = None
        self.is_stopping = False
        self.drill = Drill(settings.drill)
        # One thread: Python code does not run in parallel, so more would slow each other down and the health route too.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.application = web.Application(client_max_size=LARGEST_REQUEST_BYTES, middlewares=[_errors_as_json])
        self.application.router.add_get(settings.health_route, self._health)
        self.application.router.add_post(settings.predict_route, self._predict)

    async def _health(self, _: web.Request) -> web.Response:
        if self.model is None or self.is_stopping:
            return web.json_response({"status": "stopping" if self.is_stopping else "loading"}, status=503)
        return web.json_response({"status": "ready"})

    async def _predict(self, request: web.Request) -> web.Response:
        if self.model is None:
            return _error(503, "The model is being loaded; try again when the health route answers 200.")
        self._requests += 1
        self._idle.clear()
        try:
            body = await request.read()
            await self.drill.before_answer()
            loop = asyncio.get_running_loop()
            return web.json_response(await loop.run_in_executor(self._thread, answer, self.model, body))
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def drain(self) -> None:
        """Has the load balancer stop sending requests, and waits until those under way are answered, within limits."""
        self.is_stopping = True
        await asyncio.sleep(_SECONDS_UNTIL_TRAFFIC_STOPS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _SECONDS_TO_FINISH_REQUESTS)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except InputError as error:
        return _error(400, str(error))
    except web.HTTPRequestEntityTooLarge:
        return _error(
            413, f"The request is larger than {LARGEST_REQUEST_BYTES:,} bytes; send fewer instances at a time."
        )
    except web.HTTPMethodNotAllowed as error:
        expected = " or ".join(sorted(error.allowed_methods))
        return _error(405, f"{request.path} does not take {request.method}; expected {expected}.", {"Allow": expected})
    except web.HTTPException as error:
        return _error(error.status, f"{request.method} {request.path}: {error.reason}.")
    except Exception:
        _logger.exception("A request failed")
        return _error(500, "The model server failed; its log has the reason.")


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        InputError: If the address cannot be listened on or the model cannot be loaded.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(settings)
    runner = web.AppRunner(server.application, access_log=None, shutdown_timeout=_SECONDS_TO_SEND_ANSWERS)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        raise InputError(
            f"Cannot listen on SEATRIAL_HTTP_HOST {settings.host!r}, AIP_HTTP_PORT {settings.port} ({error.strerror})."
        ) from None
    try:
        log("listening", host=settings.host, port=runner.addresses[0][1])
        with tempfile.TemporaryDirectory(prefix="seatrial-model-") as folder:
            model = await asyncio.to_thread(fetch_model, settings.storage_uri, Path(folder))
            server.model = server.drill.sabotaged(model)
        log("model loaded", model_type=server.model.model_type, digest=server.model.digest)
        await stop.wait()
        await server.drain()
    finally:
        await runner.cleanup()


def main() -> None:
    """Entry point of the serving container."""
    with task("prediction server"):
        asyncio.run(serve(Settings.read(os.environ)))


if __name__ == "__main__":
    main()
