"""Runs a command with a container engine, for the tests of images and containers: `python3 .ci/engine.py make test`.

An engine that answers is used. Else root gets one on Debian while the command runs: Docker from Debian's packages, with
no service manager, bridge or firewall rule. Its files are kept in one folder, so that the next time is quick. Where no
engine can be had, one line says why and the command runs all the same: the tests that need one skip.

The command finds two variables: DOCKER_HOST, if an engine was started, and SEATRIAL_BUILD_ARGUMENTS, what
`docker build` needs on this machine for its base image and for pip to find packages as it does here.
"""

import contextlib
import fcntl
import functools
import http.server
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

BASE_IMAGE = "python:3.11-slim"
BASE_FROM_DEBIAN = "localhost/python-base:3.11"
STATE = Path(tempfile.gettempdir()) / "seatrial-containers"
PID_FILE = STATE / "dockerd.pid"
SECONDS_TO_START, SECONDS_TO_STOP = 60, 60


class NoEngineError(Exception):
    """Its text is why there is none."""


def main() -> int:
    """Starts what is needed, runs the command and returns its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # an exception: the engine is stopped
    with contextlib.ExitStack() as stack:
        try:
            settings = find_engine(stack)
            settings["SEATRIAL_BUILD_ARGUMENTS"] = shlex.join(build_arguments(stack, settings))
        except NoEngineError as error:
            settings = {}
            say(f"No container engine: {error}. The tests that need one will skip.")
        return run(sys.argv[1:], settings)


def run(command: list[str], settings: dict[str, str]) -> int:
    """Runs the command to its end, also after Ctrl-C: it gets that too, and takes its time to clean up."""
    with subprocess.Popen(command, env=os.environ | settings) as child:
        try:
            while True:
                with contextlib.suppress(KeyboardInterrupt):
                    return child.wait()
        finally:
            child.terminate()


def find_engine(stack: contextlib.ExitStack) -> dict[str, str]:
    """The settings that reach an engine: none for the one that is there anyway, else those of one of our own."""
    if answers({}):
        return {}
    if os.geteuid():
        raise NoEngineError("none answers, and only root can start one")
    STATE.mkdir(mode=0o700, exist_ok=True)
    settings = {"DOCKER_HOST": f"unix://{STATE}/docker.sock"}
    stack.enter_context(shared_engine())
    if not answers(settings):
        start_engine(settings)
    return settings


def answers(settings: dict[str, str]) -> bool:
    """Whether the engine that these settings name is there."""
    return bool(shutil.which("docker")) and docker(settings, "info").returncode == 0


def docker(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the docker client."""
    command = ["docker", *arguments]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def shared_engine() -> Iterator[None]:
    """While it lasts, no other user of the engine stops it; the last one does, whoever started it."""
    with (STATE / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop_engine()


def start_engine(settings: dict[str, str]) -> None:
    """Starts dockerd, which goes on when this process ends."""
    if not shutil.which("dockerd"):
        install("docker.io")
    command = ["dockerd", "--host", settings["DOCKER_HOST"], "--pidfile", str(PID_FILE)]
    command += ["--data-root", str(STATE / "data"), "--exec-root", str(STATE / "exec")]
    command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (STATE / "dockerd.log").open("w") as log:
        # In a session of its own, since Ctrl-C is for the command.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + SECONDS_TO_START
    while not answers(settings):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoEngineError(f"dockerd does not start ({last_line((STATE / 'dockerd.log').read_text())})")
        time.sleep(0.2)
    say("Docker is started.")


def stop_engine() -> None:
    """Stops dockerd with its containers and undoes the one mount that it leaves behind."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        engine = int(PID_FILE.read_text())
        if Path(f"/proc/{engine}/comm").read_text().strip() != "dockerd":
            PID_FILE.unlink()  # it was killed, and another process has its number
            return
        os.kill(engine, signal.SIGTERM)
        deadline = time.monotonic() + SECONDS_TO_STOP
        while PID_FILE.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    subprocess.run(["umount", STATE / "exec/netns/default"], stderr=subprocess.DEVNULL, check=False)
    say("Docker is stopped.")


def install(package: str) -> None:
    """Installs a Debian package."""
    if not shutil.which("apt-get"):
        raise NoEngineError(f"there is no {package}, and no apt-get to install it with")
    say(f"{package} is being installed.")
    call("apt-get", "update")
    call("apt-get", "install", "--yes", "--no-install-recommends", package)


def call(*command: str) -> str:
    """Runs a command that must succeed, and returns what it printed."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoEngineError(f"{shlex.join(command)} failed ({last_line(done.stderr)})")
    return done.stdout


def build_arguments(stack: contextlib.ExitStack, settings: dict[str, str]) -> list[str]:
    """What `docker build` needs here: this machine's network, and with it the package index, and a base image."""
    values = {
        "BASE": base_image(settings),
        "PIP_INDEX_URL": on_network(pip_setting("index-url")),
        "PIP_EXTRA_INDEX_URL": on_network(pip_setting("extra-index-url")),
        "PIP_FIND_LINKS": [
            link if link.startswith("http") else serve(stack, link.removeprefix("file://"))
            for link in pip_setting("find-links")
        ],
    }
    arguments = ["--network=host"]
    for name, value in values.items():
        if value:
            arguments += ["--build-arg", f"{name}={' '.join(value)}"]
    return arguments


def base_image(settings: dict[str, str]) -> list[str]:
    """Another base image than the Dockerfile's where that cannot be had."""
    if docker(settings, "image", "inspect", BASE_IMAGE).returncode == 0:
        return []
    if docker(settings, "image", "inspect", BASE_FROM_DEBIAN).returncode:
        if docker(settings, "pull", BASE_IMAGE).returncode == 0:
            return []
        make_base_image(settings)
    return [BASE_FROM_DEBIAN]


def make_base_image(settings: dict[str, str]) -> None:
    """Makes a base image with the same version of Python from Debian's packages."""
    if not shutil.which("mmdebstrap"):
        install("mmdebstrap")
    say(f"{BASE_IMAGE} cannot be pulled; {BASE_FROM_DEBIAN} is being made from Debian's packages.")
    # The certificate authorities that were added to this machine come along: pip may have to trust them here.
    hooks = [f"copy-in {path} {path.parent}" for path in Path("/usr/local/share/ca-certificates").glob("*.crt")]
    hooks += ['chroot "$1" update-ca-certificates', 'rm "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED']
    with tempfile.TemporaryDirectory() as folder:
        call(
            *("mmdebstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-pip,python-is-python3"),
            *(f"--customize-hook={hook}" for hook in hooks),
            *("bookworm", f"{folder}/base.tar"),
        )
        imported = docker(settings, "import", "--change=ENV LANG=C.UTF-8", f"{folder}/base.tar", BASE_FROM_DEBIAN)
    if imported.returncode:
        raise NoEngineError(f"the base image cannot be imported ({last_line(imported.stderr)})")


def pip_setting(name: str) -> list[str]:
    """A setting of pip on this machine, from its environment or its files."""
    variable = f"PIP_{name.replace('-', '_').upper()}"
    get = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    text = os.environ.get(variable) or subprocess.run(get, capture_output=True, text=True, check=False).stdout
    return text.split()


def on_network(indexes: list[str]) -> list[str]:
    """The indexes that a build can reach; one in a folder of this machine is left out."""
    return [index for index in indexes if index.startswith("http")]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Does nothing."""


def serve(stack: contextlib.ExitStack, folder: str) -> str:
    """Serves a folder of wheels on this machine's loopback, and returns its URL.

    The URL is part of the key of the build's cache, so the port is, unless it is taken, the same each time.
    """
    handler = functools.partial(QuietHandler, directory=folder)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 49152 + zlib.crc32(folder.encode()) % 16384), handler)
    except OSError:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def last_line(text: str) -> str:
    """The line that says what went wrong."""
    return text.strip().rpartition("\n")[-1]


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
