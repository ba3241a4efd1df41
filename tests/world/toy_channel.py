"""A payment channel unlike Alipay: QR codes, bridge parameters, debits by message, JSON notices, JSON bills.

Its provider is in memory, and is as particular as WeChat Pay: it wants an openid for bridge parameters, the
payment's total for a refund, and processes refunds later. `tests/component/test_channel_recipe.py` makes a
package of this file in a copy of the sources.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import IO, Any

from shop_order.domain.bill import Bill, BillLine
from shop_order.domain.entity.payment import BridgeParameters, Done, Payment, PaymentAction, QrCode
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import AmountMismatch, InvalidArgument, OrderServiceError, SignatureInvalid
from shop_order.domain.ports import (
    BillNotOut,
    BillSource,
    BillUnusable,
    Device,
    LinesRead,
    Notice,
    NoticeReply,
    NoticeRoute,
    OpenRequest,
    RefundResult,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import ChannelContext, ChannelEntry

# Tests without the recipe borrow a number.
TOY = PaymentType.__members__.get("TOY", PaymentType.WECHAT)


def sign(key: str, body: bytes) -> str:
    """The header that proves a notice."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


class ToyBills:
    """See `domain.ports.BillSource`; a bill is a JSON list of lines."""

    max_bytes = 1 << 20
    out_ms = 0

    def available(self) -> bool:
        return True

    async def bill(self, day: date, read: LinesRead) -> Bill:
        raise BillNotOut(day)

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        try:
            return Bill(day, [BillLine(**line) for line in json.load(file)])
        except (ValueError, TypeError) as wrong:
            raise BillUnusable("not a toy's bill") from wrong


@dataclass
class ToyChannel:
    """See `domain.ports.PaymentChannel`; its provider is `paid`, `refunds` and `closed`."""

    key: str
    seller: str
    context: ChannelContext
    reachable: bool = True
    paid: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    opened: dict[str, OpenRequest] = field(default_factory=dict)
    refund_queries: int = 0
    bills: BillSource | None = field(default_factory=ToyBills)

    payment_type = TOY
    trade_types = TradeTypes(
        ("native", "bridge", "message"),
        unavailable=frozenset({"h5"}),
        at_cashier={Device.WECHAT: "bridge"},
        by_openid=frozenset({"bridge"}),
        openid_page="https://shop.example/openid?app_id=toy",
    )
    smallest_fen = 1
    largest_fen = 10_000_000

    def available(self) -> bool:
        return bool(self.key)

    async def open(self, request: OpenRequest) -> PaymentAction:
        payment_sn, trade_type = request.payment.payment_sn, request.payment.trade_type
        if trade_type == "bridge" and not request.payer.openid:
            raise InvalidArgument("openid", "required")
        if trade_type != "message":
            self.opened[payment_sn] = request
        match trade_type:
            case "bridge":
                return BridgeParameters({"package": f"prepay={payment_sn}"})
            case "message":
                return Done()
        return QrCode(f"toy://pay/{payment_sn}")

    async def query(self, payment_sn: str) -> Trade:
        if not self.reachable:
            return Trade(TradeState.UNKNOWN)
        if payment_sn in self.paid:
            return Trade(TradeState.PAID, f"T{payment_sn}", self.paid[payment_sn])
        return Trade(TradeState.CLOSED if payment_sn in self.closed else TradeState.WAITING)

    async def close(self, payment_sn: str) -> Trade:
        if self.reachable and payment_sn not in self.paid:
            self.closed.add(payment_sn)
        return await self.query(payment_sn)

    async def refund(self, payment: Payment, refund: Refund) -> RefundResult:
        if not self.reachable:
            return RefundResult.UNKNOWN
        if self.paid.get(payment.payment_sn) != payment.amount_fen or refund.amount_fen > payment.amount_fen:
            return RefundResult.FAILED  # it names the total, like WeChat Pay
        self.refunds[refund.out_refund_no] = refund.amount_fen
        return RefundResult.PROCESSING

    async def query_refund(self, refund: Refund) -> RefundResult:
        self.refund_queries += 1
        known = self.reachable and refund.out_refund_no in self.refunds
        return RefundResult.SUCCEEDED if known else RefundResult.UNKNOWN

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        if not hmac.compare_digest(headers.get("toy-signature", ""), sign(self.key, body)):
            raise SignatureInvalid("notice")
        told = json.loads(body)
        if told["seller"] != self.seller:
            raise AmountMismatch("seller")
        trade = Trade(TradeState.PAID, f"T{told['sn']}", told["fen"])
        return Notice(
            told["sn"], trade, is_refund="refund_sn" in told, out_refund_no=told.get("refund_sn", "")
        )

    async def aclose(self) -> None: ...


def reply(error: Exception | None) -> NoticeReply:
    if error is None:
        return NoticeReply(204)
    statuses = {SignatureInvalid: 401, OrderServiceError: 409, Exception: 500}
    status = next(status for kind, status in statuses.items() if isinstance(error, kind))
    return NoticeReply(status, '{"code":"FAIL"}', "application/json")


def connect(section: Any, context: ChannelContext) -> ToyChannel | None:
    return None if section.missing else ToyChannel(section.key, section.seller, context)


def problems(section: Any) -> list[str]:
    return ["PAY__TOY__KEY: is too short"] if section.key and len(section.key) < 3 else []


ROUTE = NoticeRoute(TOY, reply, "玩具通知 / A toy's notice", "玩具。\n\nA toy.")
ENTRY = ChannelEntry(connect, problems, ROUTE)
