"""What the engines of tasks, custom jobs and served models ask a runtime for: run this container."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..names import RuntimeName

_REFERENCE = re.compile(r"\$\$|\$\(([\w.-]+)\)")


@dataclass(frozen=True)
class Limits:
    """What a container may use at most; the process runtime does not enforce it.

    Attributes:
        processors: How many, None for all.
        memory_bytes: How much memory, None for all.
        accelerators: How many GPUs.
    """

    processors: float | None = None
    memory_bytes: int | None = None
    accelerators: int = 0


def limits_of_machine(spec: Any) -> Limits:
    """What a container may use of a machine (`MachineSpec`) of its own: nothing is scarce there but the GPUs."""
    return Limits(accelerators=spec.accelerator_count if spec.accelerator_type else 0)


@dataclass(frozen=True)
class Container:
    """What to run, as Kubernetes describes it.

    Attributes:
        image: Name of the image.
        command: Replaces the image's entry point, with its command, unless it is empty.
        args: Arguments of the entry point; without a command, they replace the image's own unless they are empty.
        variables: What Vertex AI and the task set in its environment; the way to this server is added.
        log: The file that its output is appended to.
        limits: What it may use.
    """

    image: str
    command: Sequence[str]
    args: Sequence[str]
    variables: Mapping[str, str]
    log: Path
    limits: Limits = field(default=Limits())


class Runtime(Protocol):
    """Runs containers, one way or another."""

    name: RuntimeName

    async def run(self, container: Container) -> int:
        """Runs a container to its end; when this is cancelled, the container is ended first.

        Returns:
            Its exit status; 128 and the signal's number after a signal.

        Raises:
            TaskError: If it cannot be started.
        """


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `$(NAME)` as Kubernetes does: an unknown name stays as it is, and `$$` stands for `$`."""
    return _REFERENCE.sub(lambda match: "$" if match[1] is None else variables.get(match[1], match[0]), text)


def with_expanded(variables: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Adds a container's own variables to others; each may refer to those before it."""
    expanded = dict(variables)
    for name, text in own.items():
        expanded[name] = expand(text, expanded)
    return expanded
