"""Streams come through as they are made, for as long as they last; calls do not last for ever."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import grpc.aio
import pytest

from tests.gateway.conftest import Started
from tests.gateway.instance import EVENT_S, EVENTS
from tests.gateway.running import GET_ORDER, Nginx, call

STREAM = "/api/v1/orders/261123090000000000000000001/events"
WATCH = "/order.OrderService/WatchOrderStatus"


async def test_server_sent_events_are_not_held_back(nginx: Nginx) -> None:
    arrived = []
    async with nginx.http() as http, http.stream("GET", STREAM) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        async for line in stream.aiter_lines():
            if line.startswith("id:"):
                arrived.append(time.monotonic())
    assert len(arrived) == EVENTS
    assert all(later - earlier > EVENT_S / 2 for earlier, later in itertools.pairwise(arrived))


async def test_both_sides_of_a_grpc_stream_speak_in_turn(nginx: Nginx) -> None:
    async with nginx.channel() as channel:
        stream: Any = channel.stream_stream(WATCH)()
        said = []
        for word in (b"1", b"2", b"3"):
            await stream.write(word)
            said.append(await asyncio.wait_for(stream.read(), 5))
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.OK
    assert len({text.partition(b":")[0] for text in said}) == 1
    assert [text.partition(b":")[2] for text in said] == [b"1", b"2", b"3"]


async def test_a_silent_stream_lives_on_and_a_silent_call_does_not(start: Started) -> None:
    nginx = start(deadline_s=1)
    longer = "7"  # than what a call may take: the deadline and five seconds
    async with nginx.http() as http, nginx.channel() as channel:

        async def watch() -> bytes:
            stream: Any = channel.stream_stream(WATCH)()
            await stream.write(b"1")
            await stream.read()
            await asyncio.sleep(float(longer))
            await stream.write(b"2")
            return bytes(await stream.read())

        async def too_long() -> grpc.StatusCode:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, "/order.OrderService/CreateOrder", x_sleep=longer)
            return caught.value.code()

        watched, rest, code = await asyncio.gather(
            watch(), http.post("/api/v1/orders", headers={"x-sleep": longer}), too_long()
        )
    assert watched.endswith(b":2")
    assert (rest.status_code, rest.json()["error"]) == (504, "DEADLINE_EXCEEDED")
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_unary_call_brings_its_errors_details(nginx: Nginx) -> None:
    async with nginx.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, GET_ORDER, b"refuse")
        big = await call(channel, GET_ORDER, b"x" * 4 * 1024 * 1000)
    error = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "缺货")
    assert b"OUT_OF_STOCK" in dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert big["body"] == 4 * 1024 * 1000


async def test_a_callers_deadline_reaches_the_service(nginx: Nginx) -> None:
    async with nginx.channel() as channel:
        unary: Any = channel.unary_unary("/order.OrderService/CreateOrder")
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(b"", metadata=(("x-sleep", "3"),), timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 2
        assert json.loads(await unary(b"", timeout=5))["instance"]
