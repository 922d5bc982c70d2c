"""The docker runtime: containers of the images that tasks name, by the container engine that the docker client reaches.

The client is driven, not the engine's API: it knows the user's contexts, DOCKER_HOST and the registries' credentials.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from ..api import ApiError
from ..environment import buckets_folder
from ..execution.large_arguments import shorten
from ..execution.outcome import TaskError
from ..names import RuntimeName, new_id
from ..processes import Command, private_folder, run
from ..vertex import Vertex
from .container import Container, Kill, Limits
from .engine import HOME_LABEL, find_engine, will_have_containers

_SHOWN_AT = "/run/seatrial"
_ARGUMENTS_SHOWN_AT = f"{_SHOWN_AT}/arguments"
_HINTS = ("Run 'docker", "See 'docker")
_IS_PULLED = "Unable to find image"
_NO_ACCELERATORS = "could not select device driver"


class DockerRuntime:
    """Runs containers.

    Args:
        vertex: The emulator; its environment is read when a container starts.

    Raises:
        EngineError: If no engine answers.
    """

    name: RuntimeName = "docker"

    def __init__(self, vertex: Vertex) -> None:
        self._vertex, self._engine = vertex, find_engine()
        will_have_containers(vertex.home)

    async def run(self, container: Container, started: Callable[[Kill], None] = lambda _: None) -> int:
        """See `Runtime.run`."""
        name = f"seatrial-{new_id()}"
        async with private_folder(self._vertex) as folder:
            client = self._client_command(name, container, folder)
            log_start = _note(container.log, "WARNING", self._warnings(container.limits))
            try:
                # Its exit code may be the client's as well as the container's: only the container's state is true.
                command = Command(client, os.environ, folder, container.log)
                await run(command, started=lambda _: started(partial(_kill, name)))
                return await _exit_code(name, container, log_start)
            finally:
                # The client passes SIGTERM on to the container. What outlives that, or the client, ends here.
                await _docker("rm", "--force", "--volumes", name)

    def _client_command(self, name: str, container: Container, folder: Path) -> list[str]:
        arguments = shorten([*container.command, *container.args], folder, _ARGUMENTS_SHOWN_AT)
        entry_point, arguments = (arguments[:1], arguments[1:]) if container.command else ([], arguments)
        files, variables = self._way_to_server()
        user, home = self._user()
        read_only = files | ({str(folder): _ARGUMENTS_SHOWN_AT} if any(folder.iterdir()) else {})
        return [
            *("docker", "run", f"--name={name}", f"--label={HOME_LABEL}={self._vertex.home}"),
            # The server is on the loopback interface, and so are the replicas of a job and served models.
            "--network=host",
            *("--security-opt=no-new-privileges", "--log-driver=none"),
            f"--user={user}",
            _mount(buckets_folder(self._vertex.home), "/gcs"),
            *(_mount(source, target, ",readonly") for source, target in read_only.items()),
            *(f"--env={key}={value}" for key, value in {**home, **variables, **container.variables}.items()),
            *self._limits(container.limits),
            *(f"--entrypoint={program}" for program in entry_point),
            *("--", container.image, *arguments),
        ]

    def _way_to_server(self) -> tuple[dict[str, str], dict[str, str]]:
        """The files of the state folder that clients need, with their paths in a container, and the variables."""
        environment = self._vertex.environment
        folder = f"{self._vertex.home}/"
        files = {path: f"{_SHOWN_AT}/{Path(path).name}" for path in environment.values() if path.startswith(folder)}
        return files, {key: files.get(value, value) for key, value in environment.items()}

    def _user(self) -> tuple[str, dict[str, str]]:
        """The server's user, so that files below `/gcs` are of the same one whoever writes them, and its variables."""
        if self._engine.rootless or os.geteuid() == 0:
            return "0:0", {}
        return f"{os.geteuid()}:{os.getegid()}", {"HOME": "/tmp"}  # noqa: S108 (an image has no home for this user)

    def _limits(self, limits: Limits) -> Iterator[str]:
        if limits.processors is not None and self._engine.limits_processors:
            yield f"--cpus={min(limits.processors, self._engine.processors)}"
        if limits.memory_bytes is not None:
            yield f"--memory={limits.memory_bytes}"
            yield f"--memory-swap={limits.memory_bytes}"  # the same, so that there is no swap space beside it
        if limits.accelerators:
            yield f"--gpus={limits.accelerators}"

    def _warnings(self, limits: Limits) -> Iterator[str]:
        """What the engine cannot do of what a task asks for; of memory it says so itself."""
        if limits.processors is None:
            return
        if not self._engine.limits_processors:
            yield f"The container engine cannot limit processors; the limit of {limits.processors:g} is not applied."
        elif limits.processors > self._engine.processors:
            yield f"The limit is {limits.processors:g} processors; the container engine has {self._engine.processors}."


def _mount(source: str | Path, target: str, options: str = "") -> str:
    """An option whose value is a line of CSV: folders may have commas and quotes in their names."""
    quoted = str(source).replace('"', '""')
    return f'--mount=type=bind,"source={quoted}",target={target}{options}'


async def _exit_code(name: str, container: Container, log_start: int) -> int:
    status, answer = await _docker("container", "inspect", "--format={{json .State}}", name)
    if status:
        raise TaskError(_refusal(container, log_start))
    state = json.loads(answer)
    if _NO_ACCELERATORS in state["Error"]:
        raise TaskError(f"The task asks for {container.limits.accelerators} GPUs; the container engine has none.")
    if state["Error"]:
        raise TaskError(f"The container of the image {container.image!r} cannot be started: {state['Error']}")
    if state["Running"]:
        raise TaskError("The docker client ended before the container, which is ended, too.")
    if state["OOMKilled"] and state["ExitCode"]:
        limit = container.limits.memory_bytes
        allowed = "" if limit is None else f": its limit is {limit:,} bytes"
        _note(container.log, "ERROR", [f"The container ran out of memory{allowed}."])
    return state["ExitCode"]


def _note(log: Path, severity: str, messages: Iterable[str]) -> int:
    """Adds lines to a log as structured as those of tasks, and returns its size."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        for message in messages:
            print(json.dumps({"severity": severity, "message": message}), file=file)
        return file.tell()


def _refusal(container: Container, log_start: int) -> str:
    """Why there is no container: the client has said it in the log."""
    with container.log.open("rb") as file:
        file.seek(log_start)
        text = file.read().decode(errors="replace")
    reasons = [line for line in text.splitlines() if line.strip() and not line.startswith(_HINTS)]
    reason = "".join(reasons[-1:]).removeprefix("docker: ").removeprefix("Error response from daemon: ")
    what = "is not on this machine and cannot be pulled" if _IS_PULLED in text else "cannot be run"
    return f"The image {container.image!r} {what}: {reason}"


async def _kill(name: str) -> None:
    status, _ = await _docker("kill", name)
    if status:
        raise ApiError("FAILED_PRECONDITION", "The container does not run yet, or no longer; try again.")


async def _docker(*arguments: str) -> tuple[int, str]:
    """Asks the engine for something short; returns the client's exit code and what it printed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *("docker", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise TaskError("The program `docker` is not on the path any more.") from None
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()
