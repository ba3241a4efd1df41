"""Payment channels: the requests to a provider, and its possible answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from shop_order.domain.entity.payment import (
    Payment,
    PaymentAction,
    provider_fen,
    provider_ms,
    trade_number,
)
from shop_order.domain.entity.refund import Refund
from shop_order.domain.ports.upkeep import BillSource
from shop_order.domain.status import PaymentType


class TradeState(StrEnum):
    """The state of an attempt at its provider."""

    ABSENT = "absent"  # no buyer has opened it yet
    WAITING = "waiting"
    PAID = "paid"
    CLOSED = "closed"
    UNKNOWN = "unknown"  # no answer, or an invalid one


class RefundResult(StrEnum):
    """The result of a refund at its provider."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # refused: it may be sent again under the same number
    CLOSED = "closed"  # the provider closed the number: it may be sent again under a new one
    ABNORMAL = "abnormal"  # the buyer's account can't be paid: settled by hand
    TOO_LATE = "too_late"  # past the provider's limit: settled by hand
    PROCESSING = "processing"  # accepted; `query_refund` returns the result
    UNKNOWN = "unknown"  # no answer: send it again under the same number


@dataclass(frozen=True, slots=True)
class Trade:
    """An attempt as its provider knows it; `trade_no` and `paid_ms` are optional.

    Raises AmountMismatch for values out of bounds.
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
    """A verified notice: an attempt and its state at the provider.

    `ambiguous` names a field that can be read in two ways; the provider is queried instead. A notice about a
    refund says nothing about the attempt: the provider is queried about `out_refund_no`, if it is known.
    """

    payment_sn: str
    trade: Trade
    is_refund: bool = False
    out_refund_no: str = ""
    ambiguous: str = ""


@dataclass(frozen=True, slots=True)
class NoticeReply:
    """The HTTP response to a notice."""

    status: int
    body: str = ""
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class NoticeRoute:
    """The HTTP route of a provider's notices: `POST /api/v1/payments/notify/<code of the channel>`.

    `reply` takes None if the notice was handled, otherwise the exception; the rest is for the API document.
    """

    payment_type: PaymentType
    reply: Callable[[Exception | None], NoticeReply]
    summary: str
    description: str
    document: Mapping[str, Any] = field(default_factory=dict)


class Device(StrEnum):
    """What the buyer's browser runs on."""

    DESKTOP = "desktop"
    PHONE = "phone"
    WECHAT = "wechat"  # a phone, in the browser of the WeChat app
    WECHAT_DESKTOP = "wechat_desktop"  # a computer or tablet, in that browser


@dataclass(frozen=True, slots=True)
class TradeTypes:
    """The trade types of a channel; a channel without trade types offers only the empty one.

    The first one is the default; the cashier uses `at_cashier` where it names the buyer's device: if that one
    is unavailable, so is the channel. `link_ms` is for how long a buyer can begin to pay, where the provider
    limits that: later, a new attempt is opened. `by_openid` need the buyer's openid, which the shop's page at
    `openid_page` gets for the cashier: a URL that names the app id, empty if there is none.
    """

    offered: tuple[str, ...] = ("",)
    unavailable: frozenset[str] = frozenset()  # offered by the provider, not by this channel
    at_cashier: Mapping[Device, str] = field(default_factory=dict)
    link_ms: Mapping[str, int] = field(default_factory=dict)
    not_on: frozenset[Device] = frozenset()  # where the provider's pages do not open
    by_openid: frozenset[str] = frozenset()
    openid_page: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays: the buyer's id at the provider (WeChat's `openid`) and their IP address; empty if unknown."""

    openid: str = ""
    client_ip: str = ""


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An attempt to open for `lasts_ms`; `subject` is the order's title, `return_url` may be empty."""

    payment: Payment
    subject: str
    lasts_ms: int
    return_url: str = ""
    payer: Payer = Payer()


@dataclass(frozen=True, slots=True)
class Shipment:
    """The parcel of a paid order; `subject` is the order's title, `phone` the receiver's."""

    company: str
    number: str
    subject: str
    phone: str
    shipped_ms: int


class TellsShipping(Protocol):
    """A channel whose provider pays us only after it was told of the shipping (`awaits_shipping`)."""

    async def tell_shipping(self, payment: Payment, shipment: Shipment) -> bool:
        """Tell the provider; return whether nothing is left to do. Idempotent. Raises AmountMismatch."""


class PaymentChannel(Protocol):
    """One payment provider. A failed request returns UNKNOWN and does not raise, unless stated."""

    payment_type: PaymentType
    trade_types: TradeTypes
    smallest_fen: int  # of one payment
    largest_fen: int

    @property
    def seller(self) -> str:
        """Our account at the provider, within which its trade numbers are unique."""

    @property
    def bills(self) -> BillSource | None:
        """The provider's daily bills; None if it has none."""

    def available(self) -> bool:
        """Whether the channel can be used now, that is, whether its keys can be read."""

    async def open(self, request: OpenRequest) -> PaymentAction:
        """Open an attempt and return what the buyer has to do.

        The attempt is stored afterwards: a crash in between must cost nobody money. A channel that debits
        without the buyer therefore sends nothing here and returns Done; the order's event
        `payment.opened`, stored and published with the attempt, is its request.
        Raises ChannelUnavailable, DependencyDown, InvalidArgument (a value is missing, or the provider takes
        no such value: no `openid`, too long a URL).
        """

    async def query(self, payment_sn: str) -> Trade:
        """The state of the attempt. Raises AmountMismatch for an answer out of bounds."""

    async def close(self, payment_sn: str) -> Trade:
        """Close the attempt at the provider; return CLOSED, ABSENT (never opened), PAID or UNKNOWN.

        Raises AmountMismatch for an answer out of bounds.
        """

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        """Refund `refund.amount_fen` of the payment. Idempotent by `refund.out_refund_no`."""

    async def query_refund(self, refund: Refund) -> RefundResult:
        """The result of a refund that the provider accepted."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        """Verify a notice's signature, shape and addressee, and decode it. Header names are in lower case.

        Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not for us), ChannelUnavailable
        (a key is missing; the provider sends the notice again).
        """

    async def aclose(self) -> None:
        """End what the channel runs, and close the connections to the provider.

        There is no start: a channel whose keys expire, such as platform certificates, fetches them in a task
        of its own once it is used.
        """
