"""How often: by address and by token; and how slowly."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import grpc.aio
import httpx
import pytest

from tests.gateway.conftest import Started
from tests.gateway.running import Nginx, call

MANY = 6


async def statuses(
    http: httpx.AsyncClient, count: int = MANY, method: str = "GET", **more: Any
) -> Counter[int]:
    path = more.pop("path", "/api/v1/orders")
    answers = [await http.request(method, path, **more) for _ in range(count)]
    return Counter(answer.status_code for answer in answers)


async def test_a_token_has_a_limit_of_its_own(start: Started) -> None:
    nginx = start(token_rate=1, token_burst=2)
    async with nginx.http() as http:
        one, other = ({"Authorization": f"Bearer {token}"} for token in "xy")
        found = await statuses(http, headers=one)
        assert found[429] >= MANY - 4
        assert found[200] >= 3
        assert (await statuses(http, 3, headers=other)) == {200: 3}
        assert (await statuses(http)) == {200: MANY}


async def test_an_address_has_a_limit_whatever_tokens_it_shows(start: Started) -> None:
    nginx = start(address_rate=1, address_burst=2)
    async with nginx.http() as http:
        answers = [
            await http.get("/api/v1/orders", headers={"Authorization": f"Bearer {number}"})
            for number in range(MANY)
        ]
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    body = refused.json()
    assert (body["code"], body["error"]) == (429, "RATE_LIMITED")
    assert body["request_id"] == refused.headers["x-request-id"]


async def test_addresses_behind_a_balancer_we_trust_are_told_apart(start: Started) -> None:
    nginx = start(address_rate=1, address_burst=2, trusted_proxies=("127.0.0.1",))
    async with nginx.http() as http:

        async def behind(*addresses: str) -> list[int]:
            sent = ({"X-Forwarded-For": address} for address in addresses)
            return [(await http.get("/api/v1/orders", headers=one)).status_code for one in sent]

        assert await behind(*(f"203.0.113.{number}" for number in range(MANY))) == [200] * MANY
        assert await behind(*["198.51.100.1"] * MANY) == [200] * 3 + [429] * (MANY - 3)
        # What stands left of the caller is the caller's own text.
        assert 429 in await behind(*(f"203.0.113.{number}, 198.51.100.2" for number in range(MANY)))
        # A household has one network of IPv6.
        assert 429 in await behind(*(f"2001:db8:0:1::{number}" for number in range(MANY)))
        assert await behind(*(f"2001:db8:0:{number}::1" for number in range(2, MANY))) == [200] * (MANY - 2)


async def test_a_provider_is_not_limited_as_buyers_are(start: Started) -> None:
    nginx = start(address_rate=1, address_burst=1, notice_rate=1, notice_burst=MANY)
    path = "/api/v1/payments/notify/alipay"
    async with nginx.http() as http:
        assert (await statuses(http, method="POST", path=path)) == {200: MANY}
        # A flood is.
        assert (await statuses(http, 3 * MANY, method="POST", path=path))[429] > 0


async def test_grpc_callers_hear_resource_exhausted(start: Started) -> None:
    nginx = start(token_rate=1, token_burst=2)
    codes = []
    async with nginx.channel() as channel:
        for _ in range(MANY):
            try:
                await call(channel, authorization="Bearer x")
                codes.append(grpc.StatusCode.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert (await call(channel, authorization="Bearer y"))["instance"]


async def test_one_address_has_so_many_calls_at_once(start: Started) -> None:
    nginx = start(at_once=3)
    async with nginx.http() as http:
        slow = {"x-sleep": "0.5"}
        answers = await asyncio.gather(*(http.get("/api/v1/orders", headers=slow) for _ in range(5)))
        assert Counter(answer.status_code for answer in answers) == {200: 3, 429: 2}
        assert (await statuses(http)) == {200: MANY}


@pytest.mark.slow
async def test_who_sends_headers_byte_by_byte_is_shown_the_door(nginx: Nginx) -> None:
    reader, writer = await asyncio.open_connection("localhost", nginx.port, ssl=nginx.trust())
    writer.write(b"GET /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    began = time.monotonic()

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.5)

    dripping = asyncio.create_task(drip())
    said = b""
    try:
        said = await asyncio.wait_for(reader.read(), 15)
    except ConnectionError:
        pass
    finally:
        dripping.cancel()
        writer.close()
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
    assert 8 < time.monotonic() - began < 14
