"""The key pairs of merchant and provider, created once and kept in a folder."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from shop_sandbox.payments.keys import private_key, public_pem, publish

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"


@dataclass(frozen=True, slots=True)
class Keys:
    """The provider's private key, and the public key that the merchant registered."""

    provider: rsa.RSAPrivateKey
    merchant: rsa.RSAPublicKey


def ensure_keys(keys_dir: Path) -> Keys:
    """Load the four key files and create those that are missing; safe with several processes.

    alipay_app_private.pem and alipay_public.pem are the merchant's side, the other two the provider's.
    """
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    merchant = private_key(keys_dir / "alipay_app_private.pem")
    provider = private_key(keys_dir / "alipay_private.pem")
    for name, key in (("alipay_app_public.pem", merchant), ("alipay_public.pem", provider)):
        publish(keys_dir / name, public_pem(key))
    return Keys(provider, merchant.public_key())
