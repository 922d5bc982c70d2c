"""Sends held-out rows through the endpoint, as its users do, and notes which model answered what and how fast."""

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from google.api_core.exceptions import GoogleAPICallError, PermissionDenied, RetryError, Unauthenticated
from google.cloud.aiplatform_v1 import PredictionServiceClient

from ..artifacts import read_table, strings_of
from ..runtime import InputError, Progress
from .decision import Answers, Errors

_CONCURRENT_REQUESTS = 8
_REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Row:
    """A held-out row.

    Attributes:
        number: Its position in the table.
        label: The true label; None if unknown.
    """

    number: int
    text: str
    label: str | None


@dataclass(frozen=True)
class Call:
    """One prediction request.

    Attributes:
        deployed_model_id: Who answered; None if the call failed, since an error does not say whose it is.
        predicted_label: The answer; None if there was none or it holds no label.
        error: What went wrong; None if nothing did.
    """

    row: Row
    milliseconds: float
    deployed_model_id: str | None = None
    predicted_label: str | None = None
    error: str | None = None


def read_rows(table: str) -> list[Row]:
    """Reads the held-out rows, `text` and, if the table has it, `label`, in a random order that is always the same.

    Raises:
        InputError: If the table is no complete table, lacks the column `text`, is empty, or has a text that is null or
            no string.
    """
    content = read_table(table, ["text"], optional=["label"])
    if not content.num_rows:
        raise InputError(
            f"The holdout {table} has no rows; rows with a text are needed to be replayed to the endpoint."
        )
    texts = strings_of(content, "text", f"the holdout {table}", "Pass the test table of curate_text.")
    has_label = "label" in content.column_names
    labels = content["label"].cast("string").to_pylist() if has_label else [None] * len(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    return [Row(number, texts[number], labels[number]) for number in order.tolist()]


def replay(client: PredictionServiceClient, endpoint: str, rows: Iterator[Row], requests: int) -> list[Call]:
    """Sends a number of rows, several at a time, and returns what came of each.

    Args:
        client: Of the endpoint's region.
        endpoint: The endpoint's resource name.
        rows: Endless supply of rows.
        requests: How many to send.

    Raises:
        InputError: If the task may not call the endpoint.
    """
    progress = Progress(requests, "requests")
    calls = []
    pool = ThreadPoolExecutor(_CONCURRENT_REQUESTS)
    try:
        for call in pool.map(lambda row: _predict(client, endpoint, row), list(islice(rows, requests))):
            calls.append(call)
            progress.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return calls


def errors_of(calls: Collection[Call]) -> Errors:
    """Counts the calls that failed or got an unusable answer."""
    return Errors(failed=sum(call.error is not None for call in calls), requests=len(calls))


def answers_of(calls: Collection[Call], deployed_model_ids: Collection[str]) -> Answers:
    """Sums up the usable answers of some deployed models."""
    usable = [call for call in calls if call.deployed_model_id in deployed_model_ids and call.error is None]
    right = {call.row.number: call.predicted_label == call.row.label for call in usable if call.row.label is not None}
    return Answers(
        correct=sum(right.values()),
        labelled=len(right),
        latencies_ms=[call.milliseconds for call in usable],
    )


def _predict(client: PredictionServiceClient, endpoint: str, row: Row) -> Call:
    started = time.perf_counter()
    try:
        response = client.predict(
            endpoint=endpoint, instances=[{"text": row.text}], retry=None, timeout=_REQUEST_TIMEOUT_SECONDS
        )
    except (PermissionDenied, Unauthenticated) as error:
        raise InputError(
            f"Endpoint {endpoint} refuses prediction requests of this task ({error.message}). Grant the service "
            "account that runs it the role roles/aiplatform.user."
        ) from None
    except (GoogleAPICallError, RetryError) as error:
        return Call(row, _milliseconds_since(started), error=f"{type(error).__name__}: {error.message}")
    label = _label(response.predictions)
    problem = None if label is not None else "the answer holds no label"
    return Call(row, _milliseconds_since(started), response.deployed_model_id, label, problem)


def _label(predictions: Sequence[Any]) -> str | None:
    """The label in `{"predictions": [{"label": …}]}`; None if the answer is of another form."""
    try:
        label = predictions[0]["label"]
    except (IndexError, KeyError, TypeError):
        return None
    return label if isinstance(label, str) else None


def _milliseconds_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
