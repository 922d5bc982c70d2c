"""The container engine, as the docker client on the path reaches it: whether it answers, and what is left there."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

HOME_LABEL = "seatrial.home"
SECONDS_TO_REMOVE = 20
_SECONDS_TO_ANSWER = 20


class EngineError(RuntimeError):
    """The engine cannot be used. The text says why."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        processors: How many it has.
        limits_processors: Whether it can limit a container to some of them.
        rootless: Whether it runs as an ordinary user, whom containers take for root.
    """

    processors: int
    limits_processors: bool
    rootless: bool


def find_engine() -> Engine:
    """Asks the engine what it is.

    Raises:
        EngineError: If there is none that answers.
    """
    info = json.loads(_docker("info", "--format={{json .}}", seconds=_SECONDS_TO_ANSWER))
    if errors := info.get("ServerErrors"):  # older clients say so here, with exit code 0
        raise EngineError(f"No container engine answers: {' '.join(errors)}")
    rootless = any("name=rootless" in option for option in info.get("SecurityOptions") or ())
    return Engine(info["NCPU"], info["CpuCfsQuota"], rootless)


def will_have_containers(home: Path) -> None:
    """Remembers, before the first one is made, that containers of a state folder may be left to remove."""
    _marker(home).touch()


def remove_containers(home: Path) -> None:
    """Removes all containers of a state folder, whether they run or not.

    Raises:
        EngineError: If they cannot be removed; the next call tries again.
    """
    if not _marker(home).exists():
        return
    found = _docker("ps", "--all", "--quiet", f"--filter=label={HOME_LABEL}={home}", seconds=_SECONDS_TO_ANSWER)
    if containers := found.split():
        _docker("rm", "--force", "--volumes", *containers, seconds=SECONDS_TO_REMOVE)
    _marker(home).unlink()


def _marker(home: Path) -> Path:
    return home / "containers"


def _docker(*arguments: str, seconds: float) -> str:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError:
        raise EngineError("There is no docker on the PATH.") from None
    except subprocess.TimeoutExpired:
        raise EngineError(f"The container engine does not answer within {seconds:g} s.") from None
    if done.returncode:
        raise EngineError(f"`docker {arguments[0]}` failed: {done.stderr.strip()}")
    return done.stdout
