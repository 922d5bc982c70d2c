"""Experiments and lineage through Google's SDK, and the rules of the metadata service through its client."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.api_core.exceptions import FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import Artifact, Context, Event, Execution, MetadataSchema, MetadataServiceClient
from kfp import compiler, dsl

STORE = "projects/local-project/locations/us-central1/metadataStores/default"


@pytest.fixture(autouse=True)
def _sdk(vertex: object) -> None:
    aiplatform.init(project="local-project", location="us-central1")


@pytest.fixture
def client(vertex: object) -> MetadataServiceClient:
    return MetadataServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})


@pytest.fixture
def experiment(vertex: object) -> Iterator[str]:
    """Name of a new experiment, which is the current one."""
    name = unique("experiment")
    aiplatform.init(project="local-project", location="us-central1", experiment=name)
    yield name
    with contextlib.suppress(ValueError):  # no run is left open
        aiplatform.end_run()


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def artifact(name: str = "data", **arguments: object) -> aiplatform.Artifact:
    return aiplatform.Artifact.create(schema_title="system.Dataset", display_name=name, **arguments)


def execution(name: str = "step") -> aiplatform.Execution:
    # The default of `credentials` is a typing object in this version of the SDK.
    return aiplatform.Execution.create(schema_title="system.ContainerExecution", display_name=name, credentials=None)


def context(client: MetadataServiceClient, **fields: object) -> Context:
    return client.create_context(parent=STORE, context=Context(**fields), context_id=unique("context"))


# Experiments


def test_parameters_and_metrics_of_runs_come_back_as_a_table(experiment: str):
    for run, rate in (("first", 0.1), ("second", 0.2)):
        with aiplatform.start_run(run):
            aiplatform.log_params({"rate": rate, "epochs": 3, "kind": "linear"})
            aiplatform.log_metrics({"accuracy": 1 - rate})
            aiplatform.log_metrics({"loss": rate})
    table = aiplatform.get_experiment_df(experiment).set_index("run_name").sort_index()
    assert list(table.index) == ["first", "second"]
    assert list(table["param.rate"]) == [0.1, 0.2]
    assert list(table["param.epochs"]) == [3, 3]
    assert list(table["param.kind"]) == ["linear", "linear"]
    assert list(table["metric.accuracy"]) == [0.9, 0.8]
    assert list(table["metric.loss"]) == [0.1, 0.2]
    assert list(table["state"]) == ["COMPLETE", "COMPLETE"]


def test_a_run_that_raised_is_failed(experiment: str):
    with pytest.raises(RuntimeError), aiplatform.start_run("broken"):
        raise RuntimeError
    assert aiplatform.ExperimentRun("broken", experiment).state.name == "FAILED"


def test_a_run_is_resumed(experiment: str):
    aiplatform.start_run("long")
    aiplatform.log_params({"a": 1})
    aiplatform.end_run()
    aiplatform.start_run("long", resume=True)
    aiplatform.log_params({"b": 2})
    assert aiplatform.ExperimentRun("long", experiment).get_params() == {"a": 1, "b": 2}


def test_metrics_over_time_are_kept_step_by_step(experiment: str):
    run = aiplatform.start_run("training")
    for step in (1, 2, 3):
        aiplatform.log_time_series_metrics({"loss": 1 / step, "accuracy": step / 4}, step=step)
    aiplatform.log_time_series_metrics({"loss": 0.25})
    table = run.get_time_series_data_frame()
    assert list(table["step"]) == [1, 2, 3, 4]
    assert list(table["loss"]) == [1, 0.5, 1 / 3, 0.25]
    latest = aiplatform.get_experiment_df(experiment)
    assert list(latest["time_series_metric.loss"]) == [0.25]
    assert list(latest["time_series_metric.accuracy"]) == [0.75]


def test_runs_are_listed_under_their_experiment_and_deleted_with_it(experiment: str):
    aiplatform.start_run("one")
    aiplatform.end_run()
    assert [run.name for run in aiplatform.ExperimentRun.list(experiment=experiment)] == ["one"]
    assert experiment in {found.name for found in aiplatform.Experiment.list()}
    aiplatform.Experiment(experiment).delete(delete_backing_tensorboard_runs=True)
    assert aiplatform.Experiment.get(experiment) is None


def test_classification_metrics_and_models_are_found_under_their_run(experiment: str):
    run = aiplatform.start_run("classifier")
    aiplatform.log_classification_metrics(labels=["a", "b"], matrix=[[9, 1], [2, 8]], display_name="held out")
    (metrics,) = run.get_classification_metrics()
    assert (metrics["display_name"], metrics["matrix"]) == ("held out", [[9, 1], [2, 8]])


def test_the_executions_of_a_run_carry_their_artifacts(experiment: str):
    run = aiplatform.start_run("lineage")
    source, result = artifact("source"), artifact("result")
    with aiplatform.start_execution(schema_title="system.ContainerExecution", display_name="work") as work:
        work.assign_input_artifacts([source])
        work.assign_output_artifacts([result])
    assert [found.display_name for found in work.get_input_artifacts()] == ["source"]
    assert [found.display_name for found in work.get_output_artifacts()] == ["result"]
    assert [found.name for found in run.get_executions()] == [work.name]
    assert {"source", "result"} <= {found.display_name for found in run.get_artifacts()}
    assert aiplatform.Execution.get(work.name).state.name == "COMPLETE"


def test_a_pipeline_job_is_a_run_of_the_experiment_it_is_submitted_with(experiment: str, bucket: str, tmp_path: Path):
    @dsl.component(install_kfp_package=False)
    def measure(rate: float, metrics: dsl.Output[dsl.Metrics]) -> None:
        metrics.log_metric("accuracy", 1 - rate)

    @dsl.pipeline(name="measured")
    def measured(rate: float) -> None:
        measure(rate=rate)

    compiler.Compiler().compile(measured, str(tmp_path / "pipeline.yaml"))
    job = aiplatform.PipelineJob(
        display_name="measured",
        template_path=str(tmp_path / "pipeline.yaml"),
        parameter_values={"rate": 0.25},
        pipeline_root=f"gs://{bucket}/root",
    )
    job.submit(experiment=experiment)
    job.wait()
    (row,) = aiplatform.get_experiment_df(experiment).to_dict("records")
    assert (row["run_name"], row["run_type"], row["state"]) == (job.name, "system.PipelineRun", "COMPLETE")
    assert (row["param.rate"], row["metric.accuracy"]) == (0.25, 0.75)


def test_two_writers_of_a_run_both_succeed(experiment: str):
    """The SDK repeats an update from the new state if the service words the conflict as Vertex AI does."""
    aiplatform.start_run("shared")
    first, second = (aiplatform.ExperimentRun("shared", experiment) for _ in range(2))
    first.log_params({"a": 1})
    second.log_params({"b": 2})
    assert aiplatform.ExperimentRun("shared", experiment).get_params() == {"a": 1, "b": 2}


# Artifacts, executions, contexts


def test_artifacts_are_filtered_by_field_metadata_and_context(client: MetadataServiceClient):
    label = unique("label")
    first = artifact("first", uri=f"gs://{label}/1", metadata={"label": label, "rows": 10, "clean": True})
    artifact("second", uri=f"gs://{label}/2", metadata={"label": label, "rows": 20, "clean": False})
    inside = context(client, display_name="inside")
    client.add_context_artifacts_and_executions(context=inside.name, artifacts=[first.resource_name])
    own = f'metadata.label.string_value="{label}"'
    for condition in (
        f'uri="gs://{label}/1"',
        f"{own} AND metadata.rows.number_value<15",
        f"{own} AND metadata.clean.bool_value=true",
        f'{own} AND in_context("{inside.name}")',
        f'schema_title="system.Dataset" AND {own} AND display_name="first"',
    ):
        assert [found.display_name for found in aiplatform.Artifact.list(filter=condition)] == ["first"], condition
    assert len(aiplatform.Artifact.list(filter=own)) == 2


def test_a_filter_that_is_none_is_refused(client: MetadataServiceClient):
    with pytest.raises(InvalidArgument, match="filter"):
        client.list_artifacts(request={"parent": STORE, "filter": "in_context("})


def test_an_id_can_be_chosen_once_and_has_to_follow_the_rule(client: MetadataServiceClient):
    artifact_id = unique("artifact")
    created = client.create_artifact(parent=STORE, artifact=Artifact(), artifact_id=artifact_id)
    assert created.name == f"{STORE}/artifacts/{artifact_id}"
    with pytest.raises(exceptions.AlreadyExists):
        client.create_artifact(parent=STORE, artifact=Artifact(), artifact_id=artifact_id)
    with pytest.raises(InvalidArgument):
        client.create_artifact(parent=STORE, artifact=Artifact(), artifact_id="No_Such_Id")


def test_nothing_is_created_in_a_store_that_is_not_there(client: MetadataServiceClient):
    with pytest.raises(NotFound):
        client.create_context(parent=STORE.replace("default", "missing"), context=Context())


def test_an_update_may_create_what_is_missing_if_it_says_so(client: MetadataServiceClient):
    missing = Execution(name=f"{STORE}/executions/{unique('execution')}", display_name="late")
    with pytest.raises(NotFound):
        client.update_execution(execution=missing)
    client.update_execution(request={"execution": missing, "allow_missing": True})
    assert client.get_execution(name=missing.name).display_name == "late"


def test_an_update_from_an_older_state_is_refused(client: MetadataServiceClient):
    created = context(client)
    created.description = "first"
    client.update_context(context=created)
    with pytest.raises(exceptions.Aborted, match=r"Specified Context `etag`: `\d+` does not match server `etag`"):
        client.update_context(context=created)


def test_a_deletion_with_an_older_etag_is_refused(client: MetadataServiceClient):
    created = artifact()
    with pytest.raises(FailedPrecondition, match="etag"):
        client.delete_artifact(request={"name": created.resource_name, "etag": "1"})
    client.delete_artifact(name=created.resource_name).result()
    with pytest.raises(NotFound):
        client.get_artifact(name=created.resource_name)


def test_contexts_know_their_parents_until_they_are_taken_away(client: MetadataServiceClient):
    parent, child = context(client), context(client)
    client.add_context_children(context=parent.name, child_contexts=[child.name])
    assert client.get_context(name=child.name).parent_contexts == [parent.name]
    found = client.list_contexts(request={"parent": STORE, "filter": f'parent_contexts:"{parent.name}"'})
    assert [context.name for context in found] == [child.name]
    client.remove_context_children(request={"context": parent.name, "child_contexts": [child.name]})
    assert client.get_context(name=child.name).parent_contexts == []


def test_contexts_form_no_cycle(client: MetadataServiceClient):
    first, second, third = (context(client).name for _ in range(3))
    client.add_context_children(context=first, child_contexts=[second])
    client.add_context_children(context=second, child_contexts=[third])
    for child in (first, third):
        with pytest.raises(InvalidArgument, match="cycle"):
            client.add_context_children(context=third, child_contexts=[child])


def test_a_context_has_up_to_ten_parents(client: MetadataServiceClient):
    child = context(client).name
    for _ in range(10):
        client.add_context_children(context=context(client).name, child_contexts=[child])
    with pytest.raises(InvalidArgument, match="10 parents"):
        client.add_context_children(context=context(client).name, child_contexts=[child])


# Lineage


def test_the_lineage_of_a_context_is_what_is_in_it(client: MetadataServiceClient):
    inside, outside, step = artifact("inside"), artifact("outside"), execution()
    step.assign_input_artifacts([inside])
    step.assign_output_artifacts([outside])
    group = context(client)
    client.add_context_artifacts_and_executions(
        context=group.name, artifacts=[inside.resource_name], executions=[step.resource_name]
    )
    graph = client.query_context_lineage_subgraph(context=group.name)
    assert [node.display_name for node in graph.artifacts] == ["inside"]
    assert [node.display_name for node in graph.executions] == ["step"]
    assert [(event.artifact, event.type_) for event in graph.events] == [(inside.resource_name, Event.Type.INPUT)]


def test_the_lineage_of_an_artifact_is_all_that_is_connected_with_it(client: MetadataServiceClient):
    raw, clean, model = artifact("raw"), artifact("clean"), artifact("model")
    for source, result in ((raw, clean), (clean, model)):
        step = execution()
        step.assign_input_artifacts([source])
        step.assign_output_artifacts([result])

    def names(**arguments: object) -> set[str]:
        graph = client.query_artifact_lineage_subgraph(request={"artifact": raw.resource_name, **arguments})
        return {node.display_name for node in graph.artifacts}

    assert names() == {"raw", "clean", "model"}
    assert names(max_hops=2) == {"raw", "clean"}
    assert names(filter='display_name="model"') == {"model"}
    with pytest.raises(InvalidArgument, match="max_hops"):
        names(max_hops=-1)


def test_events_need_a_type_and_artifacts_that_are_there(client: MetadataServiceClient):
    step, data = execution().resource_name, artifact().resource_name
    with pytest.raises(InvalidArgument, match="type"):
        client.add_execution_events(execution=step, events=[Event(artifact=data)])
    with pytest.raises(NotFound):
        client.add_execution_events(execution=step, events=[Event(artifact=f"{data}0", type_=Event.Type.INPUT)])


def test_what_is_deleted_leaves_the_lineage(client: MetadataServiceClient):
    step, kept, removed = execution(), artifact("kept"), artifact("removed")
    step.assign_input_artifacts([kept, removed])
    removed.delete()
    assert [found.display_name for found in step.get_input_artifacts()] == ["kept"]


def test_metadata_schemas_are_kept(client: MetadataServiceClient):
    schema = MetadataSchema(schema="title: own.Thing\ntype: object\n", schema_version="0.0.1")
    created = client.create_metadata_schema(parent=STORE, metadata_schema=schema, metadata_schema_id=unique("schema"))
    assert client.get_metadata_schema(name=created.name).schema == schema.schema
    assert created.name in {found.name for found in client.list_metadata_schemas(parent=STORE)}
