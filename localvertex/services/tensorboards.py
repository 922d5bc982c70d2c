"""Tensorboards, in which Experiments keep the metrics that are logged step by step.

A data point is a fact of the store: "time series point", keyed TIME SERIES|STEP, so that a step written twice is
overwritten and a series is read in the order of its steps.
"""

import json
from typing import Any

from google.protobuf import empty_pb2

from .. import operations
from ..api import from_dict, invalid, message, to_dict
from ..dispatcher import handles
from ..filters import parse_filter
from ..names import new_id
from ..verbs import apply_update, check_display_name, check_etag, standard, standard_methods
from ..vertex import Vertex

_POINT = "time series point"
_MAXIMUM_POINTS_PER_WRITE = 5_000
_DEFAULT_POINTS = 1_000
_ALL_POINTS = -1


def _check_time_series(series: Any) -> None:
    check_display_name(series)
    if not series.value_type:
        raise invalid("value_type of TensorboardTimeSeries is required.")


standard_methods("TensorboardService", "Tensorboard", "Get", "List")
standard_methods("TensorboardService", "TensorboardExperiment", "Create", "Get", "List", "Update")
standard_methods("TensorboardService", "TensorboardRun", "Create", "Get", "List", "Update", check=check_display_name)
standard_methods(
    "TensorboardService", "TensorboardTimeSeries", "Create", "Get", "List", "Update", check=_check_time_series
)


@handles("TensorboardService.CreateTensorboard")
async def create_tensorboard(vertex: Vertex, request: Any) -> Any:
    """A tensorboard; a default one takes that role from the others."""
    tensorboard = message("Tensorboard")()
    tensorboard.CopyFrom(request.tensorboard)
    check_display_name(tensorboard)
    tensorboard.name = f"{request.parent}/tensorboards/{new_id()}"
    _keep_one_default(vertex, tensorboard)
    created = vertex.store.create(tensorboard)
    return operations.finished(vertex.store, created.name, "CreateTensorboardOperationMetadata", created)


@handles("TensorboardService.UpdateTensorboard")
async def update_tensorboard(vertex: Vertex, request: Any) -> Any:
    """Changes a tensorboard; a default one takes that role from the others."""
    tensorboard = vertex.store.get(request.tensorboard.name)
    check_etag(tensorboard, request.tensorboard)
    apply_update(tensorboard, request.tensorboard, list(request.update_mask.paths))
    check_display_name(tensorboard)
    _keep_one_default(vertex, tensorboard)
    saved = vertex.store.save(tensorboard)
    return operations.finished(vertex.store, saved.name, "UpdateTensorboardOperationMetadata", saved)


@handles(
    "TensorboardService.DeleteTensorboard",
    "TensorboardService.DeleteTensorboardExperiment",
    "TensorboardService.DeleteTensorboardRun",
    "TensorboardService.DeleteTensorboardTimeSeries",
)
async def delete(vertex: Vertex, request: Any) -> Any:
    """Deletes a resource with all below it and with its data."""
    with vertex.store.transaction():
        vertex.store.delete(request.name)
        for separator in ("|", "/"):
            for key in vertex.store.facts(_POINT, f"{request.name}{separator}"):
                vertex.store.forget(_POINT, key)
    return operations.finished(vertex.store, request.name, "DeleteOperationMetadata", empty_pb2.Empty())


@handles("TensorboardService.BatchCreateTensorboardRuns")
async def batch_create_tensorboard_runs(vertex: Vertex, request: Any) -> Any:
    """Creates several runs."""
    create = standard("TensorboardService.CreateTensorboardRun")
    created = [await create(vertex, inner) for inner in request.requests]
    return message("BatchCreateTensorboardRunsResponse")(tensorboard_runs=created)


@handles("TensorboardService.BatchCreateTensorboardTimeSeries")
async def batch_create_tensorboard_time_series(vertex: Vertex, request: Any) -> Any:
    """Creates several time series."""
    create = standard("TensorboardService.CreateTensorboardTimeSeries")
    created = [await create(vertex, inner) for inner in request.requests]
    return message("BatchCreateTensorboardTimeSeriesResponse")(tensorboard_time_series=created)


@handles("TensorboardService.WriteTensorboardRunData")
async def write_tensorboard_run_data(vertex: Vertex, request: Any) -> Any:
    """Stores data points of the time series of a run."""
    _write(vertex, request)
    return message("WriteTensorboardRunDataResponse")()


@handles("TensorboardService.WriteTensorboardExperimentData")
async def write_tensorboard_experiment_data(vertex: Vertex, request: Any) -> Any:
    """Stores data points of the time series of several runs."""
    for run_request in request.write_run_data_requests:
        _write(vertex, run_request)
    return message("WriteTensorboardExperimentDataResponse")()


@handles("TensorboardService.BatchReadTensorboardTimeSeriesData")
async def batch_read_tensorboard_time_series_data(vertex: Vertex, request: Any) -> Any:
    """The data of several time series of a tensorboard."""
    return message("BatchReadTensorboardTimeSeriesDataResponse")(
        time_series_data=[_data(vertex, name, _read(vertex, name)) for name in request.time_series]
    )


@handles("TensorboardService.ReadTensorboardTimeSeriesData")
async def read_tensorboard_time_series_data(vertex: Vertex, request: Any) -> Any:
    """The data of a time series, thinned out evenly to the wanted number of points."""
    wanted = parse_filter(request.filter)
    points = [point for point in _read(vertex, request.tensorboard_time_series) if wanted(to_dict(point))]
    points = _thinned(points, request.max_data_points or _DEFAULT_POINTS)
    data = _data(vertex, request.tensorboard_time_series, points)
    return message("ReadTensorboardTimeSeriesDataResponse")(time_series_data=data)


def _keep_one_default(vertex: Vertex, tensorboard: Any) -> None:
    if not tensorboard.is_default:
        return
    for other in vertex.store.list(tensorboard.name.rsplit("/", 2)[0], "Tensorboard"):
        if other.is_default and other.name != tensorboard.name:
            other.is_default = False
            vertex.store.save(other)


def _write(vertex: Vertex, request: Any) -> None:
    written = [(_series(vertex, request.tensorboard_run, data), data.values) for data in request.time_series_data]
    if sum(len(values) for _, values in written) > _MAXIMUM_POINTS_PER_WRITE:
        raise invalid(f"A request may write up to {_MAXIMUM_POINTS_PER_WRITE} data points.")
    for series, values in written:
        for point in values:
            vertex.store.remember(_POINT, f"{series.name}|{point.step:020d}", json.dumps(to_dict(point)))
            series.metadata.max_step = max(series.metadata.max_step, point.step)
            if point.wall_time.ToNanoseconds() > series.metadata.max_wall_time.ToNanoseconds():
                series.metadata.max_wall_time.CopyFrom(point.wall_time)
        vertex.store.save(series)


def _series(vertex: Vertex, run: str, data: Any) -> Any:
    """The time series that data is for."""
    series = vertex.store.get(f"{run}/timeSeries/{data.tensorboard_time_series_id}")
    if data.value_type != series.value_type:
        raise invalid(f"value_type of the data is not the one of {series.name}.")
    return series


def _read(vertex: Vertex, series: str) -> list[Any]:
    """The points of a time series, by step."""
    stored = vertex.store.facts(_POINT, f"{series}|").values()
    return [from_dict(json.loads(point), message("TimeSeriesDataPoint")()) for point in stored]


def _data(vertex: Vertex, name: str, points: list[Any]) -> Any:
    series = vertex.store.get(name)
    return message("TimeSeriesData")(
        tensorboard_time_series_id=name.rsplit("/", 1)[1], value_type=series.value_type, values=points
    )


def _thinned(points: list[Any], maximum: int) -> list[Any]:
    """At most so many points, evenly chosen, the first and the last one among them."""
    if maximum == _ALL_POINTS or len(points) <= maximum:
        return points
    last = len(points) - 1
    return [points[round(index * last / max(1, maximum - 1))] for index in range(maximum)]
