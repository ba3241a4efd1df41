"""RSA keys from files as providers' tools write them, not all of which `cryptography` reads by itself.

PEM or bare base64; PKCS#8 or PKCS#1, SubjectPublicKeyInfo or PKCS#1; with or without line breaks, CRLF,
spaces, a byte order mark. An error says what is wrong with a file, and repeats nothing of it.
"""

from __future__ import annotations

import base64
import binascii
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

Loader = Callable[[bytes], object]
MAX_BYTES = 64 * 1024
MIN_BITS = 2048
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ENCRYPTED = "is encrypted: write it without a password, for the service can't be asked for one"


class BadKeyFile(ValueError):
    """The text says what is wrong with the file, and contains nothing of it."""


def read(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file that is neither missing nor empty. Raises BadKeyFile."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadKeyFile("is no file")
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
    """The private key in a file. Raises BadKeyFile."""
    wrong = "holds a public key, where the private one is needed"
    key: RSAPrivateKey = _rsa_key(path, RSAPrivateKey, "PRIVATE", (_private, load_der_public_key), wrong)
    return key


def public_key(path: Path) -> RSAPublicKey:
    """The public key in a file. Raises BadKeyFile."""
    wrong = "holds a private key, where the other side's public one is needed"
    key: RSAPublicKey = _rsa_key(path, RSAPublicKey, "PUBLIC", (load_der_public_key, _private), wrong)
    return key


def _rsa_key(path: Path, kind: Any, wanted: str, loaders: tuple[Loader, Loader], wrong: str) -> Any:
    """The key by the first of the loaders; `wrong` is the refusal of one that the second can load."""
    der, label = _der(read(path), wanted)
    key = _loaded(loaders[0], der)
    if key is None:
        if (wanted == "PUBLIC" and "PRIVATE" in label) or _loaded(loaders[1], der) is not None:
            raise BadKeyFile(wrong)
        raise BadKeyFile(_content(der, label))
    if not isinstance(key, kind):
        raise BadKeyFile("holds no RSA key")
    if key.key_size < MIN_BITS:
        raise BadKeyFile(f"holds a key of {key.key_size} bits, which is too short: at least {MIN_BITS}")
    return key


def _der(content: bytes, wanted: str) -> tuple[bytes, str]:
    """The DER of the key, and its PEM label if it has one: of several blocks the first `wanted` one."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if content[:1] == b"\x30":
            return content, ""
        raise BadKeyFile("is no key: neither PEM nor base64") from None
    blocks = [(found[1], found[2]) for found in _BLOCK.finditer(text)]
    label, body = next((one for one in blocks if wanted in one[0]), blocks[0] if blocks else ("", text))
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise BadKeyFile(_ENCRYPTED)
    if not blocks and "-----" in text:
        raise BadKeyFile("is not whole: its BEGIN and END lines do not match")
    bare = "".join(body.split()).strip("\"'\x00").rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True), label
    except (binascii.Error, ValueError):
        raise BadKeyFile("is no key: neither PEM nor base64") from None


def _private(der: bytes) -> object:
    return load_der_private_key(der, None)


def _loaded(load: Loader, der: bytes) -> object | None:
    try:
        return load(der)
    except TypeError:
        raise BadKeyFile(_ENCRYPTED) from None
    except UnsupportedAlgorithm:
        return der  # a key of an unknown kind
    except ValueError:
        return None


def _content(der: bytes, label: str) -> str:
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return f"holds a {label.lower()} that can't be read" if label else "holds no key that can be read"
    return "holds a certificate, where a key is needed"
