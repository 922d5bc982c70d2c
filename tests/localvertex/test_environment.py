"""The state folder and the environment of clients."""

import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial.localvertex.certificates import Certificates
from seatrial.localvertex.environment import client_environment, home

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
BUNDLES = ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT")


@pytest.fixture(autouse=True)
def _no_configuration_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *BUNDLES,
        "HTTPLIB2_CA_CERTS",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        "no_proxy",
        "NO_PROXY",
        "no_grpc_proxy",
        "SEATRIAL_HOME",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served_home(tmp_path: Path) -> Path:
    """A state folder as a server leaves it."""
    Certificates(tmp_path)
    return tmp_path


def test_the_state_folder_is_the_configured_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "state of mine"))
    assert home() == tmp_path / "state of mine"


def test_the_state_folder_is_the_nearest_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".seatrial").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert home() == tmp_path / ".seatrial"
    (tmp_path / "a" / ".seatrial").mkdir()
    assert home() == tmp_path / "a" / ".seatrial"


def test_a_new_state_folder_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".seatrial"
    assert not home().exists()


def test_every_way_to_name_a_proxy_leads_to_the_port(served_home: Path) -> None:
    environment = client_environment(served_home, 4321)
    names = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "SEATRIAL_LOCAL_VERTEX")
    assert {environment[name] for name in names} == {"http://127.0.0.1:4321"}


def test_proxy_exceptions_of_the_user_stay_unless_they_lead_past_it(
    served_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "localhost, .example.com,.googleapis.com,169.254.169.254")
    monkeypatch.setenv("NO_PROXY", "10.0.0.1,*")
    environment = client_environment(served_home, 1)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        assert environment[name] == "localhost,127.0.0.1,.example.com,10.0.0.1"


def test_the_bundle_holds_our_authority_and_those_that_the_user_trusts_each_once(
    served_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in zip(BUNDLES, ("AA==", "BB==", "AA==", "CC==", "DD=="), strict=True):
        (tmp_path / name).write_text("# a comment\n" + CERTIFICATE.format(content))
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HTTPLIB2_CA_CERTS", str(tmp_path / "is not there"))
    environment = client_environment(served_home, 1)
    bundle = Path(environment["SSL_CERT_FILE"]).read_text()
    assert [bundle.count(CERTIFICATE.format(content)) for content in ("AA==", "BB==", "CC==", "DD==")] == [1, 1, 1, 1]
    assert "PRIVATE KEY" not in bundle
    assert {environment[name] for name in BUNDLES if name != "PIP_CERT"} == {environment["SSL_CERT_FILE"]}


def test_the_bundle_can_be_loaded_and_has_the_public_authorities(served_home: Path) -> None:
    context = ssl.create_default_context(cafile=client_environment(served_home, 1)["SSL_CERT_FILE"])
    names = {dict(part[0] for part in each["subject"]).get("commonName") for each in context.get_ca_certs()}
    assert "Local Vertex AI of seatrial" in names
    assert len(names) > 50


def test_the_bundle_of_one_user_is_not_overwritten_for_another(
    served_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client_environment(served_home, 1)["SSL_CERT_FILE"]
    before = Path(first).read_bytes()
    (tmp_path / "mine.pem").write_text(CERTIFICATE.format("AA=="))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mine.pem"))
    assert client_environment(served_home, 1)["SSL_CERT_FILE"] != first
    assert Path(first).read_bytes() == before


def test_an_environment_made_within_the_environment_is_the_same(
    served_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = client_environment(served_home, 1)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert client_environment(served_home, 1) == environment


def test_gcloud_and_gsutil_find_the_authority_the_project_and_the_credentials(served_home: Path) -> None:
    environment = client_environment(served_home, 1)
    assert environment["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE"] == environment["SSL_CERT_FILE"]
    assert environment["CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"] == environment["GOOGLE_APPLICATION_CREDENTIALS"]
    assert environment["CLOUDSDK_CORE_PROJECT"] == "local-project"


def test_credentials_are_private_and_keep_their_key_when_the_port_changes(served_home: Path) -> None:
    contents = []
    for port in (1111, 2222):
        path = Path(client_environment(served_home, port)["GOOGLE_APPLICATION_CREDENTIALS"])
        contents.append(json.loads(path.read_text()))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [content.pop("token_uri") for content in contents] == [
        "http://127.0.0.1:1111/token",
        "http://127.0.0.1:2222/token",
    ]
    assert contents[0] == contents[1]


CLIENT = """
import google.auth, google.auth.compute_engine._metadata as metadata, socket
from google.auth.transport.requests import Request
connected = []
connect = socket.socket.connect
socket.socket.connect = lambda self, address: (connected.append(address), connect(self, address))[1]
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
print(project, credentials.service_account_email, credentials.universe_domain)
print(metadata.is_on_gce(Request()), connected)
"""


def test_google_auth_finds_the_credentials_and_contacts_no_metadata_server(served_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env={**os.environ, **client_environment(served_home, 1)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "local-project local@local-project.iam.gserviceaccount.com googleapis.com",
        "False []",
    ]
