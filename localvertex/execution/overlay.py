"""A throwaway Python environment on top of this one, for tasks that install packages (KFP's `packages_to_install`).

They find what is installed here, what they install is theirs alone, and pip removes nothing outside of it.
"""

import os
import re
import site
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

_INSTALLING = re.compile(r"\bpip[0-9.]*\s+install\b")
# The `pip` that is found otherwise installs into the environment of the server.
_PIP = """#!/bin/sh
exec "$(dirname "$0")/python3" -m pip "$@"
"""


def installs_packages(arguments: Sequence[str]) -> bool:
    """Whether a command installs Python packages."""
    return _INSTALLING.search(" ".join(arguments)) is not None


def with_overlay(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Makes an environment in a folder and returns variables that lead to it.

    Args:
        environment: The variables of a task.
        folder: The task's private folder.
    """
    overlay = folder / "environment"
    # pip refuses `--user` in an environment that does not see the site packages of the system.
    venv.create(overlay, symlinks=True, system_site_packages=True)
    for name in ("pip", "pip3"):
        script = overlay / "bin" / name
        script.write_text(_PIP)
        script.chmod(0o755)
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(overlay)}))
    # addsitedir, unlike a plain path, also follows the .pth files of editable installs.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()]
    (own / "underlying.pth").write_text("".join(lines))
    # The last one is for environments that the task itself makes: they would not find what it has installed before.
    return {
        **environment,
        "PATH": f"{overlay / 'bin'}{os.pathsep}{environment['PATH']}",
        "VIRTUAL_ENV": str(overlay),
        "PYTHONUSERBASE": str(overlay),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(own), environment.get("PYTHONPATH")])),
    }
