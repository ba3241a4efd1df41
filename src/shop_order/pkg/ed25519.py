"""Signatures that anybody can verify: Ed25519, with keys from a PEM file."""

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
    """The first key of a file signs; it and all further ones, private or public, verify: so keys rotate."""

    def __init__(self, pem: bytes) -> None:
        """Raises ValueError for what is no such file; the text says what is wrong, and no key."""
        blocks = list(_BLOCK.finditer(pem))[: MAX_KEYS + 1]
        if not blocks or len(blocks) > MAX_KEYS:
            raise ValueError(f"needs 1 to {MAX_KEYS} PEM blocks")
        signs: Ed25519PrivateKey | None = None
        self._public: dict[str, Ed25519PublicKey] = {}
        for number, block in enumerate(blocks, start=1):
            key = _key(block.group(0), private=b"PRIVATE" in block.group(1), number=number)
            if isinstance(key, Ed25519PrivateKey):
                signs = signs or (key if number == 1 else None)
                key = key.public_key()
            self._public[key_id(key)] = key
        if signs is None:
            raise ValueError("its first key must be a private one, to sign with")
        self._signs = signs
        self._id = key_id(signs.public_key())

    def sign(self, message: bytes) -> tuple[str, bytes]:
        """The key's id and its signature."""
        return self._id, self._signs.sign(message)

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature. Raises LookupError for a key that is not in the file."""
        try:
            self._public[key_id].verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the public key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def new_private_pem() -> bytes:
    """A new private key, as `openssl genpkey -algorithm ed25519` makes one."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key(block: bytes, *, private: bool, number: int) -> Ed25519PrivateKey | Ed25519PublicKey:
    try:
        key = load_pem_private_key(block, None) if private else load_pem_public_key(block)
    except (ValueError, TypeError, UnsupportedAlgorithm) as bad:
        raise ValueError(f"its key number {number} can't be read: {bad}") from bad
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise ValueError(f"its key number {number} is none for Ed25519")
    return key
