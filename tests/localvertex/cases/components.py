"""Components that most cases need. They are small programs of a shell: a Python component takes a second to start."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Input, Output, OutputPath


def copy(value: Any, path: Any) -> dsl.ContainerSpec:
    """Writes a value, as an argument has it, to a file."""
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", 'printf %s "$0" > "$1"'], args=[value, path])


@dsl.container_component
def text(value: str, out: OutputPath(str)):
    return copy(value, out)


@dsl.container_component
def whole(value: int, out: OutputPath(int)):
    return copy(value, out)


@dsl.container_component
def real(value: float, out: OutputPath(float)):
    return copy(value, out)


@dsl.container_component
def flag(value: bool, out: OutputPath(bool)):
    return copy(value, out)


@dsl.container_component
def several(value: list, out: OutputPath(list)):
    return copy(value, out)


@dsl.container_component
def fields(value: dict, out: OutputPath(dict)):
    return copy(value, out)


@dsl.container_component
def write(value: str, data: Output[Dataset]):
    return copy(value, data.path)


@dsl.container_component
def read(data: Input[Dataset], out: OutputPath(str)):
    return dsl.ContainerSpec(image="busybox", command=["cp", data.path, out])


@dsl.container_component
def sh(script: str):
    return dsl.ContainerSpec(image="busybox", command=["sh", "-c", script])
