"""The client of the providers spends no time on what it could know."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from shop_order.gateway.payment.http import ProviderHttp


class Searched:
    """Notes the modules that Python searches for, and finds none."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        self.names.append(name)


@contextmanager
def searched() -> Iterator[list[str]]:
    """The modules that are searched for meanwhile."""
    finder = Searched()
    sys.meta_path.insert(0, finder)
    try:
        yield finder.names
    finally:
        sys.meta_path.remove(finder)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of a connection with two bytes."""
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")
    writer.close()


async def test_a_call_searches_for_no_module() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    http = ProviderHttp()
    bodies = []
    for _ in range(2):
        with searched() as names:
            bodies.append((await http.call("GET", f"http://{host}:{port}/", headers={}, timeout_s=5)).body)
    await http.aclose()
    server.close()
    assert bodies == [b"OK", b"OK"]
    assert names == []  # httpcore searches for `sniffio` where it is not installed
