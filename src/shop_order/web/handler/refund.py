"""Refund routes: of buyers below /orders and /refunds, of admins below /admin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import (
    IllegalTransition,
    KeyReused,
    OrderNotFound,
    OrderServiceError,
    RefundNotFound,
    StateChanged,
    TooMuchContention,
)
from shop_order.domain.ports import RefundFilter
from shop_order.domain.refund_errors import (
    NotRefundable,
    RefundAbnormal,
    RefundTooLate,
    SecondApprovalNeeded,
)
from shop_order.domain.status import OrderStatus, RefundState, RefundType
from shop_order.domain.valueobject.item import lines_of
from shop_order.service.order import MAX_PAGE_SIZE
from shop_order.service.refund import RequestRefund
from shop_order.service.use_cases import UseCases
from shop_order.web.context import context
from shop_order.web.dto.cursors import Cursors
from shop_order.web.dto.fields import IdempotencyKey, OrderSn, Owner
from shop_order.web.dto.refunds import (
    ApproveRefundBody,
    RefundData,
    RefundListData,
    RefundReasonBody,
    RefundSn,
    RequestRefundBody,
    ReturnParcelBody,
    State,
)
from shop_order.web.dto.requests import CancelBody
from shop_order.web.dto.responses import OrderData
from shop_order.web.handler.route import Operation, links, operation, success

TAG = "refunds"
ADMIN_TAG = "admin"
StateQuery = Annotated[State | None, Query(description="退款状态 / State")]
PageSize = Annotated[int, Query(ge=1, description="超过 100 按 100 计 / At most 100")]
CursorQuery = Annotated[
    str, Query(max_length=256, description="上一页的 next_cursor / next_cursor of the previous page")
]


def _step(
    path: str,
    *,
    id: str,
    tag: str = ADMIN_TAG,
    summary: str,
    description: str,
    more_errors: tuple[type[OrderServiceError], ...] = (),
) -> Operation:
    """A route that takes a refund one step on, and answers with it."""
    return operation(
        "POST",
        path,
        id=id,
        tag=tag,
        summary=summary,
        description=description,
        data=RefundData,
        errors=(RefundNotFound, IllegalTransition, TooMuchContention, *more_errors),
    )


@dataclass(frozen=True)
class RefundHandler:
    """What buyers do with refunds."""

    use_cases: UseCases
    cursors: Cursors

    @operation(
        "POST",
        "/api/v1/orders/{order_sn}/refunds",
        id="requestRefund",
        tag=TAG,
        summary="申请退款 / Request a refund",
        description="按商品（`items`），或按金额（`amount_fen`），都不填为剩余全部。退货（`return`）须先寄回商品。"
        "由商家审核；有进行中的退款时订单不会发货，也不会自动完成。\n\n"
        "For some goods (`items`), for an amount (`amount_fen`), or with neither for all that is left. With "
        "`return` the goods come back first. The shop decides; while a refund is open, the order is neither "
        "shipped nor completed by itself.",
        data=RefundData,
        errors=(OrderNotFound, NotRefundable, TooMuchContention, KeyReused),
        extra=links(
            "refund_sn",
            "$response.body#/data/refund_sn",
            "getRefund",
            "withdrawRefund",
            "sendReturnParcel",
            "approveRefund",
            "rejectRefund",
        ),
    )
    async def request(
        self, order_sn: OrderSn, body: RequestRefundBody, idempotency_key: IdempotencyKey = ""
    ) -> Response:
        """Request a refund."""
        ctx = context()
        lines = lines_of((item.goods_id, item.nums) for item in body.items or ())
        wish = RefundWish(RefundType(body.type), lines, body.amount_fen, body.reason)
        outcome = await self.use_cases.refunds.request(ctx.caller, RequestRefund(order_sn, wish, ctx.key))
        ctx.replayed = outcome.replayed
        return _respond(outcome.result, "退款已申请", "refund requested")

    @operation(
        "GET",
        "/api/v1/refunds",
        id="listRefunds",
        tag=TAG,
        summary="我的退款 / List my refunds",
        description="按申请时间倒序，用 cursor 翻页。\n\nNewest first; continue with `cursor`.",
        data=RefundListData,
    )
    async def list(
        self,
        state: StateQuery = None,
        order_sn: OrderSn | None = None,
        page_size: PageSize = 20,
        cursor: CursorQuery = "",
    ) -> Response:
        """A page of the caller's refunds."""
        return await page_of_refunds(self.use_cases, self.cursors, None, state, order_sn, page_size, cursor)

    @operation(
        "GET",
        "/api/v1/refunds/{refund_sn}",
        id="getRefund",
        tag=TAG,
        summary="退款详情 / Get a refund",
        data=RefundData,
        errors=(RefundNotFound,),
    )
    async def get(self, refund_sn: RefundSn) -> Response:
        """A refund."""
        ctx = context()
        refund = await self.use_cases.refunds.get(ctx.caller, refund_sn)
        return success(RefundData.of(refund, ctx.language), "成功", "ok")

    @_step(
        "/api/v1/refunds/{refund_sn}/withdraw",
        id="withdrawRefund",
        tag=TAG,
        summary="撤回退款申请 / Withdraw a refund",
        description="审核前，或退货寄出前。可重复提交。\n\n"
        "While it is undecided, or before its goods were sent back. Idempotent.",
    )
    async def withdraw(self, refund_sn: RefundSn) -> Response:
        """Withdraw a refund."""
        refund = await self.use_cases.refunds.withdraw(context().caller, refund_sn)
        return _respond(refund, "退款申请已撤回", "refund withdrawn")

    @_step(
        "/api/v1/refunds/{refund_sn}/parcel",
        id="sendReturnParcel",
        tag=TAG,
        summary="填写退货运单 / Enter the return parcel",
        description="商家收到之前可以更正。\n\nIt can be corrected until the goods arrive.",
        more_errors=(NotRefundable,),
    )
    async def parcel(self, refund_sn: RefundSn, body: ReturnParcelBody) -> Response:
        """Record the parcel of a return."""
        refund = await self.use_cases.refunds.send_parcel(
            context().caller, refund_sn, body.logistics_company, body.logistics_no
        )
        return _respond(refund, "退货运单已登记", "parcel recorded")


@dataclass(frozen=True)
class AdminRefundHandler:
    """What admins do with refunds, and with paid orders to cancel."""

    use_cases: UseCases
    cursors: Cursors

    @operation(
        "POST",
        "/api/v1/admin/orders/{order_sn}/cancel",
        id="cancelOrderAsAdmin",
        tag=ADMIN_TAG,
        summary="取消订单 / Cancel an order",
        description="待支付的订单立即取消；已支付的订单退还全部剩余款项，退款成功后取消；"
        "达到双人审批金额时，还须另一位管理员批准该退款，再次取消不算批准。可重复提交。\n\n"
        "A pending order is cancelled. Of a paid order all money is refunded, and the refund's success "
        "cancels it; a large refund needs the approval of another admin, for which cancelling again does not "
        "count. Idempotent.",
        data=OrderData,
        errors=(OrderNotFound, NotRefundable, IllegalTransition, StateChanged, TooMuchContention),
    )
    async def cancel(self, order_sn: OrderSn, body: CancelBody | None = None) -> Response:
        """Cancel an order, or refund a paid one."""
        body = body or CancelBody()
        ctx = context()
        expected = None if body.expected_status is None else OrderStatus(body.expected_status)
        order = await self.use_cases.orders.cancel(
            ctx.caller, order_sn, body.reason, owner=ctx.owner(body.user_id), expected=expected
        )
        data = OrderData.of(order, ctx.language, pay_url=None)
        return success(data, *cancel_words(order))

    @operation(
        "GET",
        "/api/v1/admin/refunds",
        id="listAllRefunds",
        tag=ADMIN_TAG,
        summary="退款列表 / List refunds",
        description="所有买家的退款，按申请时间倒序。\n\nThe refunds of all buyers, newest first.",
        data=RefundListData,
    )
    async def list(
        self,
        user_id: Owner = None,
        state: StateQuery = None,
        order_sn: OrderSn | None = None,
        page_size: PageSize = 20,
        cursor: CursorQuery = "",
    ) -> Response:
        """A page of all refunds."""
        return await page_of_refunds(
            self.use_cases, self.cursors, user_id, state, order_sn, page_size, cursor
        )

    @_step(
        "/api/v1/admin/refunds/{refund_sn}/approve",
        id="approveRefund",
        summary="批准退款 / Approve a refund",
        description="大额退款须由两位管理员先后批准。可重复提交。\n\n"
        "A large refund needs the approval of two different admins. Idempotent.",
        more_errors=(NotRefundable, SecondApprovalNeeded),
    )
    async def approve(self, refund_sn: RefundSn, body: ApproveRefundBody | None = None) -> Response:
        """Approve a refund."""
        body = body or ApproveRefundBody()
        refund = await self.use_cases.refunds.approve(
            context().caller, refund_sn, freight_fen=body.freight_fen, reason=body.reason
        )
        if refund.state is RefundState.REQUESTED:
            return _respond(refund, "还须另一位管理员批准", "another admin has to approve it too")
        return _respond(refund, "退款已批准", "refund approved")

    @_step(
        "/api/v1/admin/refunds/{refund_sn}/reject",
        id="rejectRefund",
        summary="拒绝退款 / Reject a refund",
        description="也可拒绝未寄到或不符的退货。可重复提交。\n\n"
        "Also for a return whose goods did not arrive, or not as they were sold. Idempotent.",
    )
    async def reject(self, refund_sn: RefundSn, body: RefundReasonBody) -> Response:
        """Reject a refund."""
        refund = await self.use_cases.refunds.reject(context().caller, refund_sn, body.reason)
        return _respond(refund, "退款已拒绝", "refund rejected")

    @_step(
        "/api/v1/admin/refunds/{refund_sn}/received",
        id="receiveReturn",
        summary="确认收到退货 / Receive the goods of a return",
        description="商品入库，随后退款。可重复提交。\n\n"
        "The goods return to the stock, then the money is refunded. Idempotent.",
    )
    async def received(self, refund_sn: RefundSn) -> Response:
        """Receive the goods of a return."""
        refund = await self.use_cases.refunds.receive_goods(context().caller, refund_sn)
        return _respond(refund, "退货已收到", "goods received")

    @_step(
        "/api/v1/admin/refunds/{refund_sn}/resend",
        id="resendRefund",
        summary="重新发起失败的退款 / Send a failed refund again",
        description="先查询支付机构：仅当其确认原退款单号已关闭时才换用新单号。\n\n"
        "The provider is asked first: a new number is used only if it says that the old one is closed.",
        more_errors=(RefundTooLate, RefundAbnormal),
    )
    async def resend(self, refund_sn: RefundSn) -> Response:
        """Send a failed refund again."""
        refund = await self.use_cases.refunds.resend(context().caller, refund_sn)
        return _respond(refund, "退款已重新发起", "refund sent again")

    @_step(
        "/api/v1/admin/refunds/{refund_sn}/settle",
        id="settleRefund",
        summary="登记人工退款 / Settle a failed refund by hand",
        description="已用其他方式退还买家。可重复提交。\n\nThe buyer was paid in another way. Idempotent.",
    )
    async def settle(self, refund_sn: RefundSn, body: RefundReasonBody) -> Response:
        """Settle a refund by hand."""
        refund = await self.use_cases.refunds.settle(context().caller, refund_sn, body.reason)
        return _respond(refund, "已登记人工退款", "refund settled by hand")


def cancel_words(order: Order) -> tuple[str, str]:
    """What came of a cancel, in Chinese and English."""
    if order.status is OrderStatus.CANCELLED:
        return "订单已取消", "order cancelled"
    if after_sales.waits_for_second_approval(order):
        return "全额退款待第二位管理员批准", "full refund requested; a second admin has to approve it"
    return "已发起全额退款", "full refund opened"


async def page_of_refunds(
    use_cases: UseCases,
    cursors: Cursors,
    user: int | None,
    state: str | None,
    order_sn: str | None,
    page_size: int,
    cursor: str,
) -> Response:
    """A page of refunds that the caller may see."""
    ctx = context()
    where = RefundFilter(ctx.owner(user) or None, RefundState(state) if state else None, order_sn)
    after = cursors.open_refund(ctx.caller, where, cursor)
    page_size = min(page_size, MAX_PAGE_SIZE)
    found = await use_cases.refunds.list(ctx.caller, where, page_size=page_size, after=after)
    next_cursor = cursors.seal_refund(ctx.caller, where, found.next) or None
    data = RefundListData.of(found, ctx.language, page_size=page_size, next_cursor=next_cursor)
    return success(data, "成功", "ok")


def _respond(refund: Refund, zh: str, en: str) -> Response:
    return success(RefundData.of(refund, context().language), zh, en)
