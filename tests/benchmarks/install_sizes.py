"""What an installation takes on disk: the core alone, and with each extra, every one in a fresh environment.

    python tests/benchmarks/install_sizes.py [--json] [EXTRA …]

Sizes are those of site-packages less what a bare environment has there, as `du` counts, with bytecode, without seatrial
itself (1 MB), in the versions of constraints.txt. Which build of torch comes is up to the package index that pip uses.
"""

import argparse
import configparser
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def read_requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The requirements of the core and of each extra."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {name: value.split("\n") for name, value in settings["options.extras_require"].items()}
    return settings["options"]["install_requires"].split("\n"), extras


def size_of(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def installed_megabytes(requirements: list[str]) -> int:
    """What these requirements add to a fresh environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        [packages] = Path(folder).glob("lib/python*/site-packages")
        bare = size_of(packages)
        command = [
            f"{folder}/bin/python",
            "-m",
            "pip",
            "install",
            "-qq",
            "--constraint",
            str(ROOT / "constraints.txt"),
        ]
        subprocess.run([*command, *filter(None, requirements)], check=True, stdout=sys.stderr)
        return round((size_of(packages) - bare) / 1e6)


def main() -> None:
    """Measures and prints one line for the core and one for each extra, or one JSON object."""
    core, extras = read_requirements()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"of {', '.join(extras)}; all if none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if unknown := set(arguments.extras) - set(extras):
        parser.error(f"setup.cfg has no extra {', '.join(sorted(unknown))}; it has {', '.join(extras)}")
    megabytes = {}
    for name, requirements in {"core": [], **{name: extras[name] for name in arguments.extras or extras}}.items():
        megabytes[name] = installed_megabytes(core + requirements)
        print(f"{name}: {megabytes[name]:,} MB", file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps({"megabytes": megabytes}))


if __name__ == "__main__":
    main()
