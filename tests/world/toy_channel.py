"""A payment channel unlike Alipay: QR codes, bridge parameters, JSON notices, refunds in two steps."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shop_order.domain.entity.payment import BridgeParameters, Done, PaymentAction, QrCode
from shop_order.domain.errors import OrderServiceError, SignatureInvalid
from shop_order.domain.ports import (
    Notice,
    NoticeReply,
    NoticeRoute,
    RefundResult,
    Trade,
    TradeState,
    TradeTypes,
)
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.base import ChannelContext, ChannelEntry

KEY = b"toy"


def sign(body: bytes) -> str:
    """The header that proves a notice."""
    return hmac.new(KEY, body, hashlib.sha256).hexdigest()


@dataclass
class ToyChannel:
    """See `domain.ports.PaymentChannel`; its provider is `paid` and `refunds`."""

    context: ChannelContext
    paid: dict[str, int] = field(default_factory=dict)
    refunds: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    refund_queries: int = 0

    payment_type = PaymentType.WECHAT
    trade_types = TradeTypes(("native", "bridge", "message"), unavailable=frozenset({"h5"}))
    smallest_fen = 1
    largest_fen = 10_000_000
    seller = "toy-seller"
    bills = None

    def available(self) -> bool:
        return True

    async def open(self, *, payment_sn: str, trade_type: str, **_: Any) -> PaymentAction:
        match trade_type:
            case "bridge":
                return BridgeParameters({"package": f"prepay={payment_sn}"})
            case "message":
                return Done()
        return QrCode(f"toy://pay/{payment_sn}")

    async def query(self, payment_sn: str) -> Trade:
        if payment_sn in self.paid:
            return Trade(TradeState.PAID, f"T{payment_sn}", self.paid[payment_sn])
        return Trade(TradeState.CLOSED if payment_sn in self.closed else TradeState.WAITING)

    async def close(self, payment_sn: str) -> Trade:
        if payment_sn not in self.paid:
            self.closed.add(payment_sn)
        return await self.query(payment_sn)

    async def refund(self, *, payment_sn: str, refund_sn: str, amount_fen: int, reason: str) -> RefundResult:
        self.refunds[refund_sn] = amount_fen
        return RefundResult.PROCESSING

    async def query_refund(self, *, payment_sn: str, refund_sn: str) -> RefundResult:
        self.refund_queries += 1
        return RefundResult.SUCCEEDED if refund_sn in self.refunds else RefundResult.UNKNOWN

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Notice:
        if not hmac.compare_digest(headers.get("toy-signature", ""), sign(body)):
            raise SignatureInvalid("notice")
        told = json.loads(body)
        return Notice(told["sn"], Trade(TradeState.PAID, f"T{told['sn']}", told["fen"]))

    async def aclose(self) -> None: ...


def reply(error: Exception | None) -> NoticeReply:
    if error is None:
        return NoticeReply(204)
    statuses = {SignatureInvalid: 401, OrderServiceError: 409, Exception: 500}
    status = next(status for kind, status in statuses.items() if isinstance(error, kind))
    return NoticeReply(status, '{"code":"FAIL"}', "application/json")


ROUTE = NoticeRoute(PaymentType.WECHAT, reply, "玩具通知 / A toy's notice", "玩具。\n\nA toy.")
ENTRY = ChannelEntry(lambda _section, context: ToyChannel(context), lambda _section: (), ROUTE)
