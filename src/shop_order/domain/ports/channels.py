"""The providers of payments: what the use cases ask of each, and what a provider may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from shop_order.domain.entity.payment import PaymentAction
from shop_order.domain.ports.upkeep import BillSource
from shop_order.domain.status import PaymentType
from shop_order.domain.valueobject.provider import provider_fen, provider_ms, trade_number


class TradeState(StrEnum):
    """What a provider says of one attempt."""

    ABSENT = "absent"  # no buyer has opened it at the provider yet
    WAITING = "waiting"
    PAID = "paid"
    CLOSED = "closed"
    UNKNOWN = "unknown"  # no answer, or none that can be trusted


class RefundResult(StrEnum):
    """What a provider says of one refund."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # refused for good
    PROCESSING = "processing"  # accepted; `query_refund` tells the result
    UNKNOWN = "unknown"  # no answer: send it again under the same number


@dataclass(frozen=True, slots=True)
class Trade:
    """An attempt as its provider sees it; `trade_no` and `paid_ms` may be left out.

    Raises AmountMismatch for what is out of bounds.
    """

    state: TradeState
    trade_no: str = ""
    amount_fen: int = 0
    paid_ms: int = 0

    def __post_init__(self) -> None:
        provider_fen("amount", self.amount_fen)
        if self.trade_no:
            trade_number(self.trade_no)
        if self.paid_ms:
            provider_ms("paid_ms", self.paid_ms)


@dataclass(frozen=True, slots=True)
class Notice:
    """A verified notice: of which attempt, and what the provider says of it.

    `ambiguous` names a field that can be read in two ways: the provider is asked instead.
    """

    payment_sn: str
    trade: Trade
    is_refund: bool = False
    ambiguous: str = ""


@dataclass(frozen=True, slots=True)
class NoticeReply:
    """What a provider is answered over HTTP."""

    status: int
    body: str = ""
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class NoticeRoute:
    """The HTTP route of a provider's notices: `POST /api/v1/payments/notify/<code of the channel>`.

    `reply` gets None when the notice was handled, otherwise what was raised; the rest is for the document.
    """

    payment_type: PaymentType
    reply: Callable[[Exception | None], NoticeReply]
    summary: str
    description: str
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TradeTypes:
    """The ways to pay through a channel; one that has none offers the empty name alone.

    The first offered one is the default; `on_phone` is the cashier's on a phone (empty: the default).
    """

    offered: tuple[str, ...] = ("",)
    unavailable: frozenset[str] = frozenset()  # the provider has them, this channel does not
    on_phone: str = ""


class PaymentChannel(Protocol):
    """One provider of payments. A remote fault is an answer (UNKNOWN), not an exception, unless stated."""

    payment_type: PaymentType
    trade_types: TradeTypes
    smallest_fen: int  # of one payment
    largest_fen: int

    @property
    def seller(self) -> str:
        """Our account at the provider, within which its trade numbers are unique."""

    @property
    def bills(self) -> BillSource | None:
        """The provider's daily bills, if it has any."""

    def available(self) -> bool:
        """Whether the channel can be used now: its keys can be read."""

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
    ) -> PaymentAction:
        """What lets the buyer pay for `lasts_ms`; `subject` is what is bought, one visible line.

        Raises ChannelUnavailable, DependencyDown, InvalidArgument (a URL beyond the provider's bounds).
        """

    async def query(self, payment_sn: str) -> Trade:
        """What the provider knows of the attempt. Raises AmountMismatch for an answer out of bounds."""

    async def close(self, payment_sn: str) -> Trade:
        """Tell the provider to take no money: CLOSED, ABSENT (never opened), PAID, or UNKNOWN.

        Raises AmountMismatch for an answer out of bounds.
        """

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> RefundResult:
        """Give money back; the same `refund_sn` gives it back once."""

    async def query_refund(self, *, payment_sn: str, refund_sn: str) -> RefundResult:
        """What became of a refund that the provider accepted."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Check a notice's signature, shape and addressee, and read it.

        Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us).
        """

    async def aclose(self) -> None:
        """Close the connections to the provider."""
