"""RSA keys and certificates in the files of providers' tools, not all of which `cryptography` can read.

PEM or bare base64; PKCS#8 or PKCS#1, SubjectPublicKeyInfo or PKCS#1; with or without line breaks, CRLF,
spaces, a byte order mark. Errors never contain any of the file.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

MAX_BYTES = 64 * 1024
MIN_BITS = 2048
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_private = partial(load_der_private_key, password=None)
_ENCRYPTED = "is encrypted; remove its password, since the service can't prompt for one"


class BadKeyFile(ValueError):
    """The message says what is wrong and contains none of the file's content."""


def read(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a file, which must not be empty. Raises BadKeyFile."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadKeyFile("is not a file")
        with path.open("rb") as opened:
            content = opened.read(max_bytes + 1)
    except FileNotFoundError:
        raise BadKeyFile("there is no such file") from None
    except (OSError, ValueError) as failed:
        if isinstance(failed, BadKeyFile):
            raise
        why = getattr(failed, "strerror", None) or "the name can't be used"
        raise BadKeyFile(f"can't be read: {why}") from None
    if not content.strip():
        raise BadKeyFile("is empty")
    if len(content) > max_bytes:
        raise BadKeyFile("is too large")
    return content


def private_key(path: Path) -> RSAPrivateKey:
    """Return the private key in a file. Raises BadKeyFile."""
    key: RSAPrivateKey = _rsa_key(path, RSAPrivateKey)
    return key


def public_key(path: Path) -> RSAPublicKey:
    """Return the public key in a file. Raises BadKeyFile."""
    key: RSAPublicKey = _rsa_key(path, RSAPublicKey)
    return key


def certificates(path: Path) -> list[x509.Certificate]:
    """Return the certificates in a file, PEM or one in DER; at least one. Raises BadKeyFile."""
    content = read(path)
    try:
        if content[:1] == b"\x30":
            return [x509.load_der_x509_certificate(content)]
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise BadKeyFile("contains no readable certificate") from None


def certificate_key(certificate: x509.Certificate) -> RSAPublicKey:
    """Return the public key in a certificate. Raises BadKeyFile."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey):
        raise BadKeyFile("contains no RSA key")
    _check_length(key)
    return key


def is_pair(private: RSAPrivateKey, public: object) -> bool:
    """Return whether the public key is the private key's other half."""
    return (
        isinstance(public, RSAPublicKey) and private.public_key().public_numbers() == public.public_numbers()
    )


def _check_length(key: RSAPrivateKey | RSAPublicKey) -> None:
    if key.key_size < MIN_BITS:
        raise BadKeyFile(f"contains a key of {key.key_size} bits: at least {MIN_BITS} are required")


def _rsa_key(path: Path, key_type: Any) -> Any:
    is_private = key_type is RSAPrivateKey
    load, load_other = (_private, load_der_public_key) if is_private else (load_der_public_key, _private)
    der, label = _der(read(path), "PRIVATE" if is_private else "PUBLIC")
    key = _load_or_none(load, der)
    if key is None and is_private and _load_or_none(load_other, der):
        raise BadKeyFile("contains a public key instead of the private key")
    if key is None and not is_private and ("PRIVATE" in label or _load_or_none(load_other, der)):
        raise BadKeyFile("contains a private key instead of the provider's public key")
    if key is None:
        raise BadKeyFile(_content(der, label))
    if not isinstance(key, key_type):
        raise BadKeyFile("contains no RSA key")
    _check_length(key)
    return key


def _der(content: bytes, wanted: str) -> tuple[bytes, str]:
    """Return the key's DER and PEM label; of several blocks, the first `wanted` one."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if content[:1] == b"\x30":
            return content, ""
        raise BadKeyFile("is not a key: neither PEM nor base64") from None
    blocks = [(found[1], found[2]) for found in _BLOCK.finditer(text)]
    label, body = next((one for one in blocks if wanted in one[0]), blocks[0] if blocks else ("", text))
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise BadKeyFile(_ENCRYPTED)
    if not blocks and "-----" in text:
        raise BadKeyFile("is incomplete: its BEGIN and END lines do not match")
    bare = "".join(body.split()).strip("\"'\x00").rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True), label
    except (binascii.Error, ValueError):
        raise BadKeyFile("is not a key: neither PEM nor base64") from None


def _load_or_none(load: Callable[[bytes], object], der: bytes) -> object | None:
    try:
        return load(der)
    except TypeError:
        raise BadKeyFile(_ENCRYPTED) from None
    except UnsupportedAlgorithm:
        return der  # a key of an unknown type
    except ValueError:
        return None


def _content(der: bytes, label: str) -> str:
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return f"contains a {label.lower()} that can't be read" if label else "contains no readable key"
    return "contains a certificate instead of a key"
