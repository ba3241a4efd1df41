"""Signatures and encryption of WeChat Pay's API v3."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shop_order.domain.errors import SignatureInvalid
from shop_order.pkg.rsa_sha256 import is_signed_by, sign

SCHEMA = "WECHATPAY2-SHA256-RSA2048"
WINDOW_S = 300  # a timestamp this far from now is refused
API_V3_KEY_BYTES = 32
_ALGORITHM = "AEAD_AES_256_GCM"
_TIMESTAMP = re.compile(r"\d{10,11}", re.ASCII)


def lines(*values: str) -> bytes:
    """Return the text that is signed: every value ends with a line feed."""
    return "".join(f"{value}\n" for value in values).encode()


def authorization(
    key: RSAPrivateKey,
    *,
    mch_id: str,
    serial_no: str,
    method: str,
    target: str,
    timestamp_s: int,
    nonce: str,
    body: str,
) -> str:
    """Return the header that signs a request; `target` is its path with the query."""
    signature = sign(key, lines(method, target, str(timestamp_s), nonce, body))
    return (
        f'{SCHEMA} mchid="{mch_id}",nonce_str="{nonce}",signature="{signature}",'
        f'timestamp="{timestamp_s}",serial_no="{serial_no}"'
    )


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of an answer or a notice, from its headers."""

    serial: str  # of a platform certificate, or the id of the public key
    timestamp: str
    nonce: str
    value: str

    @classmethod
    def of(cls, headers: Mapping[str, str], now_ms: int) -> Signature:
        """Read the headers, named in lower case. Raises SignatureInvalid, also outside the window."""
        serial, timestamp, nonce, value = (
            headers.get(f"wechatpay-{name}", "") for name in ("serial", "timestamp", "nonce", "signature")
        )
        if not (serial and nonce and value and _TIMESTAMP.fullmatch(timestamp)):
            raise SignatureInvalid("notice")
        if abs(now_ms - int(timestamp) * 1000) >= WINDOW_S * 1000:
            raise SignatureInvalid("notice")
        return cls(serial, timestamp, nonce, value)

    def check(self, key: RSAPublicKey, body: bytes) -> None:
        """Check that the key signed exactly these bytes. Raises SignatureInvalid."""
        if not is_signed_by(key, lines(self.timestamp, self.nonce) + body + b"\n", self.value):
            raise SignatureInvalid("notice")


def decrypted(api_v3_key: bytes, resource: Mapping[str, object]) -> bytes:
    """Return the plaintext of a `resource`. Raises ValueError, also if it was not encrypted with this key."""
    algorithm, ciphertext, nonce, about = (
        resource.get(name, "") for name in ("algorithm", "ciphertext", "nonce", "associated_data")
    )
    # `associated_data` may be missing, empty or null.
    if algorithm != _ALGORITHM or not (isinstance(ciphertext, str) and isinstance(nonce, str)):
        raise ValueError("not encrypted with " + _ALGORITHM)
    try:
        sealed = base64.b64decode(ciphertext, validate=True)
        return AESGCM(api_v3_key).decrypt(nonce.encode(), sealed, str(about or "").encode())
    except (InvalidTag, binascii.Error) as wrong:
        raise ValueError("can't be decrypted with the APIv3 key") from wrong
