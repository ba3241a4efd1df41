"""Notices as the providers and the wallet send them, written and signed by the sandbox's code and keys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2 import DeliverResult, EventBatch
from shop_sandbox import wallet
from shop_sandbox.alipay import content as alipay_content
from shop_sandbox.alipay import trades
from shop_sandbox.alipay.keys import ensure_keys as alipay_keys
from shop_sandbox.alipay.notices import SignedForms
from shop_sandbox.alipay.requests import PAGE_PAY, PayRequest
from shop_sandbox.database import Database
from shop_sandbox.payments.notices import Notice, Wire
from shop_sandbox.wechat import content as wechat_content
from shop_sandbox.wechat.keys import OFFICIAL, PUBLIC_KEY_ID
from shop_sandbox.wechat.keys import ensure_keys as wechat_keys
from shop_sandbox.wechat.notices import SealedNotices
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.trades import Trade, transaction_number

SIGNED = {"POST notify/alipay": 1, "POST notify/wechat": 2, "Deliver wallet.debited": 3}  # to `payment_type`
HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Sign = Callable[[int, pb.PaymentInfo], bytes]


class NotTaken(Exception):
    """The service did not thank for a notice; the message says what it did."""


def signer(kind: str, keys_dir: Path) -> Sign:
    """What makes a whole message of a kind: of HTTP with its head, for a user's attempt that was paid."""
    if kind == "Deliver wallet.debited":
        return debited
    if kind == "POST notify/alipay":
        forms = SignedForms(alipay_keys(keys_dir))
        return lambda _, attempt: http(forms, alipay_notice(attempt, forms))
    keys = wechat_keys(keys_dir)
    # Never opened: a key of the folder signs.
    platform = Platform(Database(keys_dir / "unused.db", ""), keys, now_ms)
    sealed = SealedNotices(platform, keys.api_v3_key, time.time)
    return lambda _, attempt: http(sealed, wechat_notice(attempt))


def alipay_notice(attempt: pb.PaymentInfo, forms: SignedForms) -> dict[str, Any]:
    """The fields of Alipay's notice."""
    sn, at_ms = attempt.payment_sn, now_ms()
    request = PayRequest(sn, PAGE_PAY, attempt.amount_fen, f"订单 {attempt.order_sn}", "", "", "", "", 0, "")
    trade = trades.Trade(sn, f"2026{sn[1:]}", trades.SUCCESS, created_ms=at_ms, paid_ms=at_ms)
    return {**alipay_content.payment_notice(request, trade), "charset": forms.charset}


def wechat_notice(attempt: pb.PaymentInfo) -> dict[str, Any]:
    """The content of WeChat Pay's notice, before encryption."""
    at_ms = now_ms()
    trade = Trade(
        out_trade_no=attempt.payment_sn,
        kind="native",
        app_id=OFFICIAL,
        description=f"订单 {attempt.order_sn}",
        attach="",
        amount_fen=attempt.amount_fen,
        notify_url="",
        openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        expire_ms=0,
        body="",
        order_ref="",
        signer=PUBLIC_KEY_ID,
        created_ms=at_ms,
        prepay_id="",
        prepaid_ms=at_ms,
        transaction_id=transaction_number(at_ms),
        paid_ms=at_ms,
    )
    return wechat_content.payment_notice(trade)


def http(wire: Wire, content: Mapping[str, Any]) -> bytes:
    """The request with a notice."""
    at_ms = now_ms()
    stored = wire.stored(content)
    notice = Notice(0, wire.number(at_ms), "", "paid", "", stored, 0, None, 0, 0, "")
    body, headers = wire.request(notice, at_ms, "")
    lines = [f"POST /api/v1/payments/notify/{wire.name} HTTP/1.1", f"host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in {**headers, "content-length": len(body)}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def debited(user: int, attempt: pb.PaymentInfo) -> bytes:
    """The wallet's answer that it took the money, in a batch of its own."""
    data = {"payment_sn": attempt.payment_sn, "user_id": user, "amount_fen": attempt.amount_fen}
    event = {
        "specversion": "1.0",
        "id": f"{wallet.DEBITED}/{attempt.payment_sn}",
        "source": "/user-service",
        "type": wallet.DEBITED,
        "subject": attempt.order_sn,
        "datacontenttype": "application/json",
        "data": data,
    }
    return EventBatch(cloud_events=[json.dumps(event).encode()]).SerializeToString()


def accepted(call: Callable[..., Awaitable[bytes]]) -> Callable[..., Awaitable[bytes]]:
    """A `Deliver` that raises NotTaken unless its event was taken."""

    async def deliver(message: bytes, **how: Any) -> bytes:
        answer = await call(message, **how)
        if not DeliverResult.FromString(answer).accepted_ids:
            raise NotTaken("not accepted")
        return answer

    return deliver


class Poster:
    """Posts whole requests to a port, on as many kept connections as there are calls at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, message: bytes, *, timeout: float, **_: Any) -> bytes:
        """The answer's body. Raises NotTaken unless it is a provider's thanks."""
        try:
            async with asyncio.timeout(timeout):
                reader, writer = self._idle.pop() if self._idle else await self._connected()
                writer.write(message)
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
        except (OSError, EOFError, TimeoutError) as error:
            raise NotTaken(repr(error)) from error
        self._idle.append((reader, writer))
        status = head.split(b" ", 2)[1]
        if (status, body) not in ((b"200", b"success"), (b"204", b"")):
            raise NotTaken(f"{status.decode()} {body[:200].decode(errors='replace')}")
        return body

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            with contextlib.suppress(OSError):
                writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self._port)


def now_ms() -> int:
    """The real time."""
    return time.time_ns() // 1_000_000
