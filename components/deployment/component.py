"""The components of deployment: look_up_champion, package_model, plan_rollout, deploy_canary, keep_champion."""

from typing import NamedTuple

from google_cloud_pipeline_components.types.artifact_types import UnmanagedContainerModel, VertexEndpoint, VertexModel
from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output, OutputPath

from ..images import image


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def look_up_champion(
    project: str,
    location: str,
    endpoint_display_name: str,
    model_display_name: str,
    endpoint: Output[VertexEndpoint],
    parent_model: Output[VertexModel],
    champion: Output[Model],
) -> NamedTuple("Found", [("endpoint_found", bool), ("champion_found", bool), ("champion_uri", str)]):  # type: ignore[valid-type]
    """Finds what serves today: the endpoint, the registered model, and the champion that a new model has to beat.

    The champion is, of the endpoint's models with traffic, the one whose registered version has the alias `champion`,
    else the one with the most traffic. A pipeline must not cache this task: what serves changes without its inputs.

    Args:
        project: Project id.
        location: Region of the endpoint and the model.
        endpoint_display_name: Display name of the endpoint.
        model_display_name: Display name of the registered model of which a new version may be uploaded.
        endpoint: The endpoint; its `resourceName` is empty if there is none yet.
        parent_model: The registered model, for `ModelUploadOp`; its `resourceName` is empty if there is none yet, which
            `ModelUploadOp` takes as the wish for a new model.
        champion: The champion's model folder, with `resourceName`, `deployed_model_id` and `traffic_split`; without
            content if there is none.

    Returns:
        endpoint_found: Whether the endpoint exists.
        champion_found: Whether a model serves on it.
        champion_uri: The champion's model folder, for `dsl.importer`: imported, it is the same artifact in each run,
            without which no task on it could be cached. Empty if there is none.

    Raises:
        InputError: If several endpoints or models have the display name, the project or region does not exist, or the
            project may not be accessed.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION
    from seatrial.components.deployment.champion import look_up, readable
    from seatrial.components.runtime import task

    with task("look_up_champion"):
        serving = look_up(project, location, endpoint_display_name, model_display_name)
        for artifact, name in ((endpoint, serving.endpoint_name), (parent_model, serving.model_name)):
            artifact.metadata["resourceName"] = name or ""
            if name:
                artifact.uri = f"https://{location}-aiplatform.googleapis.com/v1/{name}"
        champion.metadata["schema_version"] = SCHEMA_VERSION
        champion.metadata["headline"] = "no champion"
        if serving.champion:
            champion.uri = serving.champion.artifact_uri
            champion.metadata["headline"] = f"champion {readable(serving.champion.version_name)}"
            champion.metadata["resourceName"] = serving.champion.version_name
            champion.metadata["deployed_model_id"] = serving.champion.deployed_model_id
            champion.metadata["traffic_split"] = serving.champion.traffic_split
    found = serving.champion
    return serving.endpoint_name is not None, found is not None, found.artifact_uri if found else ""


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def package_model(
    model: Input[Model],
    job: str,
    unmanaged_container_model: Output[UnmanagedContainerModel],
    serving_image: str = "",
    drill: str = "",
) -> None:
    """Describes a model folder as a Vertex AI model that seatrial's prediction server serves, for `ModelUploadOp`.

    Args:
        model: Model folder, as the training components write it.
        job: The running job, `dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER`. The serving image is that of its task
            `batch_predict`, so that what was evaluated is what serves.
        unmanaged_container_model: The model folder's URI and the container that serves it.
        serving_image: The image to use instead, where the pipeline has no task that runs in it.
        drill: To rehearse a rollback, what the served model does wrong on purpose: "wrong_labels", "slow", "crash".

    Raises:
        InputError: If the model folder is incomplete, the job has no, or more than one, image called `serving`, or
            there is no such drill.
    """
    from seatrial.components.deployment.package import container_spec
    from seatrial.components.runtime import task

    with task("package_model"):
        spec = container_spec(model.path, job, serving_image, drill)
        unmanaged_container_model.uri = model.uri
        unmanaged_container_model.metadata["containerSpec"] = spec
        unmanaged_container_model.metadata["headline"] = f"served by {spec['imageUri'].rsplit('/', 1)[-1]}"


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def plan_rollout(
    steps: list = [10, 50, 100],  # noqa: B006
    requests_per_step: int = 200,
    significance_level: float = 0.05,
    latency_floor_ms: float = 250.0,
    drill: str = "",
    champion_found: bool = True,
) -> list:
    """Checks how a model is to be rolled out, before anything is trained or registered for it.

    Args:
        steps: The challenger's percentages of the traffic, as for `deploy_canary`.
        requests_per_step: Requests at each step.
        significance_level: Of the rollout as a whole.
        latency_floor_ms: As for `deploy_canary`.
        drill: As for `deploy_canary`.
        champion_found: Whether a model serves, to which a drill can go back.

    Returns:
        The steps, for `deploy_canary`.

    Raises:
        InputError: If a value is out of range, the first step is too small for its number of requests, there is no such
            drill, or a drill has no champion to go back to.
    """
    from seatrial.components.deployment.decision import Limits
    from seatrial.components.deployment.plan import Plan, whole_numbers
    from seatrial.components.runtime import InputError, task

    with task("plan_rollout"):
        limits = Limits(significance_level, latency_floor_ms=latency_floor_ms)
        plan = Plan(whole_numbers(steps), requests_per_step, limits=limits, drill=drill)
        plan.check()
        if drill and not champion_found:
            raise InputError(
                f"drill is {drill!r}, but no model serves to go back to. Deploy one without a drill first."
            )
    return list(plan.steps)


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def deploy_canary(
    model: Input[VertexModel],
    endpoint: Input[VertexEndpoint],
    holdout: Input[Dataset],
    job: str,
    task_name: str,
    rollout: Output[Artifact],
    metrics: Output[Metrics],
    gcp_resources: OutputPath(str),  # type: ignore[valid-type]
    steps: list = [10, 50, 100],  # noqa: B006
    requests_per_step: int = 200,
    machine_type: str = "n1-standard-2",
    min_replica_count: int = 1,
    max_replica_count: int = 1,
    significance_level: float = 0.05,
    maximum_latency_ratio: float = 2.0,
    latency_floor_ms: float = 250.0,
    maximum_wait_seconds: int = 3600,
    drill: str = "",
) -> str:
    """Gives a model version the traffic of an endpoint in steps, and takes it back when the model does harm.

    The version is deployed without traffic. At each step held-out rows are replayed through the endpoint as its users
    call it; challenger and champion are told apart by the `deployed_model_id` of the answers and compared by errors,
    accuracy and latency (`decision.py` has the tests). At the first sign of harm the old split is back and the
    challenger is undeployed. After the last step the replaced models are undeployed (an idle one would cost a machine),
    and the registry's aliases move: `champion` to the version, `previous` to the champion that it replaces. On an
    endpoint where nothing serves the version gets all traffic once it is ready, and only its errors are judged.

    The endpoint's labels hold a lease, so that only one rollout works on it, and what a rollback needs. The task may be
    killed and retried at any point. A pipeline must not cache it.

    Args:
        model: The model version, as `ModelUploadOp` returns it.
        endpoint: The endpoint, in the same region.
        holdout: Table with the column `text` and, for the comparison of accuracies, `label` (null where unknown). Rows
            that were not trained on; replayed again when there are fewer than requests, but counted once.
        job: The running job, `dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER`.
        task_name: Name of this task, `dsl.PIPELINE_TASK_NAME_PLACEHOLDER`.
        rollout: JSON: `outcome`, `reason` (`code`, `text`), `split_before`, `split_after`, and of each step the numbers
            of both models, p-values and decision.
        metrics: `requests`, `errors`, `percent` (the challenger's share in the end), `seconds`.
        gcp_resources: The operation that deploys the model, in the form of Google's components.
        steps: The challenger's percentages, increasing, the last one 100.
        requests_per_step: Requests at each step; the first step must give the challenger about ten of them.
        machine_type: Machine type of its replicas.
        min_replica_count: Replicas that always run.
        max_replica_count: Replicas to which Vertex AI may scale.
        significance_level: Probability, at most, that a rollout of an equally good model is rolled back.
        maximum_latency_ratio: How many times the champion's 95th percentile of latency the challenger's may be.
        latency_floor_ms: A 95th percentile up to this is no harm.
        maximum_wait_seconds: How long to wait for an endpoint that another rollout holds; 0 fails at once.
        drill: What the version does wrong on purpose, as `package_model` was told. It is then taken back in any case.

    Returns:
        "promoted" or "rolled_back".

    Raises:
        InputError: Before any change: if a parameter is out of range, the holdout has no rows or no texts, model or
            endpoint do not exist or are in different regions, or another rollout holds the endpoint for too long.
            Later, with the old split back: if Vertex AI refuses the deployment. With the split left as found: if
            somebody else changes it during the rollout.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, describe_metrics, write_json
    from seatrial.components.deployment.canary import deploy_canary as roll_out
    from seatrial.components.deployment.decision import Limits
    from seatrial.components.deployment.plan import Plan, whole_numbers
    from seatrial.components.deployment.replay import read_rows
    from seatrial.components.deployment.rollout import headline, numbers
    from seatrial.components.runtime import task

    def deployment_started(operation_url: str | None) -> None:
        resources = [{"resourceType": "VertexLro", "resourceUri": operation_url}] if operation_url else []
        write_json(gcp_resources, {"resources": resources})

    with task("deploy_canary"):
        deployment_started(None)
        limits = Limits(significance_level, maximum_latency_ratio, latency_floor_ms)
        plan = Plan(
            whole_numbers(steps),
            requests_per_step,
            machine_type,
            min_replica_count,
            max_replica_count,
            limits,
            maximum_wait_seconds,
            drill,
        )
        document = roll_out(
            endpoint.metadata["resourceName"],
            model.metadata["resourceName"],
            read_rows(holdout.path),
            plan,
            job=job,
            task_name=task_name,
            operation_started=deployment_started,
        )
        write_json(rollout.path, document)
        rollout.metadata.update(schema_version=SCHEMA_VERSION, outcome=document["outcome"])
        describe_metrics(metrics, numbers(document), headline(document))
    return document["outcome"]


@dsl.component(base_image=image("cpu"), install_kfp_package=False)
def keep_champion(verdict: Input[Artifact], champion: Input[Model], rollout: Output[Artifact]) -> str:
    """Says, in the form of `deploy_canary`, that the gate has left the champion in place.

    Args:
        verdict: The verdict of `compare_models`: "hold" or "reject".
        champion: The champion, from `look_up_champion`.
        rollout: JSON of the form that `deploy_canary` writes: outcome "kept", the verdict's reasons, no steps.

    Returns:
        "kept".

    Raises:
        InputError: If the verdict is to promote, or is none.
    """
    from seatrial.components.artifacts import SCHEMA_VERSION, write_json
    from seatrial.components.deployment.rollout import headline, kept_document
    from seatrial.components.evaluation.verdict import read_verdict
    from seatrial.components.runtime import task

    with task("keep_champion"):
        document = kept_document(read_verdict(verdict.path), champion.metadata)
        write_json(rollout.path, document)
        rollout.metadata.update(schema_version=SCHEMA_VERSION, outcome="kept", headline=headline(document))
    return "kept"
