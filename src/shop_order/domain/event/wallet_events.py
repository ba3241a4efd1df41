"""Messages to and from the wallet, the user service's balances (contract, section 9)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from shop_order.domain.event.order_events import PAYMENT_OPENED, REFUND_SENT, Event
from shop_order.domain.status import PaymentType

DEBIT_REQUESTED = "wallet.debit_requested"
REFUND_REQUESTED = "wallet.refund_requested"
DEBITED = "wallet.debited"
REJECTED = "wallet.rejected"
REFUNDED = "wallet.refunded"
ANSWERS = frozenset({DEBITED, REJECTED, REFUNDED})

REQUESTS = frozenset({PAYMENT_OPENED, REFUND_SENT})  # events of an order

MAX_REASON = 32  # characters


@dataclass(frozen=True, slots=True)
class WalletCommand:
    """A request to the wallet; it is executed once by `payment_sn`, a refund once by `refund_sn`."""

    type: str
    payment_sn: str
    data: dict[str, object]


@dataclass(frozen=True, slots=True)
class WalletAnswer:
    """What the wallet did, or why it did nothing (`reason`, of a rejection).

    `refund_sn` is the number of the refund that the answer is about; empty for a debit.
    """

    type: str
    payment_sn: str
    user_id: int
    amount_fen: int
    refund_sn: str = ""
    reason: str = ""


def wallet_command(event: Event, ahead_ms: int) -> WalletCommand | None:
    """Return the request to the wallet that one of REQUESTS is; None unless it is of a balance payment.

    The wallet refuses a debit after `expire_at_ms`, in real time: `ahead_ms` is how far the shop's clock is
    ahead of it.
    """
    told = json.loads(event.payload)
    if told.get("payment_type") != PaymentType.BALANCE:
        return None
    data = {name: told[name] for name in ("payment_sn", "user_id", "amount_fen", "version")}
    if event.type == PAYMENT_OPENED:
        data["expire_at_ms"] = told["expire_at_ms"] - ahead_ms
        return WalletCommand(DEBIT_REQUESTED, told["payment_sn"], data)
    data["refund_sn"] = told["out_refund_no"]
    return WalletCommand(REFUND_REQUESTED, told["payment_sn"], data)
