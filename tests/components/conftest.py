"""What the tests of all components share."""

from pathlib import Path

import pytest

from seatrial.components import artifacts


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose digest was computed, in order: each time is a download on Cloud Storage."""
    names: list[str] = []
    file_sha256 = artifacts.file_sha256

    def noted(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(artifacts, "file_sha256", noted)
    return names
