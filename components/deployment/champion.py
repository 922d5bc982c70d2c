"""Finds what serves today: the endpoint, the registered model, and the version that a new one has to beat."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.cloud.aiplatform_v1 import types

from ..runtime import InputError, log
from .google_api import RETRY, Clients, display_name_filter, explained
from .traffic import Split, normal

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"


@dataclass(frozen=True)
class Champion:
    """The model version that serves.

    Attributes:
        version_name: `projects/…/models/ID@VERSION`.
        artifact_uri: Its model folder.
        deployed_model_id: Under which it is deployed on the endpoint.
        traffic_split: The endpoint's traffic, `ID@VERSION` → percent.
    """

    version_name: str
    artifact_uri: str
    deployed_model_id: str
    traffic_split: dict[str, int]


@dataclass(frozen=True)
class Serving:
    """What a search by display names has found; None for what does not exist yet."""

    endpoint_name: str | None
    model_name: str | None
    champion: Champion | None


def look_up(project: str, location: str, endpoint_display_name: str, model_display_name: str) -> Serving:
    """Searches a project's region for the endpoint, the registered model and the champion.

    Args:
        project: Project id.
        location: Region.
        endpoint_display_name: Display name of the endpoint.
        model_display_name: Display name of the registered model whose versions are rolled out.

    Raises:
        InputError: If several endpoints or models bear the name, project or region do not exist, or the champion has no
            model folder.
    """
    clients = Clients(location)
    parent = f"projects/{project}/locations/{location}"
    with explained(f"Project {project!r} in region {location!r}"):
        endpoints = list(
            clients.endpoints.list_endpoints(
                request={"parent": parent, "filter": display_name_filter(endpoint_display_name)}, retry=RETRY
            )
        )
        models = list(
            clients.models.list_models(
                request={"parent": parent, "filter": display_name_filter(model_display_name)}, retry=RETRY
            )
        )
    endpoint = _only(endpoints, "endpoint_display_name", endpoint_display_name)
    model = _only(models, "model_display_name", model_display_name)
    split = normal(endpoint.traffic_split) if endpoint else {}
    deployed = champion_of(endpoint.deployed_models, split, clients) if endpoint else None
    champion = None
    if deployed is not None:
        version = get_version(clients, version_name(deployed))
        if not version.artifact_uri:
            raise InputError(
                f"The champion {readable(version_name(deployed))} of endpoint {endpoint.name} has no model folder (its "
                "artifact_uri is empty), so a new model cannot be compared with it. Take it off the endpoint, or give "
                "an endpoint_display_name of an endpoint that serves seatrial's models only."
            )
        shares = readable_split(split, endpoint.deployed_models)
        champion = Champion(version_name(deployed), version.artifact_uri, deployed.id, shares)
    log(
        f"endpoint {endpoint.name if endpoint else 'not there yet'}, "
        f"champion {readable(champion.version_name) if champion else 'none'}"
    )
    return Serving(endpoint.name if endpoint else None, model.name.split("@")[0] if model else None, champion)


def champion_of(
    deployed_models: Iterable[types.DeployedModel], split: Split, clients: Clients
) -> types.DeployedModel | None:
    """The deployed model that is the champion.

    Of the models with traffic it is the one whose registered version carries the alias `champion`, else the one with
    the most traffic; None if nothing serves.

    Args:
        deployed_models: The endpoint's deployed models.
        split: Their traffic, without zeros.
        clients: Of the models' region.
    """
    by_traffic = sorted(
        (deployed for deployed in deployed_models if deployed.id in split),
        key=lambda deployed: (-split[deployed.id], deployed.id),
    )
    for deployed in by_traffic:
        if CHAMPION in get_version(clients, version_name(deployed)).version_aliases:
            return deployed
    return by_traffic[0] if by_traffic else None


def crown(clients: Clients, new: str, former: types.DeployedModel | None) -> None:
    """Moves the alias `champion` to a new version and `previous` to the one it replaces.

    `champion` moves last, so that after a crash in between the same call ends in the same state.

    Args:
        clients: Of the models' region.
        new: `projects/…/models/ID@VERSION` of the new champion.
        former: The model that it replaces; None if it is the first.
    """
    if CHAMPION in (aliases := get_version(clients, new).version_aliases):
        return
    if former is not None:
        other_model = former.model.split("@")[0] != new.split("@")[0]  # An alias is unique within one model only.
        held = get_version(clients, version_name(former)).version_aliases
        changes = [PREVIOUS, f"-{CHAMPION}"] if other_model and CHAMPION in held else [PREVIOUS]
        clients.models.merge_version_aliases(name=version_name(former), version_aliases=changes, retry=RETRY)
    changes = [CHAMPION, f"-{CHALLENGER}"] if CHALLENGER in aliases else [CHAMPION]
    clients.models.merge_version_aliases(name=new, version_aliases=changes, retry=RETRY)


def get_version(clients: Clients, name: str) -> types.Model:
    """Reads a model version from the registry.

    Raises:
        InputError: If it is not there.
    """
    with explained(f"Model {name}"):
        return clients.models.get_model(name=name, retry=RETRY)


def version_name(deployed: types.DeployedModel) -> str:
    """`projects/…/models/ID@VERSION` of a deployed model."""
    return f"{deployed.model.split('@')[0]}@{deployed.model_version_id}"


def readable(name: str) -> str:
    """`ID@VERSION`: a model version within its project and region, however the project is written."""
    return name.rsplit("/", 1)[-1]


def readable_split(split: Split, deployed_models: Iterable[types.DeployedModel]) -> dict[str, int]:
    """A traffic split by model versions, `ID@VERSION`, instead of deployed-model ids."""
    versions = {deployed.id: readable(version_name(deployed)) for deployed in deployed_models}
    shares: Counter[str] = Counter()
    for deployed_model_id, percent in split.items():
        shares[versions.get(deployed_model_id, deployed_model_id)] += percent
    return dict(shares)


def _only(found: list[Any], parameter: str, display_name: str) -> Any:
    if len(found) > 1:
        names = ", ".join(sorted(resource.name for resource in found))
        raise InputError(
            f"{parameter} {display_name!r} is the name of {len(found)} resources: {names}. Rename all but one."
        )
    return found[0] if found else None
