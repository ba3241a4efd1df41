"""Chapters about callers: another user's order, retries, goods out of stock."""

from __future__ import annotations

from collections.abc import Awaitable

from shop_order.api.client import KeyReused, NotFound, OrderApiError, OutOfStock
from shop_sandbox.story.narrator import Narrator, UnexpectedResult, expect, wait_until
from shop_sandbox.story.people import ADDRESS, Cast

BAG, VASE = 107, 111


async def anothers_order(narrator: Narrator, cast: Cast) -> None:
    """Another user's order looks exactly like one that does not exist."""
    narrator.title("六、别人的订单", "6. Another user's order")
    before = await cast.provider.available(BAG)
    order = await cast.zhang.order(BAG, 1)
    path = f"/orders/{order.order_sn}"
    with narrator.step(
        "李四拿张三的订单号查询、付款、取消：REST 一律 404，gRPC 一律 NOT_FOUND",
        "Li Si tries to read, pay and cancel Zhang San's order: 404 over REST, NOT_FOUND over gRPC",
    ) as step:
        for method, below, body in (
            ("GET", path, None),
            ("POST", f"{path}/pay", {"payment_type": "alipay"}),
            ("POST", f"{path}/cancel", {"reason": "mine now"}),
        ):
            answer = await cast.li.ask(method, below, body)
            expect(answer.status_code, 404, f"{method} {below}")
        await refused(cast.li.grpc.get_order_by_order_sn(order.order_sn), NotFound)
        await refused(cast.li.grpc.cancel_order(order.order_sn), NotFound)
        step.result("与订单不存在时的应答相同", "the same answers as for an order that does not exist")
    with narrator.step("张三自己可以取消", "Zhang San cancels it himself"):
        await cast.zhang.grpc.cancel_order(order.order_sn, reason="changed my mind")
        expect(await cast.zhang.status(order.order_sn), 5, "status")
        await wait_until(lambda: cast.provider.available(BAG), before, "available bags")


async def same_key_again(narrator: Narrator, cast: Cast) -> None:
    """A retry gives the same order; different content under the same key is refused."""
    narrator.title("七、用同一幂等键重试", "7. A retry with the same idempotency key")
    before = await cast.provider.available(BAG)
    with narrator.step(
        "张三下单后没有收到应答，用同一幂等键重试：仍是同一订单，库存只预占一次",
        "Zhang San gets no answer and retries with the same key: one order, and stock is reserved once",
    ) as step:
        first = await cast.zhang.order(BAG, 1, key="story-retry")
        second = await cast.zhang.order(BAG, 1, key="story-retry")
        expect(second.order_sn, first.order_sn, "the order's number")
        expect(await cast.provider.available(BAG), before - 1, "available bags")
        step.result(f"两次都是 {first.order_sn}", "the same number both times")
    with narrator.step("同一幂等键换一个数量：拒绝", "The same key with another quantity is refused"):
        await refused(cast.zhang.order(BAG, 2, key="story-retry"), KeyReused)


async def empty_shelf(narrator: Narrator, cast: Cast) -> None:
    """Goods out of stock can't be bought; stock of a cancelled order can."""
    narrator.title("八、库存不足", "8. Out of stock")
    with narrator.step(
        "花瓶只有 3 件，李四要 4 件：库存不足", "There are three vases; Li Si orders four: out of stock"
    ):
        expect(await cast.provider.available(VASE), 3, "available vases")
        await refused(cast.li.order(VASE, 4), OutOfStock)
        expect(await cast.provider.available(VASE), 3, "available vases")
    body = {"items": [{"goods_id": VASE, "nums": 1}], "address": ADDRESS}
    with narrator.step(
        "李四改买 3 件；张三再要 1 件：409 OUT_OF_STOCK",
        "Li Si orders three; Zhang San then orders one: 409 OUT_OF_STOCK",
    ):
        order = await cast.li.order(VASE, 3)
        answer = await cast.zhang.ask("POST", "/orders", body)
        expect((answer.status_code, answer.json().get("error")), (409, "OUT_OF_STOCK"), "the answer")
    with narrator.step(
        "李四取消，库存退回，张三买到一件",
        "Li Si cancels, the stock is available again, and Zhang San buys one",
    ):
        await cast.li.grpc.cancel_order(order.order_sn)
        await wait_until(lambda: cast.provider.available(VASE), 3, "available vases")
        await cast.zhang.data("POST", "/orders", body)
        expect(await cast.provider.available(VASE), 2, "available vases")


async def refused(call: Awaitable[object], kind: type[OrderApiError]) -> None:
    """Expect the call to fail with this error. Raises UnexpectedResult if it succeeds."""
    try:
        await call
    except kind:
        return
    raise UnexpectedResult(f"it was accepted, expected {kind.__name__}")
