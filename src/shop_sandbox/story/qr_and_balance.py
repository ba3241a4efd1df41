"""Chapters about other ways to pay: WeChat's QR code after a change of mind, and the balance."""

from __future__ import annotations

from shop_order.api.client import PaymentStatus, PaymentType, PayOrderRequest
from shop_order.api.proto import order_pb2 as pb
from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import Cast

TEA, CUP, FAN, HEADPHONES = 101, 102, 103, 106


async def qr_code(narrator: Narrator, cast: Cast) -> None:
    """Alipay is opened first, then WeChat: its code is scanned, and a probe pays nothing."""
    narrator.title("九、微信扫码支付", "9. WeChat Pay by QR code")
    li = cast.li
    with narrator.step(
        "李四先选支付宝，登录后没有付款", "Li Si chooses Alipay first, and logs in there, but does not pay"
    ):
        order = await li.order(FAN, 1)
        at_alipay = await li.open_alipay(order)
        await cast.provider.perform(at_alipay, "scan")
    with narrator.step(
        "又改选微信支付：支付宝的交易先被关闭，收银台再显示二维码",
        "He changes to WeChat Pay: the trade at Alipay is closed first, then the cashier draws a QR code",
    ) as step:
        payment_sn, code = await li.open_wechat(order)
        expect((await cast.provider.state(at_alipay))["trade_status"], "TRADE_CLOSED", "Alipay's trade")
        step.result(f"二维码内容 {code}", f"the code says {code}")
    with narrator.step(
        "微信发来签名故意错误的探测通知：拒绝，订单仍待支付",
        "WeChat Pay probes us with a wrong signature: refused, and the order stays pending",
    ):
        answer = await cast.provider.perform(payment_sn, "probe", at="wechat")
        expect(answer["status"], 401, "our answer to the probe")
        expect(await li.status(order.order_sn), 1, "status")
    with narrator.step(
        "他扫码付款：加密的通知送达，收银台显示已支付",
        "He scans the code and pays: an encrypted notice arrives, and the cashier says paid",
    ) as step:
        await cast.provider.scan_and_pay(code)
        expect(await li.status(order.order_sn), 2, "status")
        expect((await li.cashier(order))["state"], "paid", "the cashier")
        trade = (await li.grpc.get_payment_info(order.order_sn)).trade_no
        step.result(f"微信订单号 {trade}", f"WeChat's number {trade}")


async def by_balance(narrator: Narrator, cast: Cast) -> None:
    """The wallet takes money by messages, says no to who has too little, and gets money back."""
    narrator.title("十、余额支付", "10. The balance")
    zhang = cast.zhang
    with narrator.step(
        "张三用余额付款：请求以消息发给钱包，钱包扣款后以消息应答",
        "Zhang San pays by balance: a message asks the wallet, and its answer says that it took the money",
    ) as step:
        order = await zhang.order(CUP, 1)
        before = await _balance(cast, order)
        await zhang.choose(order, "balance")
        await wait_until(lambda: zhang.status(order.order_sn), 2, "status")
        other = await zhang.order(TEA, 1)
        left = await _balance(cast, other)
        expect(left, before - order.pay_amount_fen, "the balance")
        step.result(f"余额 {yuan(before)} → {yuan(left)}", f"balance {yuan(before)} → {yuan(left)}")
    await _too_little(narrator, cast)
    with narrator.step(
        "商家取消张三的已付订单：钱退回余额",
        "The operator cancels Zhang San's paid order: the money returns to his balance",
    ) as step:
        await cast.operator.grpc.cancel_order(order.order_sn, reason="缺货")
        await wait_until(lambda: _balance(cast, other), before, "the balance")
        await wait_until(lambda: zhang.status(order.order_sn), 5, "status")
        await zhang.grpc.cancel_order(other.order_sn)
        step.result(f"余额 {yuan(before)}", f"balance {yuan(before)}")


async def _too_little(narrator: Narrator, cast: Cast) -> None:
    li = cast.li
    with narrator.step(
        "李四的余额不够买耳机：收银台不提供余额支付；直接请求，钱包也拒绝",
        "Li Si has too little for headphones: the cashier does not offer it, and the wallet refuses as well",
    ) as step:
        order = await li.order(HEADPHONES, 1)
        cashier = await li.cashier(order)
        offer = next(one for one in cashier["channels"] if one["payment_type"] == "balance")
        expect(offer["available"], False, "whether the balance is offered")
        await li.grpc.pay_order(PayOrderRequest(order.order_sn, PaymentType.BALANCE))

        async def refusal() -> tuple[int, str]:
            found = await li.grpc.get_payment_info(order.order_sn)
            return found.status, found.close_reason

        await wait_until(refusal, (int(PaymentStatus.CLOSED), "INSUFFICIENT_BALANCE"), "the payment")
        expect(await li.status(order.order_sn), 1, "status")
        await li.grpc.cancel_order(order.order_sn)
        has, needs = yuan(cashier["balance_fen"]), yuan(order.pay_amount_fen)
        step.result(
            f"余额 {has}，应付 {needs}；订单仍可用其他方式支付",
            f"{has} of {needs}; the order can still be paid another way",
        )


async def _balance(cast: Cast, order: pb.OrderInfo) -> int:
    """What Zhang San's cashier shows as available, in fen."""
    return int((await cast.zhang.cashier(order))["balance_fen"])
