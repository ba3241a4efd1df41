"""TLS 1.2 and 1.3 with HTTP/2, nothing older; the development certificate."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from deploy.nginx import certificate
from tests.gateway.running import Nginx


def shaken(nginx: Nginx, version: ssl.TLSVersion, *protocols: str) -> ssl.SSLSocket:
    context = nginx.trust()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that only the server can be the one to refuse
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=5) as plain:
        return context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_todays_tls_with_http_2(nginx: Nginx, version: ssl.TLSVersion) -> None:
    with shaken(nginx, version, "h2", "http/1.1") as secured:
        assert secured.version() == version.name.replace("_", ".")
        assert secured.selected_alpn_protocol() == "h2"
        cipher = secured.cipher()
        assert cipher is not None
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_yesterdays_tls_is_refused(nginx: Nginx) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        shaken(nginx, ssl.TLSVersion.TLSv1_1)
    assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_a_certificate_is_made_once_and_renewed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, key = certificate.for_development(tmp_path)
    made = first.read_bytes()
    assert key.stat().st_mode & 0o077 == 0
    certificate.for_development(tmp_path)
    assert first.read_bytes() == made
    monkeypatch.setattr(certificate, "_RENEW_DAYS", 91)
    certificate.for_development(tmp_path)
    assert first.read_bytes() != made
    ends = x509.load_pem_x509_certificate(first.read_bytes()).not_valid_after_utc
    assert ends > datetime.now(UTC) + timedelta(days=80)
