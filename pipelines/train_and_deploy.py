"""The main job: raw texts to live traffic, with a gate before registration and a canary before all of the traffic."""

from typing import Any

from google_cloud_pipeline_components.v1.endpoint import EndpointCreateOp
from google_cloud_pipeline_components.v1.model import ModelUploadOp
from kfp import dsl

from ..components import (
    batch_predict,
    compare_models,
    curate_text,
    deploy_canary,
    evaluate_classification,
    finetune_text,
    gate,
    ingest_model,
    ingest_table,
    keep_champion,
    look_up_champion,
    package_model,
    plan_rollout,
    report_run,
    resolve_model,
    resolve_source,
    train_linear,
)

# Endpoint and model are where the pipeline job is.
_PROJECT = "{{$.pipeline_google_cloud_project_id}}"
_LOCATION = "{{$.pipeline_google_cloud_location}}"


@dsl.pipeline(name="train-and-deploy")
def train_and_deploy(
    train_uri: str,
    endpoint_display_name: str,
    model_display_name: str,
    text_column: str,
    label_column: str,
    test_uri: str = "",
    labels: list = [],  # noqa: B006 (KFP reads the default)
    schema: dict = {},  # noqa: B006
    estimator: str = "logistic_regression",
    pretrained_uri: str = "",
    epochs: float = 1.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    non_inferiority_margin: float = 0.01,
    significance_level: float = 0.05,
    traffic_steps: list = [10, 50, 100],  # noqa: B006 (KFP reads the default)
    requests_per_step: int = 200,
    latency_floor_ms: float = 250.0,
    machine_type: str = "n1-standard-2",
    drill: str = "",
) -> None:
    """Curates texts, trains a classifier and rolls it out if it holds its own against the champion.

    Args:
        train_uri: `gs://` object, folder or glob of Parquet, CSV or JSONL files with the rows to train on.
        endpoint_display_name: Display name of the endpoint that serves; it is created if it is not there.
        model_display_name: Display name of the registered model that gets a new version; created if it is not there.
        text_column: Column with the text.
        label_column: Column with the label.
        test_uri: As `train_uri`, the rows to test on; empty holds out a share of the training rows.
        labels: The labels that may occur; any other fails the run. Empty: any label may.
        schema: Column to Arrow type, for columns whose type is not left to the files: {"postcode": "string"}.
        estimator: "logistic_regression", "transformer", or "majority_class" for the trivial baseline.
        pretrained_uri: `gs://` folder of the Hugging Face model that a transformer is fine-tuned from.
        epochs: How often a transformer sees each row in training; 0.5 sees half of the rows.
        learning_rate: Highest learning rate of a transformer's training.
        seed: Of a transformer's training.
        non_inferiority_margin: By how much accuracy a challenger may be worse and still be promoted.
        significance_level: Probability of a false verdict, of the gate and of the canary each.
        traffic_steps: Percentages of the traffic that a new model gets in turn; the last is 100.
        requests_per_step: Held-out rows that are replayed at each step.
        latency_floor_ms: A new model whose 95th percentile of latency is up to this is never too slow; above it, twice
            the champion's is tolerated.
        machine_type: Machine that serves the model.
        drill: To rehearse a rollback, what the new model does wrong in service: "wrong_labels", "slow" or "crash"; it
            is taken back in any case.
    """
    source = resolve_source(train_uri=train_uri, test_uri=test_uri).set_caching_options(False)
    table = ingest_table(source=source.output, schema=schema)
    curated = curate_text(
        table=table.outputs["table"], text_column=text_column, label_column=label_column, labels=labels
    )
    serving = look_up_champion(
        project=_PROJECT,
        location=_LOCATION,
        endpoint_display_name=endpoint_display_name,
        model_display_name=model_display_name,
    ).set_caching_options(False)

    planned = plan_rollout(
        steps=traffic_steps,
        requests_per_step=requests_per_step,
        significance_level=significance_level,
        latency_floor_ms=latency_floor_ms,
        drill=drill,
        champion_found=serving.outputs["champion_found"],
    )

    with dsl.If(estimator == "transformer", name="transformer"):
        files = resolve_model(uri=pretrained_uri).after(planned).set_caching_options(False)
        finetuned = finetune_text(
            train=curated.outputs["train"],
            pretrained=ingest_model(source=files.output).outputs["model"],
            epochs=epochs,
            learning_rate=learning_rate,
            seed=seed,
        )
    with dsl.Else(name="linear"):
        trained = train_linear(train=curated.outputs["train"], estimator=estimator).after(planned)
    model = dsl.OneOf(finetuned.outputs["model"], trained.outputs["model"])
    predicted = batch_predict(model=model, table=curated.outputs["test"])
    evaluated = evaluate_classification(predictions=predicted.outputs["predictions"])

    with dsl.If(serving.outputs["champion_found"] == True, name="champion-serves"):  # noqa: E712 (KFP builds on ==)
        champion = batch_predict(
            model=dsl.importer(artifact_uri=serving.outputs["champion_uri"], artifact_class=dsl.Model).output,
            table=curated.outputs["test"],
            known=predicted.outputs["predictions"],
        )
        champion.set_display_name("batch-predict-champion")
        compared = compare_models(
            challenger=predicted.outputs["predictions"],
            champion=champion.outputs["predictions"],
            non_inferiority_margin=non_inferiority_margin,
            significance_level=significance_level,
        ).set_caching_options(False)
    with dsl.Else(name="nothing-serves"):
        first = compare_models(
            challenger=predicted.outputs["predictions"],
            non_inferiority_margin=non_inferiority_margin,
            significance_level=significance_level,
        ).set_caching_options(False)
    verdict = dsl.OneOf(compared.outputs["verdict"], first.outputs["verdict"])
    # Nothing is rolled out whose evaluation failed, though the gate does not need its numbers.
    decision = gate(verdict=verdict).after(evaluated).set_caching_options(False).output

    def register_and_deploy(endpoint: Any) -> dsl.PipelineTask:
        packaged = package_model(model=model, job=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER, drill=drill)
        registered = ModelUploadOp(
            display_name=model_display_name,
            parent_model=serving.outputs["parent_model"],
            unmanaged_container_model=packaged.set_caching_options(False).outputs["unmanaged_container_model"],
            version_aliases=["challenger"],
            location=_LOCATION,
            project=_PROJECT,
        )
        return deploy_canary(
            model=registered.set_caching_options(False).outputs["model"],
            endpoint=endpoint,
            holdout=curated.outputs["test"],
            job=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
            task_name=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
            steps=planned.output,
            requests_per_step=requests_per_step,
            machine_type=machine_type,
            significance_level=significance_level,
            latency_floor_ms=latency_floor_ms,
            drill=drill,
        ).set_caching_options(False)

    with dsl.If(decision != "promote", name="keep"):
        kept = keep_champion(verdict=verdict, champion=serving.outputs["champion"]).set_caching_options(False)
    with dsl.Elif(serving.outputs["endpoint_found"] == True, name="roll-out"):  # noqa: E712
        rolled_out = register_and_deploy(serving.outputs["endpoint"])
    with dsl.Else(name="first-deployment"):
        created = EndpointCreateOp(display_name=endpoint_display_name, location=_LOCATION, project=_PROJECT)
        deployed = register_and_deploy(created.set_caching_options(False).outputs["endpoint"])

    report_run(
        job=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER,
        ledger=curated.outputs["ledger"],
        curation=curated.outputs["metrics"],
        evaluation=evaluated.outputs["metrics"],
        classification_metrics=evaluated.outputs["classification_metrics"],
        verdict=verdict,
        model=model,
        drill=drill,
        rollout=dsl.OneOf(kept.outputs["rollout"], rolled_out.outputs["rollout"], deployed.outputs["rollout"]),
    ).set_caching_options(False)
