"""The providers of payments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.status import PaymentType


@dataclass(frozen=True, slots=True)
class Trade:
    """What a provider says of one attempt: `state` is waiting, paid, closed, absent or unknown."""

    state: str
    trade_no: str = ""
    amount_fen: int = 0
    paid_ms: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified notice: of which attempt, and what the provider says of it."""

    payment_sn: str
    trade: Trade
    is_refund: bool
    notice_id: str


class PaymentChannel(Protocol):
    """One provider of payments; answers for "unknown" are part of every method."""

    payment_type: PaymentType

    def trade_type(self, asked: str) -> str:
        """The trade type to use, the channel's default for an empty one.

        Raises InvalidArgument (no such), ChannelUnavailable (not built, or not configured).
        """

    async def open(
        self,
        *,
        payment_sn: str,
        order_sn: str,
        trade_type: str,
        amount_fen: int,
        subject: str,
        lasts_ms: int,
        return_url: str,
    ) -> str:
        """The link that lets the buyer pay for `lasts_ms`; `subject` is what is bought, one visible line.

        Raises ChannelUnavailable, DependencyDown, InvalidArgument (an address beyond the provider's bounds).
        """

    async def query(self, payment_sn: str) -> Trade:
        """What the provider knows; state unknown when it can't be asked. Never raises for a remote fault."""

    async def close(self, payment_sn: str) -> Trade:
        """Tell the provider to take no money: closed, absent (never opened), paid, or unknown."""

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> str:
        """Give money back once under this number: `succeeded`, `failed` for good, or `unknown`: ask again."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Check a notice's signature, shape and addressee.

        Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us).
        """
