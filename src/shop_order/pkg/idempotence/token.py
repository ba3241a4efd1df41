"""Submit tokens: sent as the idempotency key, so that a form works once."""

from base64 import urlsafe_b64encode
from collections.abc import Callable

from shop_order.pkg.signing import BadSignature, Signer

PREFIX = "st_"
_PURPOSE = "submit-token"
_RANDOM_BYTES = 12
_MAX_LENGTH = 128


class BadToken(ValueError):
    """The submit token is not ours, not this user's, or too old."""


class SubmitTokens:
    """Makes and checks tokens `st_<random>.<expiry in base 16 seconds>.<signature>`; keeps nothing."""

    def __init__(self, signer: Signer, random_bytes: Callable[[int], bytes], ttl_s: int = 3600) -> None:
        self._signer = signer
        self._random_bytes = random_bytes
        self.ttl_s = ttl_s

    def mint(self, user_id: int, now_s: float) -> str:
        """A token for one submit of this user, valid for `ttl_s`."""
        expiry_s = int(now_s) + self.ttl_s
        body = f"{urlsafe_b64encode(self._random_bytes(_RANDOM_BYTES)).decode()}.{expiry_s:x}"
        return f"{PREFIX}{body}.{self._signer.sign(_PURPOSE, _signed(body, user_id))}"

    def verify(self, token: str, user_id: int, now_s: float) -> None:
        """Raises BadToken unless the token was minted for this user and has not expired."""
        if not token.startswith(PREFIX) or len(token) > _MAX_LENGTH:
            raise BadToken("not a submit token")
        body, _, signature = token[len(PREFIX) :].rpartition(".")
        try:
            self._signer.verify(_PURPOSE, _signed(body, user_id), signature)
        except BadSignature as error:
            raise BadToken("the submit token is not this user's") from error
        if int(body.rpartition(".")[2], 16) <= now_s:
            raise BadToken("the submit token has expired")


def _signed(body: str, user_id: int) -> bytes:
    return f"{body}\n{user_id}".encode("utf-8", "surrogatepass")
