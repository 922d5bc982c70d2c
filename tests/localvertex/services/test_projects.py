"""Projects, as the SDK asks for them."""

import pytest
from google.api_core.exceptions import PermissionDenied
from google.cloud import aiplatform, resourcemanager
from google.cloud.aiplatform.utils import resource_manager_utils


@pytest.fixture(autouse=True)
def _sdk(vertex: object) -> None:
    aiplatform.init(project="local-project", location="us-central1")


def test_a_project_has_a_number_of_twelve_digits_and_is_found_by_it():
    number = resource_manager_utils.get_project_number("local-project")
    assert number.isdigit()
    assert len(number) == 12
    assert resource_manager_utils.get_project_id(number) == "local-project"


def test_two_projects_have_different_numbers():
    numbers = {resource_manager_utils.get_project_number(project) for project in ("first-project", "second-project")}
    assert len(numbers) == 2


def test_a_number_that_no_project_has_is_refused_as_google_refuses_it():
    with pytest.raises(PermissionDenied):
        resourcemanager.ProjectsClient().get_project(name="projects/1")


def test_resources_are_found_by_the_project_number_too():
    endpoint = aiplatform.Endpoint.create(display_name="by number")
    number = resource_manager_utils.get_project_number("local-project")
    name = endpoint.resource_name.replace("local-project", number)
    assert aiplatform.Endpoint(name).display_name == "by number"
