"""Certificates: checked, replaced by one's own with --ca-bundle, or not looked at with --no-verify-ssl."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import NeoError

x509 = pytest.importorskip("cryptography.x509")


@pytest.fixture
def certificate(tmp_path: Path, endpoint: Any) -> str:
    """The endpoint speaks TLS with a certificate of its own; the path of that certificate."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    endpoint.server.socket = context.wrap_socket(endpoint.server.socket, server_side=True)
    endpoint.url = endpoint.url.replace("http:", "https:")
    return str(chain)


def describe(client: Any) -> Any:
    return client.call("DescribeCompilationJob", {"CompilationJobName": "job"})


def test_a_certificate_nobody_vouches_for_is_refused(
    certificate: str, client: Any, endpoint: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(NeoError, match=rf"^SSL validation failed for {endpoint.url}/ .*CERTIFICATE_VERIFY_FAILED"):
        describe(client())
    assert endpoint.requests == []


def test_ones_own_certificate_is_accepted(certificate: str, client: Any, monkeypatch: Any) -> None:
    assert describe(client(ca_bundle=certificate))
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    assert describe(client())


def test_a_bundle_that_is_not_there_is_named(certificate: str, client: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(NeoError, match=r"\[Errno 2\] No such file or directory"):
        describe(client(ca_bundle="/nonexistent.pem"))


def test_unverified_is_possible_and_warned_about(certificate: str, client: Any) -> None:
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        assert describe(client(no_verify_ssl=True, ca_bundle="/nonexistent.pem"))
