"""What holds for every route: errors that nobody expected, HEAD, and the size of bodies."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop_order.domain.errors import HeadersTooLarge, InvalidArgument, OrderServiceError
from shop_order.pkg.http.protocol import REFUSED
from shop_order.web.handler.answer import context, failure, refusal
from shop_order.web.messages import plain_error_text
from shop_order.web.middleware.edge import RequestLog, route_of
from shop_order.web.status import INTERNAL_CODE

_REFUSALS: Mapping[int, OrderServiceError] = {
    400: InvalidArgument("request", "invalid_http"),
    431: HeadersTooLarge(),
}


class Recovery:
    """A bug becomes 500, HEAD is GET without its body, and what could not be parsed is refused."""

    def __init__(self, app: ASGIApp, *, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if refused := scope.get(REFUSED):
            return await refusal(_REFUSALS[refused])(scope, receive, send)
        try:
            if scope["method"] == "HEAD":
                await self._headers_only(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except Exception:  # noqa: BLE001 - the transport's edge
            self._log.exception("request failed", route=route_of(scope))
            if not context().status:
                text = plain_error_text(INTERNAL_CODE, context().language)
                await failure(500, INTERNAL_CODE, text)(scope, receive, send)

    async def _headers_only(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headers_only(message: Message) -> None:
            scope["method"] = "HEAD"
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            raise _AnsweredError  # before the body is produced

        context().head = True
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, headers_only)
        except _AnsweredError:
            pass
        finally:
            scope["method"] = "HEAD"


class _AnsweredError(Exception):
    """Ends the request: its headers are sent."""


class BodyLimit:
    """Ends a request with 413 as soon as its body is too large, whatever its headers say."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                announced = int(value)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            # Starlette's own exception: FastAPI turns any other that comes from reading a body into 400.
            if announced > self._max_bytes:
                raise HTTPException(413)  # before the caller is told to continue (Expect: 100-continue)
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)
