"""RSA2: SHA-256 with RSA, PKCS#1 v1.5, base64, over `key=value` sorted by key and joined by `&`."""

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def request_text(parameters: Mapping[str, str]) -> str:
    """What a request signs: everything set but `sign`; `sign_type` stays."""
    return _joined(parameters, {"sign"})


def notice_text(parameters: Mapping[str, str]) -> str:
    """What a notice or a return signs: everything set but `sign` and `sign_type`."""
    return _joined(parameters, {"sign", "sign_type"})


def signed(key: rsa.RSAPrivateKey, text: str) -> str:
    """The base64 signature."""
    return base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def verifies(key: rsa.RSAPublicKey, text: str, signature: str) -> bool:
    """Whether the base64 signature is this key's over this text; only SHA-256 counts."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _joined(parameters: Mapping[str, str], left_out: set[str]) -> str:
    return "&".join(
        f"{key}={value}" for key, value in sorted(parameters.items()) if value and key not in left_out
    )
