"""Instances come and go, and nobody who is being served notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx

from tests.gateway.conftest import Started
from tests.gateway.instance import EVENTS
from tests.gateway.running import Backend, Nginx, call, until

RELOADS = 4
STREAM = "/api/v1/orders/261123090000000000000000001/events"


class Load:
    """Buyers of every kind, until told to stop; a failure ends its buyer with what went wrong."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        self.asked: Counter[str] = Counter()
        self.over = False

    async def new_connections(self) -> None:
        """A connection for every request."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with self.nginx.http(limits=limits) as http:
            while not self.over:
                assert (await http.post("/api/v1/orders")).status_code == 200
                self.asked["new"] += 1

    async def kept_connection(self) -> None:
        """One connection for all."""
        async with self.nginx.http() as http:
            while not self.over:
                assert (await get(http)).status_code == 200
                self.asked["kept"] += 1

    async def calls(self) -> None:
        """One channel of our own client's kind: a call that no server has seen is sent again, no other."""
        async with self.nginx.channel() as channel:
            while not self.over:
                await call(channel, "/order.OrderService/CreateOrder")
                self.asked["calls"] += 1

    async def events(self) -> None:
        """Streams that outlast a reload."""
        async with self.nginx.http() as http:
            while not self.over:
                lines = [line async for line in _lines(http)]
                assert len(lines) == EVENTS
                self.asked["events"] += 1


async def get(http: httpx.AsyncClient) -> httpx.Response:
    """As browsers do: if the connection was closed while idle, once more (RFC 9112, 9.3.1)."""
    try:
        return await http.get("/api/v1/orders")
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return await http.get("/api/v1/orders")


async def _lines(http: httpx.AsyncClient) -> AsyncIterator[str]:
    async with http.stream("GET", STREAM) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                yield line


async def test_a_reload_under_load_fails_nobody(start: Started, backends: list[Backend]) -> None:
    nginx = start(backends[:2])
    load = Load(nginx)
    first = nginx.workers()
    async with asyncio.TaskGroup() as buyers:
        for buyer in (load.new_connections, load.kept_connection, *[load.calls] * 4, load.events):
            buyers.create_task(buyer())
        for number in range(RELOADS):
            await asyncio.sleep(0.4)
            count = 3 if number % 2 == 0 else 2
            await asyncio.to_thread(nginx.reload, instances=tuple(one.at for one in backends[:count]))
        load.over = True
    assert all(load.asked[kind] for kind in ("new", "kept", "calls", "events")), load.asked
    await gone(nginx, first)


async def gone(nginx: Nginx, workers: set[int]) -> None:
    """They finished what they had."""
    await asyncio.to_thread(until, lambda: not workers & nginx.workers())


async def test_an_instance_is_added_and_removed(start: Started, backends: list[Backend]) -> None:
    nginx = start(backends[:2])

    async def change(*instances: Backend) -> None:
        old = await asyncio.to_thread(nginx.reload, instances=tuple(one.at for one in instances))
        await gone(nginx, old)

    async def answering() -> set[str]:
        async with nginx.http() as http, nginx.channel() as channel:
            rest = {(await get(http)).json()["instance"] for _ in range(6)}
            assert rest == {(await call(channel))["instance"] for _ in range(6)}
        return rest

    assert await answering() == {"a", "b"}
    await change(*backends)
    assert await answering() == {"a", "b", "c"}
    await change(backends[2])
    assert await answering() == {"c"}
