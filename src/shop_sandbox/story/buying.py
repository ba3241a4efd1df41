"""The main line: from the cart to the receipt."""

from __future__ import annotations

from shop_sandbox.story.people import ADDRESS, Cast, Data
from shop_sandbox.story.telling import Teller, expect, until, yuan

TEA, BASKET = 101, 109


async def from_cart_to_receipt(tell: Teller, cast: Cast) -> None:
    """Cart, order, Alipay page, paid, shipped, received."""
    tell.title("一、从购物车到收货", "1. From the cart to the receipt")
    order = await _checks_out(tell, cast)
    order_sn = str(order["order_sn"])
    await _pays(tell, cast, order)
    zhang, operator = cast.zhang, cast.operator
    with tell.step(
        "管理员通过 gRPC 发货，买家看到快递公司和运单号",
        "The operator ships over gRPC; the buyer sees carrier and parcel number",
    ) as step:
        await operator.grpc.ship_order(order_sn, "顺丰速运", "SF1234567890")
        shipped = await zhang.grpc.get_order_by_order_sn(order_sn)
        expect((shipped.status, shipped.logistics_no), (3, "SF1234567890"), "status and parcel")
        step.sees(f"{shipped.logistics_company} {shipped.logistics_no}", "status 3, shipped")
    with tell.step("张三确认收货，订单完成", "Zhang San confirms receipt; the order is completed") as step:
        done = await zhang.grpc.confirm_receipt(order_sn)
        expect(done.status, 4, "status")
        logs = (await zhang.data("GET", f"/orders/{order_sn}"))["logs"]
        path = [entry["new_status"] for entry in logs if entry["new_status"] != entry["old_status"]]
        expect(path, [1, 2, 3, 4], "the order's history")
        step.sees(
            "历史：待支付 → 已支付 → 已发货 → 已完成", "its history: pending → paid → shipped → completed"
        )


async def _checks_out(tell: Teller, cast: Cast) -> Data:
    zhang = cast.zhang
    with tell.step(
        "张三往购物车放 1 盒龙井、2 个竹篮，又加 1 盒龙井：同一商品合并为 2 盒",
        "Zhang San puts one tea and two baskets into the cart, then another tea: they merge into two",
    ) as step:
        for goods_id, nums in ((TEA, 1), (BASKET, 2), (TEA, 1)):
            await zhang.data("POST", "/cart/items", {"goods_id": goods_id, "nums": nums})
        cart = await zhang.data("GET", "/cart")
        lines = {int(line["goods_id"]): line["nums"] for line in cart["items"]}
        expect(lines, {TEA: 2, BASKET: 2}, "the cart")
        total = yuan(cart["checked_total_fen"])
        step.sees(f"价格实时取自商品服务，合计 {total}", f"prices fresh from the goods service, {total}")
    before = await cast.provider.available(TEA)
    with tell.step(
        "用购物车下单（带幂等键）：购物车清空，库存预占 2 件",
        "Places the order from the cart, with an idempotency key: the cart is empty, two are held",
    ) as step:
        body = {"from": "cart", "address": ADDRESS}
        order = await zhang.data("POST", "/orders", body, key="story-main-line")
        expect(order["pay_fen"], cart["checked_total_fen"] + order["freight_fen"], "to be paid")
        expect((await zhang.data("GET", "/cart"))["items"], [], "the cart")
        expect(await cast.provider.available(TEA), before - 2, "available tea")
        amount = yuan(order["pay_fen"])
        step.sees(f"订单 {order['order_sn']}，应付 {amount}", f"order {order['order_sn']}, {amount} to pay")
    return order


async def _pays(tell: Teller, cast: Cast, order: Data) -> None:
    order_sn = str(order["order_sn"])
    with tell.step(
        "打开收银台链接，选择支付宝，跳转到支付宝页面（我方 RSA2 签名经对方验证）",
        "Opens the pay link, chooses Alipay, and is sent to its page, which verified our RSA2 signature",
    ):
        payment_sn = await cast.zhang.open_alipay(order)
    sold = (await cast.provider.shelf(TEA))["sold"]
    with tell.step(
        "在支付宝付款：签名通知送达，订单变为已支付",
        "Pays at Alipay: a signed notice arrives, and the order is paid",
    ) as step:
        answer = await cast.provider.does(payment_sn, "pay")
        expect(answer["body"], "success", "our answer to the notice")
        expect(await cast.zhang.status(order_sn), 2, "status")
        step.sees(f"支付单 {payment_sn}", f"trade {answer['trade_no']}")
    with tell.step(
        "消息送到库存服务：预占变为售出",
        "The message reaches the inventory: what was held is sold",
    ):

        async def sold_now() -> int:
            return int((await cast.provider.shelf(TEA))["sold"])

        await until(sold_now, sold + 2, "tea sold")
