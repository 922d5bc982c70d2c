"""The process runtime: the command of a container in the Python environment of the server; its image is not used."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial

from ..execution.large_arguments import shorten
from ..execution.outcome import TaskError
from ..execution.overlay import installs_packages, with_overlay
from ..names import RuntimeName
from ..processes import Command, child_environment, private_folder, run, signal_group
from ..vertex import Vertex
from .container import Container, Kill


class ProcessRuntime:
    """Runs containers as processes of this machine.

    Args:
        vertex: The emulator; its environment is read when a process starts.
    """

    name: RuntimeName = "process"

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex

    async def run(self, container: Container, started: Callable[[Kill], None] = lambda _: None) -> int:
        """See `Runtime.run`; a container without a command is refused."""
        if not container.command:
            raise TaskError(
                f"There is no command, so that the entry point of the image {container.image!r} would run. The process "
                "runtime runs commands in the current environment, no images: set the command, or use the docker "
                "runtime (`--runtime docker`)."
            )
        arguments = [*container.command, *container.args]
        async with private_folder(self._vertex) as folder:
            environment = child_environment(self._vertex, folder, container.variables)
            if installs_packages(arguments):
                environment = await asyncio.to_thread(with_overlay, environment, folder)
            arguments = shorten(arguments, folder, str(folder))

            async def kill(group: int) -> None:
                signal_group(group, signal.SIGKILL)

            command = Command(arguments, environment, folder, container.log)
            return await run(command, started=lambda group: started(partial(kill, group)))
