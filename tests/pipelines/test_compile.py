"""compiled/: current, and the same but for its images whatever registry they are in."""

import subprocess
import sys
from pathlib import Path

from seatrial.components.images import source_hash


def compile_with(prefix: str | None, folder: Path) -> dict[str, list[str]]:
    """Compiles in a process of its own, since the prefix is read at import; returns the lines of each file."""
    images = ["--images", prefix] if prefix else []
    command = [str(Path(sys.executable).with_name("seatrial")), "compile", "--output", str(folder), *images]
    subprocess.run(command, check=True, capture_output=True)
    return {path.name: path.read_text().splitlines() for path in sorted(folder.rglob("*.yaml"))}


def test_another_image_prefix_changes_image_lines_and_nothing_else(tmp_path):
    plain = compile_with(None, tmp_path / "plain")
    prefixed = compile_with("europe-docker.pkg.dev/project/repository", tmp_path / "prefixed")

    assert plain.keys() == prefixed.keys()
    changed = [
        (before, after)
        for name in plain
        for before, after in zip(plain[name], prefixed[name], strict=True)
        if before != after
    ]
    assert changed
    for before, after in changed:
        assert before.strip().startswith("image: seatrial/")
        assert after == before.replace("seatrial/", "europe-docker.pkg.dev/project/repository/")
        assert after.endswith(f":{source_hash()}")


def test_check_names_what_is_stale(tmp_path):
    compile_with(None, tmp_path)
    (tmp_path / "pipelines" / "train_and_deploy.yaml").write_text("changed: true\n")
    (tmp_path / "components" / "left_over.yaml").write_text("old: true\n")
    command = [str(Path(sys.executable).with_name("seatrial")), "compile", "--check", "--output", str(tmp_path)]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)

    assert finished.returncode == 1
    assert "components/left_over.yaml, pipelines/train_and_deploy.yaml" in " ".join(finished.stderr.split())
