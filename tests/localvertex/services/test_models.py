"""The Model Registry through Google's clients."""

import asyncio
import uuid
from pathlib import Path

import pytest
from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from google.cloud import aiplatform
from google.cloud.aiplatform_v1 import Model, ModelEvaluation, ModelServiceClient
from google.protobuf import field_mask_pb2, struct_pb2

from seatrial.localvertex.api import from_dict, message
from seatrial.localvertex.services.models import upload_model
from seatrial.localvertex.store import Store
from seatrial.localvertex.vertex import Vertex

PARENT = "projects/local-project/locations/us-central1"


@pytest.fixture(autouse=True)
def _sdk(vertex: object) -> None:
    aiplatform.init(project="local-project", location="us-central1")


@pytest.fixture
def client(vertex: object) -> ModelServiceClient:
    return ModelServiceClient(client_options={"api_endpoint": "us-central1-aiplatform.googleapis.com"})


def upload(display_name: str = "classifier", **arguments: object) -> aiplatform.Model:
    return aiplatform.Model.upload(
        display_name=display_name, serving_container_image_uri="registry/image:tag", **arguments
    )


def upload_version(parent: aiplatform.Model, **arguments: object) -> aiplatform.Model:
    return upload(parent_model=parent.resource_name, **arguments)


def registry(model: aiplatform.Model) -> aiplatform.models.ModelRegistry:
    return model.versioning_registry


def aliases(model: aiplatform.Model) -> dict[str, list[str]]:
    return {version.version_id: list(version.version_aliases) for version in registry(model).list_versions()}


def mask(*paths: str) -> field_mask_pb2.FieldMask:
    return field_mask_pb2.FieldMask(paths=paths)


def test_a_new_model_is_version_1_and_the_default_version():
    model = upload(artifact_uri="gs://bucket/model", labels={"team": "search"})
    assert (model.version_id, model.version_aliases) == ("1", ["default"])
    assert model.uri == "gs://bucket/model"
    assert model.labels == {"team": "search"}
    assert model.version_create_time <= model.version_update_time
    assert model.container_spec.image_uri == "registry/image:tag"
    assert model.supported_deployment_resources_types == [Model.DeploymentResourcesType.DEDICATED_RESOURCES]


def test_a_new_version_of_a_parent_model_is_the_next_one_and_the_default_stays():
    model = upload()
    second = upload_version(model, is_default_version=False, version_description="better")
    assert second.resource_name == model.resource_name
    assert (second.version_id, second.version_description) == ("2", "better")
    assert aliases(model) == {"1": ["default"], "2": []}


def test_a_new_default_version_takes_the_alias_from_the_old_one():
    model = upload()
    upload_version(model, is_default_version=True)
    assert aliases(model) == {"1": [], "2": ["default"]}
    assert aiplatform.Model(model.resource_name).version_id == "2"


def test_a_new_version_takes_its_aliases_from_the_versions_that_have_them():
    model = upload(version_aliases=["champion", "oldest"])
    upload_version(model, is_default_version=False, version_aliases=["champion"])
    assert aliases(model) == {"1": ["oldest", "default"], "2": ["champion"]}


def test_an_upload_that_breaks_off_leaves_the_aliases_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path / "vertex.sqlite")
    vertex = Vertex(tmp_path, store, None, {}, private_root=False)
    model = {"displayName": "m", "containerSpec": {"imageUri": "image"}, "versionAliases": ["champion"]}
    first = {"parent": PARENT, "modelId": "m", "model": model}
    asyncio.run(upload_model(vertex, from_dict(first, message("UploadModelRequest")())))

    def fail(resource: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(store, "create", fail)
    second = {"parent": PARENT, "parentModel": f"{PARENT}/models/m", "model": model}
    with pytest.raises(OSError, match="no space left"):
        asyncio.run(upload_model(vertex, from_dict(second, message("UploadModelRequest")())))
    assert store.get(f"{PARENT}/models/m@1").version_aliases == ["champion", "default"]
    store.close()


def test_a_model_is_copied_to_another_location_as_a_new_model():
    model = upload(artifact_uri="gs://bucket/model", version_aliases=["champion"], labels={"team": "search"})
    model_id = f"copy-{uuid.uuid4().hex}"
    copy = model.copy("europe-west4", destination_model_id=model_id)
    assert copy.resource_name == f"projects/local-project/locations/europe-west4/models/{model_id}"
    assert (copy.version_id, copy.version_aliases, copy.uri) == ("1", ["default"], model.uri)
    assert copy.labels == model.labels
    assert copy.container_spec.image_uri == model.container_spec.image_uri
    assert copy.gca_resource.original_model_info.model == f"{model.resource_name}@1"
    assert copy.gca_resource.model_source_info.copy
    with pytest.raises(AlreadyExists):
        model.copy("europe-west4", destination_model_id=model_id)


def test_a_model_is_copied_as_a_version_of_another(client: ModelServiceClient):
    model = upload(display_name="source")
    target = upload(display_name="target")
    copy = model.copy("us-central1", destination_parent_model=target.resource_name)
    assert (copy.resource_name, copy.version_id, copy.display_name) == (target.resource_name, "2", "source")
    assert aliases(target) == {"1": ["default"], "2": []}


@pytest.mark.parametrize(
    ("source", "parent_model", "error"),
    [
        ("projects/local-project/locations/us-central1/models/missing", "", NotFound),
        ("projects/other/locations/us-central1/models/missing", "", InvalidArgument),
        ("", "projects/local-project/locations/europe-west4/models/missing", InvalidArgument),
        ("", "projects/local-project/locations/us-central1/models/missing", NotFound),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused(
    client: ModelServiceClient, source: str, parent_model: str, error: type[Exception]
):
    request = {"parent": PARENT, "source_model": source or upload().resource_name, "parent_model": parent_model}
    with pytest.raises(error):
        client.copy_model(request=request)


def test_a_version_is_found_by_its_id_its_alias_and_without_either(client: ModelServiceClient):
    model = upload()
    upload_version(model, is_default_version=False, version_aliases=["challenger"])
    name = model.resource_name
    found = {suffix: client.get_model(name=name + suffix) for suffix in ("", "@1", "@2", "@challenger")}
    assert {suffix: version.version_id for suffix, version in found.items()} == {
        "": "1",
        "@1": "1",
        "@2": "2",
        "@challenger": "2",
    }
    assert {version.name for version in found.values()} == {name, f"{name}@1", f"{name}@2"}


@pytest.mark.parametrize("suffix", ["", "@7", "@nobody"])
def test_what_is_not_there_is_not_found(client: ModelServiceClient, suffix: str):
    name = f"{PARENT}/models/missing" if not suffix else upload().resource_name
    with pytest.raises(NotFound):
        client.get_model(name=name + suffix)


def test_a_version_of_a_parent_model_that_is_not_there_is_refused(client: ModelServiceClient):
    model = Model(display_name="orphan", container_spec={"image_uri": "image"})
    with pytest.raises(NotFound):
        client.upload_model(request={"parent": PARENT, "model": model, "parent_model": f"{PARENT}/models/missing"})


@pytest.mark.parametrize(
    ("model", "model_id"),
    [
        ({"container_spec": {"image_uri": "image"}}, "fine"),
        ({"display_name": "x" * 129, "container_spec": {"image_uri": "image"}}, "fine"),
        ({"display_name": "no image", "container_spec": {"command": ["python"]}}, "fine"),
        ({"display_name": "alias", "container_spec": {"image_uri": "image"}, "version_aliases": ["1st"]}, "fine"),
        ({"display_name": "alias", "container_spec": {"image_uri": "image"}, "version_aliases": ["x"]}, "fine"),
        ({"display_name": "id", "container_spec": {"image_uri": "image"}}, "1-model"),
        ({"display_name": "id", "container_spec": {"image_uri": "image"}}, "-model"),
        ({"display_name": "id", "container_spec": {"image_uri": "image"}}, "Model"),
        ({"display_name": "id", "container_spec": {"image_uri": "image"}}, "m" * 64),
    ],
)
def test_a_model_that_breaks_a_rule_is_refused(client: ModelServiceClient, model: dict, model_id: str):
    with pytest.raises(InvalidArgument):
        client.upload_model(request={"parent": PARENT, "model": model, "model_id": model_id})


def test_a_model_id_can_be_chosen_once():
    model_id = f"model_{uuid.uuid4().hex}"
    assert upload(model_id=model_id).resource_name == f"{PARENT}/models/{model_id}"
    with pytest.raises(AlreadyExists):
        upload(model_id=model_id)


def test_a_list_shows_each_model_once_as_its_default_version():
    name = f"listed {uuid.uuid4()}"
    model = upload(name)
    upload_version(model, display_name=name, is_default_version=True)
    for condition in (f'display_name="{name}"', f"model={model.name}"):
        found = aiplatform.Model.list(filter=condition)
        assert [(found.resource_name, found.version_id) for found in found] == [(model.resource_name, "2")]


def test_a_list_is_ordered_and_comes_in_pages(client: ModelServiceClient):
    label = uuid.uuid4().hex
    for name in ("b", "c", "a"):
        upload(name, labels={"page": label})
    request = {"parent": PARENT, "filter": f"labels.page={label}", "order_by": "display_name desc", "page_size": 2}
    pages = [[model.display_name for model in page.models] for page in client.list_models(request=request).pages]
    assert pages == [["c", "b"], ["a"]]


def test_aliases_are_added_moved_and_removed():
    model = upload()
    upload_version(model, is_default_version=False)
    registry(model).add_version_aliases(["champion"], version="1")
    registry(model).add_version_aliases(["champion", "latest"], version="2")
    assert aliases(model) == {"1": ["default"], "2": ["champion", "latest"]}
    registry(model).remove_version_aliases(["latest"], version="2")
    assert aliases(model) == {"1": ["default"], "2": ["champion"]}


def test_the_default_alias_is_moved_but_not_removed():
    model = upload()
    upload_version(model, is_default_version=False)
    with pytest.raises(InvalidArgument, match="default"):
        registry(model).remove_version_aliases(["default"], version="1")
    registry(model).add_version_aliases(["default"], version="2")
    assert aliases(model) == {"1": [], "2": ["default"]}


def test_adding_and_removing_an_alias_at_once_cancel_each_other_out(client: ModelServiceClient):
    model = upload(version_aliases=["stays"])
    merged = client.merge_version_aliases(name=f"{model.resource_name}@1", version_aliases=["stays", "-stays", "new"])
    assert list(merged.version_aliases) == ["stays", "default", "new"]


def test_the_number_of_a_deleted_version_is_not_used_again():
    model = upload()
    upload_version(model, is_default_version=False)
    registry(model).delete_version("2")
    assert upload_version(model, is_default_version=False).version_id == "3"


def test_the_default_version_is_not_deleted():
    model = upload()
    upload_version(model, is_default_version=False)
    with pytest.raises(FailedPrecondition, match="default"):
        registry(model).delete_version("1")


def test_a_deleted_model_is_gone_with_all_versions():
    model_id = f"model_{uuid.uuid4().hex}"
    model = upload(model_id=model_id)
    upload_version(model)
    model.delete()
    with pytest.raises(NotFound):
        aiplatform.Model(f"{model.resource_name}@2")
    assert upload(model_id=model_id).version_id == "1"


def test_an_update_of_the_model_changes_all_its_versions():
    model = upload()
    upload_version(model, is_default_version=False)
    aiplatform.Model(model.resource_name).update(display_name="renamed", description="text", labels={"a": "b"})
    for version in ("1", "2"):
        changed = registry(model).get_model(version)
        assert (changed.display_name, changed.description, changed.labels) == ("renamed", "text", {"a": "b"})


def test_an_update_of_a_version_changes_that_version():
    model = upload()
    upload_version(model, is_default_version=False)
    registry(model).update_version("2", version_description="second", labels={"of": "version"})
    assert registry(model).get_model("2").version_description == "second"
    assert registry(model).get_model("2").labels == {"of": "version"}
    assert registry(model).get_model("1").version_description == ""


@pytest.mark.parametrize(("suffix", "field"), [("", "version_description"), ("@1", "display_name")])
def test_fields_of_model_and_version_are_updated_under_their_own_names(
    client: ModelServiceClient, suffix: str, field: str
):
    with pytest.raises(FailedPrecondition):
        client.update_model(
            model=Model({"name": upload().resource_name + suffix, field: "text"}), update_mask=mask(field)
        )


@pytest.mark.parametrize("paths", [[], ["artifact_uri"], ["version_id"], ["nonsense"]])
def test_other_fields_of_a_model_are_not_updated(client: ModelServiceClient, paths: list[str]):
    with pytest.raises(InvalidArgument):
        client.update_model(
            model=Model(name=upload().resource_name, artifact_uri="gs://other"), update_mask=mask(*paths)
        )


def test_an_update_made_from_an_older_state_is_refused(client: ModelServiceClient):
    model = client.get_model(name=upload().resource_name)
    model.description = "first"
    client.update_model(model=model, update_mask=mask("description"))
    model.description = "second"
    with pytest.raises(Aborted, match="etag"):
        client.update_model(model=model, update_mask=mask("description"))


def test_evaluations_are_kept_with_the_version_they_belong_to(client: ModelServiceClient):
    model = upload()
    upload_version(model, is_default_version=False)
    metrics = struct_pb2.Value(struct_value=struct_pb2.Struct(fields={"auRoc": struct_pb2.Value(number_value=0.9)}))
    evaluation = ModelEvaluation(display_name="held out", metrics_schema_uri="gs://schema.yaml", metrics=metrics)
    imported = client.import_model_evaluation(parent=f"{model.resource_name}@2", model_evaluation=evaluation)
    assert client.get_model_evaluation(name=imported.name).metrics["auRoc"] == 0.9
    found = {
        version: [found.name for found in client.list_model_evaluations(parent=f"{model.resource_name}@{version}")]
        for version in ("1", "2")
    }
    assert found == {"1": [], "2": [imported.name]}
