"""What is to go wrong with calls of a named method: the n-th call, or a seeded fraction, before or after its effect.

`injection.py` puts faults into a running local Vertex AI, `standing_faults.py` is where they act.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

_ACTIONS = ("fail", "delay", "drop")
_MOMENTS = ("before", "after")
# Those of gRPC, which is not imported for them: the command line imports this module whatever it is asked for.
_CODES = (
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)


@dataclass(frozen=True)
class Fault:
    """What is to go wrong with the calls of a method; without `nth` and `fraction`, with the next call.

    Which calls it hits depends on their number since the fault was added and on nothing else.

    Attributes:
        method: "EndpointService.UpdateEndpoint", or one of Cloud Storage or BigQuery: "storage.objects.insert".
        action: "fail" answers with an error, "delay" answers later, "drop" breaks the connection instead of answering.
        when: "before" the method's effect, which does not take place then unless the fault is a delay, or "after" it.
        code: Name of the gRPC code that a failure answers with; Cloud Storage answers with its HTTP status.
        seconds: Length of a delay, which ends with the fault at the latest.
        nth: Number of the first call that it hits, from 1.
        times: How many calls in a row it hits; 0 stands for all that follow.
        fraction: The share of the calls that it hits, instead of `nth` and `times`.
        seed: Of the fraction.

    Raises:
        ValueError: If a value is not one of those, or values contradict each other.
    """

    method: str
    action: str = "fail"
    when: str = "before"
    code: str = "UNAVAILABLE"
    seconds: float = 0.0
    nth: int | None = None
    times: int = 1
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check_choice("action", self.action, _ACTIONS)
        _check_choice("when", self.when, _MOMENTS)
        _check_choice("code", self.code, _CODES)
        if self.action == "delay" and not 0 < self.seconds < float("inf"):
            raise ValueError(f"seconds is {self.seconds:g}; a delay takes more than 0 seconds.")
        if self.nth is not None and self.nth < 1:
            raise ValueError(f"nth is {self.nth}; the first call has the number 1.")
        if self.times < 0:
            raise ValueError(f"times is {self.times}; expected a number of calls, or 0 for all that follow.")
        if self.fraction is None:
            return
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction is {self.fraction:g}; expected more than 0 and at most 1.")
        if self.nth is not None or self.times != 1:
            raise ValueError("fraction says which calls are hit; nth and times cannot be given as well.")

    def hits(self, call: int) -> bool:
        """Whether it hits the call of this number, from 1."""
        if self.fraction is not None:
            return random.Random(f"{self.seed} {call}").random() < self.fraction
        first = self.nth or 1
        return call >= first and (not self.times or call < first + self.times)


def _check_choice(name: str, value: str, choices: Collection[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
