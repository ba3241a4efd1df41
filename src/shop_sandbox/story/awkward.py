"""The awkward cases of money and time."""

from __future__ import annotations

from shop_sandbox.story.people import Cast
from shop_sandbox.story.telling import Teller, expect, until, yuan

CUP, FAN, INK, KEYBOARD = 102, 103, 104, 105
PAY_TIMEOUT_S = 1800


async def nobody_pays(tell: Teller, cast: Cast) -> None:
    """The order is cancelled in time, and the stock comes back."""
    tell.title("二、超时未付", "2. Nobody pays")
    before = await cast.provider.available(CUP)
    with tell.step(
        "张三通过 gRPC 下单 3 只茶杯，不付款", "Zhang San orders three cups over gRPC, and does not pay"
    ) as step:
        order = await cast.zhang.order(CUP, 3)
        expect(await cast.provider.available(CUP), before - 3, "available cups")
        step.sees(f"可售库存 {before} → {before - 3}", f"available: {before} → {before - 3}")
    with tell.step(
        "测试时钟快进 30 分钟：订单自动取消", "The test clock goes 30 minutes ahead: the order is cancelled"
    ):
        await cast.advance(PAY_TIMEOUT_S)
        await until(lambda: cast.zhang.status(order.order_sn), 5, "status")
    with tell.step("库存全部退回", "All of the stock is given back") as step:
        await until(lambda: cast.provider.available(CUP), before, "available cups")
        step.sees(f"可售库存 {before}", f"available: {before}")


async def pays_too_late(tell: Teller, cast: Cast) -> None:
    """The money is accepted and goes back by itself."""
    tell.title("三、付款来迟", "3. The payment comes too late")
    zhang = cast.zhang
    with tell.step(
        "张三打开支付宝页面，却等到订单超时取消", "Zhang San opens Alipay's page, and the order times out"
    ):
        order = await zhang.order(FAN, 1)
        payment_sn = await zhang.open_alipay(order)
        await cast.advance(PAY_TIMEOUT_S)
        await until(lambda: zhang.status(order.order_sn), 5, "status")
    with tell.step(
        "这时才付款：通知照收不误（钱已经动了），并自动原路退款",
        "Pays only now: the notice is accepted, for the money has moved, and goes back by itself",
    ) as step:
        answer = await cast.provider.does(payment_sn, "pay_late")
        expect(answer["body"], "success", "our answer to the notice")

        async def refunded() -> int:
            return sum(one["amount_fen"] for one in (await cast.provider.state(payment_sn))["refunds"])

        await until(refunded, order.pay_amount_fen, "fen given back at Alipay")
        amount = yuan(order.pay_amount_fen)
        step.sees(f"支付宝已退 {amount}", f"Alipay gave {amount} back")
    with tell.step(
        "订单仍是已取消，支付单显示已退款", "The order stays cancelled, and the payment shows as refunded"
    ):

        async def payment_status() -> int:
            return (await zhang.grpc.get_payment_info(order.order_sn)).status

        await until(payment_status, 3, "payment status")
        expect(await zhang.status(order.order_sn), 5, "status")


async def notice_comes_twice(tell: Teller, cast: Cast) -> None:
    """The second one is answered and changes nothing."""
    tell.title("四、同一通知来两次", "4. The same notice comes twice")
    zhang = cast.zhang
    with tell.step("张三下单并付款", "Zhang San orders and pays"):
        order = await zhang.order(INK, 1)
        payment_sn = await zhang.open_alipay(order)
        await cast.provider.does(payment_sn, "pay")
        paid = await zhang.grpc.get_order_by_order_sn(order.order_sn)
        expect(paid.status, 2, "status")
    with tell.step(
        "支付宝重发同一通知：回答 success，什么也没有变",
        "Alipay sends the same notice again: the answer is success, and nothing changes",
    ) as step:
        answer = await cast.provider.does(payment_sn, "notify_again")
        expect(answer["body"], "success", "our answer to the notice")
        again = await zhang.grpc.get_order_by_order_sn(order.order_sn)
        expect((again.status, again.version), (2, paid.version), "status and version")
        expect(len((await zhang.data("GET", f"/orders/{order.order_sn}"))["payments"]), 1, "payments")
        step.sees(f"订单版本仍为 {again.version}", f"the order's version is still {again.version}")


async def somebody_forges(tell: Teller, cast: Cast) -> None:
    """Neither a wrong amount nor a wrong signature pays an order; the true notice still does."""
    tell.title("五、伪造的通知", "5. Forged notices")
    li = cast.li
    with tell.step("李四买键盘，打开支付宝页面", "Li Si buys a keyboard and opens Alipay's page"):
        order = await li.order(KEYBOARD, 1)
        payment_sn = await li.open_alipay(order)
    for action, zh, en, status in (
        (
            "forge_amount",
            "签名正确、金额却是 0.01 元的通知",
            "a notice rightly signed, but for 0.01 yuan",
            200,
        ),
        ("forge_sign", "签名错误的通知", "a notice with a wrong signature", 401),
    ):
        with tell.step(
            f"有人送来{zh}：回答 failure，订单仍待支付", f"There comes {en}: failure, the order stays pending"
        ):
            answer = await cast.provider.does(payment_sn, action)
            expect((answer["status"], answer["body"]), (status, "failure"), "our answer to the notice")
            expect(await li.status(order.order_sn), 1, "status")
    with tell.step("真正的付款照常成功", "The true payment works as ever"):
        await cast.provider.does(payment_sn, "pay")
        expect(await li.status(order.order_sn), 2, "status")
