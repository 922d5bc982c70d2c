"""Faults on purpose: a served model that does harm, so that a team can rehearse how a rollout takes it back.

The pipeline's parameter `drill` names the fault; `package_model` puts it into the environment of the serving container.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..runtime import InputError, log
from .models import TextClassifier

VARIABLE = "SEATRIAL_DRILL"
_DRILLS = {
    "wrong_labels": "each text gets the probabilities of other labels",
    "slow": "each request takes 2 seconds longer",
    "crash": "the process ends with the 4th request",
}
_SLOW_SECONDS = 2.0
_ANSWERS_BEFORE_CRASH = 3


def check_drill(name: str) -> None:
    """Refuses what is no drill; an empty name is none on purpose.

    Raises:
        InputError: If there is no such drill.
    """
    if name and name not in _DRILLS:
        raise InputError(f"drill is {name!r}; expected {', '.join(map(repr, _DRILLS))}, or an empty text for no drill.")


@dataclass(frozen=True)
class _WrongLabels:
    """A model whose probabilities are moved on by one label."""

    model: TextClassifier

    @property
    def labels(self) -> list[str]:
        return self.model.labels

    @property
    def digest(self) -> str:
        return self.model.digest

    @property
    def model_type(self) -> str:
        return self.model.model_type

    def predict_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        return np.roll(self.model.predict_probabilities(texts), 1, axis=1)


class Drill:
    """What goes wrong on purpose in one server process.

    Args:
        name: The drill; empty for none.

    Raises:
        InputError: If there is no such drill.
    """

    def __init__(self, name: str) -> None:
        check_drill(name)
        self._name, self._requests = name, 0
        if name:
            log(f"{VARIABLE} is set: a drill is on, and {_DRILLS[name]}", drill=name)

    def sabotaged(self, model: TextClassifier) -> TextClassifier:
        """The model as it is to predict."""
        return _WrongLabels(model) if self._name == "wrong_labels" else model

    async def before_answer(self) -> None:
        """Does what the drill does to a request."""
        self._requests += 1
        if self._name == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        if self._name == "crash" and self._requests > _ANSWERS_BEFORE_CRASH:
            os._exit(1)
