"""`seatrial catalog`: what components and pipelines there are, with their documentation."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from .. import components
from .compile import PIPELINES
from .templates import UsageError


def overview() -> RenderableType:
    """All components and pipelines with the first line of their documentation."""
    table = Table("name", "stage", "what it does")
    for name in [*components.CATALOGUE, *PIPELINES]:
        summary = _spec(name).description.split("\n")[0]
        table.add_row(name, components.CATALOGUE.get(name, "pipeline"), summary)
    return table


def describe(name: str) -> RenderableType:
    """Inputs, outputs and documentation of one component or pipeline.

    Raises:
        UsageError: If there is none of this name.
    """
    if name not in components.CATALOGUE and name not in PIPELINES:
        known = ", ".join([*components.CATALOGUE, *PIPELINES])
        raise UsageError(f"There is no component or pipeline {name!r}. There are {known}.")
    spec = _spec(name)
    return Group(spec.description, "", _table("inputs", spec.inputs or {}), _table("outputs", spec.outputs or {}))


def _spec(name: str) -> Any:
    module = components if name in components.CATALOGUE else import_module(f".{name}", __package__)
    return getattr(module, name).component_spec


def _table(title: str, interface: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("name", "type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for name, one in interface.items():
        default = repr(one.default) if getattr(one, "optional", False) else ""
        table.add_row(name, one.type.split("@")[0], default, one.description or "")
    return table
