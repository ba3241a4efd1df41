"""Connections to a server of ours, as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from shop_order.pkg.http.protocol import Bounds
from shop_order.pkg.http.server import HttpServer

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
QUICK = Bounds(head_s=0.3, idle_s=1, leftover_s=0.3, unread_s=0.2)
LATE_S = 20  # nobody waits that long, unless the bound is gone


@dataclass
class Line:
    """A connection as bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Write as far as the other side reads."""
        with suppress(OSError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def rest(self) -> bytes:
        """Everything until the connection is closed from the other side."""
        found = b""
        with suppress(OSError):
            async with asyncio.timeout(LATE_S):
                while piece := await self.reader.read(65536):
                    found += piece
        return found

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer: status, headers, body."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LATE_S)).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body


Connect = Callable[[], Awaitable[Line]]


@asynccontextmanager
async def served(app: ASGIApp, bounds: Bounds) -> AsyncIterator[Connect]:
    """A server, and how to connect to it."""
    server = HttpServer(app, host="127.0.0.1", port=0, bounds=bounds)
    port = await server.start()
    lines: list[Line] = []

    async def connect() -> Line:
        lines.append(Line(*await asyncio.open_connection("127.0.0.1", port)))
        return lines[-1]

    yield connect
    for line in lines:
        line.writer.close()
    await server.stop(1)
