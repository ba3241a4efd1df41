"""The chapter about money that goes back: a part, a return, a refusal, and a whole order."""

from __future__ import annotations

from shop_order.api.client import OrderItemRequest, RequestRefundRequest
from shop_order.api.proto import order_pb2 as pb
from shop_sandbox.story.narrator import Narrator, expect, wait_until, yuan
from shop_sandbox.story.people import Cast

CUP = 102


async def refunds_and_returns(narrator: Narrator, cast: Cast) -> None:
    """A partial refund after shipping, a return, a rejected refund, and a whole refund before shipping."""
    narrator.title("九、退款与售后", "9. Refunds and returns")
    order, payment_sn = await _shipped(narrator, cast)
    await _part(narrator, cast, order, payment_sn)
    await _return(narrator, cast, order, payment_sn)
    await _rejected(narrator, cast, order)
    await _whole(narrator, cast)


async def _bought(cast: Cast, nums: int) -> tuple[pb.OrderInfo, str]:
    order = await cast.zhang.order(CUP, nums)
    payment_sn = await cast.zhang.open_alipay(order)
    await cast.provider.perform(payment_sn, "pay")
    expect(await cast.zhang.status(order.order_sn), 2, "status")
    return order, payment_sn


async def _shipped(narrator: Narrator, cast: Cast) -> tuple[pb.OrderInfo, str]:
    with narrator.step(
        "张三买 3 只茶杯并付款，商家已发货", "Zhang San buys and pays three cups, and they are shipped"
    ):
        order, payment_sn = await _bought(cast, 3)
        await cast.operator.grpc.ship_order(order.order_sn, "顺丰速运", "SF0000000009")
    return order, payment_sn


async def _refunded(cast: Cast, payment_sn: str, fen: int) -> None:
    """Wait until Alipay has given back so much of a payment in all."""

    async def refunded_fen() -> int:
        return sum(one["amount_fen"] for one in (await cast.provider.state(payment_sn))["refunds"])

    await wait_until(refunded_fen, fen, "fen refunded at Alipay")


async def _part(narrator: Narrator, cast: Cast, order: pb.OrderInfo, payment_sn: str) -> None:
    with narrator.step(
        "包装破损，张三申请退 1 元；管理员同意，原路退回",
        "The wrapping is torn: he asks for 1 yuan, the operator approves, and Alipay refunds it",
    ) as step:
        wish = RequestRefundRequest(order.order_sn, amount_fen=100, reason="包装破损")
        refund = await cast.zhang.grpc.request_refund(wish)
        await cast.operator.grpc.approve_refund(refund.refund_sn)
        await _refunded(cast, payment_sn, 100)
        step.result(f"退款单 {refund.refund_sn}", f"refund {refund.refund_sn}; no goods come back")


async def _return(narrator: Narrator, cast: Cast, order: pb.OrderInfo, payment_sn: str) -> None:
    before = await cast.provider.available(CUP)
    with narrator.step(
        "张三退回 1 只茶杯：同意 → 寄回 → 收货入库 → 退款",
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
        await _refunded(cast, payment_sn, 100 + refund.amount_fen)
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
        "另一单未发货就申请全额退款：运费一并退回，订单取消，库存归还",
        "Another order is refunded whole before it is shipped: it is cancelled, and the stock is back",
    ) as step:
        order, payment_sn = await _bought(cast, 2)
        refund = await cast.zhang.grpc.request_refund(RequestRefundRequest(order.order_sn, reason="拍错了"))
        await cast.operator.grpc.approve_refund(refund.refund_sn)
        await _refunded(cast, payment_sn, order.pay_amount_fen)
        await wait_until(lambda: cast.zhang.status(order.order_sn), 5, "status")
        await wait_until(lambda: cast.provider.available(CUP), before, "available cups")
        amount = yuan(order.pay_amount_fen)
        step.result(f"已退 {amount}", f"{amount} refunded")
