"""No request body is larger than allowed, whatever its headers say."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = 413


class BodyLimit:
    """Ends a request with 413 as soon as it is too large; nothing is kept of it."""

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "0")
        announced = int(declared) if declared.isascii() and declared.isdigit() else 0
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if max(seen, announced) > self._most_bytes:
                # Starlette's own exception: FastAPI turns any other one from reading a body into 400.
                raise HTTPException(TOO_LARGE)
            return message

        await self._app(scope, counted, send)
