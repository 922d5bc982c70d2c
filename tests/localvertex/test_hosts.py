"""Which host names are Google's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial.localvertex.hosts import covers_google, is_google

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
DOMAIN = st.sampled_from(["googleapis.com", "google.com", "vertexai.goog", "google.internal", "gcr.io"])


@given(st.lists(LABEL, max_size=4), DOMAIN, st.sampled_from(["", "."]), st.data())
def test_everything_below_a_domain_of_google_is_google_in_any_spelling(
    labels: list[str], domain: str, dot: str, data: st.DataObject
) -> None:
    name = ".".join([*labels, domain])
    spelling = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in name)
    assert is_google(spelling + dot)


@given(LABEL, st.sampled_from(["googleapis.com", "google.com", "google.internal", "gcr.io"]))
def test_only_whole_labels_count(label: str, domain: str) -> None:
    assert not is_google(f"{label}{domain}")
    assert not is_google(f"{domain}.{label}.example")


@pytest.mark.parametrize(
    "host", ["evilgoogleapis.com", "googleapis.com.evil.example", "googleapis.co", "pypi.org", "my-service.run.app"]
)
def test_names_of_others_are_not_googles(host: str) -> None:
    assert not is_google(host)


@pytest.mark.parametrize("host", ["metadata.google.internal", "metadata", "169.254.169.254", "[fd20:ce::254]"])
def test_the_metadata_server_is_googles(host: str) -> None:
    assert is_google(host)


@pytest.mark.parametrize(
    "pattern",
    ["*", ".googleapis.com", "*.googleapis.com", "googleapis.com:443", "com", ".goog", "metadata", "fd20:ce::254"],
)
def test_a_proxy_exception_that_covers_a_host_of_google_is_known(pattern: str) -> None:
    assert covers_google(pattern)


@pytest.mark.parametrize(
    "pattern", ["localhost", "127.0.0.1", "10.0.0.0/8", "::1", "[::1]", ".example.com", "apis.com"]
)
def test_other_proxy_exceptions_cover_none(pattern: str) -> None:
    assert not covers_google(pattern)
