"""The key pairs of merchant and provider, created once and kept in a folder."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"
KEY_BITS = 2048


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
    merchant = _private(keys_dir / "alipay_app_private.pem")
    provider = _private(keys_dir / "alipay_private.pem")
    for name, key in (("alipay_app_public.pem", merchant), ("alipay_public.pem", provider)):
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path = keys_dir / name
        if not path.exists() or path.read_bytes() != public:
            os.replace(_written(keys_dir, public), path)
    return Keys(provider, merchant.public_key())


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
