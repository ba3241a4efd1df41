"""What the list does not name, but somebody with a free afternoon tries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from grpc import StatusCode

from shop_order.api.proto import order_pb2 as pb
from tests.component.abuse.acts import on_order, order
from tests.component.abuse.calls import Scene
from tests.component.abuse.judging import must_be, must_not_leak
from tests.component.abuse.promises import INVALID
from tests.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine("sqlite", "memory", "embedded")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A buyer with a pending order, and a pay link to return to."""
    async with Shop(tmp_path_factory.mktemp("shop")) as shop:
        scene = Scene(shop, 7)
        await scene.place()
        yield scene


@pytest.mark.parametrize("protocol", ["9.1", "3", "rest"])
@pytest.mark.parametrize(
    "tail",
    [
        "@evil.example/",
        "\\@evil.example/",
        ".evil.example/",
        "0/",
        "/ok\r\nLocation: http://evil.example/",
        "/\thidden",
        "/a b",
        "/ü",
    ],
)
async def test_a_buyer_returns_to_our_own_address_only(scene: Scene, protocol: str, tail: str) -> None:
    answer = await on_order("pay", return_url=scene.shop.url + tail).sends[protocol](scene)
    must_be(answer, INVALID)
    must_not_leak(answer)
    assert answer.details["field"] == "return_url"


@pytest.mark.parametrize("protocol", ["9.1", "3", "rest"])
@pytest.mark.parametrize(
    "url", ["http://[bad", "javascript:alert(1)", "//evil.example/", "http://", "data:,x"]
)
async def test_what_is_no_web_address_is_refused(scene: Scene, protocol: str, url: str) -> None:
    answer = await on_order("pay", return_url=url).sends[protocol](scene)
    must_be(answer, INVALID)
    must_not_leak(answer)


async def test_our_own_address_is_taken(scene: Scene) -> None:
    answer = await on_order("pay", return_url=f"{scene.shop.url}/thanks?a=1").sends["rest"](scene)
    assert not answer.reason, answer.said


@pytest.mark.parametrize(
    "path",
    [
        "/orders/%00",
        "/orders/%ff%fe",
        "/orders/261123134500123456789012349%0a",
        "/orders/２６１１２３１３４５００１２３４５６７８９０１２３４９",
        "/orders/..%2f..%2fetc%2fpasswd",
        "/orders?page=1e3",
        "/orders?page=１",
        "/orders?start_time=2026-11-11T24:00:00Z",
        "/orders?start_time=9999-12-31T23:59:59-23:59",
        "/orders?cursor=%00",
        "/orders?status=",
    ],
)
async def test_odd_texts_in_an_address_are_refused_like_any_other(scene: Scene, path: str) -> None:
    answer = await scene.rest("GET", path)
    assert answer.status in (400, 404)
    assert answer.reason in ("INVALID_ARGUMENT", "NOT_FOUND")
    must_not_leak(answer)


async def test_length_and_chunks_together_are_no_request(scene: Scene) -> None:
    chunked = await scene.rest("POST", "/orders", {}, headers={"Transfer-Encoding": "chunked"})
    assert chunked.status == 400
    assert (await scene.rest("GET", "/orders")).status == 200


async def test_readiness_says_when_calls_find_no_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with Shop(tmp_path_factory.mktemp("shop"), LIMIT__GRPC_CALLS="1") as shop:
        scene = Scene(shop, 7)
        assert "grpc" not in (await shop.http.get("/readyz")).json()["missing"]
        buy = order().sends["9.1"]
        answers = await asyncio.gather(*(buy(scene) for _ in range(20)))
        assert {answer.status for answer in answers} == {StatusCode.OK, StatusCode.RESOURCE_EXHAUSTED}
        ready = await shop.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "grpc" in ready.json()["missing"]
        forged = await scene.grpc("order.OrderService/NotifyPayment", pb.NotifyPaymentRequest())
        assert forged.status is not StatusCode.RESOURCE_EXHAUSTED
