"""The awkward cases of callers: strangers, double clicks, empty shelves."""

from __future__ import annotations

from collections.abc import Awaitable

from shop_order.api.client import KeyReused, NotFound, OrderApiError, OutOfStock
from shop_sandbox.story.people import ADDRESS, Cast
from shop_sandbox.story.telling import NotAsTold, Teller, expect, until

BAG, VASE = 107, 111


async def anothers_order(tell: Teller, cast: Cast) -> None:
    """Looks exactly like one that does not exist."""
    tell.title("六、别人的订单", "6. Another user's order")
    before = await cast.provider.available(BAG)
    order = await cast.zhang.order(BAG, 1)
    path = f"/orders/{order.order_sn}"
    with tell.step(
        "李四拿张三的订单号查询、付款、取消：REST 一律 404，gRPC 一律 NOT_FOUND",
        "Li Si looks at, pays, cancels Zhang San's order: 404 over REST, NOT_FOUND over gRPC",
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
        step.sees("与不存在的订单毫无分别", "just as if there were no such order")
    with tell.step("张三自己取消，没有问题", "Zhang San himself cancels it"):
        await cast.zhang.grpc.cancel_order(order.order_sn, reason="changed my mind")
        expect(await cast.zhang.status(order.order_sn), 5, "status")
        await until(lambda: cast.provider.available(BAG), before, "available bags")


async def same_key_again(tell: Teller, cast: Cast) -> None:
    """One order however often it is sent; other goods under the key are refused."""
    tell.title("七、同一个键重试", "7. A retry with the same key")
    before = await cast.provider.available(BAG)
    with tell.step(
        "张三下单，以为没成功，用同一幂等键再发一次：还是那一单，库存只占一次",
        "Zhang San orders, believes it failed, sends it again with the same key: one order, held once",
    ) as step:
        first = await cast.zhang.order(BAG, 1, key="story-retry")
        second = await cast.zhang.order(BAG, 1, key="story-retry")
        expect(second.order_sn, first.order_sn, "the order's number")
        expect(await cast.provider.available(BAG), before - 1, "available bags")
        step.sees(f"两次都是 {first.order_sn}", "the same number both times")
    with tell.step(
        "同一个键买别的数量：拒绝，不会悄悄换成另一单", "The same key for another quantity is refused"
    ):
        await refused(cast.zhang.order(BAG, 2, key="story-retry"), KeyReused)


async def empty_shelf(tell: Teller, cast: Cast) -> None:
    """Nobody buys what is not there; what is given up can be bought again."""
    tell.title("八、库存不足", "8. Out of stock")
    with tell.step(
        "花瓶只有 3 件，李四要 4 件：库存不足", "There are three vases; Li Si wants four: refused"
    ):
        expect(await cast.provider.available(VASE), 3, "available vases")
        await refused(cast.li.order(VASE, 4), OutOfStock)
        expect(await cast.provider.available(VASE), 3, "available vases")
    body = {"items": [{"goods_id": VASE, "nums": 1}], "address": ADDRESS}
    with tell.step(
        "李四改买 3 件；张三再要 1 件：409 OUT_OF_STOCK",
        "Li Si takes three; Zhang San wants one more: 409 OUT_OF_STOCK",
    ):
        order = await cast.li.order(VASE, 3)
        answer = await cast.zhang.ask("POST", "/orders", body)
        expect((answer.status_code, answer.json().get("error")), (409, "OUT_OF_STOCK"), "the answer")
    with tell.step(
        "李四取消，库存退回，张三买到了", "Li Si cancels, the stock comes back, and Zhang San gets his vase"
    ):
        await cast.li.grpc.cancel_order(order.order_sn)
        await until(lambda: cast.provider.available(VASE), 3, "available vases")
        await cast.zhang.data("POST", "/orders", body)
        expect(await cast.provider.available(VASE), 2, "available vases")


async def refused(call: Awaitable[object], kind: type[OrderApiError]) -> None:
    """Raises NotAsTold unless the call is refused in this way; another refusal is raised as it is."""
    try:
        await call
    except kind:
        return
    raise NotAsTold(f"it was accepted, expected {kind.__name__}")
