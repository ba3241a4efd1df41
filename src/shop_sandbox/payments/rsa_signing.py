"""RSA with SHA-256 (PKCS#1 v1.5), base64: how both providers sign."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def sign(key: rsa.RSAPrivateKey, raw: bytes) -> str:
    """The base64 signature of these bytes."""
    return base64.b64encode(key.sign(raw, padding.PKCS1v15(), hashes.SHA256())).decode()


def verify(key: rsa.RSAPublicKey, raw: bytes, signature: str) -> bool:
    """Whether the base64 signature is valid for these bytes; SHA-256 only."""
    try:
        decoded = base64.b64decode(signature, validate=True)
        key.verify(decoded, raw, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
