"""The whole Shop on a thread of its own, and a good request for every documented operation."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules
from shop_order.domain.entity.order import Order
from shop_order.domain.valueobject.parties import Actor, Role
from shop_sandbox.alipay import signing
from shop_sandbox.alipay.keys import APP_ID, SELLER_ID
from shop_sandbox.wechat import signing as wechat_signing
from shop_sandbox.wechat.keys import MCH_ID, OFFICIAL
from tests.shop import ADDRESS, Shop, alipay, wechat_pay

T = TypeVar("T")
BUYER, OPERATOR = 7, 1
PARCEL = {"logistics_company": "SF", "logistics_no": "SF1234567890"}
LINE = {"goods_id": "109", "nums": 1}


@dataclass(frozen=True, slots=True)
class Good:
    """What makes an operation succeed, whatever else is sent with it."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    role: Role = Role.USER


class Running:
    """`with Running(folder) as shop:`; requests come from the test's own thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.shop = self.run(self._started())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.shop.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it where the Shop lives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def headers(self, role: Role) -> dict[str, str]:
        """A caller's token."""
        return self.shop.bearer(OPERATOR if role is Role.ADMIN else BUYER, role=role)

    def good(self, operation_id: str) -> Good:
        """A request that succeeds now."""
        return self.run(GOOD[operation_id](self.shop))

    async def _started(self) -> Shop:
        shop = Shop(self._folder)
        await shop.__aenter__()
        for goods in (101, 109, 110):
            await shop.sandbox.inventory.set_stock(goods, 1_000_000)
        return shop


# ---- one function an operation ----


async def nothing(_: Shop) -> Good:
    """The bare request."""
    return Good()


async def pending(shop: Shop) -> Good:
    """A new order."""
    return Good(path={"order_sn": (await shop.place(BUYER, goods=109))["order_sn"]})


async def with_attempt(shop: Shop) -> Good:
    """An order that is being paid."""
    order = await shop.place(BUYER, goods=109)
    await shop.open_attempt(order["order_sn"], BUYER)
    return Good(path={"order_sn": order["order_sn"]})


async def cancelling(shop: Shop) -> Good:
    """A new order, to be cancelled."""
    return Good(path=(await pending(shop)).path, body={"reason": "拍错了"})


async def paying(shop: Shop) -> Good:
    """A new order, to be paid."""
    return Good(path=(await pending(shop)).path, body={"payment_type": "alipay"})


async def shipping(shop: Shop) -> Good:
    """A paid order, to be sent."""
    order = await shop.paid(BUYER, goods=110)
    return Good(path={"order_sn": order["order_sn"]}, body=PARCEL, role=Role.ADMIN)


async def receiving(shop: Shop) -> Good:
    """A parcel on its way."""
    sent = await shipping(shop)
    await shop.ship(sent.path["order_sn"])
    return Good(path=sent.path, body={})


async def cart_line(shop: Shop) -> Good:
    """A line that is in the cart."""
    body = {"goods_id": "101", "nums": 1}
    await shop.http.delete("/api/v1/cart/items/101", headers=shop.bearer(BUYER))
    await shop.http.post("/api/v1/cart/items", json=body, headers=shop.bearer(BUYER))
    return Good(path={"goods_id": "101"}, body={"nums": 3})


async def adding(shop: Shop) -> Good:
    """Goods that are on sale."""
    line = await cart_line(shop)
    return Good(body={"goods_id": line.path["goods_id"], "nums": 1})


async def checking(shop: Shop) -> Good:
    """The mark of a line that is there."""
    return Good(body={"goods_id": (await cart_line(shop)).path["goods_id"], "checked": True})


async def placing(_: Shop) -> Good:
    """Listed goods to a good address."""
    return Good(body={"items": [LINE], "address": ADDRESS})


async def cashier(shop: Shop) -> Good:
    """An order's pay link."""
    link = urlsplit((await shop.place(BUYER, goods=109))["pay_url"])
    return Good(path={"order_sn": link.path.rpartition("/")[2]}, query=dict(parse_qsl(link.query)))


async def cashier_form(shop: Shop) -> Good:
    """The same with a channel chosen."""
    link = await cashier(shop)
    return Good(path=link.path, query=link.query, body={"payment_type": "alipay"})


async def notice(shop: Shop) -> Good:
    """What the provider sends about an attempt."""
    order = await shop.place(BUYER, goods=110)
    attempt = await shop.open_attempt(order["order_sn"], BUYER)
    form = {
        "app_id": APP_ID,
        "seller_id": SELLER_ID,
        "out_trade_no": attempt["payment_sn"],
        "trade_no": "2026112322001400070000000009",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": attempt["amount"],
    }
    signature = signing.sign(alipay(shop.sandbox).keys.provider, signing.notice_text(form))
    return Good(body=form | {"sign": signature, "sign_type": "RSA2"})


async def wechat_notice(shop: Shop) -> Good:
    """The same of WeChat Pay; the signature is over the body as it will be sent."""
    order_sn = (await shop.place(BUYER, goods=110))["order_sn"]
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/pay", json={"payment_type": "wechat"}, headers=shop.bearer(BUYER)
    )
    attempt, keys = answer.json()["data"], wechat_pay(shop.sandbox).keys
    plain = {
        "appid": OFFICIAL,
        "mchid": MCH_ID,
        "out_trade_no": attempt["payment_sn"],
        "transaction_id": "4200002026112322001400070000009",
        "trade_state": "SUCCESS",
        "amount": {"total": attempt["amount_fen"], "currency": "CNY"},
    }
    sealed = wechat_signing.encrypted(keys.api_v3_key, json.dumps(plain).encode(), "transaction")
    body = {"event_type": "TRANSACTION.SUCCESS", "resource": sealed}
    signed = wechat_signing.signed_headers(keys.public, json.dumps(body).encode(), int(time.time()))
    return Good(body=body, headers=signed)


async def clock(_: Shop) -> Good:
    """A second on."""
    return Good(body={"advance_s": 1}, role=Role.ADMIN)


async def logged(shop: Shop) -> Good:
    """An order's log, for an operator."""
    return Good(path=(await pending(shop)).path, role=Role.ADMIN)


async def counted(_: Shop) -> Good:
    """The figures of the usual days."""
    return Good(role=Role.ADMIN)


async def refundable(shop: Shop) -> Good:
    """A paid order, a part of whose money is asked back."""
    order = await shop.paid(BUYER, goods=110)
    return Good(path={"order_sn": order["order_sn"]}, body={"amount_fen": 1, "reason": "包装破损"})


async def requested(shop: Shop, **body: Any) -> Good:
    """A refund that nobody decided yet."""
    order_sn = (await shop.paid(BUYER, goods=110))["order_sn"]
    if body:
        await shop.ship(order_sn)
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/refunds", json=body, headers=shop.bearer(BUYER))
    return Good(path={"refund_sn": answer.json()["data"]["refund_sn"]}, body={"reason": "好"})


async def deciding(shop: Shop) -> Good:
    """The same for an admin."""
    return replace(await requested(shop), role=Role.ADMIN)


async def bare(shop: Shop) -> Good:
    """The same without a body."""
    return replace(await requested(shop), body=None)


async def sending_back(shop: Shop) -> Good:
    """A return that was approved."""
    asked = await requested(shop, type="return")
    await shop.http.post(
        f"/api/v1/admin/refunds/{asked.path['refund_sn']}/approve",
        headers=shop.bearer(OPERATOR, role=Role.ADMIN),
    )
    return replace(asked, body=PARCEL)


async def arrived(shop: Shop) -> Good:
    """The same, for an admin."""
    return replace(await sending_back(shop), body=None, role=Role.ADMIN)


async def failed(shop: Shop) -> Good:
    """A refund that the provider refused."""
    asked, admin = await requested(shop), Actor(Role.ADMIN, OPERATOR)
    sn, now_ms = asked.path["refund_sn"], shop.core.clock()

    def fail(order: Order) -> None:
        after_sales.approve(order, sn, admin, now_ms, RefundRules(0))
        after_sales.sent(order, sn, now_ms)
        after_sales.failed(order, sn, now_ms)

    await shop.core.stored.change((await shop.core.store.refunds.find(sn)).order_sn, fail)
    return replace(asked, role=Role.ADMIN)


async def again(shop: Shop) -> Good:
    """The same without a body."""
    return replace(await failed(shop), body=None)


async def paid_back(shop: Shop) -> Good:
    """A paid order, for an admin to cancel."""
    order = await shop.paid(BUYER, goods=110)
    return Good(path={"order_sn": order["order_sn"]}, body={"reason": "缺货"}, role=Role.ADMIN)


GOOD: Mapping[str, Callable[[Shop], Coroutine[Any, Any, Good]]] = {
    "getCart": nothing,
    "addCartItem": adding,
    "updateCartItem": cart_line,
    "removeCartItem": cart_line,
    "checkCart": checking,
    "createSubmitToken": nothing,
    "createOrder": placing,
    "listOrders": nothing,
    "getOrder": pending,
    "getOrderStatus": pending,
    "cancelOrder": cancelling,
    "confirmReceipt": receiving,
    "payOrder": paying,
    "getPayment": with_attempt,
    "showCashier": cashier,
    "payAtCashier": cashier_form,
    "notifyAlipay": notice,
    "notifyWechat": wechat_notice,
    "shipOrder": shipping,
    "requestRefund": refundable,
    "listRefunds": nothing,
    "getRefund": bare,
    "withdrawRefund": bare,
    "sendReturnParcel": sending_back,
    "cancelOrderAsAdmin": paid_back,
    "listAllRefunds": counted,
    "approveRefund": deciding,
    "rejectRefund": deciding,
    "receiveReturn": arrived,
    "resendRefund": again,
    "settleRefund": failed,
    "getOrderLogs": logged,
    "getOrderStatistics": counted,
    "getSettlement": counted,
    "advanceClock": clock,
    "healthz": nothing,
    "readyz": nothing,
    "metrics": nothing,
}


def form(fields: Mapping[str, str]) -> str:
    """A body as browsers write it."""
    return urlencode(fields)
