"""The main chapter: from the cart to the receipt."""

from __future__ import annotations

from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import ADDRESS, Cast, Data

TEA, BASKET = 101, 109


async def buy_from_cart(narrator: Narrator, cast: Cast) -> None:
    """Cart, order, payment at Alipay, shipping, receipt."""
    narrator.title("一、从购物车到收货", "1. From the cart to the receipt")
    order = await _checks_out(narrator, cast)
    order_sn = str(order["order_sn"])
    await _pays(narrator, cast, order)
    zhang, operator = cast.zhang, cast.operator
    with narrator.step(
        "管理员通过 gRPC 发货，买家看到快递公司和运单号",
        "The operator ships the order over gRPC; the buyer sees the carrier and the tracking number",
    ) as step:
        await operator.grpc.ship_order(order_sn, "顺丰速运", "SF1234567890")
        shipped = await zhang.grpc.get_order_by_order_sn(order_sn)
        expect((shipped.status, shipped.logistics_no), (3, "SF1234567890"), "status and parcel")
        step.result(f"{shipped.logistics_company} {shipped.logistics_no}", "status 3, shipped")
    with narrator.step(
        "张三确认收货，订单完成", "Zhang San confirms receipt; the order is completed"
    ) as step:
        done = await zhang.grpc.confirm_receipt(order_sn)
        expect(done.status, 4, "status")
        logs = (await zhang.data("GET", f"/orders/{order_sn}"))["logs"]
        path = [entry["new_status"] for entry in logs if entry["new_status"] != entry["old_status"]]
        expect(path, [1, 2, 3, 4], "the order's history")
        step.result(
            "历史：待支付 → 已支付 → 已发货 → 已完成", "its history: pending → paid → shipped → completed"
        )


async def _checks_out(narrator: Narrator, cast: Cast) -> Data:
    zhang = cast.zhang
    with narrator.step(
        "张三把 1 盒龙井、2 个竹篮加入购物车，再加 1 盒龙井：龙井合并为 2 盒",
        "Zhang San adds one tea and two baskets to the cart, then another tea: now there are two teas",
    ) as step:
        for goods_id, nums in ((TEA, 1), (BASKET, 2), (TEA, 1)):
            await zhang.data("POST", "/cart/items", {"goods_id": goods_id, "nums": nums})
        cart = await zhang.data("GET", "/cart")
        lines = {int(line["goods_id"]): line["nums"] for line in cart["items"]}
        expect(lines, {TEA: 2, BASKET: 2}, "the cart")
        total = yuan(cart["checked_total_fen"])
        step.result(f"价格实时取自商品服务，合计 {total}", f"prices from the goods service, total {total}")
    before = await cast.provider.available(TEA)
    with narrator.step(
        "从购物车下单（带幂等键）：购物车清空，库存预占 2 件",
        "He orders from the cart with an idempotency key: the cart is empty, and two teas are reserved",
    ) as step:
        body = {"from": "cart", "address": ADDRESS}
        order = await zhang.data("POST", "/orders", body, key="story-main-line")
        expect(order["pay_fen"], cart["checked_total_fen"] + order["freight_fen"], "to be paid")
        expect((await zhang.data("GET", "/cart"))["items"], [], "the cart")
        expect(await cast.provider.available(TEA), before - 2, "available tea")
        amount = yuan(order["pay_fen"])
        step.result(f"订单 {order['order_sn']}，应付 {amount}", f"order {order['order_sn']}, {amount} to pay")
    return order


async def _pays(narrator: Narrator, cast: Cast, order: Data) -> None:
    order_sn = str(order["order_sn"])
    with narrator.step(
        "打开收银台，选择支付宝，跳转到支付宝页面（已验证我方的 RSA2 签名）",
        "He opens the cashier, chooses Alipay and reaches its page, which has verified our RSA2 signature",
    ):
        payment_sn = await cast.zhang.open_alipay(order)
    sold = (await cast.provider.shelf(TEA))["sold"]
    with narrator.step(
        "在支付宝付款：签名通知送达，订单变为已支付",
        "He pays at Alipay: a signed notice arrives, and the order is paid",
    ) as step:
        answer = await cast.provider.perform(payment_sn, "pay")
        expect(answer["body"], "success", "our answer to the notice")
        expect(await cast.zhang.status(order_sn), 2, "status")
        step.result(f"支付单 {payment_sn}", f"trade {answer['trade_no']}")
    with narrator.step(
        "消息到达库存服务：预占变为已售",
        "The event reaches the inventory: the reserved stock is now sold",
    ):

        async def sold_now() -> int:
            return int((await cast.provider.shelf(TEA))["sold"])

        await wait_until(sold_now, sold + 2, "tea sold")
