"""An endpoint under a rollout: written only while the lease is ours and nobody else has changed the split.

Labels and traffic split change in one UpdateEndpoint that carries the etag of what was just read. DeployModel and
UndeployModel know no etag, so they are only used in ways that leave the split alone.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from google.api_core.exceptions import (
    Aborted,
    ClientError,
    Conflict,
    DeadlineExceeded,
    FailedPrecondition,
    GoogleAPICallError,
    NotFound,
    ServerError,
    ServiceUnavailable,
    TooManyRequests,
)
from google.api_core.operation import Operation
from google.api_core.retry import if_exception_type
from google.cloud.aiplatform_v1 import types
from google.protobuf.field_mask_pb2 import FieldMask

from ..runtime import InputError, log
from .champion import readable, version_name
from .google_api import RETRY, Clients, explained
from .lease import Lease, read_lease, write_lease
from .traffic import Split, normal

_LEASE_SECONDS = 900
_SECONDS_BETWEEN_RENEWALS = 120.0
_SECONDS_BETWEEN_LOOKS = 2.0
_WRITE_ATTEMPTS = 8
_REQUEST_TIMEOUT_SECONDS = 60.0
_UNDEPLOY_TIMEOUT_SECONDS = 1800.0
# A quota that is used up stays so for longer than a call is repeated.
_DEPLOY_RETRY = RETRY.with_predicate(if_exception_type(ServiceUnavailable, DeadlineExceeded))


class EndpointTakenError(InputError):
    """The lease is another rollout's by now: nothing on the endpoint may be touched any more."""


class ForeignSplitError(InputError):
    """Somebody else has changed the traffic split, which is respected."""


class NotReadyError(Exception):
    """Vertex AI gave up a deployment: the model never became ready to serve."""


class HeldEndpoint:
    """The endpoint as one rollout sees it.

    Args:
        clients: Of the endpoint's region.
        name: The endpoint's resource name.
        holder: Who rolls out.
        job: Id of its pipeline job.

    Attributes:
        lease: The rollout's state as last read or written.
        split: The traffic split as last read or written.
        deployed: The deployed models by id, as last read.
    """

    def __init__(self, clients: Clients, name: str, *, holder: str, job: str) -> None:
        self.name, self.holder = name, holder
        self._clients, self._job = clients, job
        self._deploying = False
        self.lease, self.split = Lease(), Split()
        self.deployed: dict[str, types.DeployedModel] = {}

    @property
    def held(self) -> bool:
        """Whether the lease was ours when last read or written."""
        return self.lease.holder == self.holder and self.lease.expires > 0

    def read(self) -> None:
        """Reads the endpoint; what it shows now is what the next write expects to find unchanged.

        Raises:
            InputError: If there is no such endpoint.
        """
        endpoint = self._get()
        self.lease, self.split = read_lease(endpoint.labels), normal(endpoint.traffic_split)

    def hold(self, split: Split, **changes: Any) -> None:
        """Writes a traffic split and takes, keeps or renews the lease.

        Args:
            split: The traffic split; empty for no traffic.
            changes: Fields of the lease to change with it.

        Raises:
            EndpointTakenError, ForeignSplitError: If the endpoint is not what it was when last read or written.
        """
        expires = int(time.time()) + _LEASE_SECONDS
        self._write(split, replace(self.lease, holder=self.holder, job=self._job, expires=expires, **changes))

    def release(self) -> None:
        """Gives the lease back.

        While Vertex AI is at work on a deployment, which cannot be stopped, the lease is left as an expired one
        instead: whoever comes next then finds out what to undeploy.
        """
        self._write(self.split, replace(self.lease, expires=1) if self._deploying else self.lease.released())

    def find(self, model_version: str) -> types.DeployedModel | None:
        """The deployed model of a registered version, `ID@VERSION`; None if it is not deployed."""
        versions = (deployed for deployed in self.deployed.values())
        return next((found for found in versions if readable(version_name(found)) == model_version), None)

    def deploy(self, deployed_model: types.DeployedModel, started: Callable[[str], None]) -> None:
        """Deploys a model without traffic and waits until it is ready; the lease is renewed meanwhile.

        A deployment that an earlier attempt of this task has begun under the same id is waited for, not repeated.

        Args:
            deployed_model: What to deploy, with its id.
            started: Called with the name of the operation.

        Raises:
            NotReadyError: If the model does not become ready.
            InputError: If Vertex AI refuses the deployment: quota, machine type, permission.
        """
        self._deploying = True
        while not self._deploy(deployed_model, started) and deployed_model.id not in self.deployed:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            self.hold(self.split)
        self._deploying = False
        self._get()

    def undeploy(self, deployed_model_id: str) -> None:
        """Undeploys a model that has no traffic, if it is deployed."""
        self._get()
        if deployed_model_id not in self.deployed:
            return
        version = readable(version_name(self.deployed[deployed_model_id]))
        try:
            operation = self._clients.endpoints.undeploy_model(
                endpoint=self.name, deployed_model_id=deployed_model_id, retry=RETRY
            )
            operation.result(timeout=_UNDEPLOY_TIMEOUT_SECONDS)
        except NotFound:
            pass  # An earlier request, whose answer was lost, has done it.
        log(f"undeployed {version}")
        self._get()

    def _deploy(self, deployed_model: types.DeployedModel, started: Callable[[str], None]) -> bool:
        """Deploys and waits; False if there is a deployment under this id already, ready or not."""
        try:
            operation = self._clients.endpoints.deploy_model(
                endpoint=self.name,
                deployed_model=deployed_model,
                retry=_DEPLOY_RETRY,
                timeout=_REQUEST_TIMEOUT_SECONDS,
            )
            started(operation.operation.name)
            self._wait_for(operation)
        except Conflict:
            return False
        except NotReadyError:
            self._deploying = False
            raise
        except ClientError as error:
            self._deploying = False
            raise InputError(
                f"Vertex AI refuses to deploy {readable(deployed_model.model)} to {self.name}: {error.message} Check "
                "machine_type, the project's quota for it, and the permissions of the task's service account."
            ) from None
        return True

    def _wait_for(self, operation: Operation) -> None:
        while True:
            try:
                operation.result(timeout=_SECONDS_BETWEEN_RENEWALS)
                return
            except TimeoutError:
                self.hold(self.split)
            except (Conflict, TooManyRequests):
                raise
            except GoogleAPICallError as error:
                if operation.operation.HasField("error"):
                    raise NotReadyError(error.message) from None
                if not isinstance(error, ServerError):
                    raise
                time.sleep(_SECONDS_BETWEEN_LOOKS)  # The look at the operation failed, not the operation.

    def _get(self) -> types.Endpoint:
        with explained(f"Endpoint {self.name}"):
            endpoint = self._clients.endpoints.get_endpoint(name=self.name, retry=RETRY)
        self.deployed = {deployed.id: deployed for deployed in endpoint.deployed_models}
        return endpoint

    def _write(self, split: Split, lease: Lease) -> None:
        """Reads, compares and writes; again if the endpoint was changed in between or an answer was lost."""
        for attempt in range(_WRITE_ATTEMPTS):
            time.sleep(0.1 * (2**attempt - 1))
            endpoint = self._get()
            found_lease, found_split = read_lease(endpoint.labels), normal(endpoint.traffic_split)
            if (found_lease, found_split) == (lease, split):
                break
            self._check_unchanged(found_lease, found_split)
            change = types.Endpoint(
                name=self.name,
                etag=endpoint.etag,
                labels=write_lease(endpoint.labels, lease),
                traffic_split=split,
            )
            try:
                self._clients.endpoints.update_endpoint(
                    endpoint=change,
                    update_mask=FieldMask(paths=["labels", "traffic_split"]),
                    timeout=_REQUEST_TIMEOUT_SECONDS,
                )
                break
            except (Aborted, FailedPrecondition, TooManyRequests, ServerError):
                if attempt == _WRITE_ATTEMPTS - 1:
                    raise
        self.lease, self.split = lease, split

    def _check_unchanged(self, found_lease: Lease, found_split: Split) -> None:
        if found_lease != self.lease:
            raise EndpointTakenError(
                f"Endpoint {self.name} was taken over during the rollout: its labels name {found_lease.holder!r} as "
                f"holder; expected {self.lease.holder!r}. This rollout stops and leaves the endpoint as it is; start "
                "it again when the other is over."
            )
        if found_split != self.split:
            raise ForeignSplitError(
                f"The traffic split of endpoint {self.name} was changed by somebody else during the rollout: found "
                f"{found_split}, expected {self.split}. The rollout stops and leaves the split as it is; start it "
                "again when the endpoint is not changed by hand."
            )
