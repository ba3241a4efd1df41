"""Key files as provider's tools, editors and hands leave them."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from shop_order.pkg.key_files import BadKeyFile, private_key, public_key
from tests.world.certificates import make_certificate

OURS = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())


def private(key: rsa.RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.DER, form, NoEncryption())


def public(key: rsa.RSAPublicKey, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return key.public_bytes(Encoding.DER, form)


def pem(label: str, der: bytes) -> bytes:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


SPELLINGS: dict[str, Callable[[str, bytes], bytes]] = {
    "pem": pem,
    "bare": lambda _, der: base64.b64encode(der),
    "bare, lines": lambda _, der: base64.encodebytes(der),
    "bare, CRLF and spaces": lambda _, der: b" \r\n" + base64.encodebytes(der).replace(b"\n", b"  \r\n"),
    "bare, BOM": lambda _, der: b"\xef\xbb\xbf" + base64.b64encode(der),
    "bare, UTF-16": lambda _, der: base64.b64encode(der).decode().encode("utf-16"),
    "bare, quoted": lambda _, der: b'"' + base64.b64encode(der) + b'"\n',
    "bare, no padding": lambda _, der: base64.b64encode(der).rstrip(b"="),
    "pem, CRLF and BOM": lambda label, der: b"\xef\xbb\xbf" + pem(label, der).replace(b"\n", b"\r\n"),
    "pem, one line": lambda label, der: pem(label, der).replace(b"\n", b""),
    "pem, text around": lambda label, der: b"Bag Attributes\n" + pem(label, der) + b"\nmore\n",
    "der": lambda _, der: der,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY"])
def test_a_private_key_is_read_however_it_is_written(
    tmp_path: Path, spelling: str, form: PrivateFormat, label: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(SPELLINGS[spelling](label, private(OURS, form)))
    assert private_key(file).private_numbers() == OURS.private_numbers()


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
@pytest.mark.parametrize("label", ["PUBLIC KEY", "RSA PUBLIC KEY"])
def test_a_public_key_is_read_however_it_is_written(
    tmp_path: Path, spelling: str, form: PublicFormat, label: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(SPELLINGS[spelling](label, public(OURS.public_key(), form)))
    assert public_key(file).public_numbers() == OURS.public_key().public_numbers()


def encrypted(form: PrivateFormat, encoding: Encoding) -> bytes:
    return OURS.private_bytes(encoding, form, BestAvailableEncryption(b"x"))


PRIVATE = private(OURS)
CASES: list[tuple[bytes, str, str]] = [
    (b"", "is empty", "is empty"),
    (b" \r\n\t", "is empty", "is empty"),
    (b"hello world!", "is not a key", "is not a key"),
    (b"aGVsbG8=", "contains no readable key", "contains no readable key"),
    (b"\xff\xfe\x00", "is not a key", "is not a key"),
    (b"\x80\x81", "is not a key", "is not a key"),
    (b"A" * 70_000, "too large", "too large"),
    (pem("PRIVATE KEY", PRIVATE)[:600], "is incomplete", "is incomplete"),
    (pem("PRIVATE KEY", PRIVATE[:300]), "a private key that can't be read", "contains a private key"),
    (base64.b64encode(PRIVATE)[:600], "contains no readable key", "contains no readable key"),
    (encrypted(PrivateFormat.PKCS8, Encoding.PEM), "is encrypted", "is encrypted"),
    (encrypted(PrivateFormat.TraditionalOpenSSL, Encoding.PEM), "is encrypted", "is encrypted"),
    (base64.b64encode(encrypted(PrivateFormat.PKCS8, Encoding.DER)), "is encrypted", "is encrypted"),
    (base64.b64encode(private(SHORT)), "1024 bits", "contains a private key"),
    (base64.b64encode(public(SHORT.public_key())), "contains a public key", "1024 bits"),
    (pem("PUBLIC KEY", public(OURS.public_key())), "contains a public key", ""),
    (base64.b64encode(PRIVATE), "", "contains a private key"),
    (
        CURVE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "contains no RSA key",
        "contains a private key",
    ),
    (
        CURVE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "contains a public key",
        "contains no RSA key",
    ),
]


@pytest.mark.parametrize(("content", "as_private", "as_public"), CASES)
def test_what_is_wrong_is_said_without_the_key(
    tmp_path: Path, content: bytes, as_private: str, as_public: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    for read, says in ((private_key, as_private), (public_key, as_public)):
        if not says:
            continue
        with pytest.raises(BadKeyFile, match=says) as refused:
            read(file)
        assert len(str(refused.value)) < 120
        assert "\n" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadKeyFile, match="there is no such file"):
        private_key(tmp_path / "none")
    with pytest.raises(BadKeyFile, match="is not a file"):
        public_key(tmp_path)
    with pytest.raises(BadKeyFile, match="can't be read"):
        private_key(Path("a\x00b"))
    with pytest.raises(BadKeyFile, match="can't be read: Not a directory"):
        private_key(Path("/dev/null/x"))
    with pytest.raises(BadKeyFile, match="is not a file"):
        private_key(Path("/dev/zero"))


def test_a_certificate_is_no_key(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "alipayCertPublicKey_RSA2")
    for read in (private_key, public_key):
        with pytest.raises(BadKeyFile, match="contains a certificate"):
            read(certificate)
