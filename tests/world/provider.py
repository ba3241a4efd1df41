"""A provider of payments with a ledger of its own, in place of one that is asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shop_order.domain.entity.payment import Payment, Redirect
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, SignatureInvalid
from shop_order.domain.ports import (
    Device,
    Notice,
    OpenRequest,
    RefundResult,
    Shipment,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.status import PaymentState, PaymentType, RefundState

SEAL = "model-provider"
MAX_REFUNDS = 50  # of one payment, as at WeChat Pay
Mode = Literal["up", "down", "mute", "refuses", "closed", "abnormal", "too_late"]


def an_attempt(payment_sn: str, **changed: Any) -> Payment:
    """An open attempt of 19.99 yuan."""
    fields: dict[str, Any] = {
        "payment_sn": payment_sn,
        "order_sn": "261123134500123456789012349",
        "user": 7,
        "payment_type": PaymentType.ALIPAY,
        "trade_type": "page",
        "amount_fen": 1999,
        "state": PaymentState.PENDING,
        "payment_url": "",
        "created_ms": 0,
        "expire_ms": 1_800_000,
    }
    return Payment(**fields | changed)


def a_refund(payment: Payment, refund_sn: str, amount_fen: int = 1) -> Refund:
    """An approved refund of a part of the payment."""
    about = (payment.payment_sn, payment.order_sn, amount_fen)
    return Refund(refund_sn, *about, RefundState.SENT, "late_payment", surplus=True, created_ms=0)


@dataclass(slots=True)
class Account:
    """What the provider holds of one attempt: absent (no buyer came), waiting, paid or closed."""

    amount_fen: int
    state: str = "absent"
    trade_no: str = ""
    refunds: dict[str, int] = field(default_factory=dict)
    ended: dict[str, RefundResult] = field(default_factory=dict)  # refund numbers that bring no money

    @property
    def holds_fen(self) -> int:
        """Paid and not given back."""
        return (self.amount_fen if self.state == "paid" else 0) - sum(self.refunds.values())


class ModelProvider:
    """See `domain.ports.PaymentChannel`.

    `mode`: down (nothing reaches it), mute (its answers are lost, the effects are not), refuses (refunds),
    closed, abnormal or too_late (new refunds end like this, and stay so).
    """

    payment_type = PaymentType.ALIPAY
    trade_types = TradeTypes(("page", "wap"), at_cashier={Device.PHONE: "wap"})
    smallest_fen = 1
    largest_fen = 100_000_000_00
    seller = "us"
    bills = None

    def __init__(self) -> None:
        self.ledger: dict[str, Account] = {}
        self.mode: Mode = "up"
        self.asked: list[str] = []  # the attempts it was asked about
        self.opened: OpenRequest | None = None  # the last one
        self.refund_calls = 0

    # ---- what the service asks ----

    def available(self) -> bool:
        return True

    async def open(self, request: OpenRequest) -> Redirect:
        payment = request.payment
        self.opened = request
        self.ledger[payment.payment_sn] = Account(payment.amount_fen)
        return Redirect(f"pay://{payment.payment_sn}?{payment.trade_type}")

    async def query(self, payment_sn: str) -> Trade:
        self.asked.append(payment_sn)
        return Trade(TradeState.UNKNOWN) if self.mode in ("down", "mute") else self._trade(payment_sn)

    async def close(self, payment_sn: str) -> Trade:
        if self.mode == "down":
            return Trade(TradeState.UNKNOWN)
        account = self.ledger[payment_sn]
        if account.state == "waiting":
            account.state = "closed"
        return Trade(TradeState.UNKNOWN) if self.mode == "mute" else self._trade(payment_sn)

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        self.refund_calls += 1
        if self.mode == "down":
            return RefundResult.UNKNOWN
        account = self.ledger[refund.payment_sn]
        assert payment.payment_sn == refund.payment_sn
        if self.mode in ("closed", "abnormal", "too_late") and refund.out_refund_no not in account.refunds:
            account.ended.setdefault(refund.out_refund_no, RefundResult(self.mode))
        if refund.out_refund_no in account.ended:
            return account.ended[refund.out_refund_no]
        if refund.out_refund_no not in account.refunds:
            full = account.holds_fen < refund.amount_fen or len(account.refunds) >= MAX_REFUNDS
            if self.mode == "refuses" or full:
                return RefundResult.FAILED
            account.refunds[refund.out_refund_no] = refund.amount_fen
        return RefundResult.UNKNOWN if self.mode == "mute" else RefundResult.SUCCEEDED

    async def query_refund(self, refund: Refund) -> RefundResult:
        account = self.ledger[refund.payment_sn]
        if self.mode in ("down", "mute"):
            return RefundResult.UNKNOWN
        if refund.out_refund_no in account.refunds:
            return RefundResult.SUCCEEDED
        return account.ended.get(refund.out_refund_no, RefundResult.UNKNOWN)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        told = json.loads(body)
        if told.pop("seal") != SEAL:
            raise SignatureInvalid("notice")
        if told.pop("seller") != "us":
            raise AmountMismatch("seller")
        payment_sn, refund_sn = told.pop("payment_sn"), told.pop("refund_sn")
        is_refund, state = told.pop("is_refund"), TradeState(told.pop("state"))
        return Notice(payment_sn, Trade(state, **told), is_refund, refund_sn)

    async def aclose(self) -> None: ...

    # ---- what buyers do ----

    def scan(self, payment_sn: str) -> None:
        """The buyer opens the cashier: from now on the trade exists."""
        if self.ledger[payment_sn].state == "absent":
            self.ledger[payment_sn].state = "waiting"

    def pay(self, payment_sn: str) -> bool:
        """The buyer pays, unless the trade is over."""
        account = self.ledger[payment_sn]
        if account.state not in ("absent", "waiting"):
            return False
        account.state, account.trade_no = "paid", f"T{payment_sn[1:]}"
        return True

    def notice(
        self,
        payment_sn: str,
        *,
        more_fen: int = 0,
        seal: str = SEAL,
        is_refund: bool = False,
        refund_sn: str = "",
    ) -> bytes:
        """The bytes the provider would send now; `more_fen` forges the amount."""
        trade = self._trade(payment_sn)
        told = {
            "payment_sn": payment_sn,
            "state": trade.state,
            "trade_no": trade.trade_no,
            "amount_fen": trade.amount_fen + more_fen,
        }
        told |= {"seal": seal, "seller": "us", "is_refund": is_refund, "refund_sn": refund_sn}
        return json.dumps(told).encode()

    def _trade(self, payment_sn: str) -> Trade:
        account = self.ledger[payment_sn]
        return Trade(
            TradeState(account.state), account.trade_no, account.amount_fen if account.state == "paid" else 0
        )


class SecondChannel(ModelProvider):
    """The same provider under WeChat Pay's name, with the same ledger and mode.

    For stories in which an order has attempts at two providers: switched, paid twice, refunded at one.
    It stands for what the service sees of WeChat Pay, the answers of the port `PaymentChannel`: no code of
    domain or service tells one provider from the other, but for the shipping of mini-programs
    (`tests/unit/service/test_shipping.py`). That the real channel gives such answers is shown, for both
    providers, by `tests/contract/test_channels.py`; with real signatures, encryption and the simulator over
    HTTP by `tests/component/test_wechat.py`, `tests/component/abuse` and `tests/faults/test_deaths.py`.
    A refund that is PROCESSING and ends later is played by the balance alone.
    """

    payment_type = PaymentType.WECHAT
    trade_types = TradeTypes(("native", "h5"), at_cashier={Device.PHONE: "h5"})

    def __init__(self, provider: ModelProvider) -> None:
        self.__dict__ = provider.__dict__


@dataclass
class Mini(ModelProvider):
    """WeChat Pay, which waits for the shipping."""

    works: bool = True
    told: list[tuple[str, Shipment]] = field(default_factory=list)
    payment_type = PaymentType.WECHAT
    trade_types = TradeTypes(("mini", "native"))

    def __post_init__(self) -> None:
        ModelProvider.__init__(self)

    async def tell_shipping(self, payment: Payment, shipment: Shipment) -> bool:
        self.told.append((payment.payment_sn, shipment))
        return self.works
