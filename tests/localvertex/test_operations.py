"""Operations: that their end and their effect appear together, and what becomes of those that a killed server left."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial.localvertex import operations
from seatrial.localvertex.api import ApiError, message
from seatrial.localvertex.store import Store
from seatrial.localvertex.tasks import Tasks

ENDPOINT = "projects/p/locations/l/endpoints/1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "vertex.sqlite")
    yield store
    store.close()


def _ended(store: Store, work: Callable[[], Any]) -> Any:
    async def run() -> Any:
        operation = operations.start(store, Tasks(), ENDPOINT, "DeployModelOperationMetadata", work())
        return await store.wait(operation.name, lambda operation: operation.done, 60)

    return asyncio.run(run())


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_operation_changes_appears_if_and_only_if_it_ends_well(store: Store, fails: bool) -> None:
    def respond() -> Any:
        store.create(message("Endpoint")(name=ENDPOINT))
        if fails:
            raise ApiError("FAILED_PRECONDITION", "too late")
        return message("DeployModelResponse")()

    async def work() -> Callable[[], Any]:
        return respond

    operation = _ended(store, work)
    assert operation.error.message == ("too late" if fails else "")
    assert (store.find(ENDPOINT) is None) == fails


def test_what_a_killed_server_left_has_failed_except_undeployments(store: Store) -> None:
    async def leave() -> list[str]:
        async def never() -> Any:
            await asyncio.Event().wait()

        tasks = Tasks()
        left = [
            operations.start(store, tasks, ENDPOINT, f"{kind}ModelOperationMetadata", never()).name
            for kind in ("Deploy", "Undeploy")
        ]
        await asyncio.sleep(0)  # they begin
        await tasks.close()
        return left

    names = asyncio.run(leave())
    operations.interrupt_unfinished(store, "stopped")
    deployed, undeployed = (store.get(name) for name in names)
    assert (deployed.done, deployed.error.message) == (True, "stopped")
    assert (undeployed.done, undeployed.WhichOneof("result")) == (True, "response")
