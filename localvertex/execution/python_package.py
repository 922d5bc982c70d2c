"""Training code in a package (`PythonPackageSpec`): the executor image installs it, then runs a module of it."""

import json
from typing import Any

from ..api import message
from .mount import Mount

# The words `pip install` also give it an environment of its own where no image is used: see `overlay.py`.
_INSTALL_AND_RUN = """# pip install PACKAGES && python -m MODULE
import json, os, subprocess, sys

module, packages, *arguments = sys.argv[1:]
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *json.loads(packages)], check=True)
os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
"""


def container_spec(spec: Any, mount: Mount) -> Any:
    """The `ContainerSpec` that does what a `PythonPackageSpec` asks for."""
    packages = [mount.path(uri) for uri in spec.package_uris]
    return message("ContainerSpec")(
        image_uri=spec.executor_image_uri,
        command=["python3", "-c", _INSTALL_AND_RUN, spec.python_module, json.dumps(packages)],
        args=spec.args,
        env=spec.env,
    )
