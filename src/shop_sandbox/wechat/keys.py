"""The keys of merchant and WeChat Pay, created once and kept in a folder, and the merchant's ids."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shop_sandbox.payments.keys import (
    certificate,
    certificate_pem,
    created_once,
    private_key,
    public_pem,
    publish,
)

MCH_ID = "1900000001"
OFFICIAL, MINI, APP = "wx0000000000000001", "wx0000000000000002", "wx0000000000000003"
APP_IDS = (OFFICIAL, MINI, APP)
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000001"
CERTIFICATE_DAYS = 5 * 365


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key with which WeChat Pay signs: a certificate's, or the public key's (without a certificate)."""

    serial: str
    key: rsa.RSAPrivateKey
    pem: str = ""
    start_s: int = 0
    end_s: int = 0


@dataclass(frozen=True, slots=True)
class Keys:
    """What WeChat Pay knows: the merchant's certificate and secrets, and its own first two keys."""

    merchant: rsa.RSAPublicKey
    merchant_serial: str
    platform: PlatformKey
    public: PlatformKey
    api_v3_key: bytes
    mini_secret: str


def ensure_keys(keys_dir: Path) -> Keys:
    """Load the files and create those that are missing; safe with several processes.

    The merchant's side: wechat_merchant_private.pem and its certificate, wechat_public.pem (the public key of
    PUBLIC_KEY_ID), wechat_api_v3_key.txt and wechat_mini_secret.txt. The others are the provider's.
    """
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    merchant = private_key(keys_dir / "wechat_merchant_private.pem")
    platform = private_key(keys_dir / "wechat_platform_private.pem")
    public = private_key(keys_dir / "wechat_private.pem")
    publish(keys_dir / "wechat_public.pem", public_pem(public))
    merchant_certificate = _certificate(keys_dir / "wechat_merchant_cert.pem", merchant, MCH_ID)
    found = _certificate(keys_dir / "wechat_platform_cert.pem", platform, "Tenpay.com sandbox")
    api_v3_key = created_once(keys_dir / "wechat_api_v3_key.txt", lambda: secrets.token_hex(16).encode())
    mini_secret = created_once(keys_dir / "wechat_mini_secret.txt", lambda: secrets.token_hex(16).encode())
    return Keys(
        merchant.public_key(),
        serial_of(merchant_certificate),
        platform_key(platform, found),
        PlatformKey(PUBLIC_KEY_ID, public),
        api_v3_key.strip(),
        mini_secret.decode("ascii").strip(),
    )


def platform_key(key: rsa.RSAPrivateKey, made: x509.Certificate) -> PlatformKey:
    """The key of a platform certificate."""
    pem = certificate_pem(made).decode("ascii")
    span = (made.not_valid_before_utc, made.not_valid_after_utc)
    return PlatformKey(serial_of(made), key, pem, *(int(one.timestamp()) for one in span))


def serial_of(made: x509.Certificate) -> str:
    """The serial number as WeChat Pay writes it: upper-case hex."""
    return f"{made.serial_number:X}"


def _certificate(path: Path, key: rsa.RSAPrivateKey, name: str) -> x509.Certificate:
    def make() -> bytes:
        return certificate_pem(certificate(key, name, _midnight(), CERTIFICATE_DAYS))

    found = x509.load_pem_x509_certificate(created_once(path, make))
    if _bytes(found.public_key()) != _bytes(key.public_key()):  # the key's file was replaced
        publish(path, make())
        found = x509.load_pem_x509_certificate(path.read_bytes())
    return found


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _bytes(key: object) -> bytes:
    assert isinstance(key, rsa.RSAPublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
