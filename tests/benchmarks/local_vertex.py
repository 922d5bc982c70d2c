"""What the server of the local Vertex AI costs: start-up, calls, memory, and many jobs at once.

    python tests/benchmarks/local_vertex.py [--json]

`start_s`: from `seatrial local start` on a new state folder to an answered get, median of 5. `gets_500_s`: 500 gets one
after the other, through Google's gRPC client, median of 3. `idle_mb`: memory (proportional set size) of the server with
its supervisor, before it has done anything. `jobs_50_s`: 50 pipeline jobs of one lightweight Python component each,
submitted at once through the SDK, until all have ended. There is no peer to compare with: no other local server speaks
these APIs (for what a task costs, `task_overhead.py` has kfp.local).
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from seatrial.localvertex import lifecycle

STARTS, SERIES, GETS, JOBS = 5, 3, 500, 50
PARENT = "projects/local-project/locations/us-central1"
SEATRIAL = Path(sys.executable).with_name("seatrial")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def echo(text: str) -> str:
    return text


@dsl.pipeline(name="benchmark")
def pipeline() -> None:
    echo(text="a")


def seconds(work: Callable[[], object]) -> float:
    """How long work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def start(home: Path) -> None:
    """Starts a server as a user does and returns when it has answered."""
    import requests

    command = [SEATRIAL, "local", "start"]
    subprocess.run(command, env={**os.environ, "SEATRIAL_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL)
    running = lifecycle.status(home)
    assert running is not None
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": running.environment["https_proxy"]}
        session.verify = running.environment["REQUESTS_CA_BUNDLE"]
        session.get(f"https://us-central1-aiplatform.googleapis.com/v1/{PARENT}/endpoints").raise_for_status()


def megabytes(*processes: int) -> float:
    """Proportional set size of processes."""
    lines = [Path(f"/proc/{process}/smaps_rollup").read_text() for process in processes]
    return sum(int(text.partition("\nPss:")[2].split()[0]) for text in lines) / 1000


def seconds_for_gets() -> float:
    """How long it takes to get an endpoint many times."""
    from google.cloud import aiplatform, aiplatform_v1

    name = aiplatform.Endpoint.create(display_name="benchmark").resource_name
    options = {"api_endpoint": "us-central1-aiplatform.googleapis.com"}
    client = aiplatform_v1.EndpointServiceClient(client_options=options)
    client.get_endpoint(name=name)  # which makes the connection
    return seconds(lambda: [client.get_endpoint(name=name) for _ in range(GETS)])


def run_jobs(template: Path) -> None:
    """Submits jobs at once and waits for all."""
    from google.cloud import aiplatform

    def submit(number: int) -> Any:
        job = aiplatform.PipelineJob(
            display_name="benchmark",
            template_path=str(template),
            pipeline_root="gs://benchmark/root",
            job_id=f"benchmark-{number}",
            enable_caching=False,
        )
        job.submit()
        return job

    with ThreadPoolExecutor(JOBS) as pool:
        jobs = list(pool.map(submit, range(JOBS)))
    for job in jobs:
        while not (state := job.state.name).endswith(("SUCCEEDED", "FAILED")):
            time.sleep(0.1)
        assert state.endswith("SUCCEEDED"), job.gca_resource.error.message


def measure() -> dict[str, float]:
    """Measures everything, on one server but for the starts."""
    from google.cloud import aiplatform, storage

    with tempfile.TemporaryDirectory() as name:
        folder, starts = Path(name), []
        for number in range(STARTS):
            home = folder / str(number)
            try:
                starts.append(seconds(lambda home=home: start(home)))
            finally:
                lifecycle.stop(home)
        with lifecycle.lease(folder / "home") as running:
            idle = megabytes(running.pid, running.supervisor)
            os.environ.update(running.environment)
            storage.Client().create_bucket("benchmark")
            aiplatform.init(project="local-project", location="us-central1")
            gets = [seconds_for_gets() for _ in range(SERIES)]
            compiler.Compiler().compile(pipeline, str(folder / "benchmark.yaml"))
            jobs = seconds(lambda: run_jobs(folder / "benchmark.yaml"))
    return {
        "start_s": round(statistics.median(starts), 2),
        "gets_500_s": round(statistics.median(gets), 2),
        "idle_mb": round(idle, 1),
        "jobs_50_s": round(jobs, 1),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    result = measure()
    print(json.dumps(result) if arguments.json else "\n".join(f"{k:<24}{v}" for k, v in result.items()))


if __name__ == "__main__":
    main()
