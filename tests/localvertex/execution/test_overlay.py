"""Environments of tasks that install packages."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from seatrial.localvertex.execution.overlay import installs_packages, with_overlay


@pytest.fixture
def wheel(tmp_path: Path) -> str:
    """A package `overlaid_sample` that can be installed without a network."""
    path = tmp_path / "overlaid_sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("overlaid_sample.py", "value = 42\n")
        metadata = "overlaid_sample-1.0.dist-info"
        archive.writestr(f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: overlaid_sample\nVersion: 1.0\n")
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{metadata}/RECORD", "")
    return str(path)


def test_commands_that_install_packages_are_told_from_others() -> None:
    assert installs_packages(["sh", "-c", "python3 -m pip install --quiet pandas", "x"])
    assert installs_packages(["sh", "-c", "pip3 install -q --user pandas"])
    assert installs_packages(["pip", "install", "pandas"])
    assert not installs_packages(["python3", "script.py"])


def test_an_overlay_sees_what_is_installed_here_and_has_its_own_place(tmp_path: Path) -> None:
    environment = with_overlay(dict(os.environ), tmp_path)
    script = "import kfp, seatrial.components, sys; print(sys.prefix)"
    result = subprocess.run(
        ["sh", "-c", 'python3 -c "$0"', script], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stdout.strip() == str(tmp_path / "environment"), result.stderr


@pytest.mark.parametrize("command", ["pip install", "pip3 install --user", "python3 -m pip install"])
def test_all_forms_of_pip_install_into_the_overlay(tmp_path: Path, wheel: str, command: str) -> None:
    environment = with_overlay(dict(os.environ), tmp_path)
    script = f'{command} -q --no-index "$0" && python3 -c "import overlaid_sample; print(overlaid_sample.__file__)"'
    result = subprocess.run(["sh", "-c", script, wheel], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.startswith(str(tmp_path / "environment")), result.stderr


def test_what_a_task_installs_is_its_alone(run: Callable[..., Any], wheel: str) -> None:
    @dsl.component(base_image="python:3.11", packages_to_install=[wheel], install_kfp_package=False)
    def use_package(text: str) -> str:
        import overlaid_sample

        return f"{overlaid_sample.value} {len(text)}"

    @dsl.pipeline(name="installing")
    def pipeline(text: str) -> None:
        use_package(text=text).set_caching_options(False)

    for text in ("short", "x" * 200_000):
        job = run(pipeline, {"text": text})
        assert job.state == "SUCCEEDED", job.error
        assert job.output("use-package") == f"42 {len(text)}"
    assert subprocess.run([sys.executable, "-c", "import overlaid_sample"], capture_output=True).returncode == 1
