"""What the handlers of all services share: the store, background work, and the engines that do the work."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .standing_faults import StandingFaults
from .store import Store
from .tasks import Tasks

if TYPE_CHECKING:
    from .execution.pipeline import PipelineRunner
    from .runtimes.container import Runtime
    from .serving import Serving
    from .storage.service import Storage


@dataclass
class Vertex:
    """The local Vertex AI of one server process.

    Attributes:
        home: Folder of everything that is kept: database, buckets, logs.
        environment: Variables that make a child process's Google clients reach this server.
        private_root: Whether `/gcs` shows the buckets to what runs here.
        runtime: Runs the containers of tasks, custom jobs and deployed models.
        faults: What is to go wrong with calls.
    """

    home: Path
    store: Store
    storage: "Storage"
    environment: dict[str, str]
    private_root: bool
    faults: StandingFaults = field(default_factory=StandingFaults)
    tasks: Tasks = field(default_factory=Tasks)
    runtime: "Runtime" = field(init=False)
    serving: "Serving" = field(init=False)
    pipelines: "PipelineRunner" = field(init=False)
