"""A rollout in a process of its own, to be killed: `python rollout_process.py ENDPOINT MODEL JOB REQUESTS_PER_STEP`."""

import sys

from seatrial.components.deployment.canary import deploy_canary
from seatrial.components.deployment.decision import Limits
from seatrial.components.deployment.plan import Plan
from seatrial.components.deployment.replay import Row

if __name__ == "__main__":
    endpoint, model, job, requests_per_step = sys.argv[1:]
    deploy_canary(
        endpoint,
        model,
        [Row(number, f"review {number} good", "good") for number in range(50)],
        Plan(requests_per_step=int(requests_per_step), limits=Limits(latency_floor_ms=900)),
        job=job,
        task_name="deploy-canary",
        operation_started=lambda url: None,
    )
