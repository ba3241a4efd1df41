"""An instance dies: what may be repeated is, and nothing else; it comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc.aio
import pytest

from tests.gateway.conftest import Started
from tests.gateway.running import Backend, Nginx, call, until

Call = Callable[..., Awaitable[dict[str, Any]]]  # what reached the instance
LOAD_S = 1.5
REST_S = 5.0  # so long an instance that failed is left alone


async def rest(nginx: Nginx, method: str, path: str, **headers: str) -> dict[str, Any]:
    """One request; a refusal raises with its status."""
    async with nginx.http() as http:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await http.request(method, path, headers=sent)
    if answer.status_code != 200:
        raise ConnectionError(answer.status_code, answer.json().get("error"))
    found: dict[str, Any] = answer.json()
    return found


async def rpc(nginx: Nginx, method: str, **metadata: str) -> dict[str, Any]:
    """One call; the channel itself repeats nothing."""
    async with nginx.channel(retries=False) as channel:
        return await call(channel, method, **metadata)


async def until_dead(one: Backend, ask: Call) -> tuple[int, list[BaseException]]:
    """Ask until `one` died of it: how many were answered, and what failed."""
    answered = 0
    failed: list[BaseException] = []
    async with asyncio.timeout(REST_S + 5):
        while one.alive:
            try:
                await ask(x_die=one.name)
                answered += 1
            except (ConnectionError, grpc.aio.AioRpcError) as error:
                failed.append(error)
            await asyncio.sleep(0.02)
    return answered, failed


Asked = tuple[Call, tuple[str, ...], dict[str, str]]
KEY = {"idempotency_key": "k"}
REPEATED: list[Asked] = [
    (rest, ("GET", "/api/v1/orders"), {}),
    (rest, ("PUT", "/api/v1/cart/checked"), {}),
    (rest, ("POST", "/api/v1/orders"), KEY),
    (rest, ("POST", f"/api/v1/orders/{'1' * 27}/pay"), KEY),
    (rpc, ("/order.OrderService/GetOrder",), {}),
    (rpc, ("/shop.order.Order/OrderDetail",), {}),
    # Often, so that it happens on kept and on new connections.
    *[(rpc, ("/order.OrderService/CreateOrder",), KEY)] * 4,
]
NOT_REPEATED: list[Asked] = [
    (rest, ("POST", "/api/v1/orders"), {}),
    (rest, ("POST", "/api/v1/cart/items"), KEY),  # knows no keys
    (rpc, ("/order.OrderService/CreateOrder",), {}),
    (rpc, ("/order.OrderService/CancelOrder",), KEY),
]


async def test_what_may_be_repeated_does_not_fail_when_its_instance_dies_of_it(
    start: Started, mortal: list[Backend]
) -> None:
    nginx = start(mortal)
    for number, (ask, words, more) in enumerate(REPEATED):
        victim = mortal[number % 3]
        _, failed = await until_dead(victim, partial(ask, nginx, *words, **more))
        assert failed == [], words
        await back(victim)


async def test_nothing_else_is_sent_twice(start: Started, mortal: list[Backend]) -> None:
    nginx = start(mortal)
    for number, (ask, words, more) in enumerate(NOT_REPEATED):
        victim = mortal[number % 3]
        others = [one for one in mortal if one is not victim]
        before = await commands(nginx, others)
        answered, (failed,) = await until_dead(victim, partial(ask, nginx, *words, **more))
        assert await commands(nginx, others) == before + answered, words
        if isinstance(failed, grpc.aio.AioRpcError):
            assert failed.code() is grpc.StatusCode.UNAVAILABLE
        else:
            assert failed.args == (503, "UNAVAILABLE")
        await back(victim)


async def test_one_is_killed_under_load_and_returns(start: Started, mortal: list[Backend]) -> None:
    nginx = start(mortal)
    asked = {"rest": 0, "rpc": 0}
    ends = asyncio.get_running_loop().time() + LOAD_S

    async def buyer() -> None:
        async with nginx.http() as http:
            while asyncio.get_running_loop().time() < ends:
                answer = await http.get("/api/v1/orders")
                assert answer.status_code == 200, answer.text
                asked["rest"] += 1

    async def caller() -> None:
        async with nginx.channel(retries=False) as channel:
            while asyncio.get_running_loop().time() < ends:
                await call(channel)
                asked["rpc"] += 1

    async def killer() -> None:
        await asyncio.sleep(LOAD_S / 3)
        mortal[1].kill()

    await asyncio.gather(buyer(), buyer(), caller(), caller(), killer())
    assert min(asked.values()) > 50
    await back(mortal[1])
    for protocol in (rest, rpc):
        words = ("GET", "/api/v1/orders") if protocol is rest else ("/order.OrderService/GetOrder",)
        async with asyncio.timeout(REST_S + 5):
            while (await protocol(nginx, *words))["instance"] != "b":
                pass


async def test_what_an_instance_that_hangs_does_not_answer_is_asked_of_another(
    start: Started, mortal: list[Backend]
) -> None:
    nginx = start(mortal, deadline_s=1)
    mortal[0].pause()
    answers = await asyncio.gather(*(rest(nginx, "GET", "/api/v1/orders") for _ in range(3)))
    assert {answer["instance"] for answer in answers} <= {"b", "c"}


async def test_with_no_instance_left_callers_are_told_at_once(start: Started, mortal: list[Backend]) -> None:
    nginx = start(mortal)
    for one in mortal:
        one.kill()
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionError) as refused:
            await rest(nginx, "GET", "/api/v1/orders")
        assert refused.value.args == (503, "UNAVAILABLE")
        with pytest.raises(grpc.aio.AioRpcError) as unavailable:
            await rpc(nginx, "/order.OrderService/GetOrder")
        assert unavailable.value.code() is grpc.StatusCode.UNAVAILABLE
    async with nginx.http() as http:
        assert (await http.get("/readyz")).headers["retry-after"] == "1"


async def test_what_a_caller_provokes_takes_no_instance_out(start: Started, mortal: list[Backend]) -> None:
    nginx = start(mortal)
    too_wide = {f"x_wide_{number}": "x" * 15_500 for number in range(3)}
    refused = 0
    for _ in range(12):
        with pytest.raises(ConnectionError):
            await rest(nginx, "GET", "/api/v1/orders", x_status="503")
        try:
            await rpc(nginx, "/order.OrderService/GetOrder", **too_wide)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            refused += 1
    assert refused
    for ask, words in ((rest, ("GET", "/api/v1/orders")), (rpc, ("/order.OrderService/GetOrder",))):
        assert {(await ask(nginx, *words))["instance"] for _ in range(3)} == {"a", "b", "c"}


async def back(one: Backend) -> None:
    """It is started again and listens."""
    one.kill()
    one.start()
    await asyncio.to_thread(until, lambda: one.listens)


async def commands(nginx: Nginx, instances: list[Backend]) -> int:
    """POST calls that arrived at these, over both protocols."""
    found: dict[str, int] = {}
    async with nginx.http() as http, asyncio.timeout(REST_S + 5):
        while not found.keys() >= {one.name for one in instances}:
            answer = (await http.get("/api/v1/orders")).json()
            found[answer["instance"]] = answer["commands"]
    return sum(found[one.name] for one in instances)
