"""Notices of payment providers: one route per channel, with the response its provider expects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shop_order.domain.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    Forbidden,
    InvalidArgument,
    OrderServiceError,
)
from shop_order.domain.ports import NoticeRoute
from shop_order.service.notice import MAX_BODY
from shop_order.service.pay import PaymentService
from shop_order.web.auth.client_address import Network, client_address, contains, networks
from shop_order.web.context import RequestLog, log_order_sn, remaining_s
from shop_order.web.handler.route import Endpoint, operation

TAG = "notices"
NOTICE_PATH = "/api/v1/payments/notify/"


class NoticeHandler:
    """Receives notices. They need no token and have no limits; the signature is the credential."""

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

    def endpoint(self, route: NoticeRoute) -> Endpoint:
        """The route for a channel's notices."""
        code = route.payment_type.code

        @operation(
            "POST",
            NOTICE_PATH + code,
            id=f"notify{code.capitalize()}",
            tag=TAG,
            summary=route.summary,
            description=route.description,
            extra=route.document,
        )
        async def receive(request: Request) -> Response:
            reply = route.reply(await self._handle(route, request))
            return Response(reply.body, reply.status, media_type=reply.media_type if reply.body else None)

        return receive

    async def _handle(self, route: NoticeRoute, request: Request) -> Exception | None:
        """The error, or None if the notice was handled."""
        try:
            self._check_address(request)
            async with asyncio.timeout(_timeout_s()):
                body = await _raw(request)
                log_order_sn(
                    await self._payments.provider_notice(route.payment_type, body, dict(request.headers))
                )
        except OrderServiceError as error:
            return error
        except TimeoutError:
            return DeadlineExceeded()
        except ClientDisconnect:  # anybody can hang up in the middle
            return InvalidArgument("request", "invalid_http")
        except Exception as error:  # noqa: BLE001 - transport boundary: providers expect their own format
            self._log.exception("notice failed", channel=route.payment_type.code)
            return error
        return None

    def _check_address(self, request: Request) -> None:
        allowed = networks(self._allowed())
        if allowed and not contains(allowed, client_address(request.scope, self._trusted)):
            raise Forbidden


def _timeout_s() -> float | None:
    # Shorter than the request's deadline, whose response would be our envelope.
    left_s = remaining_s()
    return None if left_s is None else left_s * 0.9


async def _raw(request: Request) -> bytes:
    # Byte for byte as sent, because it is signed.
    if int(request.headers.get("content-length", "0")) > MAX_BODY:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyTooLarge
    return bytes(body)
