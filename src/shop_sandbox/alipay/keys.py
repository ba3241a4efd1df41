"""The key pairs and certificates of merchant and provider, created once and kept in a folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import Certificate

from shop_sandbox.alipay import certificates
from shop_sandbox.alipay.certificates import Certificates
from shop_sandbox.payments.keys import new_key, private_key, public_pem, publish

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"


@dataclass(slots=True)
class Keys:
    """The provider's private key, the public key that the merchant registered, and their certificates."""

    provider: rsa.RSAPrivateKey
    merchant: rsa.RSAPublicKey
    authority: rsa.RSAPrivateKey
    certificates: Certificates

    def renew(self) -> Certificate:
        """Take a new key of the provider, with a new certificate."""
        self.provider = new_key()
        renewed = certificates.issue_provider(self.authority, self.provider.public_key())
        self.certificates = replace(self.certificates, provider=renewed)
        return renewed


def ensure_keys(keys_dir: Path) -> Keys:
    """Load the files of keys and certificates and create those that are missing; safe with several processes.

    alipay_app_private.pem, alipay_public.pem and the certificates are the merchant's side.
    """
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    merchant = private_key(keys_dir / "alipay_app_private.pem")
    provider = private_key(keys_dir / "alipay_private.pem")
    authority = private_key(keys_dir / "alipay_authority_private.pem")
    issued = certificates.issue(authority, provider.public_key(), merchant.public_key())
    keys = {"alipay_app_public.pem": public_pem(merchant), "alipay_public.pem": public_pem(provider)}
    for name, content in (keys | issued.files()).items():
        publish(keys_dir / name, content)
    return Keys(provider, merchant.public_key(), authority, issued)
