"""The methods of refunds of `order.OrderService`: decode, call one use case, encode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shop_order.api.proto import order_pb2 as pb
from shop_order.domain.entity.after_sales import RefundWish
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import RefundFilter
from shop_order.domain.status import RefundState, RefundType
from shop_order.domain.valueobject.item import lines_of
from shop_order.pkg.grpc.server import Handler
from shop_order.pkg.ids import is_refund_sn
from shop_order.service.refund import RefundService, RequestRefund
from shop_order.web.context import RequestContext
from shop_order.web.dto.cursors import Cursors
from shop_order.web.grpc.chain import Call, decoding
from shop_order.web.grpc.convert import one_of, order_sn_of, page_of, timestamp
from shop_order.web.messages import Language, refund_state_text

_TYPES = {"": RefundType.REFUND_ONLY} | {type.value: type for type in RefundType}
_STATES = {state.value: state for state in RefundState}


@dataclass(frozen=True, slots=True)
class RefundHandlers:
    """What buyers and admins do with refunds."""

    refunds: RefundService
    cursors: Cursors

    def methods(self) -> Mapping[str, Handler[Call]]:
        """Every method by its name."""
        return {
            "RequestRefund": decoding(pb.RequestRefundRequest, self.request_refund),
            "DecideRefund": decoding(pb.DecideRefundRequest, self.decide_refund),
            "GetRefund": decoding(pb.GetRefundRequest, self.get_refund),
            "ListRefunds": decoding(pb.ListRefundsRequest, self.list_refunds),
            "WithdrawRefund": decoding(pb.WithdrawRefundRequest, self.withdraw_refund),
            "SendReturnParcel": decoding(pb.SendReturnParcelRequest, self.send_return_parcel),
            "ReceiveReturn": decoding(pb.ReceiveReturnRequest, self.receive_return),
            "ResendRefund": decoding(pb.ResendRefundRequest, self.resend_refund),
            "SettleRefund": decoding(pb.SettleRefundRequest, self.settle_refund),
        }

    async def request_refund(
        self, request: pb.RequestRefundRequest, context: RequestContext
    ) -> pb.RefundInfo:
        """Ask for a refund."""
        wish = RefundWish(
            one_of(_TYPES, request.type, "type"),
            lines_of((item.product_id, item.quantity) for item in request.items),
            request.amount_fen,
            request.reason,
        )
        command = RequestRefund(
            order_sn_of(request.order_sn), wish, context.idempotency_key(request.idempotency_key)
        )
        outcome = await self.refunds.request(context.caller, command)
        context.replayed = outcome.replayed
        return refund_info(outcome.result, context.language)

    async def decide_refund(self, request: pb.DecideRefundRequest, context: RequestContext) -> pb.RefundInfo:
        """Approve or reject a refund."""
        actor, refund_sn = context.caller, refund_sn_of(request.refund_sn)
        if request.approve:
            refund = await self.refunds.approve(
                actor, refund_sn, freight_fen=request.freight_fen, reason=request.reason
            )
        elif request.freight_fen:
            raise InvalidArgument("freight_fen", "must_be_empty")
        else:
            refund = await self.refunds.reject(actor, refund_sn, request.reason)
        return refund_info(refund, context.language)

    async def get_refund(self, request: pb.GetRefundRequest, context: RequestContext) -> pb.RefundInfo:
        """The refund with this number."""
        refund = await self.refunds.get(context.caller, refund_sn_of(request.refund_sn))
        return refund_info(refund, context.language)

    async def list_refunds(
        self, request: pb.ListRefundsRequest, context: RequestContext
    ) -> pb.ListRefundsResponse:
        """A page of refunds, newest first."""
        actor = context.caller
        state = one_of(_STATES, request.state, "state") if request.state else None
        order_sn = order_sn_of(request.order_sn) if request.order_sn else None
        where = RefundFilter(context.owner(request.user_id) or None, state, order_sn)
        after = self.cursors.open_refund(actor, where, request.cursor)
        _, page_size = page_of(1, request.page_size)
        found = await self.refunds.list(actor, where, page_size=page_size, after=after)
        return pb.ListRefundsResponse(
            refunds=[refund_info(refund, context.language) for refund in found.refunds],
            next_cursor=self.cursors.seal_refund(actor, where, found.next),
        )

    async def withdraw_refund(
        self, request: pb.WithdrawRefundRequest, context: RequestContext
    ) -> pb.RefundInfo:
        """The buyer no longer wants it."""
        refund = await self.refunds.withdraw(context.caller, refund_sn_of(request.refund_sn))
        return refund_info(refund, context.language)

    async def send_return_parcel(
        self, request: pb.SendReturnParcelRequest, context: RequestContext
    ) -> pb.RefundInfo:
        """Record the parcel that brings the goods back."""
        company, no = request.logistics_company, request.logistics_no
        refund_sn = refund_sn_of(request.refund_sn)
        return refund_info(
            await self.refunds.send_parcel(context.caller, refund_sn, company, no), context.language
        )

    async def receive_return(
        self, request: pb.ReceiveReturnRequest, context: RequestContext
    ) -> pb.RefundInfo:
        """Record that the goods are back."""
        refund = await self.refunds.receive_goods(context.caller, refund_sn_of(request.refund_sn))
        return refund_info(refund, context.language)

    async def resend_refund(self, request: pb.ResendRefundRequest, context: RequestContext) -> pb.RefundInfo:
        """Send a failed refund to the provider again."""
        refund = await self.refunds.resend(context.caller, refund_sn_of(request.refund_sn))
        return refund_info(refund, context.language)

    async def settle_refund(self, request: pb.SettleRefundRequest, context: RequestContext) -> pb.RefundInfo:
        """Record that the buyer was paid by hand."""
        refund_sn = refund_sn_of(request.refund_sn)
        refund = await self.refunds.settle(context.caller, refund_sn, request.reason)
        return refund_info(refund, context.language)


def refund_sn_of(text: str) -> str:
    """The text, if it is a valid refund number. Raises InvalidArgument."""
    if not is_refund_sn(text):
        raise InvalidArgument("refund_sn", "not_a_refund_sn")
    return text


def refund_info(refund: Refund, language: Language) -> pb.RefundInfo:
    """A refund."""
    return pb.RefundInfo(
        refund_sn=refund.refund_sn,
        order_sn=refund.order_sn,
        payment_sn=refund.payment_sn,
        amount_fen=refund.amount_fen,
        state=refund.state.value,
        reason=refund.reason,
        items=[pb.OrderItemRequest(product_id=line.goods, quantity=line.nums) for line in refund.lines],
        created_at=timestamp(refund.created_ms),
        finished_at=timestamp(refund.finished_ms) if refund.finished_ms else None,
        type=refund.type.value,
        freight_fen=refund.freight_fen,
        approvals=refund.approvals,
        decision=refund.decision,
        parcel_company=refund.parcel_company,
        parcel_no=refund.parcel_no,
        failure=refund.failure,
        out_refund_no=refund.out_refund_no,
        requested_by=refund.requested_by,
        user_id=refund.user,
        state_desc=refund_state_text(refund.state, language),
        shares_fen=[line.share_fen for line in refund.lines],
    )
