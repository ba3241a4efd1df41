"""Key files that are created once, also by several processes at a time, and certificates for them."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

KEY_BITS = 2048


def private_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA key of a file, which is created if missing."""
    # We created this key, so skip the check of its primes: it costs 35 ms at each start.
    return loaded_key(created_once(path, lambda: pem_of(new_key())))


def new_key() -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def pem_of(key: rsa.RSAPrivateKey) -> bytes:
    """The key as PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def loaded_key(pem: bytes) -> rsa.RSAPrivateKey:
    """The RSA key of a PEM text that we wrote. Raises ValueError."""
    loaded = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(loaded, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return loaded


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half of a key."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def publish(path: Path, content: bytes) -> None:
    """Make this the content of a file that others read."""
    if not path.exists() or path.read_bytes() != content:
        os.replace(_written(path.parent, content), path)


def created_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of a file; the first process that misses it makes it."""
    if not path.exists():
        fresh = _written(path.parent, make())
        # os.link fails if the name exists: the first process wins, and nobody reads half a file.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def certificate(key: rsa.RSAPrivateKey, name: str, start: datetime, days: int) -> x509.Certificate:
    """A self-signed certificate for a key, as a provider's root would sign it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    unsigned = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    return unsigned.sign(key, hashes.SHA256())


def certificate_pem(made: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return made.public_bytes(serialization.Encoding.PEM)


def _written(folder: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".key-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return Path(name)  # mkstemp creates it with mode 0600
