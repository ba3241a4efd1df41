"""An HTTP server of the tests that keeps what it was sent: the merchant's notify address, or a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shop_sandbox.http_server import HttpServer, listen


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it came; `target` is its path and query, not decoded; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Reply:
    """What a request is answered with."""

    body: bytes = b""
    headers: Mapping[str, str] | None = None
    status: int = 200


class Recorder:
    """Keeps every request; answers with the one of `replies` for its path, else with `reply`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reply = Reply()
        self.replies: dict[str, Reply] = {}
        self.sent: list[Sent] = []

    async def take(self, request: Request) -> Response:
        raw: bytes = request.scope["raw_path"]
        query: bytes = request.scope["query_string"]
        target = (raw + b"?" + query if query else raw).decode("ascii")
        self.sent.append(Sent(request.method, target, dict(request.headers), await request.body()))
        reply = self.replies.get(request.url.path, self.reply)
        return Response(reply.body, reply.status, dict(reply.headers or {}))

    def last(self) -> Sent:
        """The newest request."""
        return self.sent[-1]


@asynccontextmanager
async def recorder() -> AsyncIterator[Recorder]:
    """A server on loopback until the block ends."""
    listener = listen("127.0.0.1", 0)
    found = Recorder(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = HttpServer(
        Starlette(routes=[Route("/{path:path}", found.take, methods=["GET", "POST"])]), listener
    )
    await server.start()
    try:
        yield found
    finally:
        await server.stop()
