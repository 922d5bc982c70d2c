"""Certificates for Google's host names, checked by TLS clients."""

import contextlib
import datetime
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from seatrial.localvertex.certificates import Certificates
from seatrial.localvertex.environment import authority_file

HOSTS = [
    "us-central1-aiplatform.googleapis.com",
    "storage.googleapis.com",
    "1234567890123456789.northamerica-northeast1-123456789012.prediction.vertexai.goog",
    "localhost",
]


def handshake(certificates: Certificates, client: ssl.SSLContext, host: str | None) -> ssl.SSLSocket:
    """Connects a client to a server that has the certificates, and returns the client's end."""
    here, there = socket.socketpair()
    server = threading.Thread(target=lambda: certificates.context.wrap_socket(there, server_side=True).close())
    server.start()
    try:
        return client.wrap_socket(here, server_hostname=host)
    finally:
        server.join()


def client_of(home: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=certificate_of(home).public_bytes(serialization.Encoding.PEM).decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


def certificate_of(home: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority_file(home).read_bytes())


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_that_trusts_the_authority_accepts_the_certificate_of_any_host(tmp_path: Path, host: str) -> None:
    certificates = Certificates(tmp_path)
    with handshake(certificates, client_of(tmp_path), host) as connection:
        assert ("DNS", host) in connection.getpeercert()["subjectAltName"]


def test_an_address_of_this_machine_is_certified_too(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    handshake(certificates, client_of(tmp_path), "127.0.0.1").close()


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2"], "h2"), (["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)]
)
def test_the_protocol_is_agreed_on_under_every_name(tmp_path: Path, offered: list[str], chosen: str | None) -> None:
    certificates = Certificates(tmp_path)
    for host in HOSTS:
        client = client_of(tmp_path)
        if offered:
            client.set_alpn_protocols(offered)
        with handshake(certificates, client, host) as connection:
            assert connection.selected_alpn_protocol() == chosen


def test_a_client_that_does_not_know_the_authority_refuses(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    here, there = socket.socketpair()

    def serve() -> None:
        with pytest.raises(ssl.SSLError), there:
            certificates.context.wrap_socket(there, server_side=True)

    server = threading.Thread(target=serve)
    server.start()
    with here, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(here, server_hostname=HOSTS[0])
    server.join()


def test_the_authority_outlives_the_process_and_is_private(tmp_path: Path) -> None:
    Certificates(tmp_path)
    before = authority_file(tmp_path).read_bytes()
    Certificates(tmp_path)
    assert authority_file(tmp_path).read_bytes() == before
    assert stat.S_IMODE(authority_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(authority_file(tmp_path).parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in authority_file(tmp_path).parent.iterdir()) == ["authority.pem", "lock"]


RACER = """
import pathlib, sys
from seatrial.localvertex.certificates import Certificates
print("ready", flush=True)
sys.stdin.readline()
print(Certificates(pathlib.Path(sys.argv[1]))._authority.serial_number)
"""


def test_processes_that_start_at_once_agree_on_one_authority(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    with contextlib.ExitStack() as stack:
        for racer in racers:
            stack.enter_context(racer)
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        serials = [racer.communicate()[0] for racer in racers]
    assert serials == [f"{certificate_of(tmp_path).serial_number}\n"] * len(racers)


def _write_authority(home: Path, end: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(end - datetime.timedelta(days=3650))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority_file(home).parent.mkdir()
    authority_file(home).write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


def test_an_authority_that_is_about_to_expire_is_replaced(tmp_path: Path) -> None:
    _write_authority(tmp_path, datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30))
    certificates = Certificates(tmp_path)
    assert certificate_of(tmp_path).serial_number != 1
    handshake(certificates, client_of(tmp_path), HOSTS[0]).close()


@pytest.mark.parametrize("content", ["", "no certificate\n"])
def test_an_authority_that_cannot_be_read_is_replaced(tmp_path: Path, content: str) -> None:
    authority_file(tmp_path).parent.mkdir()
    authority_file(tmp_path).write_text(content)
    handshake(Certificates(tmp_path), client_of(tmp_path), HOSTS[0]).close()
