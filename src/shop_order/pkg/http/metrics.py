"""`/metrics` alone, for a process that serves nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shop_order.pkg.http.protocol import REFUSED

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_TAKEN = ("GET", "HEAD")


def metrics_app(text: Callable[[], bytes]) -> ASGIApp:
    """Answer GET and HEAD with what was counted, below any address, as Prometheus' own server does."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer: Response
        if refused := scope.get(REFUSED):
            answer = PlainTextResponse("refused", refused)
        elif scope["method"] not in _TAKEN:
            answer = PlainTextResponse("not this method", 405, {"Allow": ", ".join(_TAKEN)})
        else:
            answer = Response(await asyncio.to_thread(text), media_type=TEXT)
        await answer(scope, receive, send)

    return app
