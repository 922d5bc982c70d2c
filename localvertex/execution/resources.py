"""The limits that a task sets itself: https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto

KFP writes them as quantities of Kubernetes ("500m", "4Gi"); before 2.8 it wrote numbers, of gigabytes for memory.
"""

import re
from decimal import Decimal
from typing import Any

from ..runtimes.container import Limits
from .ir import Json
from .outcome import TaskError

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(m|[KMGTPE]i?|k)?")
_FACTORS: dict[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("KMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def read_limits(resources: Json) -> Limits:
    """Reads the `ResourceSpec` of a container, in which placeholders have been replaced.

    Raises:
        TaskError: If a limit is no quantity.
    """
    accelerator = resources.get("accelerator", {})
    processors = _quantity("CPU limit", resources.get("resourceCpuLimit") or resources.get("cpuLimit"))
    memory = _quantity("memory limit", resources.get("resourceMemoryLimit") or _gigabytes(resources))
    count = _quantity("accelerator limit", accelerator.get("resourceCount") or accelerator.get("count"))
    return Limits(
        processors=None if processors is None else float(processors),
        memory_bytes=None if memory is None else int(memory),
        accelerators=int(count or 0),
    )


def _gigabytes(resources: Json) -> str | None:
    return f"{resources['memoryLimit']}G" if "memoryLimit" in resources else None


def _quantity(name: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise TaskError(f"The {name} {value!r} is no quantity; expected a number with or without a unit: 500m, 4Gi.")
    return Decimal(match[1]) * _FACTORS[match[2]]
