"""The HTTP server, and the application of /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace

import uvicorn
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shop_order.pkg.http.protocol import REFUSED, BoundedProtocol, Bounds
from shop_order.pkg.sockets import listen

_WANTED_FILES = 16_384
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METRICS_METHODS = ("GET", "HEAD")


class HttpServer:
    """uvicorn on a port taken exclusively."""

    def __init__(
        self, app: ASGIApp, *, host: str, port: int, bounds: Bounds = BoundedProtocol.bounds
    ) -> None:
        self._app = app
        self._bounds = bounds
        self._address = (host, port)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; return the port. Raises OSError if it is in use."""
        listener = listen(*self._address)
        bounds = replace(self._bounds, connections=min(self._bounds.connections, _max_open_files() // 2))
        protocol = type("Connection", (BoundedProtocol,), {"bounds": bounds, "pending_connections": {}})
        config = uvicorn.Config(
            self._app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=round(bounds.idle_s),
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise OSError("the HTTP server did not start")
            await asyncio.sleep(0.005)
        return int(listener.getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, and wait at most `grace_s` for running ones."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await self._task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def _max_open_files() -> int:
    """Raise the limit on open files to _WANTED_FILES, as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _WANTED_FILES
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def metrics_app(text: Callable[[], bytes]) -> ASGIApp:
    """Return an application that answers GET and HEAD of any path with the metrics."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response: Response
        if refused := scope.get(REFUSED):
            response = PlainTextResponse("refused", refused)
        elif scope["method"] not in _METRICS_METHODS:
            response = PlainTextResponse("method not allowed", 405, {"Allow": ", ".join(_METRICS_METHODS)})
        else:
            response = Response(await asyncio.to_thread(text), media_type=METRICS_TYPE)
        await response(scope, receive, send)

    return app
