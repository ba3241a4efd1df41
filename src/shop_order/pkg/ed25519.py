"""Ed25519 signatures, with keys from a PEM file."""

from __future__ import annotations

import hashlib
import re

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
MAX_KEYS = 64


class Ed25519Keys:
    """The first key of a file signs; all keys, private or public, verify, so that keys can rotate."""

    def __init__(self, pem: bytes) -> None:
        """Raises ValueError for an invalid file; the text contains no key."""
        blocks = list(_BLOCK.finditer(pem))[: MAX_KEYS + 1]
        if not blocks or len(blocks) > MAX_KEYS:
            raise ValueError(f"needs 1 to {MAX_KEYS} PEM blocks")
        keys = [_key(block, number) for number, block in enumerate(blocks, start=1)]
        if not isinstance(keys[0], Ed25519PrivateKey):
            raise ValueError("its first key must be private")
        self._signing_key = keys[0]
        public_keys = [key.public_key() if isinstance(key, Ed25519PrivateKey) else key for key in keys]
        self._public = {key_id(key): key for key in public_keys}
        self._id = key_id(public_keys[0])

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """Return the key's id and the signature."""
        return self._id, self._signing_key.sign(message)

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. Raises LookupError for an unknown key."""
        try:
            self._public[key_id].verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the public key's SHA-256."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def new_private_pem() -> bytes:
    """Return a new private key, like `openssl genpkey -algorithm ed25519`."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key(block: re.Match[bytes], number: int) -> Ed25519PrivateKey | Ed25519PublicKey:
    pem = block.group(0)
    try:
        key = load_pem_private_key(pem, None) if b"PRIVATE" in block.group(1) else load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as bad:
        raise ValueError(f"its key number {number} can't be read: {bad}") from bad
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise ValueError(f"its key number {number} is not an Ed25519 key")
    return key
