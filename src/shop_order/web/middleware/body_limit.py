"""No request body is larger than allowed, whatever its headers say."""

from __future__ import annotations

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
        announced = 0
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                announced = int(value)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            # Starlette's own exception: FastAPI turns any other one from reading a body into 400.
            if announced > self._most_bytes:
                raise HTTPException(TOO_LARGE)  # before anybody is told to go on (Expect: 100-continue)
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most_bytes:
                raise HTTPException(TOO_LARGE)
            return message

        await self._app(scope, counted, send)
