"""Rules that the standard methods share: update masks, etags, pages."""

import pytest

from seatrial.localvertex.api import METHODS, ApiError, message
from seatrial.localvertex.verbs import apply_update, check_etag, page

Endpoint = message("Endpoint")


def test_a_mask_changes_what_it_names_and_nothing_else():
    target = Endpoint(display_name="old", description="kept", labels={"a": "1"})
    apply_update(target, Endpoint(display_name="new", description="x", labels={"b": "2"}), ["display_name", "labels"])

    assert (target.display_name, target.description, dict(target.labels)) == ("new", "kept", {"b": "2"})


def test_a_mask_reaches_into_messages():
    job = message("CustomJob")()
    job.job_spec.scheduling.disable_retries = True
    changes = message("CustomJob")()
    changes.job_spec.service_account = "x@y"
    apply_update(job, changes, ["job_spec.service_account"])

    assert job.job_spec.service_account == "x@y"
    assert job.job_spec.scheduling.disable_retries


def test_without_a_mask_all_given_fields_are_changed():
    target = Endpoint(name="n", display_name="old", description="kept")
    apply_update(target, Endpoint(name="other", display_name="new"), [])

    assert (target.name, target.display_name, target.description) == ("n", "new", "kept")


def test_an_old_etag_is_refused_and_none_is_not():
    check_etag(Endpoint(etag="b"), Endpoint())
    check_etag(Endpoint(etag="b"), Endpoint(etag="b"))
    with pytest.raises(ApiError, match="does not match") as error:
        check_etag(Endpoint(etag="b"), Endpoint(etag="a"))
    assert error.value.code.name == "ABORTED"


def test_pages_follow_one_another_without_loss():
    method = METHODS["/google.cloud.aiplatform.v1.EndpointService/ListEndpoints"]
    found = [Endpoint(name=str(number), display_name=f"e{number % 2}") for number in range(5)]
    request = method.request(filter='display_name="e0"', page_size=2, order_by="name desc")

    first = page(method, request, found)
    request.page_token = first.next_page_token
    second = page(method, request, found)

    assert [endpoint.name for endpoint in [*first.endpoints, *second.endpoints]] == ["4", "2", "0"]
    assert not second.next_page_token


@pytest.mark.parametrize("order", ["no_such_field", "display_name sideways"])
def test_an_unknown_order_is_refused(order: str):
    method = METHODS["/google.cloud.aiplatform.v1.EndpointService/ListEndpoints"]

    with pytest.raises(ApiError, match="order_by"):
        page(method, method.request(order_by=order), [])
