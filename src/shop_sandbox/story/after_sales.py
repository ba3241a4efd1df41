"""The chapter about money that goes back: a part, a return, a refusal, and a whole order."""

from __future__ import annotations

from shop_order.api.client import OrderItemRequest, RequestRefundRequest
from shop_order.api.proto import order_pb2 as pb
from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import Cast

CUP = 102


async def refunds_and_returns(narrator: Narrator, cast: Cast) -> None:
    """A partial refund after shipping, a return, a rejected refund, and a whole refund before shipping."""
    narrator.title("十一、退款与售后", "11. Refunds and returns")
    order, payment_sn = await _shipped(narrator, cast)
    await _part(narrator, cast, order, payment_sn)
    await _return(narrator, cast, order, payment_sn)
    await _rejected(narrator, cast, order)
    await _whole(narrator, cast)


async def _shipped(narrator: Narrator, cast: Cast) -> tuple[pb.OrderInfo, str]:
    with narrator.step(
        "张三买 3 只茶杯，用微信支付，商家已发货",
        "Zhang San buys three cups and pays by WeChat, and they are shipped",
    ):
        order = await cast.zhang.order(CUP, 3)
        payment_sn, code = await cast.zhang.open_wechat(order)
        await cast.provider.scan_and_pay(code)
        expect(await cast.zhang.status(order.order_sn), 2, "status")
        await cast.operator.grpc.ship_order(order.order_sn, "顺丰速运", "SF0000000009")
    return order, payment_sn


async def _refunded(cast: Cast, payment_sn: str, refund_sn: str, fen: int, *, at: str) -> None:
    """Wait until this refund has succeeded, and the provider has given back so much of the payment in all."""

    async def state() -> tuple[str, int]:
        there = (await cast.provider.state(payment_sn, at=at))["refunds"]
        here = await cast.zhang.grpc.get_refund(refund_sn)
        return here.state, sum(one["amount_fen"] for one in there)

    await wait_until(state, ("succeeded", fen), f"the refund, and fen refunded at {at}")


async def _part(narrator: Narrator, cast: Cast, order: pb.OrderInfo, payment_sn: str) -> None:
    with narrator.step(
        "包装破损，张三申请退 1 元；管理员批准，原路退回",
        "The wrapping is torn: he asks for 1 yuan, the operator approves, and WeChat refunds it",
    ) as step:
        wish = RequestRefundRequest(order.order_sn, amount_fen=100, reason="包装破损")
        refund = await cast.zhang.grpc.request_refund(wish)
        await cast.operator.grpc.approve_refund(refund.refund_sn)
        await _refunded(cast, payment_sn, refund.refund_sn, 100, at="wechat")
        step.result(f"退款单 {refund.refund_sn}", f"refund {refund.refund_sn}; no goods come back")


async def _return(narrator: Narrator, cast: Cast, order: pb.OrderInfo, payment_sn: str) -> None:
    before = await cast.provider.available(CUP)
    with narrator.step(
        "张三退回 1 只茶杯：批准 → 寄回 → 收货入库 → 退款",
        "He sends one cup back: approved, sent, received into the stock, refunded",
    ) as step:
        wish = RequestRefundRequest(
            order.order_sn, [OrderItemRequest(CUP, 1)], reason="不喜欢", type="return"
        )
        refund = await cast.zhang.grpc.request_refund(wish)
        await cast.operator.grpc.approve_refund(refund.refund_sn)
        await cast.zhang.grpc.send_return_parcel(refund.refund_sn, "中通快递", "ZT0000000009")
        expect(await cast.provider.available(CUP), before, "available cups")
        await cast.operator.grpc.receive_return(refund.refund_sn)
        await wait_until(lambda: cast.provider.available(CUP), before + 1, "available cups")
        await _refunded(cast, payment_sn, refund.refund_sn, 100 + refund.amount_fen, at="wechat")
        amount = yuan(refund.amount_fen)
        step.result(f"退回 {amount}，库存 +1", f"{amount} refunded, one cup is for sale again")


async def _rejected(narrator: Narrator, cast: Cast, order: pb.OrderInfo) -> None:
    with narrator.step(
        "张三还想退其余茶杯，管理员拒绝并说明原因；他确认收货",
        "He asks for the rest too; the operator rejects it with a reason, and he confirms receipt",
    ) as step:
        refund = await cast.zhang.grpc.request_refund(RequestRefundRequest(order.order_sn))
        await cast.operator.grpc.reject_refund(refund.refund_sn, "已使用，不支持退款")
        told = await cast.zhang.grpc.get_refund(refund.refund_sn)
        expect((told.state, told.decision), ("rejected", "已使用，不支持退款"), "the decision")
        done = await cast.zhang.grpc.confirm_receipt(order.order_sn)
        expect((done.status, done.refund_status), (4, 3), "status and refund status")
        step.result("订单已完成，部分退款", "the order is completed and partly refunded")


async def _whole(narrator: Narrator, cast: Cast) -> None:
    before = await cast.provider.available(CUP)
    with narrator.step(
        "另一单（支付宝）未发货就申请全额退款：运费一并退回，订单取消，库存归还",
        "Another order, paid at Alipay, is refunded in full before shipping: cancelled, the stock is back",
    ) as step:
        order = await cast.zhang.order(CUP, 2)
        payment_sn = await cast.zhang.open_alipay(order)
        await cast.provider.perform(payment_sn, "pay")
        refund = await cast.zhang.grpc.request_refund(RequestRefundRequest(order.order_sn, reason="拍错了"))
        await cast.operator.grpc.approve_refund(refund.refund_sn)
        await _refunded(cast, payment_sn, refund.refund_sn, order.pay_amount_fen, at="alipay")
        await wait_until(lambda: cast.zhang.status(order.order_sn), 5, "status")
        await wait_until(lambda: cast.provider.available(CUP), before, "available cups")
        amount = yuan(order.pay_amount_fen)
        step.result(f"已退 {amount}", f"{amount} refunded")
