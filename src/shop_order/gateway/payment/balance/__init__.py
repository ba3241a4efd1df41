"""The balance: the user service's wallet, by messages (decision balance).

The order's events `payment.opened` and `refund.sent` are the requests; `service/wallet.py` takes the answers.
So nothing is called here, and no answer is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shop_order.domain.entity.payment import MAX_PAYMENT_FEN, Done, Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import SignatureInvalid
from shop_order.domain.ports import Notice, OpenRequest, RefundResult, Trade, TradeState, TradeTypes
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import ChannelContext, ChannelEntry


class Balance:
    """See `domain.ports.PaymentChannel`."""

    payment_type = PaymentType.BALANCE
    trade_types = TradeTypes()
    smallest_fen = 1
    largest_fen = MAX_PAYMENT_FEN
    seller = "wallet"
    bills = None

    def available(self) -> bool:
        return True

    async def open(self, request: OpenRequest) -> Done:
        return Done()

    async def query(self, payment_sn: str) -> Trade:
        """Unknown until the wallet's message is here; `Settlement` has the request published again."""
        return Trade(TradeState.UNKNOWN)

    async def close(self, payment_sn: str) -> Trade:
        """Never prevented: the debit may be on its way. If it arrives, it pays the order or is refunded."""
        return Trade(TradeState.ABSENT)

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        return RefundResult.PROCESSING

    async def query_refund(self, refund: Refund) -> RefundResult:
        """Unknown until the wallet's message is here."""
        return RefundResult.UNKNOWN

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Always raises SignatureInvalid: the wallet sends events, no notices."""
        raise SignatureInvalid("notice")

    async def aclose(self) -> None: ...


def connect(section: Any, context: ChannelContext) -> Balance | None:
    """Return the channel if a wallet may answer."""
    return Balance() if context.wallet_services else None


def problems(section: Any) -> tuple[str, ...]:
    """Return nothing: there are no files."""
    return ()


ENTRY = ChannelEntry(connect, problems)
