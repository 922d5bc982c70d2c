"""Writing `compiled/`: every pipeline and every component as YAML, the very files that are submitted."""

import os
import tempfile
from importlib import import_module
from pathlib import Path

from ..components import CATALOGUE
from ..components.images import PREFIX_VARIABLE

PIPELINES = ("train_and_deploy", "curate")


def compile_all(folder: Path, image_prefix: str) -> None:
    """Compiles all pipelines and components.

    Args:
        folder: Gets `pipelines/NAME.yaml` and `components/NAME.yaml`.
        image_prefix: Registry and repository that the names of our images begin with. It is read when component
            modules are imported, so one process compiles with one prefix.
    """
    os.environ[PREFIX_VARIABLE] = image_prefix
    from kfp.compiler import Compiler

    for kind in ("pipelines", "components"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in PIPELINES:
        pipeline = getattr(import_module(f".{name}", __package__), name)
        Compiler().compile(pipeline, str(folder / "pipelines" / f"{name}.yaml"))
    components = import_module("..components", __package__)
    for name in CATALOGUE:
        Compiler().compile(getattr(components, name), str(folder / "components" / f"{name}.yaml"))


def stale_files(folder: Path, image_prefix: str) -> list[str]:
    """Names of compiled files that are missing, differ from what the sources give, or have no source any more."""
    with tempfile.TemporaryDirectory() as fresh:
        compile_all(Path(fresh), image_prefix)
        wanted, present = _contents(Path(fresh)), _contents(folder)
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}
