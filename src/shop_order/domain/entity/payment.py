"""One attempt to pay an order through a channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shop_order.domain.errors import AmountMismatch
from shop_order.domain.status import (
    OPEN_PAYMENT,
    PAID_PAYMENT,
    PAYMENT_TRANSITIONS,
    PaymentState,
    PaymentType,
    advance,
)

# Bounds of what a provider reports: anything outside is an error or an attack, and changes nothing.
MAX_PAYMENT_FEN = 10**10  # 100 million yuan: no channel takes more in one payment
MAX_TRADE_NO = 64  # characters
MIN_PAID_MS = 946_656_000_000  # 2000-01-01, in China
MAX_PAID_MS = 4_133_952_000_000  # 2101-01-01

GRACE_MS = 60_000  # after an attempt expires, the provider may still report a payment
_QR = "qr:"  # prefix of a stored QR text; stored bridge parameters are a JSON object


@dataclass(frozen=True, slots=True)
class Redirect:
    """The buyer pays on this page of the provider."""

    url: str


@dataclass(frozen=True, slots=True)
class QrCode:
    """The buyer scans this text."""

    text: str


@dataclass(frozen=True, slots=True)
class BridgeParameters:
    """The shop's page or app passes these to the provider's app."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """The buyer has nothing to do: a debit was requested, and the result arrives as a message."""


PaymentAction = Redirect | QrCode | BridgeParameters | Done


def stored_action(action: PaymentAction) -> str:
    """The text that is stored for an action."""
    match action:
        case Redirect(url):
            return url
        case QrCode(text):
            return _QR + text
        case BridgeParameters(values):
            return json.dumps(dict(values), separators=(",", ":"))
        case Done():
            return ""


def action_of(stored: str) -> PaymentAction:
    """The action of a stored text."""
    if not stored:
        return Done()
    if stored.startswith(_QR):
        return QrCode(stored.removeprefix(_QR))
    return BridgeParameters(json.loads(stored)) if stored.startswith("{") else Redirect(stored)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment attempt; `payment_sn` is the provider's out_trade_no. Amounts in fen, times in epoch ms.

    `payment_url` is the stored text of `action`.
    """

    payment_sn: str
    order_sn: str
    user: int
    payment_type: PaymentType
    trade_type: str
    amount_fen: int
    state: PaymentState
    payment_url: str
    created_ms: int
    expire_ms: int
    trade_no: str = ""
    paid_ms: int = 0
    refunded_fen: int = 0
    close_reason: str = ""  # why the channel refused the payment, if it said so

    @property
    def is_open(self) -> bool:
        """Whether the buyer may still be paying."""
        return self.state in OPEN_PAYMENT

    @property
    def is_paid(self) -> bool:
        """Whether money arrived, even if it was refunded later."""
        return self.state in PAID_PAYMENT

    @property
    def grace_end_ms(self) -> int:
        """When even a late payment can no longer arrive, whether or not the provider closed the attempt."""
        return self.expire_ms + GRACE_MS

    @property
    def action(self) -> PaymentAction:
        """What the buyer has to do to pay."""
        return action_of(self.payment_url)

    def event_data(self) -> dict[str, object]:
        """What the order's history records of the attempt."""
        return {
            "payment_sn": self.payment_sn,
            "payment_type": int(self.payment_type),
            "amount_fen": self.amount_fen,
        }

    def opened(self, action: PaymentAction) -> Payment:
        """The attempt after its channel opened it: PROCESSING if a debit was requested."""
        state = PaymentState.PROCESSING if isinstance(action, Done) else self.state
        return replace(self, payment_url=stored_action(action), state=state)

    def paid(self, *, trade_no: str, paid_ms: int) -> Payment:
        """The attempt after the money arrived; `trade_no` is empty if the channel has no trade numbers.

        Raises IllegalTransition, AmountMismatch (malformed trade number).
        """
        state = advance(PAYMENT_TRANSITIONS, self.state, PaymentState.PAID)
        return replace(self, state=state, trade_no=trade_no and trade_number(trade_no), paid_ms=paid_ms)

    def closed(self, reason: str = "") -> Payment:
        """The attempt closed without payment. Raises IllegalTransition."""
        state = advance(PAYMENT_TRANSITIONS, self.state, PaymentState.CLOSED)
        return replace(self, state=state, close_reason=reason)

    def explained(self, reason: str) -> Payment:
        """The closed attempt, after its channel said why it takes no money."""
        return replace(self, close_reason=reason)

    def refunded(self, amount_fen: int) -> Payment:
        """The attempt after a refund of this amount, in fen. Raises IllegalTransition."""
        refunded_fen = self.refunded_fen + amount_fen
        whole = refunded_fen >= self.amount_fen
        to = PaymentState.REFUNDED if whole else PaymentState.PART_REFUNDED
        return replace(self, state=advance(PAYMENT_TRANSITIONS, self.state, to), refunded_fen=refunded_fen)


def trade_number(text: str) -> str:
    """Return the provider's trade number if it is visible ASCII. Raises AmountMismatch."""
    if not (0 < len(text) <= MAX_TRADE_NO and text.isascii() and text.isprintable() and " " not in text):
        raise AmountMismatch("trade_no")
    return text


def provider_fen(what: str, fen: int) -> int:
    """Return an amount in fen if it is within bounds. Raises AmountMismatch."""
    if not 0 <= fen <= MAX_PAYMENT_FEN:
        raise AmountMismatch(what)
    return fen


def provider_ms(what: str, ms: int) -> int:
    """Return a time in epoch ms if it is in this century. Raises AmountMismatch."""
    if not MIN_PAID_MS <= ms < MAX_PAID_MS:
        raise AmountMismatch(what)
    return ms
