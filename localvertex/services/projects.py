"""What clients ask about projects: the id for a number, the number for an id, and permissions (all are granted)."""

from typing import Any

from ..api import message
from ..dispatcher import handles
from ..projects import remember_project
from ..vertex import Vertex


@handles("Projects.GetProject")
async def get_project(vertex: Vertex, request: Any) -> Any:
    """Any project id exists; a number does once the project is in use (the dispatcher has turned it into the id)."""
    project_id = request.name.removeprefix("projects/")
    return message("google.cloud.resourcemanager.v3.Project")(
        name=f"projects/{remember_project(vertex.store, project_id)}",
        project_id=project_id,
        display_name=project_id,
        state="ACTIVE",
    )


@handles("IAMPolicy.TestIamPermissions")
async def test_iam_permissions(vertex: Vertex, request: Any) -> Any:
    """There are no permissions to lack on one's own machine."""
    return message("google.iam.v1.TestIamPermissionsResponse")(permissions=request.permissions)
