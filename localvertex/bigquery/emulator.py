"""The process behind BigQuery: `bqemulator` from PyPI, whose job methods are replaced by those of this package.

    python -m seatrial.localvertex.bigquery.emulator --state FOLDER --buckets FOLDER --ready FILE

It is DuckDB inside. It listens on free ports of 127.0.0.1 and writes them to FILE when it is ready. What is replaced:
the emulator as published neither writes destination tables, nor takes what Google's client uploads, nor reads Parquet
into a new table, nor knows `*` in the name of an object.
"""

from . import literals  # noqa: F401 (registers, and has to be the first)

# isort: split
import argparse
import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import bqemulator.server
import duckdb
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer
from bqemulator.storage.engine import DuckDBEngine
from duckdb_extensions import import_extension

from ..files import write_private
from ..names import DEFAULT_PROJECT
from .jobs import routes

_HOST = "127.0.0.1"


class _Engine(DuckDBEngine):
    """A connection for each thread: the published engine has one, and its gRPC server reads in threads of its own."""

    _threads = threading.local()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        if threading.current_thread() is threading.main_thread():
            return super().connection
        if not hasattr(self._threads, "connection"):
            self._threads.connection = super().connection.cursor()
            self._threads.connection.execute("SET TimeZone = 'UTC'")
        return self._threads.connection


async def _serve(state: Path, buckets: Path, ready: Path) -> None:
    bqemulator.server.DuckDBEngine = _Engine  # type: ignore[misc]
    server = EmulatorServer(_settings(state))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    application: Any = server._fastapi_server.config.app  # type: ignore[union-attr]  # there is no other way to it
    # What DuckDB does not have, it would fetch.
    application.state.context.engine.execute("SET GLOBAL autoinstall_known_extensions = false")
    application.router.routes[:0] = routes(application.state.context, buckets, state / "uploads")
    write_private(ready, json.dumps({"rest": server.rest_port, "grpc": server.grpc_port}))
    await stop.wait()
    await server.stop()


def _settings(state: Path) -> Settings:
    return Settings(
        rest_host=_HOST,
        rest_port=0,
        grpc_host=_HOST,
        grpc_port=0,
        persistence_mode=PersistenceMode.PERSISTENT,
        data_dir=state,
        default_project_id=DEFAULT_PROJECT,
        enable_format_extensions=False,  # they come from the network
        metrics_enabled=False,
        tracing_enabled=False,
        time_travel_retention_days=0,  # or else every change copies its table
        log_level=LogLevel.WARNING,
    )


def main() -> None:
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder of the database")
    parser.add_argument("--buckets", type=Path, required=True, help="folder of the buckets of Cloud Storage")
    parser.add_argument("--ready", type=Path, required=True, help="file that the ports are written to")
    arguments = parser.parse_args()
    # DuckDB keeps its extensions below the home folder; the user's own is none of its business.
    os.environ["HOME"] = str(arguments.state)
    with duckdb.connect() as connection:
        import_extension("spatial", con=connection)
    asyncio.run(_serve(arguments.state, arguments.buckets, arguments.ready))


if __name__ == "__main__":
    main()
