"""Alipay's RSA2: SHA-256 with RSA, PKCS#1 v1.5, over sorted `key=value` joined by `&`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey


def signed_text(fields: Mapping[str, bytes], *, without: frozenset[str]) -> bytes:
    """What is signed: fields that are not empty, sorted; a request keeps `sign_type`, a notice does not."""
    return b"&".join(
        b"%b=%b" % (key.encode(), value)
        for key, value in sorted(fields.items())
        if value and key not in without
    )


def sign(key: RSAPrivateKey, text: bytes) -> str:
    """The base64 signature."""
    return base64.b64encode(key.sign(text, PKCS1v15(), hashes.SHA256())).decode()


def verifies(key: RSAPublicKey, text: bytes, signature: str) -> bool:
    """Whether the signature is the key's, over exactly these bytes, with SHA-256 and nothing else."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
