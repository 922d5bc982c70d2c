"""Cases run without the cache, so that the states of tasks do not depend on what ran before."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest


@pytest.fixture
def submit(submit: Callable[..., Any]) -> Callable[..., Any]:
    """Submits a pipeline; `enable_caching=None` leaves caching to its tasks."""
    return partial(submit, enable_caching=False)
