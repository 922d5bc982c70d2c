"""What serves today, found by display names; and how the aliases move."""

import os

import pytest
from google.cloud.aiplatform_v1 import types

from seatrial.components.deployment.champion import champion_of, crown, look_up, readable
from seatrial.components.runtime import InputError

from .conftest import PARENT

PROJECT, LOCATION = "local-project", "us-central1"


def test_nothing_is_found_where_nothing_is(vertex):
    name = f"no such {os.urandom(4).hex()}"

    serving = look_up(PROJECT, LOCATION, name, name)

    assert (serving.endpoint_name, serving.model_name, serving.champion) == (None, None, None)


def test_an_endpoint_without_models_has_no_champion(registry):
    serving = look_up(PROJECT, LOCATION, registry.read().display_name, "no such model")

    assert serving.endpoint_name == registry.endpoint
    assert serving.champion is None


def test_the_champion_is_found_with_its_model_folder_and_traffic(registry, serving):
    model = serving("good")

    found = look_up(PROJECT, LOCATION, registry.read().display_name, registry.display_name)

    assert found.model_name == registry.model
    assert found.champion.version_name == model
    assert found.champion.artifact_uri == "gs://models/reviews"
    assert found.champion.traffic_split == {readable(model): 100}


def test_a_champion_without_a_model_folder_is_refused_by_name(registry):
    model = registry.upload("good", artifact_uri="")
    registry.deploy(model)

    with pytest.raises(InputError, match=f"{readable(model)} .* has no model folder"):
        look_up(PROJECT, LOCATION, registry.read().display_name, registry.display_name)


def test_the_alias_tells_the_champion_among_several_models(registry):
    first, second = registry.upload("good"), registry.upload("good")
    registry.deploy(first)
    registry.deploy(second, percent=10)
    registry.clients.models.merge_version_aliases(name=second, version_aliases=["champion"])

    champion = champion_of(registry.read().deployed_models, dict(registry.read().traffic_split), registry.clients)

    assert champion.model_version_id == "2"


def test_without_the_alias_the_model_with_the_most_traffic_is_the_champion(registry):
    registry.deploy(registry.upload("good"))
    registry.deploy(registry.upload("good"), percent=10)

    champion = champion_of(registry.read().deployed_models, dict(registry.read().traffic_split), registry.clients)

    assert champion.model_version_id == "1"


def test_several_endpoints_of_one_name_are_refused_and_named(registry):
    name = registry.read().display_name
    other = registry.clients.endpoints.create_endpoint(parent=PARENT, endpoint=types.Endpoint(display_name=name))

    with pytest.raises(InputError, match=r"is the name of 2 resources: projects/.*, projects/") as error:
        look_up(PROJECT, LOCATION, name, "no such model")
    assert other.result().name in str(error.value)
    registry.clients.endpoints.delete_endpoint(name=other.result().name).result()


def test_a_display_name_with_quotes_is_only_a_name(registry):
    assert look_up(PROJECT, LOCATION, 'x" OR display_name!="', "no such model").endpoint_name is None


def test_a_location_that_is_no_region_is_refused():
    with pytest.raises(InputError, match="location 'mars' is no region"):
        look_up(PROJECT, "mars", "reviews", "reviews")


def test_crowning_twice_is_crowning_once(registry, serving):
    former, new = serving("good"), registry.upload("good")
    (deployed,) = registry.read().deployed_models

    for _ in range(2):
        crown(registry.clients, new, deployed)

    assert registry.aliases(new) == {"champion"}
    assert registry.aliases(former) == {"previous"}


def test_the_champion_of_another_registered_model_gives_its_alias_up(registry, serving):
    former = serving("good")
    (deployed,) = registry.read().deployed_models
    registry.model = ""
    new = registry.upload("good")

    crown(registry.clients, new, deployed)

    assert registry.aliases(new) == {"champion"}
    assert registry.aliases(former) == {"previous"}
