"""What a task costs: the same compiled pipelines on the local Vertex and on kfp.local, in one run.

    python tests/benchmarks/task_overhead.py [--json] [--repeat N]

A chain of ten lightweight components that do nothing gives the seconds a task; eight components that sleep for one
second in a ParallelFor show how many run at once. Both sides run the components as subprocesses of this Python, without
caching; the local Vertex also takes the job through its API and keeps it. Medians of N runs that alternate.
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, local
from kfp.components import load_component_from_file

TASKS = 10


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def nothing(text: str) -> str:
    return text


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def nap(seconds: float) -> float:
    import time

    time.sleep(seconds)
    return seconds


@dsl.pipeline(name="chain")
def chain() -> None:
    task = nothing(text="a")
    for _ in range(TASKS - 1):
        task = nothing(text=task.output)


@dsl.pipeline(name="parallel")
def parallel() -> None:
    with dsl.ParallelFor([1.0] * 8) as seconds:
        nap(seconds=seconds)


def seconds_on_kfp_local(template: Path, folder: Path) -> float:
    """Runs a compiled pipeline with kfp.local."""
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"), raise_on_error=True)
    pipeline = load_component_from_file(str(template))
    started = time.perf_counter()
    pipeline()
    return time.perf_counter() - started


def seconds_on_local_vertex(template: Path, _: Path) -> float:
    """Submits a compiled pipeline to the local Vertex and waits for its end, asking without pause."""
    from google.cloud import aiplatform

    job = aiplatform.PipelineJob(
        display_name="benchmark",
        template_path=str(template),
        pipeline_root="gs://benchmark/root",
        job_id=f"benchmark-{time.time_ns()}",
        enable_caching=False,
    )
    started = time.perf_counter()
    job.submit()
    while not (state := job.state.name).endswith(("SUCCEEDED", "FAILED")):
        time.sleep(0.02)
    assert state.endswith("SUCCEEDED"), job.gca_resource.error.message
    return time.perf_counter() - started


def measure(repeat: int) -> dict[str, Any]:
    """Runs both pipelines on both sides in turn and returns the medians."""
    from google.cloud import aiplatform, storage

    from seatrial.localvertex import lifecycle

    sides: dict[str, Callable[[Path, Path], float]] = {"ours": seconds_on_local_vertex, "kfp": seconds_on_kfp_local}
    seconds: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, lifecycle.lease(Path(name) / "home") as running:
        os.environ.update(running.environment)
        storage.Client().create_bucket("benchmark")
        aiplatform.init(project="local-project", location="us-central1")
        for pipeline in (chain, parallel):
            template = Path(name) / f"{pipeline.name}.yaml"
            compiler.Compiler().compile(pipeline, str(template))
            for number in range(repeat + 1):
                for side, run in sides.items():
                    taken = run(template, Path(name))
                    if number:  # the first one is a warm-up
                        seconds.setdefault((pipeline.name, side), []).append(taken)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    ours, peer = median["chain", "ours"] / TASKS, median["chain", "kfp"] / TASKS
    return {
        "ours_s": round(ours, 4),
        "kfp_local_s": round(peer, 4),
        "ratio": round(ours / peer, 2),
        "parallel8_ours_s": round(median["parallel", "ours"], 2),
        "parallel8_kfp_local_s": round(median["parallel", "kfp"], 2),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each pipeline on each side (default 5)")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    output, sys.stdout = sys.stdout, sys.stderr  # kfp.local prints what its tasks print
    result = measure(arguments.repeat)
    print(json.dumps(result) if arguments.json else "\n".join(f"{k:<24}{v}" for k, v in result.items()), file=output)


if __name__ == "__main__":
    main()
