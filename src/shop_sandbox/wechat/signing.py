"""What API v3 signs and encrypts: requests, answers and notices, the buyer's calls, and AES-256-GCM."""

import base64
import re
import secrets
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shop_sandbox.payments import rsa_signing
from shop_sandbox.wechat.keys import PlatformKey

SCHEMA = "WECHATPAY2-SHA256-RSA2048"
PROBE = "WECHATPAY/SIGNTEST/"  # how the provider marks a signature that is wrong on purpose
FIELDS = ("mchid", "nonce_str", "signature", "timestamp", "serial_no")
_PAIR = re.compile(r'([a-z_]+)="([^"]*)"(?:,|$)', re.ASCII)


def authorization_fields(header: str) -> dict[str, str]:
    """The five fields of an Authorization header. Raises ValueError."""
    schema, _, text = header.strip().partition(" ")
    if schema != SCHEMA:
        raise ValueError(f"the schema must be {SCHEMA}")
    pairs = _PAIR.findall(text)
    found = dict(pairs)
    if len(pairs) != len(FIELDS) or set(found) != set(FIELDS) or len(_PAIR.sub("", text)):
        raise ValueError(f"the fields must be {', '.join(FIELDS)}")
    return found


def request_text(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """The bytes that a request signs; `target` is the path with the query, as sent."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def answer_text(timestamp: str, nonce: str, body: bytes) -> bytes:
    """The bytes that an answer or a notice signs."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def pay_text(app_id: str, timestamp: str, nonce: str, package: str) -> bytes:
    """The bytes that a JSAPI or mini-program call (`prepay_id=…`) or an app's call (the bare id) signs."""
    return f"{app_id}\n{timestamp}\n{nonce}\n{package}\n".encode()


def signed_headers(signer: PlatformKey, body: bytes, now_s: int, forgery: str = "") -> Mapping[str, str]:
    """The headers of an answer or a notice. `forgery`: `sign` or `probe`, for a signature that is wrong."""
    timestamp, nonce = str(now_s), secrets.token_hex(16)
    signature = rsa_signing.sign(signer.key, answer_text(timestamp, nonce, body + b" " * bool(forgery)))
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": PROBE + signature if forgery == "probe" else signature,
        "Wechatpay-Signature-Type": SCHEMA,
        "Wechatpay-Serial": signer.serial,
        "Request-ID": f"08{secrets.token_hex(14).upper()}-0",
    }


def encrypted(key: bytes, plain: bytes, associated: str) -> dict[str, str]:
    """The resource of a notice, or a certificate, without its type."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(key).encrypt(nonce.encode(), plain, associated.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": associated,
        "ciphertext": base64.b64encode(sealed).decode(),
    }
