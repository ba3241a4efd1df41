"""What a channel added by the recipe can do; `test_channel_recipe.py` runs this on a copy that has it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import order_pb2_grpc, shop_order_pb2, shop_order_pb2_grpc
from shop_order.domain.bill import day_at
from shop_order.domain.ports import Payer
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.gateway.payment import notice_routes
from shop_order.web.html import qr_svg
from shop_order.web.http import describe
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")
TOY = PaymentType["TOY"]
toy_channel: Any = import_module("shop_order.gateway.payment.toy")
NOTIFY = "/api/v1/payments/notify/toy"
KEY = "key-of-the-toy"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with Shop(tmp_path) as running:
        yield running


def toy(shop: Shop) -> Any:
    return shop.core.channels[TOY]


async def pay(shop: Shop, order_sn: str, trade_type: str = "", openid: str = "") -> Any:
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/pay",
        json={"payment_type": "toy", "trade_type": trade_type, "openid": openid},
        headers=shop.bearer(),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def notice_of(payment: Any, more_fen: int = 0, **more: str) -> bytes:
    told = {"sn": payment["payment_sn"], "fen": payment["amount_fen"] + more_fen, "seller": "toy-seller"}
    return json.dumps(told | more).encode()


async def notify(shop: Shop, body: bytes, signature: str | None = None) -> httpx.Response:
    headers = {"toy-signature": signature or toy_channel.sign(KEY, body)}
    return await shop.http.post(NOTIFY, content=body, headers=headers)


async def test_it_is_paid_by_a_qr_code_over_rest_and_settled_by_its_notice(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment = await pay(shop, order_sn)
    assert (payment["trade_type"], payment["jsapi_params"]) == ("native", None)
    assert payment["payment_url"] == f"toy://pay/{payment['payment_sn']}"
    forged = await notify(shop, notice_of(payment), "forged")
    assert (forged.status_code, forged.json()) == (401, {"code": "FAIL"})
    assert (await notify(shop, notice_of(payment, more_fen=1))).status_code == 409
    for _ in range(2):
        taken = await notify(shop, notice_of(payment))
        assert (taken.status_code, taken.content) == (204, b"")
    order = await shop.order(order_sn)
    assert (order["status"], order["trade_no"]) == (2, f"T{payment['payment_sn']}")
    await shop.check_doctor()


async def test_it_is_paid_over_both_grpc_services(shop: Shop) -> None:
    assert shop.channel is not None
    ours: Any = order_pb2_grpc.OrderServiceStub(shop.channel)
    asked = pb.PayOrderRequest(order_sn=(await shop.place())["order_sn"], payment_type=TOY)
    info = await ours.PayOrder(asked, metadata=shop.metadata())
    assert (info.payment_url, info.jsapi_params) == (f"toy://pay/{info.payment_sn}", "")
    theirs: Any = shop_order_pb2_grpc.OrderStub(shop.channel)
    order_sn = (await shop.place())["order_sn"]
    answer = await theirs.PayOrder(
        shop_order_pb2.OrderPayRequest(order_sn=order_sn, payment_type=TOY, trade_type="bridge", openid="o7"),
        metadata=shop.metadata(),
    )
    assert (answer.payment_url, json.loads(answer.jsapi_params)) == (
        "",
        {"package": f"prepay={answer.payment_sn}"},
    )
    body = notice_of({"payment_sn": answer.payment_sn, "amount_fen": answer.amount_fen})
    raw = shop_order_pb2.OrderPayCallbackRequest(payment_type=TOY, raw_body=body)
    with pytest.raises(grpc.aio.AioRpcError) as forged:
        await theirs.OrderPayCallback(raw)
    assert forged.value.code() is grpc.StatusCode.UNAUTHENTICATED
    raw.headers["Toy-Signature"] = toy_channel.sign(KEY, body)
    await theirs.OrderPayCallback(raw)
    assert (await shop.order(order_sn))["status"] == 2


async def test_the_parameters_of_a_bridge_survive_the_database(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment = await pay(shop, order_sn, "bridge", "o7")
    assert payment["payment_url"] is None
    assert toy(shop).opened[payment["payment_sn"]].payer == Payer("o7", "127.0.0.1")
    assert payment["jsapi_params"] == {"package": f"prepay={payment['payment_sn']}"}
    assert await pay(shop, order_sn, "bridge", "o7") == payment, "the open attempt is used again"


async def test_a_requested_debit_is_processing_until_the_answer_comes(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment = await pay(shop, order_sn, "message")
    assert (payment["payment_url"], payment["jsapi_params"], payment["status"]) == (None, None, 1)
    stored = await shop.core.store.payments.find(payment["payment_sn"])
    assert stored.state is PaymentState.PROCESSING
    assert not toy(shop).opened, "the event payment.opened is the request"
    assert (await notify(shop, notice_of(payment))).status_code == 204
    assert (await shop.order(order_sn))["status"] == 2


async def test_the_cashier_offers_it_in_the_tables_order_and_shows_its_code(shop: Shop) -> None:
    link = (await shop.place())["pay_url"]
    page = (await shop.http.get(link, headers={"accept": "text/html"})).text
    offers = ('value="alipay" checked', 'value="toy">', 'value="balance">')
    assert sorted(offers, key=page.index) == list(offers)
    sent = await shop.http.post(link, content="payment_type=toy", headers={"accept": "text/html"})
    assert (sent.status_code, sent.headers["location"]) == (303, link[link.index("?") :])
    shown = await shop.http.get(link, headers={"accept": "application/json"})
    data = shown.json()["data"]
    assert (data["state"], data["provider_says"]) == ("confirming", "waiting")
    assert data["qr_code"].startswith("toy://pay/P")
    page = (await shop.http.get(link, headers={"accept": "text/html"})).text
    assert data["qr_code"] in page
    assert qr_svg(data["qr_code"]) in page
    toy(shop).paid[data["qr_code"].rpartition("/")[2]] = data["pay_fen"]

    async def paid() -> bool:
        answer = await shop.http.get(link, headers={"accept": "application/json"})
        return bool(answer.json()["data"]["state"] == "paid")

    await shop.until(paid)


async def test_late_money_goes_back_once_its_refund_was_processed(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    payment = await pay(shop, order_sn)
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    assert answer.status_code == 200, answer.text
    toy(shop).paid[payment["payment_sn"]] = payment["amount_fen"]
    assert (await notify(shop, notice_of(payment))).status_code == 204

    async def is_back() -> bool:
        return bool((await shop.order(order_sn))["refund_status"] == 2)

    await shop.until(is_back)
    assert list(toy(shop).refunds.values()) == [payment["amount_fen"]]
    assert toy(shop).refund_queries == 1
    (refund_sn,) = toy(shop).refunds
    assert (await notify(shop, notice_of(payment, refund_sn=refund_sn))).status_code == 204
    await shop.check_doctor()
    day = day_at(shop.core.clock())
    back = {"payment_sn": payment["payment_sn"], "trade_no": f"T{payment['payment_sn']}"}
    lines = [
        back | {"amount_fen": payment["amount_fen"]},
        back | {"amount_fen": payment["amount_fen"], "is_refund": True, "refund_sn": refund_sn},
    ]
    result = await shop.core.reconciliation.reconcile(TOY, day, json.dumps(lines).encode())
    assert (result.differences, result.ours.trades, result.ours.refunds) == (0, 1, 1)


async def test_readiness_and_the_document_know_it(shop: Shop) -> None:
    assert (await shop.http.get("/readyz")).json()["status"] == "ready"
    routes = describe(notice_routes())["paths"]
    assert routes[NOTIFY]["post"]["operationId"] == "notifyToy"
    assert routes[NOTIFY]["post"]["security"] == []


async def test_a_phone_in_the_providers_app_gets_its_bridge(shop: Shop) -> None:
    link = (await shop.place())["pay_url"] + "&openid=o7"
    phone = {"accept": "text/html", "user-agent": "iPhone Mobile MicroMessenger/8.0"}
    sent = await shop.http.post(link, content="payment_type=toy", headers=phone)
    assert (sent.status_code, sent.headers["location"]) == (303, link[link.index("?") :])
    page = (await shop.http.get(link, headers=phone)).text
    data = (await shop.http.get(link, headers={"accept": "application/json"})).json()["data"]
    assert data["jsapi_params"]["package"].startswith("prepay=P")
    assert data["jsapi_params"]["package"] in page
    without = await shop.http.post(
        (await shop.place())["pay_url"], content="payment_type=toy", headers=phone | {"accept": "*/*"}
    )
    assert (without.status_code, without.json()["details"]["field"]) == (400, "openid")
