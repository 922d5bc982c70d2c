"""The store: resources that survive the process, with etags and times."""

import asyncio

import pytest

from seatrial.localvertex.api import ApiError, message
from seatrial.localvertex.store import Store

PARENT = "projects/p/locations/l"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "vertex.sqlite")
    yield store
    store.close()


def endpoint(identifier, **fields):
    return message("Endpoint")(name=f"{PARENT}/endpoints/{identifier}", **fields)


def test_a_created_resource_has_its_time_and_etag(store):
    created = store.create(endpoint("1", display_name="a"))

    assert created.create_time.seconds > 0
    assert created.etag
    assert store.get(created.name) == created


def test_a_name_is_taken_once(store):
    store.create(endpoint("1"))

    with pytest.raises(ApiError, match="already exists") as error:
        store.create(endpoint("1"))
    assert error.value.code.name == "ALREADY_EXISTS"


def test_saving_changes_the_etag_and_keeps_the_creation_time(store):
    created = store.create(endpoint("1"))
    copy = store.get(created.name)
    copy.display_name = "new"
    saved = store.save(copy)

    assert saved.etag != created.etag
    assert saved.create_time == created.create_time
    assert store.get(created.name).display_name == "new"


def test_what_get_returns_is_a_copy(store):
    store.create(endpoint("1", display_name="a"))
    store.get(f"{PARENT}/endpoints/1").display_name = "changed"

    assert store.get(f"{PARENT}/endpoints/1").display_name == "a"


def test_a_missing_resource_is_not_found(store):
    with pytest.raises(ApiError, match="was not found") as error:
        store.get(f"{PARENT}/endpoints/9")
    assert error.value.code.name == "NOT_FOUND"


def test_deleting_removes_what_is_below_and_nothing_beside(store):
    store.create(endpoint("1"))
    store.create(endpoint("12"))
    store.create(message("Model")(name=f"{PARENT}/endpoints/1/models/5"))
    store.delete(f"{PARENT}/endpoints/1")

    assert store.find(f"{PARENT}/endpoints/1/models/5") is None
    assert store.find(f"{PARENT}/endpoints/12") is not None


def test_lists_hold_one_type_below_one_parent_in_order_of_creation(store):
    for identifier in ("3", "1", "2"):
        store.create(endpoint(identifier))
    store.create(message("Endpoint")(name="projects/other/locations/l/endpoints/4"))
    store.create(message("Model")(name=f"{PARENT}/models/5"))

    assert [found.name[-1] for found in store.list(PARENT, "Endpoint")] == ["3", "1", "2"]
    assert [found.name[-1] for found in store.list("projects/-/locations/l", "Endpoint")] == ["3", "1", "2", "4"]


def test_everything_is_there_after_a_restart(store, tmp_path):
    store.create(endpoint("1"))
    store.remember("cache", "key", "value")
    reopened = Store(tmp_path / "vertex.sqlite")

    assert reopened.get(f"{PARENT}/endpoints/1").etag
    assert reopened.recall("cache", "key") == "value"
    assert reopened.facts("cache", "k") == {"key": "value"}
    assert reopened.facts("cache", "x") == {}


def test_a_transaction_that_fails_leaves_nothing_of_what_it_wrote(store):
    store.create(endpoint("1", display_name="old"))
    with pytest.raises(KeyError), store.transaction():
        store.save(endpoint("1", display_name="new"))
        store.remember("cache", "key", "value")
        raise KeyError

    assert store.get(f"{PARENT}/endpoints/1").display_name == "old"
    assert store.recall("cache", "key") is None


def test_a_transaction_is_invisible_to_others_until_its_end_and_ends_as_a_whole(store, tmp_path):
    other = Store(tmp_path / "vertex.sqlite")
    with store.transaction():
        store.create(endpoint("1"))
        with store.transaction():
            store.create(endpoint("2"))
        assert other.list(PARENT, "Endpoint") == []

    assert len(other.list(PARENT, "Endpoint")) == 2
    other.close()


def test_waiting_ends_when_the_condition_holds_or_the_time_is_over(store):
    name = store.create(endpoint("1")).name

    async def scenario():
        waiting = asyncio.create_task(store.wait(name, lambda found: found.display_name == "ready", seconds=30))
        await asyncio.sleep(0)
        store.save(endpoint("1", display_name="ready"))
        late = await store.wait(name, lambda found: False, seconds=0.01)
        return await waiting, late

    ready, late = asyncio.run(scenario())

    assert ready.display_name == late.display_name == "ready"
