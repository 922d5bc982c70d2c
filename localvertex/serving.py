"""Served models: behind each deployed model is a container that keeps Vertex AI's contract for custom containers.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from .api import ApiError, enum_name, invalid
from .environment import logs_folder
from .projects import remember_project
from .runtimes.container import Container, Kill, Limits, expand, limits_of_machine
from .vertex import Vertex

_logger = logging.getLogger(__name__)
_HOST = "127.0.0.1"
_START_SECONDS = 600.0
_PORT_ATTEMPTS = 3
_HEALTH_SECONDS = 10.0
_POLL_SECONDS = 0.05
_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
# Model servers close idle connections after 5 s (uvicorn) or more; reusing one as it closes would fail the request.
_KEEPALIVE_SECONDS = 3.0
_LOG_TAIL_CHARACTERS = 4_000
_ERROR_TEXT_CHARACTERS = 2_000  # gRPC carries it in a header of limited size
_CODES = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class Answer:
    """What a model server answered."""

    body: bytes
    content_type: str


class Serving:
    """The processes of all deployed models. Make it inside the running event loop.

    Args:
        vertex: The emulator; its environment is read when a process starts.
    """

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex
        self._replicas: dict[tuple[str, str], _Replica] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS)
        )

    async def start(self, endpoint: str, deployed: Any, version: Any) -> None:
        """Starts the process of a deployed model and returns when it is ready to predict.

        Args:
            endpoint: Resource name of the endpoint.
            deployed: The `DeployedModel`.
            version: The `Model` that it deploys.

        Raises:
            ApiError: FAILED_PRECONDITION, with the end of the log, if the process ends or does not get ready.
        """
        replica = self._add(endpoint, deployed, version)
        try:
            await replica.start()
        except BaseException:
            self._replicas.pop((endpoint, deployed.id), None)
            await replica.terminate()
            raise
        self._watch(replica)

    async def stop(self, endpoint: str, deployed_id: str) -> None:
        """Ends the process of a deployed model when it has answered the requests that it has."""
        replica = self._replicas.pop((endpoint, deployed_id), None)
        if replica is not None:
            await replica.drain()
            await replica.terminate()

    async def predict(
        self, endpoint: str, deployed_id: str, body: bytes, content_type: str, timeout_seconds: float
    ) -> Answer:
        """Sends a request to a deployed model.

        Raises:
            ApiError: UNAVAILABLE while the process is down (one that is started for the first time since the server
                was is waited for), DEADLINE_EXCEEDED after the timeout; INVALID_ARGUMENT for
                an answer of 4xx and INTERNAL for one of 5xx, except 429, 503 and 504, which have codes of their own.
        """
        replica = self._replicas.get((endpoint, deployed_id))
        if replica is None:
            raise ApiError("UNAVAILABLE", f"DeployedModel {deployed_id} is not served.")
        return await replica.predict(body, content_type, timeout_seconds)

    async def kill(self, endpoint: str, deployed_id: str = "") -> str:
        """Kills the process of a deployed model, as a crash would end it, and returns when it has ended.

        Args:
            endpoint: Resource name or id of the endpoint.
            deployed_id: Id of the deployed model; it may be left out where there is one.

        Returns:
            Id of the deployed model.

        Raises:
            ApiError: NOT_FOUND if it is not served, INVALID_ARGUMENT if it has to be named,
                FAILED_PRECONDITION if its process is down.
        """
        served = {
            deployed: replica
            for (name, deployed), replica in self._replicas.items()
            if endpoint in (name, name.rsplit("/", 1)[1])
        }
        if deployed_id not in served and (deployed_id or not served):
            what = f"DeployedModel {deployed_id} of the endpoint" if deployed_id else "The endpoint"
            names = ", ".join(sorted(f"{deployed} of {name}" for name, deployed in self._replicas)) or "none"
            raise ApiError("NOT_FOUND", f"{what} {endpoint!r} is not served. Deployed models that are: {names}.")
        if not deployed_id and len(served) > 1:
            raise invalid(f"The endpoint {endpoint!r} has the deployed models {', '.join(sorted(served))}: name one.")
        deployed_id = deployed_id or next(iter(served))
        await served[deployed_id].kill()
        return deployed_id

    def resume(self) -> None:
        """Serves again what was deployed when the server last ended."""
        for endpoint in self._vertex.store.all("Endpoint"):
            for deployed in endpoint.deployed_models:
                version = self._vertex.store.find(f"{deployed.model}@{deployed.model_version_id}")
                if version is None:  # one odd record is no reason not to start
                    _logger.error("DeployedModel %s of %s has no model any more.", deployed.id, endpoint.name)
                    continue
                self._watch(self._add(endpoint.name, deployed, version))

    async def close(self) -> None:
        """Ends all processes."""
        replicas = list(self._replicas.values())
        self._replicas.clear()
        await asyncio.gather(*(replica.terminate() for replica in replicas))
        await self._session.close()

    def _add(self, endpoint: str, deployed: Any, version: Any) -> "_Replica":
        key = (endpoint, deployed.id)
        if key in self._replicas:
            raise ApiError("ALREADY_EXISTS", f"DeployedModel {deployed.id} is already being deployed to {endpoint}.")
        container = _container(self._vertex, endpoint, deployed, version)
        self._replicas[key] = _Replica(container, self._session, self._free_port)
        return self._replicas[key]

    def _watch(self, replica: "_Replica") -> None:
        replica.watcher = self._vertex.tasks.spawn(replica.keep_running(), name=f"serving {replica.name}")

    def _free_port(self) -> int:
        taken = {replica.port for replica in self._replicas.values()}
        while True:
            with socket.create_server((_HOST, 0)) as probe:
                port = probe.getsockname()[1]
            if port not in taken:
                return port


class _Replica:
    """The process of one deployed model: started, watched, started again when it ends.

    Args:
        container: What to run.
        session: For requests to it.
        free_port: Finds a port for it.

    Attributes:
        port: The port that it has, or is to have once it has started.
        watcher: The task that keeps it running.
    """

    def __init__(self, container: "_Container", session: aiohttp.ClientSession, free_port: Callable[[], int]) -> None:
        self.port = 0
        self.watcher: asyncio.Task[None] | None = None
        self._container, self._session, self._free_port = container, session, free_port
        self._process: asyncio.Task[int] | None = None
        self._kill: Kill | None = None  # when it has started
        self._ready = False
        self._tried = asyncio.Event()  # set when the first start has succeeded or failed
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"DeployedModel {self._container.deployed_id}"

    async def start(self) -> asyncio.Task[int]:
        """Starts the process and returns when it is ready.

        Returns:
            The task that is done when the process has ended; cancelling it ends the process.

        Raises:
            ApiError: FAILED_PRECONDITION.
        """
        log_start = self._container.log.stat().st_size if self._container.log.exists() else 0
        for _ in range(_PORT_ATTEMPTS):
            self.port = self._free_port()
            self._kill = None
            process = self._process = asyncio.create_task(self._container.run(self.port, self._started))
            self._ready = await self._become_ready(process)
            if self._ready:
                self._tried.set()
                return process
            if not process.done():
                raise self._failure("Model server never became ready", log_start)
            if _is_free(self.port):  # otherwise another process took the port first
                break
        if error := process.exception():
            raise ApiError("FAILED_PRECONDITION", f"Model server can't be started: {error}")
        raise self._failure(f"Model server exited unexpectedly with status {process.result()}", log_start)

    def _started(self, kill: Kill) -> None:
        self._kill = kill

    async def kill(self) -> None:
        """Kills the process and waits until it has ended (see `Serving.kill`)."""
        if self._process is None or self._process.done() or self._kill is None:
            raise ApiError("FAILED_PRECONDITION", f"The process of {self.name} is down already; try again.")
        await self._kill()
        await asyncio.wait([self._process])

    async def keep_running(self) -> None:
        """Starts the process when it is down, after a pause that grows as long as it does not get ready."""
        pause = 0.0
        while True:
            try:
                process = self._process or await self.start()
                await asyncio.wait([process])
                pause = _SHORTEST_PAUSE_SECONDS
                _logger.warning("The model server of %s ended; it is started again.", self.name)
            except ApiError as error:
                pause = min(max(2 * pause, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
                _logger.error("%s: %s", self.name, error.message)
            await self._end_process()
            await asyncio.sleep(pause)

    async def predict(self, body: bytes, content_type: str, timeout_seconds: float) -> Answer:
        """Sends a request to the process (see `Serving.predict`)."""
        self._requests += 1
        self._idle.clear()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._tried.wait()
                if not self._ready:
                    raise ApiError("UNAVAILABLE", f"{self.name} is not ready; try again.")
                return await self._post(body, content_type)
        except TimeoutError:
            raise ApiError("DEADLINE_EXCEEDED", f"{self.name} did not answer within {timeout_seconds:g} s.") from None
        except aiohttp.ClientError as error:
            raise ApiError("UNAVAILABLE", f"The connection to {self.name} broke: {error!r}.") from None
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def drain(self) -> None:
        """Waits until the requests under way are answered."""
        await self._idle.wait()

    async def terminate(self) -> None:
        """Ends the process and no longer keeps it running."""
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.wait([self.watcher])
        await self._end_process()

    async def _become_ready(self, process: asyncio.Task[int]) -> bool:
        """Waits until the health route answers 200; False if the process ends or the time is over before."""
        healthy = asyncio.create_task(self._become_healthy())
        try:
            await asyncio.wait(
                [process, healthy], timeout=self._container.start_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return healthy.done() and not process.done()
        finally:
            healthy.cancel()

    async def _become_healthy(self) -> None:
        while not await self._is_healthy():
            await asyncio.sleep(_POLL_SECONDS)

    async def _is_healthy(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=_HEALTH_SECONDS)
        try:
            async with self._session.get(self._url("AIP_HEALTH_ROUTE"), timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _post(self, body: bytes, content_type: str) -> Answer:
        async with self._session.post(
            self._url("AIP_PREDICT_ROUTE"),
            data=body,
            headers={"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=False,
        ) as response:
            answer = await response.read()
            if response.ok:
                return Answer(answer, response.headers.get("Content-Type", "application/json"))
        code = _CODES.get(response.status, "INVALID_ARGUMENT" if 400 <= response.status < 500 else "INTERNAL")
        raise ApiError(code, answer[:_ERROR_TEXT_CHARACTERS].decode(errors="replace") or f"HTTP {response.status}")

    def _url(self, route: str) -> str:
        return f"http://{_HOST}:{self.port}{self._container.variables[route]}"

    def _failure(self, reason: str, log_start: int) -> ApiError:
        with self._container.log.open("rb") as log:
            log.seek(log_start)
            tail = log.read()[-_LOG_TAIL_CHARACTERS:].decode(errors="replace").strip()
        return ApiError(
            "FAILED_PRECONDITION",
            f"{reason}. Please validate that your model file or container configuration are valid. "
            f"Model server logs can be found at {self._container.log}; they end with:\n{tail or '(nothing)'}",
        )

    async def _end_process(self) -> None:
        """Ends the process if it still runs."""
        self._ready = False
        self._tried.set()
        if self._process is not None:
            if not self._process.cancelling():  # a second cancellation would interrupt the graceful end
                self._process.cancel()
            await asyncio.wait([self._process])
            self._process = None


@dataclass(frozen=True)
class _Container:
    """What a deployed model is to run.

    Attributes:
        vertex: The emulator.
        deployed_id: Id of the deployed model.
        spec: The `ModelContainerSpec`.
        variables: What Vertex AI sets in its environment, except for the port.
        limits: What it may use.
    """

    vertex: Vertex
    deployed_id: str
    spec: Any
    variables: Mapping[str, str]
    limits: Limits

    @property
    def start_seconds(self) -> float:
        """Seconds within which it must get ready."""
        return float(self.spec.deployment_timeout.seconds) or _START_SECONDS

    @property
    def log(self) -> Path:
        """The file that its output is appended to."""
        name = f"{self.variables['AIP_ENDPOINT_ID']}-{self.deployed_id}.log"
        return logs_folder(self.vertex.home) / "endpoints" / name

    async def run(self, port: int, started: Callable[[Kill], None]) -> int:
        """Runs the container, whose command may refer to variables as `$(NAME)`, and returns its exit status."""
        variables = {**self.variables, "AIP_HTTP_PORT": str(port), "SEATRIAL_HTTP_HOST": _HOST}
        for variable in self.spec.env:  # those of the contract cannot be set by a model
            variables.setdefault(variable.name, expand(variable.value, variables))
        container = Container(
            image=self.spec.image_uri,
            command=[expand(part, variables) for part in self.spec.command],
            args=[expand(part, variables) for part in self.spec.args],
            variables=variables,
            log=self.log,
            limits=self.limits,
        )
        return await self.vertex.runtime.run(container, started)


def _container(vertex: Vertex, endpoint: str, deployed: Any, version: Any) -> _Container:
    spec = version.container_spec
    endpoint_id = endpoint.rsplit("/", 1)[1]
    route = f"/v1/endpoints/{endpoint_id}/deployedModels/{deployed.id}"
    machine = deployed.dedicated_resources.machine_spec
    variables = {
        "AIP_MODE": "PREDICTION",
        "AIP_MODE_VERSION": "1.0.0",
        "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
        "AIP_PROJECT_NUMBER": remember_project(vertex.store, endpoint.split("/")[1]),
        "AIP_ENDPOINT_ID": endpoint_id,
        "AIP_MODEL_NAME": endpoint_id,
        "AIP_DEPLOYED_MODEL_ID": deployed.id,
        "AIP_VERSION_NAME": deployed.id,
        "AIP_HEALTH_ROUTE": spec.health_route or route,
        "AIP_PREDICT_ROUTE": spec.predict_route or f"{route}:predict",
        "AIP_STORAGE_URI": version.artifact_uri,
    }
    if machine.machine_type:
        variables["AIP_MACHINE_TYPE"] = machine.machine_type
    if machine.accelerator_type:
        variables["AIP_ACCELERATOR_TYPE"] = enum_name("AcceleratorType", machine.accelerator_type)
    return _Container(vertex, deployed.id, spec, variables, limits_of_machine(machine))


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True
