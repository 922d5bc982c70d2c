"""The limits of tasks, as KFP writes them."""

from typing import Any

import pytest

from seatrial.localvertex.execution.outcome import TaskError
from seatrial.localvertex.execution.resources import read_limits
from seatrial.localvertex.runtimes.container import Limits


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, Limits()),
        ({"cpuLimit": 0.5, "memoryLimit": 0.536870912}, Limits(0.5, 536_870_912)),
        ({"cpuLimit": 9.0, "resourceCpuLimit": "500m", "resourceCpuRequest": "2"}, Limits(0.5)),
        ({"memoryLimit": 9.0, "resourceMemoryLimit": "512Mi"}, Limits(None, 536_870_912)),
        ({"resourceCpuLimit": "1.5", "resourceMemoryLimit": "4G"}, Limits(1.5, 4_000_000_000)),
        ({"resourceMemoryLimit": "1000"}, Limits(None, 1000)),
        ({"accelerator": {"type": "T4", "count": "2"}}, Limits(accelerators=2)),
        ({"accelerator": {"resourceType": "T4", "resourceCount": "3", "count": "2"}}, Limits(accelerators=3)),
        ({"accelerator": {"resourceType": "T4"}}, Limits()),
    ],
)
def test_the_newer_fields_are_quantities_and_come_first(resources: dict[str, Any], limits: Limits) -> None:
    assert read_limits(resources) == limits


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"resourceCpuLimit": "two"}, "The CPU limit 'two' is no quantity; expected"),
        ({"resourceMemoryLimit": "4 GB"}, "The memory limit '4 GB'"),
        ({"accelerator": {"resourceCount": "null"}}, "The accelerator limit 'null'"),
    ],
)
def test_what_is_no_quantity_is_refused(resources: dict[str, Any], named: str) -> None:
    with pytest.raises(TaskError, match=named):
        read_limits(resources)
