"""Short signatures of our own: cashier links, cursors, quotes, submit tokens."""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

MIN_KEY_BYTES = 32
_SIZE = 16  # 128 bits: short links, still beyond guessing


class BadSignature(ValueError):
    """The text was not signed by us for this purpose."""


class Signer:
    """HMAC-SHA256 with keys that rotate: the first signs, all of them verify.

    The purpose is part of what is signed, so that a cursor is never a cashier link.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"needs at least one key, each of {MIN_KEY_BYTES} bytes or more")
        self._keys = tuple(keys)

    def sign(self, purpose: str, payload: bytes) -> str:
        """The signature, 22 characters that are safe in a URL."""
        return _text(self._mac(self._keys[0], purpose, payload))

    def verify(self, purpose: str, payload: bytes, signature: str) -> None:
        """Raises BadSignature unless one of the keys made the signature."""
        given = signature.encode("utf-8", "surrogatepass")
        good = False
        for key in self._keys:  # no early end: the time must not tell which key it was
            good |= hmac.compare_digest(_text(self._mac(key, purpose, payload)).encode(), given)
        if not good:
            raise BadSignature("the signature does not fit")

    def seal(self, purpose: str, payload: bytes) -> str:
        """Payload and signature in one text that is safe in a URL; readable, but not to be changed."""
        return _text(self._mac(self._keys[0], purpose, payload) + payload)

    def unseal(self, purpose: str, sealed: str) -> bytes:
        """The payload of a sealed text. Raises BadSignature."""
        try:
            raw = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (UnicodeEncodeError, binascii.Error) as error:
            raise BadSignature("not a sealed text") from error
        payload = raw[_SIZE:]
        if _text(raw) != sealed:  # base64 has several spellings of the same bytes: only ours counts
            raise BadSignature("not a sealed text")
        self.verify(purpose, payload, _text(raw[:_SIZE]))
        return payload

    @staticmethod
    def _mac(key: bytes, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")[:_SIZE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
