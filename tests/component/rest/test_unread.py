"""Answers that nobody reads, or that are read slowly."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket

import pytest
from starlette.types import Receive, Scope, Send

from tests.component.rest.line import GET, LATE_S, QUICK, served


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("parts", [1, 64])
async def test_an_answer_that_is_never_read_ends_the_connection(close: bytes, parts: int) -> None:
    gone = asyncio.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(parts):
            await send(
                {"type": "http.response.body", "body": b"x" * (64_000_000 // parts), "more_body": True}
            )
        await send({"type": "http.response.body"})
        gone.set()

    async with served(large, QUICK) as connect:
        port = (await connect()).writer.get_extra_info("peername")[1]
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            await loop.sock_sendall(deaf, GET + close + b"\r\n")
            await asyncio.wait_for(gone.wait(), LATE_S)
            async with asyncio.timeout(LATE_S):
                # Fails with TimeoutError if the server keeps the connection.
                while not reset(deaf):  # noqa: ASYNC110 - nothing tells of a reset but asking
                    await asyncio.sleep(0.05)


async def test_an_answer_that_is_read_slowly_is_sent_to_its_end() -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 64_000_000})

    async with served(large, QUICK) as connect:
        port = (await connect()).writer.get_extra_info("peername")[1]
        loop = asyncio.get_running_loop()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            await loop.sock_connect(slow, ("127.0.0.1", port))
            await loop.sock_sendall(slow, GET + b"\r\n")
            for _ in range(20):  # several times as long as whoever reads nothing is given
                assert await loop.sock_recv(slow, 4096)
                await asyncio.sleep(0.1)


async def test_requests_in_a_row_that_nobody_waits_for_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(64):
                await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            ended.set()

    async with served(large, QUICK) as connect:
        line = await connect()
        await line.send((GET + b"\r\n") * 3)
        await asyncio.sleep(0.1)
        line.writer.transport.abort()
        await asyncio.wait_for(ended.wait(), LATE_S)
        await asyncio.sleep(0.1)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def reset(of: socket.socket) -> bool:
    """Whether the other side has reset the connection, also before what it sent was read."""
    return of.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
