"""What payment providers send; each is answered in its own way (contract, chapter 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from shop_order.domain.errors import (
    AmountMismatch,
    BodyTooLarge,
    Forbidden,
    InvalidArgument,
    OrderServiceError,
    SignatureInvalid,
)
from shop_order.domain.status import PaymentType
from shop_order.service.notice import MOST_BODY
from shop_order.service.payment import PaymentService
from shop_order.web.context import about, remaining_s
from shop_order.web.handler.route import operation
from shop_order.web.middleware.client_address import Network, client_address, contains, networks
from shop_order.web.middleware.edge import RequestLog

TAG = "notices"

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["sign"],
                    "additionalProperties": {"type": "string"},
                    "properties": {
                        "out_trade_no": {"type": "string"},
                        "trade_status": {"type": "string"},
                        "total_amount": {"type": "string"},
                        "sign": {"type": "string"},
                    },
                }
            }
        },
    },
    "responses": {
        str(status): {
            "description": words,
            "content": {"text/plain": {"schema": {"type": "string", "enum": [text]}}},
        }
        for status, text, words in (
            (400, "failure", "格式错误或字符集不符 / Malformed, a key twice, or another charset"),
            (401, "failure", "签名无效 / Forged"),
            (403, "failure", "地址不在名单内 / From an address that may not"),
            (413, "failure", "过大 / Too large"),
            (500, "failure", "本方故障，请重试 / Ours is broken: send it again"),
            (503, "failure", "本方故障，请重试 / Ours is broken: send it again"),
            (504, "failure", "本方故障，请重试 / Ours is broken: send it again"),
        )
    },
}
_FORM["responses"]["200"] = {
    "description": "`success` 已处理；`failure` 金额、应用或单号不符，超出范围，或有歧义而改为查询 / "
    "Done; or it does not agree with our payment, is out of bounds, or can be read in two ways",
    "content": {"text/plain": {"schema": {"type": "string", "enum": ["success", "failure"]}}},
}


class NoticeHandler:
    """Routes below /payments/notify: no token and no limits, the signature is the credential."""

    def __init__(
        self,
        *,
        payments: PaymentService,
        log: RequestLog,
        allowed: Callable[[], tuple[str, ...]],
        trusted_proxies: tuple[Network, ...],
    ) -> None:
        self._payments = payments
        self._log = log
        self._allowed = allowed
        self._trusted = trusted_proxies

    @operation(
        "POST",
        "/api/v1/payments/notify/alipay",
        id="notifyAlipay",
        tag=TAG,
        summary="支付宝异步通知 / Alipay's notice",
        description="由支付宝调用。处理成功时响应体为 `success`，否则支付宝会重发。\n\n"
        "Called by Alipay: RSA2-signed form; anything but the body `success` is sent again.",
        extra=_FORM,
    )
    async def alipay(self, request: Request) -> Response:
        """Take a notice of Alipay."""
        try:
            self._refuse_strangers(request)
            async with asyncio.timeout(_most_s()):
                body = await _raw(request)
                about(await self._payments.provider_notice(PaymentType.ALIPAY, body, dict(request.headers)))
        except OrderServiceError as error:
            return PlainTextResponse("failure", alipay_status(error))
        except TimeoutError:
            return PlainTextResponse("failure", 504)
        except Exception:  # noqa: BLE001 - the transport's edge: the provider reads no envelope
            self._log.exception("notice failed", channel="alipay")
            return PlainTextResponse("failure", 500)
        return PlainTextResponse("success")

    def _refuse_strangers(self, request: Request) -> None:
        allowed = networks(self._allowed())
        if allowed and not contains(allowed, client_address(request.scope, self._trusted)):
            raise Forbidden


def alipay_status(error: OrderServiceError) -> int:
    """How Alipay is told: 2xx where sending it again would change nothing, 5xx where it would."""
    if isinstance(error, AmountMismatch):
        return 200
    if isinstance(error, SignatureInvalid):
        return 401
    if isinstance(error, Forbidden):
        return 403
    if isinstance(error, BodyTooLarge):
        return 413
    if isinstance(error, InvalidArgument):
        return 400
    return 503


def _most_s() -> float | None:
    # A little before the request's own deadline, whose answer is an envelope.
    left_s = remaining_s()
    return None if left_s is None else left_s * 0.9


async def _raw(request: Request) -> bytes:
    # Byte for byte as it was sent: the signature is over it.
    if int(request.headers.get("content-length", "0")) > MOST_BODY:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY:
            raise BodyTooLarge
    return bytes(body)
