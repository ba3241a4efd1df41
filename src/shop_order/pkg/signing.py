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
        self._begun: dict[str, tuple[hmac.HMAC, ...]] = {}  # by purpose, of which there are a handful

    def sign(self, purpose: str, payload: bytes) -> str:
        """The signature, 22 characters that are safe in a URL."""
        return _text(_mac(self._macs(purpose)[0], payload))

    def verify(self, purpose: str, payload: bytes, signature: str) -> None:
        """Raises BadSignature unless one of the keys made the signature."""
        given = signature.encode("utf-8", "surrogatepass")
        good = False
        for mac in self._macs(purpose):  # no early end: the time must not tell which key it was
            good |= hmac.compare_digest(_text(_mac(mac, payload)).encode(), given)
        if not good:
            raise BadSignature("the signature does not fit")

    def seal(self, purpose: str, payload: bytes) -> str:
        """Payload and signature in one text that is safe in a URL; readable, but not to be changed."""
        return _text(_mac(self._macs(purpose)[0], payload) + payload)

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

    def _macs(self, purpose: str) -> tuple[hmac.HMAC, ...]:
        """One MAC a key, begun with the purpose: setting one up costs ten times what it signs."""
        begun = self._begun.get(purpose)
        if begun is None:
            head = purpose.encode() + b"\0"
            begun = self._begun[purpose] = tuple(hmac.new(key, head, "sha256") for key in self._keys)
        return begun


def _mac(begun: hmac.HMAC, payload: bytes) -> bytes:
    mac = begun.copy()
    mac.update(payload)
    return mac.digest()[:_SIZE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
