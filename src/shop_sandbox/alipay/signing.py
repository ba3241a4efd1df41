"""RSA2: SHA-256 with RSA, PKCS#1 v1.5, base64, over `key=value` sorted by key and joined by `&`."""

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

GBK, UTF8 = "GBK", "utf-8"
_CODECS = {"utf-8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}


def request_text(parameters: Mapping[str, str]) -> str:
    """What a request signs: everything set but `sign`; `sign_type` stays."""
    return _joined(parameters, {"sign"})


def notice_text(parameters: Mapping[str, str]) -> str:
    """What a notice or a return signs: everything set but `sign` and `sign_type`."""
    return _joined(parameters, {"sign", "sign_type"})


def codec(charset: str) -> str:
    """Python's codec for one of the provider's charsets. Raises ValueError."""
    if charset.lower() not in _CODECS:
        raise ValueError(f"charset is one of {', '.join(_CODECS)}")
    return _CODECS[charset.lower()]


def signed(key: rsa.RSAPrivateKey, text: str, charset: str = UTF8) -> str:
    """The base64 signature of the text in that charset."""
    raw = text.encode(codec(charset))
    return base64.b64encode(key.sign(raw, padding.PKCS1v15(), hashes.SHA256())).decode()


def verifies(key: rsa.RSAPublicKey, text: str, signature: str, charset: str = UTF8) -> bool:
    """Whether the base64 signature is this key's over this text in that charset; only SHA-256 counts."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, text.encode(codec(charset)), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _joined(parameters: Mapping[str, str], left_out: set[str]) -> str:
    return "&".join(
        f"{key}={value}" for key, value in sorted(parameters.items()) if value and key not in left_out
    )
