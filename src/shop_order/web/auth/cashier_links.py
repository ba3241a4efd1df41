"""Links to the cashier, signed with an HMAC; an RSA signature would cost more than placing the order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.status import OrderStatus
from shop_order.pkg.signing import BadSignature, Signer

PATH = "/api/v1/cashier/"
MAX_OPENID_S = 3600
_PURPOSE = "cashier"
_OPENID = re.compile(r"[\w-]{1,128}", re.ASCII)
_SECONDS = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpenId:
    """An openid that the shop's page appended to a link, until when it counts, and their signature."""

    openid: str = ""
    expires: str = ""
    sign: str = ""


class CashierLinks:
    """Creates and verifies `{public_url}/api/v1/cashier/{order_sn}?e=<expiry in s>&s=<signature>`."""

    def __init__(self, signer: Signer, *, public_url: Callable[[], str]) -> None:
        self._signer = signer
        self._public_url = public_url

    def of(self, order: Order) -> str:
        """The order's link; empty unless the order is waiting for payment."""
        if order.status is not OrderStatus.PENDING:
            return ""
        expiry = str(order.expire_ms // 1000)
        return f"{self._public_url()}{PATH}{order.order_sn}?e={expiry}&s={self._sign(order.order_sn, expiry)}"

    def check(self, order_sn: str, expiry: str, signature: str) -> None:
        """Check that we signed this number with this expiry. Raises SignatureInvalid.

        A link shows its order as long as its key is configured; the order decides until when it is paid.
        """
        try:
            self._signer.verify(_PURPOSE, _signed(order_sn, expiry), signature)
        except BadSignature:
            raise SignatureInvalid("cashier_link") from None

    def openid(self, order_sn: str, given: OpenId, now_s: float) -> str:
        """The buyer's openid, if the shop's page got it for this order within the hour; otherwise empty."""
        expires_s = int(given.expires) if _SECONDS.fullmatch(given.expires) else 0
        if not (_OPENID.fullmatch(given.openid) and now_s <= expires_s <= now_s + MAX_OPENID_S):
            return ""
        text = f"openid={given.openid}&order_sn={order_sn}&expires={expires_s}"
        try:
            self._signer.verify_hex(text.encode(), given.sign)
        except BadSignature:
            return ""
        return given.openid

    def _sign(self, order_sn: str, expiry: str) -> str:
        return self._signer.sign(_PURPOSE, _signed(order_sn, expiry))


def _signed(order_sn: str, expiry: str) -> bytes:
    return f"{order_sn}\n{expiry}".encode("utf-8", "surrogatepass")
