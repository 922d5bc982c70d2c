"""The state folder, and the environment in which Google's clients reach the local Vertex AI.

gRPC and requests send what they have for Google's hosts through the proxy that their environment names; with our
authority among the trusted ones, that proxy can be the local Vertex AI. Nothing else about the clients changes.
"""

import hashlib
import json
import os
import re
import ssl
from pathlib import Path

from .files import locked, write_private
from .hosts import covers_google
from .names import DEFAULT_PROJECT

HOME_VARIABLE = "SEATRIAL_HOME"
MARKER_VARIABLE = "SEATRIAL_LOCAL_VERTEX"
# gRPC prefers grpc_proxy and no_grpc_proxy to the others and knows no upper case.
PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
# Read by: gRPC; requests; Python's ssl, httpx and curl; curl and requests; httplib2 of Google's API client; gcloud.
_BUNDLE_VARIABLES = (
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def home() -> Path:
    """The state folder: `$SEATRIAL_HOME`, else the nearest `.seatrial` here or above, else a new one here."""
    if configured := os.environ.get(HOME_VARIABLE):
        return Path(configured).expanduser().absolute()
    here = Path.cwd()
    candidates = [folder / ".seatrial" for folder in (here, *here.parents)]
    return next((folder for folder in candidates if folder.is_dir()), candidates[0])


def buckets_folder(home: Path) -> Path:
    """The folder whose subfolders are the buckets of Cloud Storage."""
    return home / "buckets"


def logs_folder(home: Path) -> Path:
    """The folder with the logs of tasks, a subfolder per job."""
    return home / "logs"


def authority_file(home: Path) -> Path:
    """The file with the key and the certificate of a state folder's authority."""
    return home / "tls" / "authority.pem"


def client_environment(home: Path, port: int) -> dict[str, str]:
    """The variables with which any program's Google clients reach the local Vertex AI.

    Args:
        home: State folder of a server that has been started.
        port: The port that it listens on.

    Returns:
        Variables to set. What the user's own ones say of other hosts (certificates, proxy exceptions) stays true.
    """
    url = f"http://127.0.0.1:{port}"
    bundle, credentials = str(_bundle(home)), str(_credentials(home, url))
    return {
        **dict.fromkeys(PROXY_VARIABLES, url),
        **dict.fromkeys(_NO_PROXY_VARIABLES, _proxy_exceptions()),
        **dict.fromkeys(_BUNDLE_VARIABLES, bundle),
        "GOOGLE_APPLICATION_CREDENTIALS": credentials,
        "GOOGLE_CLOUD_PROJECT": DEFAULT_PROJECT,
        # What gcloud and gsutil read instead.
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": credentials,
        "CLOUDSDK_CORE_PROJECT": DEFAULT_PROJECT,
        # Clients neither wait for the metadata server of Compute Engine nor show a client certificate of the user.
        "NO_GCE_CHECK": "true",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
        MARKER_VARIABLE: url,
    }


def _proxy_exceptions() -> str:
    """This machine and what the user excepted, without Google's hosts: those must not be reached directly."""
    configured = ",".join(os.environ.get(name, "") for name in _NO_PROXY_VARIABLES)
    entries = [entry.strip() for entry in configured.split(",")]
    kept = [entry for entry in entries if entry and not covers_google(entry)]
    return ",".join(dict.fromkeys(["localhost", "127.0.0.1", *kept]))


def _bundle(home: Path) -> Path:
    """The trusted authorities: ours, the system's and the user's, each once.

    The file is named after its content, so that users with other authorities do not overwrite it for each other.
    """
    import certifi

    files = [
        str(authority_file(home)),
        certifi.where(),
        ssl.get_default_verify_paths().openssl_cafile,
        *(os.environ.get(name, "") for name in (*_BUNDLE_VARIABLES, "PIP_CERT")),
    ]
    certificates = [
        certificate
        for file in dict.fromkeys(files)
        if Path(file).is_file()
        for certificate in _CERTIFICATE.findall(Path(file).read_bytes())
    ]
    content = b"\n".join(dict.fromkeys(certificates)) + b"\n"
    path = authority_file(home).with_name(f"ca-{hashlib.sha256(content).hexdigest()[:12]}.pem")
    if not path.exists():
        write_private(path, content.decode())
    return path


def _credentials(home: Path, url: str) -> Path:
    """A service account's key file whose tokens the local server issues. The key is made once."""
    path = home / "credentials.json"
    with locked(home / "credentials.lock"):
        content = json.loads(path.read_text()) if path.exists() else _new_credentials()
        if content.get("token_uri") != f"{url}/token":
            write_private(path, json.dumps({**content, "token_uri": f"{url}/token"}, indent=1))
    return path


def _new_credentials() -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": DEFAULT_PROJECT,
        "private_key_id": "local",
        "private_key": key.decode(),
        "client_email": f"local@{DEFAULT_PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "universe_domain": "googleapis.com",
    }
