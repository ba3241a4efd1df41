"""Short HMAC signatures for cashier links, cursors, quotes and submit tokens."""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

MIN_KEY_BYTES = 32
SUBMIT_TOKEN_PREFIX = "st_"  # noqa: S105 - a prefix
_SIZE = 16  # 128 bits: short, but unguessable
_PURPOSE = "submit-token"
_RANDOM_BYTES = 12
_MAX_LENGTH = 128


class BadSignature(ValueError):
    """The text was not signed by us for this purpose."""


class Signer:
    """HMAC-SHA256 with rotating keys: the first signs, all verify.

    The purpose is signed too, so that a cursor is never valid as a cashier link.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"needs at least one key, each of {MIN_KEY_BYTES} bytes or more")
        self._keys = tuple(keys)
        self._prepared: dict[str, tuple[hmac.HMAC, ...]] = {}  # by purpose

    def sign(self, purpose: str, payload: bytes) -> str:
        """Return the signature: 22 URL-safe characters."""
        return _text(_mac(self._macs(purpose)[0], payload))

    def verify(self, purpose: str, payload: bytes, signature: str) -> None:
        """Raise BadSignature unless one of the keys made the signature."""
        given = signature.encode("utf-8", "surrogatepass")
        good = False
        for mac in self._macs(purpose):  # no early exit: timing must not reveal the key
            good |= hmac.compare_digest(_text(_mac(mac, payload)).encode(), given)
        if not good:
            raise BadSignature("the signature does not match")

    def verify_hex(self, text: bytes, signature: str) -> None:
        """Raise BadSignature unless this is the HMAC of the bare text, in hex, by one of the keys.

        For signatures of other programs that know a key. The text must not begin with a purpose and a NUL.
        """
        given = signature.encode("utf-8", "surrogatepass")
        good = False
        for key in self._keys:
            good |= hmac.compare_digest(hmac.new(key, text, "sha256").hexdigest().encode(), given)
        if not good:
            raise BadSignature("the signature does not match")

    def seal(self, purpose: str, payload: bytes) -> str:
        """Return payload and signature as URL-safe text, readable but protected against changes."""
        return _text(_mac(self._macs(purpose)[0], payload) + payload)

    def unseal(self, purpose: str, sealed: str) -> bytes:
        """Return the payload of a sealed text. Raises BadSignature."""
        try:
            raw = urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (UnicodeEncodeError, binascii.Error) as error:
            raise BadSignature("not a sealed text") from error
        payload = raw[_SIZE:]
        if _text(raw) != sealed:  # base64 is ambiguous: accept only our encoding
            raise BadSignature("not a sealed text")
        self.verify(purpose, payload, _text(raw[:_SIZE]))
        return payload

    def _macs(self, purpose: str) -> tuple[hmac.HMAC, ...]:
        """Return a MAC per key, initialized with the purpose: set-up costs ten times a signature."""
        prepared = self._prepared.get(purpose)
        if prepared is None:
            head = purpose.encode() + b"\0"
            prepared = self._prepared[purpose] = tuple(hmac.new(key, head, "sha256") for key in self._keys)
        return prepared


def _mac(prepared: hmac.HMAC, payload: bytes) -> bytes:
    mac = prepared.copy()
    mac.update(payload)
    return mac.digest()[:_SIZE]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class BadToken(ValueError):
    """The submit token was not issued by us or to this user, or has expired."""


class SubmitTokens:
    """Creates and verifies stateless tokens `st_<random>.<expiry in hex seconds>.<signature>`."""

    def __init__(self, signer: Signer, random_bytes: Callable[[int], bytes], ttl_s: int = 3600) -> None:
        self._signer = signer
        self._random_bytes = random_bytes
        self.ttl_s = ttl_s

    def mint(self, user_id: int, now_s: float) -> str:
        """Return a token for one order of this user, valid for `ttl_s`."""
        expiry_s = int(now_s) + self.ttl_s
        body = f"{urlsafe_b64encode(self._random_bytes(_RANDOM_BYTES)).decode()}.{expiry_s:x}"
        return f"{SUBMIT_TOKEN_PREFIX}{body}.{self._signer.sign(_PURPOSE, _signed(body, user_id))}"

    def verify(self, token: str, user_id: int, now_s: float) -> None:
        """Raise BadToken unless the token is this user's and has not expired."""
        if not token.startswith(SUBMIT_TOKEN_PREFIX) or len(token) > _MAX_LENGTH:
            raise BadToken("not a submit token")
        body, _, signature = token[len(SUBMIT_TOKEN_PREFIX) :].rpartition(".")
        try:
            self._signer.verify(_PURPOSE, _signed(body, user_id), signature)
        except BadSignature as error:
            raise BadToken("the submit token is not this user's") from error
        if int(body.rpartition(".")[2], 16) <= now_s:
            raise BadToken("the submit token has expired")


def _signed(body: str, user_id: int) -> bytes:
    return f"{body}\n{user_id}".encode("utf-8", "surrogatepass")
