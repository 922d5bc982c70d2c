"""Vertex AI's clients for one region, and its answers to bad names as errors that a user understands.

The generated clients (`google.cloud.aiplatform_v1`) load in half the time that the SDK on top of them takes.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import InvalidArgument, NotFound, PermissionDenied
from google.api_core.retry import Retry
from google.cloud.aiplatform_v1 import (
    EndpointServiceClient,
    ModelServiceClient,
    PipelineServiceClient,
    PredictionServiceClient,
)

from ..runtime import InputError

# For calls that may be repeated: reads, and writes that have the same effect twice.
RETRY = Retry(initial=0.2, maximum=5.0, timeout=120.0)


@dataclass(frozen=True)
class Clients:
    """The clients of one region, each made when it is first used.

    Attributes:
        location: Region: "us-central1".
    """

    location: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+-[a-z]+[0-9]+", self.location):
            raise InputError(
                f"location {self.location!r} is no region of Google Cloud; expected 'us-central1' or such."
            )

    @property
    def host(self) -> str:
        """The region's API host."""
        return f"{self.location}-aiplatform.googleapis.com"

    @property
    def _options(self) -> ClientOptions:
        return ClientOptions(api_endpoint=self.host)

    @cached_property
    def endpoints(self) -> EndpointServiceClient:
        return EndpointServiceClient(client_options=self._options)

    @cached_property
    def models(self) -> ModelServiceClient:
        return ModelServiceClient(client_options=self._options)

    @cached_property
    def pipelines(self) -> PipelineServiceClient:
        return PipelineServiceClient(client_options=self._options)

    @cached_property
    def predictions(self) -> PredictionServiceClient:
        return PredictionServiceClient(client_options=self._options)


def location_of(resource_name: str, kind: str, origin: str) -> str:
    """The region in a resource name.

    Args:
        resource_name: `projects/P/locations/L/KIND/ID`.
        kind: The collection that it must be in: "endpoints".
        origin: The input it comes from, for the error.

    Raises:
        InputError: If it is no resource name of that kind.
    """
    match = re.fullmatch(rf"projects/[^/]+/locations/([^/]+)/{kind}/[^/]+", resource_name)
    if match is None:
        raise InputError(
            f"{origin} is {resource_name!r}, which is no resource name; expected "
            f"'projects/PROJECT/locations/REGION/{kind}/ID'."
        )
    return match.group(1)


def display_name_filter(display_name: str) -> str:
    """The list filter (https://google.aip.dev/160) for one display name."""
    return f"display_name={json.dumps(display_name, ensure_ascii=False)}"


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns Vertex AI's refusals into an `InputError` that says what was asked for.

    Args:
        what: What the block asks for: "Endpoint projects/…/endpoints/7".
    """
    try:
        yield
    except NotFound as error:
        raise InputError(f"{what} does not exist ({error.message}). Check name, project and region.") from None
    except PermissionDenied as error:
        raise InputError(
            f"{what} may not be accessed ({error.message}). Check the project's name, and grant the service account "
            "that runs the task the role roles/aiplatform.user."
        ) from None
    except InvalidArgument as error:
        raise InputError(f"{what} was refused by Vertex AI: {error.message}") from None
