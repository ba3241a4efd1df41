"""The key pairs and certificates of merchant and provider, created once and kept in a folder."""

import contextlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import Certificate

from shop_sandbox.alipay import certificates
from shop_sandbox.alipay.certificates import Certificates

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"
KEY_BITS = 2048


@dataclass(slots=True)
class Keys:
    """The provider's private key, the public key that the merchant registered, and their certificates."""

    provider: rsa.RSAPrivateKey
    merchant: rsa.RSAPublicKey
    authority: rsa.RSAPrivateKey
    certificates: Certificates

    def renew(self) -> Certificate:
        """Take a new key of the provider, with a new certificate."""
        self.provider = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        renewed = certificates.issue_provider(self.authority, self.provider.public_key())
        self.certificates = replace(self.certificates, provider=renewed)
        return renewed


def ensure_keys(keys_dir: Path) -> Keys:
    """Load the files of keys and certificates and create those that are missing; safe with several processes.

    alipay_app_private.pem, alipay_public.pem and the certificates are the merchant's side.
    """
    keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    merchant = _private(keys_dir / "alipay_app_private.pem")
    provider = _private(keys_dir / "alipay_private.pem")
    authority = _private(keys_dir / "alipay_authority_private.pem")
    issued = certificates.issue(authority, provider.public_key(), merchant.public_key())
    public = {"alipay_app_public.pem": _public(merchant), "alipay_public.pem": _public(provider)}
    for name, content in (public | issued.files()).items():
        path = keys_dir / name
        if not path.exists() or path.read_bytes() != content:
            os.replace(_written(keys_dir, content), path)
    return Keys(provider, merchant.public_key(), authority, issued)


def _public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _private(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        fresh = _written(path.parent, pem)
        # os.link fails if the name exists: the first process wins, and nobody reads half a file.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    # We created this key, so skip the check of its primes: it costs 35 ms at each start.
    loaded = serialization.load_pem_private_key(
        path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True
    )
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise ValueError(f"{path.name} is not an RSA key")
    return loaded


def _written(folder: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".key-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return Path(name)  # mkstemp creates it with mode 0600
