"""The cashier's links: a short HMAC, since an RSA signature would cost more than placing the order."""

from __future__ import annotations

from collections.abc import Callable

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.ports import Clock
from shop_order.domain.status import OrderStatus
from shop_order.pkg.signing import BadSignature, Signer

PATH = "/api/v1/cashier/"
_PURPOSE = "cashier"
_MOST_DIGITS = 12


class CashierLinks:
    """Makes and checks `{public_url}/api/v1/cashier/{order_sn}?e=<expiry in s>&s=<signature>`."""

    def __init__(self, signer: Signer, *, public_url: Callable[[], str], clock: Clock) -> None:
        self._signer = signer
        self._public_url = public_url
        self._now = clock

    def of(self, order: Order) -> str:
        """The order's link, valid until the order expires; empty unless it waits for payment."""
        if order.status is not OrderStatus.PENDING:
            return ""
        return self._public_url() + self.path(order)

    def path(self, order: Order) -> str:
        """The link below our own address, whatever state the order is in."""
        expiry = str(order.expire_ms // 1000)
        return f"{PATH}{order.order_sn}?e={expiry}&s={self._sign(order.order_sn, expiry)}"

    def check(self, order_sn: str, expiry: str, signature: str) -> None:
        """Raises SignatureInvalid unless we signed this number with this expiry, and it is not over."""
        try:
            self._signer.verify(_PURPOSE, _signed(order_sn, expiry), signature)
        except BadSignature:
            raise SignatureInvalid("cashier link") from None
        # Only what we signed comes here, so it is digits; the clock is the one orders expire by.
        if len(expiry) > _MOST_DIGITS or int(expiry) * 1000 <= self._now():
            raise SignatureInvalid("cashier link")

    def _sign(self, order_sn: str, expiry: str) -> str:
        return self._signer.sign(_PURPOSE, _signed(order_sn, expiry))


def _signed(order_sn: str, expiry: str) -> bytes:
    return f"{order_sn}\n{expiry}".encode("utf-8", "surrogatepass")
