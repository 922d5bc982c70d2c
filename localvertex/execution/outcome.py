"""What tasks take in, what they give, and how they end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SUCCEEDED_STATES = ("SUCCEEDED", "SKIPPED")
STOPPED = "The local Vertex AI was stopped while this ran."


class TaskError(Exception):
    """Why a task failed, in words for the author of the pipeline."""


def internal_error(error: Exception) -> str:
    """Why something failed that should not have: an error that is not of the pipeline's author."""
    return f"Internal error of the local Vertex AI: {error!r}"


@dataclass
class Values:
    """Inputs or outputs of a task.

    Attributes:
        parameters: Name → JSON value.
        artifacts: Name → resources of type `Artifact`: one, or those of a list.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        state: Name of a final `PipelineTaskDetail.State`; "SKIPPED" is a cache hit.
        outputs: What it put out.
        error: Why it failed, else "".
        failures: The tasks that failed, itself or within it, and why: name → reason.
    """

    state: str
    outputs: Values = field(default_factory=Values)
    error: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the outputs are there, computed or from the cache."""
        return self.state in SUCCEEDED_STATES

    @classmethod
    def failed(cls, error: str, failures: Mapping[str, str]) -> "Outcome":
        """The outcome of a task that failed."""
        return cls("FAILED", error=error, failures=failures)
