"""The catalogue: names that cost nothing until they are used, and components that a task can import."""

import json
import subprocess
import sys

import pytest

from seatrial import components
from seatrial.components.images import PREFIX_VARIABLE, image, source_hash


def python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_importing_the_catalogue_loads_no_library():
    loaded = python(
        "import sys; before = set(sys.modules); import seatrial.components; print(set(sys.modules) - before)"
    )

    assert "kfp" not in loaded
    assert "google" not in loaded


def test_importing_all_components_loads_nothing_heavy():
    program = (
        "import json, sys; from seatrial import components as c; [getattr(c, name) for name in c.CATALOGUE];"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )

    heavy = {"numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "aiohttp", "torch"}
    assert heavy.isdisjoint(json.loads(python(program)))


@pytest.mark.parametrize("name", components.CATALOGUE)
def test_every_name_of_the_catalogue_is_a_documented_component(name):
    component = getattr(components, name)
    spec = component.component_spec

    assert component.name == name.replace("_", "-")
    assert spec.description
    for inputs in (spec.inputs or {}).values():
        assert inputs.description, f"an input of {name} is not documented"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'no_such_component'"):
        components.no_such_component  # noqa: B018


def test_images_bear_the_prefix_that_is_set_and_the_hash_of_the_source(monkeypatch):
    monkeypatch.delenv(PREFIX_VARIABLE, raising=False)
    assert image("cpu") == f"seatrial/cpu:{source_hash()}"

    monkeypatch.setenv(PREFIX_VARIABLE, "europe-docker.pkg.dev/p/r")
    assert image("serving") == f"europe-docker.pkg.dev/p/r/serving:{source_hash()}"
