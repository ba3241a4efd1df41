"""Links to the cashier, signed with an HMAC; an RSA signature would cost more than placing the order."""

from __future__ import annotations

from collections.abc import Callable

from shop_order.domain.entity.order import Order
from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.status import OrderStatus
from shop_order.pkg.signing import BadSignature, Signer

PATH = "/api/v1/cashier/"
_PURPOSE = "cashier"


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

    def _sign(self, order_sn: str, expiry: str) -> str:
        return self._signer.sign(_PURPOSE, _signed(order_sn, expiry))


def _signed(order_sn: str, expiry: str) -> bytes:
    return f"{order_sn}\n{expiry}".encode("utf-8", "surrogatepass")
