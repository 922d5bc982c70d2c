"""Worker pools that name a Python package instead of a container: the container that they stand for."""

import json
from typing import Any

from ..api import message
from .mount import Mount

# Arguments: the packages as a JSON list, the module, the module's own arguments.
_INSTALL_AND_RUN = """
import json, os, subprocess, sys
# pip install: into the environment of the task
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *json.loads(sys.argv[1])], check=True)
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


def container_of(pool: Any, mount: Mount) -> Any:
    """The `ContainerSpec` of a worker pool.

    Args:
        pool: A `WorkerPoolSpec`.
        mount: Where its replicas find the files of Cloud Storage.

    Raises:
        TaskError: If a package cannot be a file.
    """
    if not pool.HasField("python_package_spec"):
        return pool.container_spec
    package = pool.python_package_spec
    packages = json.dumps([mount.path(uri) for uri in package.package_uris])
    return message("ContainerSpec")(
        image_uri=package.executor_image_uri,
        command=["python3", "-c", _INSTALL_AND_RUN, packages, package.python_module],
        args=package.args,
        env=package.env,
    )
