"""Signatures of payment providers: SHA256withRSA (PKCS#1 v1.5), in base64."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey


def sign(key: RSAPrivateKey, text: bytes) -> str:
    """Return the base64 signature."""
    return base64.b64encode(key.sign(text, PKCS1v15(), hashes.SHA256())).decode()


def is_signed_by(key: RSAPublicKey, text: bytes, signature: str) -> bool:
    """Return whether this is the key's SHA-256 signature of these bytes."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
