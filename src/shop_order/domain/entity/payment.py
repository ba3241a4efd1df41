"""One attempt to pay an order through a channel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shop_order.domain.status import (
    OPEN_PAYMENT,
    PAID_PAYMENT,
    PAYMENT_TRANSITIONS,
    PaymentState,
    PaymentType,
    advance,
)
from shop_order.domain.valueobject.provider import trade_number

GRACE_MS = 60_000  # after an attempt's end the provider may still tell of money
_QR = "qr:"  # a stored QR text begins with it, stored bridge parameters are a JSON object


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
    """The shop's page or app calls the provider's app with these."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """The buyer has nothing to do: the debit is requested, and its answer comes as a message."""


PaymentAction = Redirect | QrCode | BridgeParameters | Done


def stored_action(action: PaymentAction) -> str:
    """The action as one text, as it is stored."""
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
    """An attempt; `payment_sn` is the provider's out_trade_no. Amounts in fen, times in epoch ms.

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

    @property
    def is_open(self) -> bool:
        """The buyer may still be paying."""
        return self.state in OPEN_PAYMENT

    @property
    def is_paid(self) -> bool:
        """Money arrived, whatever was given back later."""
        return self.state in PAID_PAYMENT

    @property
    def over_ms(self) -> int:
        """From then on it brings no money, even if the provider was never told that it is closed."""
        return self.expire_ms + GRACE_MS

    @property
    def action(self) -> PaymentAction:
        """What the buyer does to pay."""
        return action_of(self.payment_url)

    def opened(self, action: PaymentAction) -> Payment:
        """The same attempt as its channel opened it; one whose debit is requested is PROCESSING."""
        state = PaymentState.PROCESSING if isinstance(action, Done) else self.state
        return replace(self, payment_url=stored_action(action), state=state)

    def paid(self, *, trade_no: str, paid_ms: int) -> Payment:
        """The money arrived; a channel without numbers gives none.

        Raises IllegalTransition, AmountMismatch (what is no number).
        """
        state = advance(PAYMENT_TRANSITIONS, self.state, PaymentState.PAID)
        return replace(self, state=state, trade_no=trade_no and trade_number(trade_no), paid_ms=paid_ms)

    def closed(self) -> Payment:
        """The attempt is over without money. Raises IllegalTransition."""
        return replace(self, state=advance(PAYMENT_TRANSITIONS, self.state, PaymentState.CLOSED))

    def gave_back(self, amount_fen: int) -> Payment:
        """So much of it was refunded. Raises IllegalTransition."""
        refunded_fen = self.refunded_fen + amount_fen
        whole = refunded_fen >= self.amount_fen
        to = PaymentState.REFUNDED if whole else PaymentState.PART_REFUNDED
        return replace(self, state=advance(PAYMENT_TRANSITIONS, self.state, to), refunded_fen=refunded_fen)
