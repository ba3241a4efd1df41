"""The real Shop behind the gateway: a purchase by each protocol, the documents, the caller's address."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deploy.nginx.render import Instance
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import order_pb2_grpc as rpc
from shop_order.configs import load
from shop_order.domain.valueobject.parties import Role
from tests.gateway.running import GOOD_ORIGIN, Nginx
from tests.shop import ADDRESS, Shop

ORDERS = "/api/v1/orders"
NOTICE = "/api/v1/payments/notify/alipay"
FAR, PROVIDER = "198.51.100.1", "203.0.113.9"


@dataclass
class Front:
    """The Shop and its gateway, with a client of each kind."""

    shop: Shop
    nginx: Nginx
    http: httpx.AsyncClient
    channel: grpc.aio.Channel

    async def data(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """The data of an answer to buyer 7 that went well."""
        headers = self.shop.bearer(7) | request.pop("headers", {})
        answer = await self.http.request(method, path, headers=headers, **request)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found


@pytest.fixture
async def front(engine: str, tmp_path: Path) -> AsyncIterator[Front]:
    """As it is deployed: the service knows its proxy and its address, and would speak of origins itself.

    The gateway believes a balancer at 127.0.0.1, so that a test can come from anywhere.
    """
    shop = Shop(
        tmp_path,
        SERVER__TRUSTED_PROXIES="127.0.0.1",
        SERVER__CORS_ORIGINS=GOOD_ORIGIN,
        SERVER__REFLECTION="true",
        PAY__CALLBACK_ALLOW=f"127.0.0.1,{PROVIDER}",
    )
    one = Instance("127.0.0.1", shop.ports["http"], shop.ports["grpc"])
    nginx = Nginx(tmp_path / "nginx", [one], trusted_proxies=("127.0.0.1",))
    shop.environ |= {
        "SHOP_ORDER_SERVER__PUBLIC_URL": nginx.url,
        "SHOP_ORDER_PAY__ALIPAY__NOTIFY_URL": f"{shop.url}{NOTICE}",
    }
    shop.loaded = load(shop.environ)
    with nginx:
        async with shop, nginx.http() as http, nginx.channel() as channel:
            yield Front(shop, nginx, http, channel)


async def test_a_buyer_buys_over_https(front: Front) -> None:
    wanted = {"items": [{"goods_id": 101, "nums": 2}], "address": ADDRESS}
    key = {"Idempotency-Key": "https-1", "X-Request-ID": "https-1"}
    order = await front.data("POST", ORDERS, json=wanted, headers=key)
    again = await front.data("POST", ORDERS, json=wanted, headers=key)
    assert again["order_sn"] == order["order_sn"]

    # The pay link of the order leads through the gateway to the provider.
    assert order["pay_url"].startswith(f"{front.nginx.url}/api/v1/cashier/")
    page = await front.http.get(order["pay_url"], headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(page.headers.get_list("content-security-policy")) == 1
    chosen = await front.http.post(order["pay_url"], data={"payment_type": "alipay"})
    assert chosen.status_code == 303
    assert (await front.shop.provider.get(chosen.headers["location"])).status_code == 200
    payment = await front.data("GET", f"{ORDERS}/{order['order_sn']}/payment")
    await front.shop.provider_does(payment["payment_sn"], "pay")

    await front.shop.ship(order["order_sn"])
    assert (await front.data("POST", f"{ORDERS}/{order['order_sn']}/confirm"))["status"] == 4
    line = await front.nginx.log("https-1")
    assert (line["method"], line["path"], line["status"]) == ("POST", ORDERS, 200)
    await front.shop.check_doctor()


async def test_a_buyer_buys_over_grpc(front: Front) -> None:
    orders: Any = rpc.OrderServiceStub(front.channel)
    me = front.shop.metadata(7, idempotency_key="grpc-1")
    wanted = pb.CreateOrderRequest(
        user_id=7,
        items=[pb.OrderItemRequest(product_id=101, quantity=1)],
        address=pb.AddressInfo(**ADDRESS),
    )
    order = await orders.CreateOrder(wanted, metadata=me)
    assert (await orders.CreateOrder(wanted, metadata=me)).order_sn == order.order_sn
    payment = await orders.PayOrder(
        pb.PayOrderRequest(order_sn=order.order_sn, payment_type=1), metadata=front.shop.metadata(7)
    )
    assert (await front.shop.provider.get(payment.payment_url)).status_code == 200
    await front.shop.provider_does(payment.payment_sn, "pay")
    found = await orders.GetOrder(pb.GetOrderRequest(id=order.id), metadata=front.shop.metadata(7))
    assert (found.order_sn, found.status) == (order.order_sn, 2)
    await front.shop.check_doctor()


async def test_a_grpc_refusal_brings_its_details_and_the_id(front: Front) -> None:
    orders: Any = rpc.OrderServiceStub(front.channel)
    call = orders.GetOrderByOrderSn(
        pb.GetOrderByOrderSnRequest(order_sn="1" * 27), metadata=front.shop.metadata(7, x_request_id="grpc-2")
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailing = dict(caught.value.trailing_metadata() or ())
    info = ErrorInfo()
    Status.FromString(trailing["grpc-status-details-bin"]).details[0].Unpack(info)
    assert (info.domain, info.reason) == ("order.shop", "ORDER_NOT_FOUND")
    assert trailing["x-request-id"] == "grpc-2"
    assert (await front.nginx.log("grpc-2"))["grpc_status"] == "5"


async def test_a_rest_refusal_is_the_services_own(front: Front) -> None:
    answer = await front.http.get(f"{ORDERS}/{'1' * 27}", headers=front.shop.bearer(7))
    assert (answer.status_code, answer.json()["error"]) == (404, "ORDER_NOT_FOUND")
    for header in (
        "x-request-id",
        "x-frame-options",
        "x-content-type-options",
        "cache-control",
        "referrer-policy",
    ):
        assert len(answer.headers.get_list(header)) == 1, header


async def test_origins_are_named_once_though_the_service_would_too(front: Front) -> None:
    origin = {"Origin": GOOD_ORIGIN}
    answer = await front.http.get("/readyz", headers=origin)
    assert answer.headers.get_list("access-control-allow-origin") == [GOOD_ORIGIN]
    asked = origin | {"Access-Control-Request-Method": "POST"}
    assert (await front.http.options(ORDERS, headers=asked)).status_code == 204


async def test_the_documents_work_through_the_gateway(front: Front) -> None:
    for path in ("/api/v1/docs", "/api/v1/redoc"):
        page = await front.http.get(path)
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert assets
        for asset in assets:
            got = await front.http.get(asset)
            assert (got.status_code, got.headers["cache-control"]) == (200, "public, max-age=86400"), asset
    document = await front.http.get("/api/v1/openapi.json")
    assert ORDERS in document.json()["paths"]


async def test_notices_are_judged_by_the_callers_own_address(front: Front) -> None:
    async def notice(sender: str) -> int:
        form = {"out_trade_no": "P1", "sign": "x"}
        return (await front.http.post(NOTICE, data=form, headers={"X-Forwarded-For": sender})).status_code

    assert await notice(PROVIDER) == 401  # it may come, and is forged
    assert await notice(FAR) == 403
    assert await notice(f"{PROVIDER}, {FAR}") == 403

    orders: Any = rpc.OrderServiceStub(front.channel)
    for sender, code in (
        (PROVIDER, grpc.StatusCode.UNAUTHENTICATED),
        (FAR, grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await orders.NotifyPayment(
                pb.NotifyPaymentRequest(order_sn="1" * 27, sign="x"), metadata=(("x-forwarded-for", sender),)
            )
        assert caught.value.code() is code


async def test_who_comes_through_the_gateway_is_not_on_this_machine(front: Front) -> None:
    async def services(*metadata: tuple[str, str]) -> list[str]:
        stub = reflection_pb2_grpc.ServerReflectionStub(front.channel)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        answers = stub.ServerReflectionInfo(asked, metadata=(("x-forwarded-for", FAR), *metadata))
        return [one.name async for answer in answers for one in answer.list_services_response.service]

    stub = reflection_pb2_grpc.ServerReflectionStub(front.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        # Nothing is sent: a refusal that comes while grpc.aio still writes is INTERNAL to it.
        await stub.ServerReflectionInfo(metadata=(("x-forwarded-for", FAR),)).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "order.OrderService" in await services(*front.shop.metadata(1, role=Role.ADMIN))
