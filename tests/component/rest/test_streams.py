"""A streaming route of REST: counted among the open streams, without a deadline, ended at a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import cast

import httpx
import pytest
from starlette.responses import Response, StreamingResponse

from shop_order.pkg.http.protocol import BoundedProtocol
from shop_order.pkg.http.server import HttpServer
from shop_order.web.auth.roles import READERS, ROLES, Who
from shop_order.web.context import remaining_s
from shop_order.web.document import route_options
from shop_order.web.handler.route import Guard, guarded_route_class, mount, operation
from tests.component.rest.front import Rest, token

TICKS = "/api/v1/ticks"
PAUSE_S = 0.05


class Ticker:
    """Sends events until the client goes, as a handler of ours would."""

    def __init__(self) -> None:
        self.size = 1
        self.closed = 0

    @operation("GET", TICKS, id="ticks", tag="orders", summary="ticks")
    async def ticks(self) -> Response:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: %s %a\n\n" % (b"x" * self.size, remaining_s())
                await asyncio.sleep(PAUSE_S)
        finally:
            self.closed += 1


@pytest.fixture
def ticker(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> Ticker:
    monkeypatch.setitem(cast(dict[str, Who], ROLES), f"GET {TICKS}", READERS)
    it, parts = Ticker(), rest.parts
    guard = Guard(parts.authenticator, parts.limits, parts.streams, ())
    mount(rest.app, [it.ticks], guarded_route_class(guard), route_options)
    return it


@pytest.fixture
async def server(rest: Rest, ticker: Ticker) -> AsyncIterator[HttpServer]:
    it = HttpServer(rest.app, host="127.0.0.1", port=0)
    yield it
    await it.stop(1)


@pytest.fixture
async def browser(server: HttpServer) -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{await server.start()}"
    headers = {"authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as client:
        yield client


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_stream_is_counted_outlives_the_deadline_and_frees_its_slot(
    browser: httpx.AsyncClient, rest: Rest, ticker: Ticker
) -> None:
    rest.deadline_s = 2 * PAUSE_S
    async with browser.stream("GET", TICKS) as stream:
        lines = stream.aiter_lines()
        events = [await anext(lines) for _ in range(12)]
        assert set(events) == {"data: x None", ""}
        assert rest.pools.taken()["streams"] == rest.pools.user_streams.taken == 1
    await until(lambda: rest.pools.taken()["streams"] == 0)
    assert ticker.closed == 1
    await until(lambda: bool(rest.observed))
    assert rest.observed == [(f"GET {TICKS}", "200")]


async def test_a_stream_too_many_is_refused_before_it_begins(
    browser: httpx.AsyncClient, rest: Rest, ticker: Ticker
) -> None:
    rest.bounds.grpc_user_streams = 1
    async with browser.stream("GET", TICKS) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        refused = await browser.get(TICKS)
        assert (refused.status_code, refused.json()["error"]) == (429, "OVERLOADED")
        other = {"authorization": f"Bearer {token(8)}"}
        async with browser.stream("GET", TICKS, headers=other) as second:
            assert second.status_code == 200
        rest.bounds.grpc_user_streams, rest.bounds.grpc_address_streams = 0, 1
        await until(lambda: rest.pools.taken()["streams"] == 1)
        assert (await browser.get(TICKS)).status_code == 429
    assert (await browser.get("/api/v1/cart")).status_code == 200


async def test_at_a_stop_a_stream_ends_complete(
    browser: httpx.AsyncClient, server: HttpServer, rest: Rest, ticker: Ticker
) -> None:
    async with browser.stream("GET", TICKS) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        async with asyncio.timeout(3):
            stopping = asyncio.gather(rest.parts.streams.end(), server.stop(30))
            async for _ in lines:
                pass
            await stopping
    assert (len(rest.parts.streams), ticker.closed) == (0, 1)
    assert not [line for line in rest.log.lines if line[0] == "request failed"]


async def test_a_stream_that_begins_during_a_stop_is_empty(
    browser: httpx.AsyncClient, rest: Rest, ticker: Ticker
) -> None:
    await rest.parts.streams.end()
    answer = await browser.get(TICKS)
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_a_client_that_reads_nothing_holds_up_no_stop(rest: Rest, ticker: Ticker) -> None:
    ticker.size = 1 << 20
    bounds = replace(BoundedProtocol.bounds, unread_s=0.2)
    server = HttpServer(rest.app, host="127.0.0.1", port=0, bounds=bounds)
    _, writer = await asyncio.open_connection("127.0.0.1", await server.start(), limit=1024)
    head = f"GET {TICKS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token()}\r\n\r\n"
    writer.write(head.encode())
    await until(lambda: rest.pools.taken()["streams"] == 1)
    async with asyncio.timeout(5):
        await asyncio.gather(rest.parts.streams.end(), server.stop(30))
    assert (rest.pools.taken()["streams"], ticker.closed) == (0, 1)
    writer.close()
