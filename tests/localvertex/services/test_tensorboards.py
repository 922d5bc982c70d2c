"""Tensorboards through Google's clients."""

import uuid

import pytest
from google.api_core.exceptions import InvalidArgument, NotFound
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import (
    CreateTensorboardRunRequest,
    CreateTensorboardTimeSeriesRequest,
    TensorboardRun,
    TensorboardServiceClient,
    TensorboardTimeSeries,
    TimeSeriesData,
    TimeSeriesDataPoint,
    WriteTensorboardRunDataRequest,
)

SCALAR, TENSOR = TensorboardTimeSeries.ValueType.SCALAR, TensorboardTimeSeries.ValueType.TENSOR


@pytest.fixture(autouse=True)
def _sdk(vertex: object) -> None:
    aiplatform.init(project="local-project", location="us-central1")


@pytest.fixture
def client(vertex: object) -> TensorboardServiceClient:
    return TensorboardServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})


@pytest.fixture
def run(vertex: object) -> aiplatform.TensorboardRun:
    """A run of a new tensorboard."""
    tensorboard = aiplatform.Tensorboard.create(display_name="own")
    experiment = aiplatform.TensorboardExperiment.create("experiment", tensorboard_name=tensorboard.resource_name)
    return aiplatform.TensorboardRun.create("run", tensorboard_experiment_name=experiment.resource_name)


def points(*values: float, first_step: int = 1) -> list[TimeSeriesDataPoint]:
    return [
        TimeSeriesDataPoint(scalar={"value": value}, step=step) for step, value in enumerate(values, start=first_step)
    ]


def write(client: TensorboardServiceClient, series: aiplatform.TensorboardTimeSeries, *values: float) -> None:
    data = TimeSeriesData(tensorboard_time_series_id=series.name, value_type=SCALAR, values=points(*values))
    run_name = series.resource_name.rsplit("/", 2)[0]
    client.write_tensorboard_run_data(tensorboard_run=run_name, time_series_data=[data])


def test_a_tensorboard_is_created_changed_listed_and_deleted():
    name = f"board {uuid.uuid4()}"
    tensorboard = aiplatform.Tensorboard.create(display_name=name)
    tensorboard.update(description="text")
    (found,) = aiplatform.Tensorboard.list(filter=f'display_name="{name}"')
    assert found.gca_resource.description == "text"
    tensorboard.delete()
    assert aiplatform.Tensorboard.list(filter=f'display_name="{name}"') == []


def test_there_is_one_default_tensorboard():
    first, second = (aiplatform.Tensorboard.create(display_name="default", is_default=True) for _ in range(2))
    assert [found.name for found in aiplatform.Tensorboard.list(filter="is_default=true")] == [second.name]
    first.update(is_default=True)
    assert [found.name for found in aiplatform.Tensorboard.list(filter="is_default=true")] == [first.name]


def test_written_points_are_read_in_the_order_of_their_steps(run: aiplatform.TensorboardRun):
    run.create_tensorboard_time_series("loss")
    for step, value in ((10, 0.1), (9, 0.2), (100, 0.05)):
        run.write_tensorboard_scalar_data({"loss": value}, step=step)
    data = run.read_time_series_data()["loss"]
    assert [(point.step, point.scalar.value) for point in data.values] == [(9, 0.2), (10, 0.1), (100, 0.05)]


def test_a_step_that_is_written_again_is_overwritten(run: aiplatform.TensorboardRun):
    run.create_tensorboard_time_series("loss")
    for value in (0.3, 0.2):
        run.write_tensorboard_scalar_data({"loss": value}, step=1)
    assert [point.scalar.value for point in run.read_time_series_data()["loss"].values] == [0.2]


def test_a_time_series_knows_its_last_step(client: TensorboardServiceClient, run: aiplatform.TensorboardRun):
    series = run.create_tensorboard_time_series("loss")
    write(client, series, 3, 2, 1)
    assert client.get_tensorboard_time_series(name=series.resource_name).metadata.max_step == 3


def test_points_are_thinned_out_evenly_to_the_wanted_number(
    client: TensorboardServiceClient, run: aiplatform.TensorboardRun
):
    series = run.create_tensorboard_time_series("loss")
    write(client, series, *range(9))

    def steps(maximum: int) -> list[int]:
        request = {"tensorboard_time_series": series.resource_name, "max_data_points": maximum}
        data = client.read_tensorboard_time_series_data(request=request).time_series_data
        return [point.step for point in data.values]

    assert steps(3) == [1, 5, 9]
    assert steps(1) == [1]
    assert steps(-1) == list(range(1, 10))


def test_data_of_another_type_or_for_no_time_series_is_refused(
    client: TensorboardServiceClient, run: aiplatform.TensorboardRun
):
    series = run.create_tensorboard_time_series("loss")
    for series_id, value_type, error in ((series.name, TENSOR, InvalidArgument), ("missing", SCALAR, NotFound)):
        data = TimeSeriesData(tensorboard_time_series_id=series_id, value_type=value_type, values=points(1))
        with pytest.raises(error):
            client.write_tensorboard_run_data(tensorboard_run=run.resource_name, time_series_data=[data])


def test_up_to_5000_points_are_written_at_once(client: TensorboardServiceClient, run: aiplatform.TensorboardRun):
    with pytest.raises(InvalidArgument, match="5000"):
        write(client, run.create_tensorboard_time_series("loss"), *range(5001))


def test_a_time_series_needs_a_type(client: TensorboardServiceClient, run: aiplatform.TensorboardRun):
    with pytest.raises(InvalidArgument, match="value_type"):
        client.create_tensorboard_time_series(
            parent=run.resource_name, tensorboard_time_series=TensorboardTimeSeries(display_name="loss")
        )


def test_runs_and_time_series_are_created_and_written_several_at_a_time(
    client: TensorboardServiceClient, run: aiplatform.TensorboardRun
):
    experiment = run.resource_name.rsplit("/", 2)[0]
    runs = client.batch_create_tensorboard_runs(
        parent=experiment,
        requests=[
            CreateTensorboardRunRequest(
                parent=experiment, tensorboard_run=TensorboardRun(display_name=name), tensorboard_run_id=name
            )
            for name in ("a", "b")
        ],
    ).tensorboard_runs
    series = client.batch_create_tensorboard_time_series(
        parent=experiment,
        requests=[
            CreateTensorboardTimeSeriesRequest(
                parent=run.name,
                tensorboard_time_series=TensorboardTimeSeries(display_name="loss", value_type=SCALAR),
                tensorboard_time_series_id="loss",
            )
            for run in runs
        ],
    ).tensorboard_time_series
    client.write_tensorboard_experiment_data(
        tensorboard_experiment=experiment,
        write_run_data_requests=[
            WriteTensorboardRunDataRequest(
                tensorboard_run=run.name,
                time_series_data=[
                    TimeSeriesData(tensorboard_time_series_id="loss", value_type=SCALAR, values=points(index))
                ],
            )
            for index, run in enumerate(runs)
        ],
    )
    response = client.batch_read_tensorboard_time_series_data(
        request={"tensorboard": experiment.rsplit("/", 2)[0], "time_series": [one.name for one in series]}
    )
    assert [[point.scalar.value for point in data.values] for data in response.time_series_data] == [[0.0], [1.0]]


def test_a_deleted_run_leaves_no_data(client: TensorboardServiceClient, run: aiplatform.TensorboardRun):
    write(client, run.create_tensorboard_time_series("loss", value_type="SCALAR"), 1, 2)
    experiment = run.resource_name.rsplit("/", 2)[0]
    run.delete()
    again = aiplatform.TensorboardRun.create("run", tensorboard_experiment_name=experiment)
    assert again.read_time_series_data() == {}
