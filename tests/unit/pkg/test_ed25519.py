"""Keys that sign the daily roots."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from shop_order.pkg.ed25519 import Ed25519Keys, new_private_pem

MESSAGE = b"a root"


def public_pem(private: bytes) -> bytes:
    key = load_pem_private_key(private, None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_first_key_signs_and_all_of_the_file_verify() -> None:
    old, new = new_private_pem(), new_private_pem()
    old_id, old_signature = Ed25519Keys(old).sign(MESSAGE)
    for file in (new + old, new + public_pem(old), b"# in front\n" + new + b"\n# then\n" + old):
        keys = Ed25519Keys(file)
        new_id, signature = keys.sign(MESSAGE)
        assert (new_id, signature) == Ed25519Keys(new).sign(MESSAGE)
        assert keys.verify(new_id, MESSAGE, signature)
        assert keys.verify(old_id, MESSAGE, old_signature)
        assert not keys.verify(old_id, MESSAGE, signature)
        assert not keys.verify(new_id, b"another", signature)
        assert not keys.verify(new_id, MESSAGE, b"")


def test_a_key_that_is_not_in_the_file_is_told() -> None:
    key_id, signature = Ed25519Keys(new_private_pem()).sign(MESSAGE)
    with pytest.raises(LookupError):
        Ed25519Keys(new_private_pem()).verify(key_id, MESSAGE, signature)


def rsa() -> bytes:
    key = generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "PEM"),
        (b"not a key", "PEM"),
        (public_pem(new_private_pem()) + new_private_pem(), "private"),
        (new_private_pem() + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "number 2"),
        (rsa(), "not an Ed25519 key"),
        (new_private_pem() * 65, "1 to 64"),
    ],
)
def test_what_is_no_such_file_is_told_without_its_key(file: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        Ed25519Keys(file)
    assert not any(line in str(refused.value) for line in file.decode().splitlines() if len(line) > 40)
