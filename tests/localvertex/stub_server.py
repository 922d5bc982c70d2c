"""A server with the life cycle of the local Vertex AI and nothing else: it starts in a fraction of the time.

STUB_CHILDREN=FILE makes it start a process in a session of its own, and that one another; their ids go to the file.
STUB_LEAVES_CHILDREN, STUB_IGNORES_SIGTERM and STUB_FAILS make it misbehave.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from aiohttp import web

from seatrial.localvertex.certificates import Certificates
from seatrial.localvertex.front import Front
from seatrial.localvertex.lifecycle import write_server_file
from seatrial.localvertex.names import RuntimeName
from seatrial.localvertex.proc import mark, private_folders

_FAMILY = "import os, time; print(os.getpid(), os.fork() or os.getpid(), flush=True); time.sleep(600)"


class Stub:
    """The server's state: who uses it, and whether it stops when nobody does."""

    def __init__(self, home: Path, ephemeral: bool) -> None:
        self.home, self.ephemeral, self.leases = home, ephemeral, 0
        self.stop = asyncio.Event()

    def leases_changed(self, count: int) -> None:
        self.leases = count
        if self.ephemeral and not count:
            self.stop.set()

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"ephemeral": self.ephemeral, "leases": self.leases, "running_jobs": 0})

    async def persist(self, _: web.Request) -> web.Response:
        self.ephemeral = False
        return web.json_response({})


async def serve(home: Path, port: int, ephemeral: bool, runtime: RuntimeName) -> None:
    stub = Stub(home, ephemeral)
    if "STUB_IGNORES_SIGTERM" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stub.stop.set)
    application = web.Application()
    application.add_routes([web.get("/healthz", stub.health), web.post("/local/persist", stub.persist)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front = Front(Certificates(home), 1, runner.addresses[0][1], lambda host: True, stub.leases_changed)
    port = await front.start(port)
    children = None
    if file := os.environ.get("STUB_CHILDREN"):
        with open(file, "w") as output:
            environment = {**os.environ, **mark(private_folders(home) / "stub")}
            children = subprocess.Popen(
                [sys.executable, "-c", _FAMILY], stdout=output, env=environment, start_new_session=True
            )
    write_server_file(home, port=port, ephemeral=ephemeral, runtime=runtime)
    await stub.stop.wait()
    front.stop_listening()
    if children and "STUB_LEAVES_CHILDREN" not in os.environ:
        os.killpg(children.pid, signal.SIGKILL)
    await front.close()
    await runner.cleanup()


if __name__ == "__main__":
    if "STUB_FAILS" in os.environ:
        sys.exit("the stub was told to fail")
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--runtime")
    parser.add_argument("--ephemeral", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.home, arguments.port, arguments.ephemeral, arguments.runtime))
