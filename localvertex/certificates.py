"""The certificates with which the local Vertex AI answers under Google's host names.

One authority a state folder signs a certificate for each host name that a client asks for. Nobody trusts it but the
processes that get their environment from `environment.py`.
"""

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .environment import authority_file
from .files import locked, temporary_suffix, write_private

_VALIDITY = datetime.timedelta(days=3650)
_RENEWAL_BEFORE_END = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(days=1)
_PROTOCOLS = ["h2", "http/1.1"]
_DEFAULT_HOST = "localhost"
_AUTHORITY_NAME = "Local Vertex AI of seatrial"


class Certificates:
    """Makes certificates on demand and keeps them in memory.

    Args:
        home: State folder. Its authority is made when there is none, or when the one there is about to expire.

    Attributes:
        context: Server side of a TLS connection: the certificate for the name that the client asks for, `h2` or
            `http/1.1` as it prefers.
    """

    def __init__(self, home: Path) -> None:
        self._folder = authority_file(home).parent
        self._authority_key, self._authority = _load_or_make_authority(authority_file(home))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.context = self._context_for(_DEFAULT_HOST)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
        if host is not None:
            connection.context = self._context_for(host)

    def _context_for(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(_PROTOCOLS)
            with tempfile.NamedTemporaryFile(
                dir=self._folder, suffix=temporary_suffix()
            ) as file:  # ssl reads files only
                file.write(_pem(self._key) + _pem(self._issue(host)))
                file.flush()
                context.load_cert_chain(file.name)
            self._contexts[host] = context
        return self._contexts[host]

    def _issue(self, host: str) -> x509.Certificate:
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == _DEFAULT_HOST:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        builder = (
            # Host names of dedicated endpoints are longer than a common name may be: it stays the same for all.
            _builder("Local Vertex AI", _AUTHORITY_NAME, self._key.public_key(), self._authority.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_issuer_identifier(self._authority_key), critical=False)
        )
        return builder.sign(self._authority_key, hashes.SHA256())


def _load_or_make_authority(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path.parent / "lock"):
        authority = _load_authority(path)
        if authority is None:
            authority = _make_authority()
            key, certificate = authority
            write_private(path, (_pem(key) + _pem(certificate)).decode())
    return authority


def _load_authority(path: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    """The authority on disk; None when there is none that serves for long enough."""
    try:
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (FileNotFoundError, ValueError):
        return None
    remaining = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or remaining < _RENEWAL_BEFORE_END:
        return None
    return key, certificate


def _make_authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    builder = (
        _builder(_AUTHORITY_NAME, _AUTHORITY_NAME, key.public_key(), datetime.datetime.now(datetime.UTC) + _VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(_issuer_identifier(key), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _issuer_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _pem(item: ec.EllipticCurvePrivateKey | x509.Certificate) -> bytes:
    if isinstance(item, x509.Certificate):
        return item.public_bytes(serialization.Encoding.PEM)
    return item.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
