"""Projects: any project id exists; its number follows from the id (`names.project_number`)."""

from .api import ApiError
from .names import project_number
from .store import Store

_KIND = "project by number"


def remember_project(store: Store, project: str) -> str:
    """Notes that a project is in use and returns its number, which `project_id` then knows."""
    number = project_number(project)
    if store.recall(_KIND, number) is None:
        store.remember(_KIND, number, project)
    return number


def project_id(store: Store, number: str) -> str:
    """The id of a project by its number.

    Raises:
        ApiError: PERMISSION_DENIED for a number that no project in use has, as Google answers.
    """
    project = store.recall(_KIND, number)
    if project is None:
        raise ApiError("PERMISSION_DENIED", f"Permission denied on project {number} (or it may not exist).")
    return project
