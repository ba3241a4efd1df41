"""Chapters about money and time: unpaid, late, repeated and forged payments."""

from __future__ import annotations

from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import Cast

CUP, FAN, INK, KEYBOARD = 102, 103, 104, 105
PAY_TIMEOUT_S = 1800


async def nobody_pays(narrator: Narrator, cast: Cast) -> None:
    """An unpaid order times out, and its stock is available again."""
    narrator.title("二、超时未付", "2. Nobody pays")
    before = await cast.provider.available(CUP)
    with narrator.step(
        "张三通过 gRPC 下单 3 只茶杯，但不付款", "Zhang San orders three cups over gRPC but does not pay"
    ) as step:
        order = await cast.zhang.order(CUP, 3)
        expect(await cast.provider.available(CUP), before - 3, "available cups")
        step.result(f"可售库存 {before} → {before - 3}", f"available: {before} → {before - 3}")
    with narrator.step(
        "测试时钟快进 30 分钟：订单自动取消", "The test clock advances 30 minutes: the order is cancelled"
    ):
        await cast.advance(PAY_TIMEOUT_S)
        await wait_until(lambda: cast.zhang.status(order.order_sn), 5, "status")
    with narrator.step("库存全部退回", "All stock is available again") as step:
        await wait_until(lambda: cast.provider.available(CUP), before, "available cups")
        step.result(f"可售库存 {before}", f"available: {before}")


async def pays_too_late(narrator: Narrator, cast: Cast) -> None:
    """A late payment is accepted and refunded automatically."""
    narrator.title("三、逾期付款", "3. A late payment")
    zhang = cast.zhang
    with narrator.step(
        "张三打开支付宝页面，没有付款，订单超时取消",
        "Zhang San opens Alipay's page but does not pay, and the order times out",
    ):
        order = await zhang.order(FAN, 1)
        payment_sn = await zhang.open_alipay(order)
        await cast.advance(PAY_TIMEOUT_S)
        await wait_until(lambda: zhang.status(order.order_sn), 5, "status")
    with narrator.step(
        "这时才付款：钱已到账，通知照常接收，随后自动原路退款",
        "He pays now: the money has moved, so the notice is accepted and the payment is refunded",
    ) as step:
        answer = await cast.provider.perform(payment_sn, "pay_late")
        expect(answer["body"], "success", "our answer to the notice")

        async def refunded() -> int:
            return sum(one["amount_fen"] for one in (await cast.provider.state(payment_sn))["refunds"])

        await wait_until(refunded, order.pay_amount_fen, "fen refunded at Alipay")
        amount = yuan(order.pay_amount_fen)
        step.result(f"支付宝已退 {amount}", f"Alipay refunded {amount}")
    with narrator.step(
        "订单仍为已取消，支付单为已退款", "The order stays cancelled, and the payment is marked as refunded"
    ):

        async def payment_status() -> int:
            return (await zhang.grpc.get_payment_info(order.order_sn)).status

        await wait_until(payment_status, 3, "payment status")
        expect(await zhang.status(order.order_sn), 5, "status")


async def notice_comes_twice(narrator: Narrator, cast: Cast) -> None:
    """A repeated notice is acknowledged and changes nothing."""
    narrator.title("四、重复的通知", "4. A repeated notice")
    zhang = cast.zhang
    with narrator.step("张三下单并付款", "Zhang San places an order and pays"):
        order = await zhang.order(INK, 1)
        payment_sn = await zhang.open_alipay(order)
        await cast.provider.perform(payment_sn, "pay")
        paid = await zhang.grpc.get_order_by_order_sn(order.order_sn)
        expect(paid.status, 2, "status")
    with narrator.step(
        "支付宝重发同一通知：应答 success，订单不变",
        "Alipay resends the notice: the answer is success, and nothing changes",
    ) as step:
        answer = await cast.provider.perform(payment_sn, "notify_again")
        expect(answer["body"], "success", "our answer to the notice")
        again = await zhang.grpc.get_order_by_order_sn(order.order_sn)
        expect((again.status, again.version), (2, paid.version), "status and version")
        expect(len((await zhang.data("GET", f"/orders/{order.order_sn}"))["payments"]), 1, "payments")
        step.result(f"订单版本仍为 {again.version}", f"the order's version is still {again.version}")


async def somebody_forges(narrator: Narrator, cast: Cast) -> None:
    """A notice with a wrong amount or signature pays nothing; the genuine notice still does."""
    narrator.title("五、伪造的通知", "5. Forged notices")
    li = cast.li
    with narrator.step("李四买键盘，打开支付宝页面", "Li Si buys a keyboard and opens Alipay's page"):
        order = await li.order(KEYBOARD, 1)
        payment_sn = await li.open_alipay(order)
    for action, zh, en, status in (
        (
            "forge_amount",
            "签名正确、金额却是 0.01 元的通知",
            "a notice with a valid signature but for 0.01 yuan",
            200,
        ),
        ("forge_sign", "签名错误的通知", "a notice with an invalid signature", 401),
    ):
        with narrator.step(
            f"收到{zh}：应答 failure，订单仍待支付",
            f"Received {en}: the answer is failure, and the order stays pending",
        ):
            answer = await cast.provider.perform(payment_sn, action)
            expect((answer["status"], answer["body"]), (status, "failure"), "our answer to the notice")
            expect(await li.status(order.order_sn), 1, "status")
    with narrator.step("真正的付款仍然成功", "The genuine payment still succeeds"):
        await cast.provider.perform(payment_sn, "pay")
        expect(await li.status(order.order_sn), 2, "status")
