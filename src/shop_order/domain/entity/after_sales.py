"""After-sales: refunds that a buyer or an admin asks for, until they are handed to the provider.

Each function is one step of a refund (contract, section 8); it changes the order and records the event.
"""

from __future__ import annotations

from dataclasses import dataclass

from shop_order.domain.entity import refund_amounts as amounts
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import CLOSED, REFUSED, Refund
from shop_order.domain.errors import IllegalTransition, InvalidArgument, RefundNotFound
from shop_order.domain.event import order_events as events
from shop_order.domain.refund_errors import NotRefundable, SecondApprovalNeeded
from shop_order.domain.status import READY_REFUND, OrderStatus, RefundState, RefundType
from shop_order.domain.valueobject.item import Line, at_least, merge_lines
from shop_order.domain.valueobject.parties import SYSTEM, Actor
from shop_order.domain.valueobject.text import plain_text

# By the buyer of one order, whatever became of them: each is loaded with it, and an admin decides each. Even
# if all were sent, an admin can refund the rest: WeChat sends 50 refunds of one payment, Alipay 99.
MAX_REQUESTS = 20
MAX_EVENTS = 1000  # of one order: a buyer can correct a parcel's number no longer
_REFUNDABLE = frozenset({OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.COMPLETED})


@dataclass(frozen=True, slots=True)
class RefundRules:
    """Until when a buyer may ask (after completion), after which time a refund is approved by itself, and
    from which amount two admins approve (0: never).
    """

    window_ms: int
    auto_approve_ms: int = 0
    second_approval_fen: int = 0

    def need_two(self, order: Order, amount_fen: int) -> bool:
        """Whether a refund of this amount needs the approval of two admins.

        What was approved before counts too: else many small refunds would need one only.
        """
        decided_fen = sum(refund.amount_fen for refund in order.money.own_refunds() if refund.is_decided)
        return 0 < self.second_approval_fen <= decided_fen + amount_fen


@dataclass(frozen=True, slots=True)
class RefundWish:
    """What is asked for: lines with an amount (0: their share), an amount alone, or neither: the rest."""

    type: RefundType = RefundType.REFUND_ONLY
    lines: tuple[Line, ...] = ()
    amount_fen: int = 0
    reason: str = ""


def request_refund(
    order: Order, wish: RefundWish, refund_sn: str, actor: Actor, now_ms: int, rules: RefundRules
) -> Refund:
    """Ask for a refund; an admin has to decide. Raises NotRefundable, InvalidArgument."""
    plain_text("reason", wish.reason, max_length=255)
    at_least("amount_fen", wish.amount_fen, 0)
    _require_refundable(order, wish, actor, now_ms, rules)
    whole = not wish.lines and not wish.amount_fen
    wanted = amounts.pieces_left(order) if whole else merge_lines(wish.lines)
    if wish.type is RefundType.RETURN and not wanted:
        raise NotRefundable("nothing_left")
    lines = amounts.lines_of(order, wanted)
    amount_fen, freight_fen = amounts.amount(order, lines, wish.amount_fen)
    refund = Refund(
        refund_sn,
        order.payment_sn,
        order.order_sn,
        amount_fen,
        RefundState.REQUESTED,
        wish.reason,
        surplus=False,
        created_ms=now_ms,
        user=order.user,
        type=wish.type,
        lines=lines,
        freight_fen=freight_fen,
        requested_by="ADMIN" if actor.is_admin else "BUYER",
    )
    order.record_refund(events.REFUND_REQUESTED, order.money.add(refund), actor, now_ms)
    return refund


def approve(
    order: Order,
    refund_sn: str,
    actor: Actor,
    now_ms: int,
    rules: RefundRules,
    *,
    freight_fen: int = 0,
    reason: str = "",
) -> Refund:
    """Approve a refund with at least `freight_fen` of freight; a large one needs two admins. Idempotent.

    Before shipping the approval that leaves no goods to send takes all money that is left, freight included.
    Raises RefundNotFound, IllegalTransition, SecondApprovalNeeded (by another admin), NotRefundable.
    """
    plain_text("reason", reason, max_length=255)
    at_least("freight_fen", freight_fen, 0)
    refund = find(order, refund_sn)
    if refund.is_decided and freight_fen <= refund.freight_fen:
        return refund
    if refund.state is not RefundState.REQUESTED:
        raise IllegalTransition(refund.state.name, RefundState.APPROVED.name)
    amount_fen, freight_fen = amounts.approved_amount(order, refund, freight_fen)
    terms = {"amount_fen": amount_fen, "freight_fen": freight_fen, "decision": reason}
    approvals = refund.approvals + 1
    if rules.need_two(order, amount_fen):
        if refund.approvals and refund.approver == actor.user_id and amount_fen <= refund.amount_fen:
            raise SecondApprovalNeeded
        # Nobody else has approved a larger amount than the first admin did.
        if not refund.approvals or amount_fen > refund.amount_fen:
            first = order.money.note(refund_sn, **terms, approvals=1, approver=actor.user_id)
            order.record_refund(events.REFUND_FIRST_APPROVED, first, actor, now_ms)
            return first
    to = RefundState.AWAITING_RETURN if refund.type is RefundType.RETURN else RefundState.APPROVED
    approved = order.money.move(refund_sn, to, **terms, approvals=approvals)
    order.record_refund(events.REFUND_APPROVED, approved, actor, now_ms)
    return approved


def reject(order: Order, refund_sn: str, actor: Actor, now_ms: int, *, reason: str) -> Refund:
    """Refuse a refund, or the goods of a return. Idempotent. Raises RefundNotFound, IllegalTransition."""
    plain_text("reason", reason, max_length=255, required=True)
    refund = find(order, refund_sn)
    if refund.state is RefundState.REJECTED:
        return refund
    rejected = order.money.move(refund_sn, RefundState.REJECTED, finished_ms=now_ms, decision=reason)
    order.record_refund(events.REFUND_REJECTED, rejected, actor, now_ms)
    return rejected


def approve_by_itself(order: Order, refund_sn: str, now_ms: int, rules: RefundRules) -> Refund | None:
    """Approve a refund that nobody decided in time, unless two admins have to; None if it is not approved.

    Raises RefundNotFound, NotRefundable.
    """
    if not is_approved_by_itself(order, refund_sn, now_ms, rules):
        return None
    return approve(order, refund_sn, SYSTEM, now_ms, rules)


def is_approved_by_itself(order: Order, refund_sn: str, now_ms: int, rules: RefundRules) -> bool:
    """Whether `approve_by_itself` would approve it. Raises RefundNotFound, NotRefundable."""
    refund = find(order, refund_sn)
    in_time = not rules.auto_approve_ms or now_ms < refund.created_ms + rules.auto_approve_ms
    if refund.state is not RefundState.REQUESTED or refund.approvals or in_time:
        return False
    return not rules.need_two(order, amounts.approved_amount(order, refund, 0)[0])


def cancel_paid(
    order: Order, refund_sn: str, reason: str, actor: Actor, now_ms: int, rules: RefundRules
) -> Refund | None:
    """An admin's cancel of a paid order: one refund of all money that is left, approved by that admin.

    It takes the place of what the buyer asked for. Idempotent: None if an admin's refund is open, or no money
    is left to decide about. Raises NotRefundable, InvalidArgument.
    """
    own = order.money.own_refunds()
    asked = [refund for refund in own if refund.state is RefundState.REQUESTED]
    decided_fen = sum(refund.amount_fen for refund in own if refund.is_decided)
    if decided_fen >= order.pay_fen or waits_for_second_approval(order):
        return None
    for refund in asked:
        reject(order, refund.refund_sn, actor, now_ms, reason=reason or "ORDER_CANCELLED")
    wish = RefundWish(reason=reason)
    request_refund(order, wish, refund_sn, actor, now_ms, rules)
    return approve(order, refund_sn, actor, now_ms, rules)


def waits_for_second_approval(order: Order) -> bool:
    """Whether the refund of an admin's cancel waits for another admin."""
    return any(
        refund.state is RefundState.REQUESTED and refund.requested_by == "ADMIN"
        for refund in order.money.own_refunds()
    )


def withdraw(order: Order, refund_sn: str, actor: Actor, now_ms: int) -> Refund:
    """The buyer no longer wants it: while undecided, or before the parcel of a return was sent. Idempotent.

    Raises RefundNotFound, IllegalTransition.
    """
    refund = find(order, refund_sn)
    if refund.state is RefundState.WITHDRAWN:
        return refund
    if refund.requested_by != "BUYER":
        raise IllegalTransition("ADMINS_REFUND", RefundState.WITHDRAWN.name)
    if refund.parcel_no:
        raise IllegalTransition("PARCEL_SENT", RefundState.WITHDRAWN.name)
    withdrawn = order.money.move(refund_sn, RefundState.WITHDRAWN, finished_ms=now_ms)
    order.record_refund(events.REFUND_WITHDRAWN, withdrawn, actor, now_ms)
    return withdrawn


def send_parcel(order: Order, refund_sn: str, company: str, no: str, actor: Actor, now_ms: int) -> Refund:
    """Record the parcel that brings the goods back; it may be corrected until it arrives. Idempotent.

    Raises RefundNotFound, IllegalTransition, NotRefundable (too many corrections), InvalidArgument.
    """
    plain_text("logistics_company", company, max_length=50, required=True)
    plain_text("logistics_no", no, max_length=64, required=True)
    refund = find(order, refund_sn)
    if (refund.parcel_company, refund.parcel_no) == (company, no):
        return refund
    if refund.state is not RefundState.AWAITING_RETURN:
        raise IllegalTransition(refund.state.name, "PARCEL_SENT")
    if order.version >= MAX_EVENTS:
        raise NotRefundable("too_many")
    sent = order.money.note(refund_sn, parcel_company=company, parcel_no=no)
    order.record_refund(events.REFUND_PARCEL_SENT, sent, actor, now_ms)
    return sent


def receive_goods(order: Order, refund_sn: str, actor: Actor, now_ms: int) -> Refund:
    """Record that the goods are back: they return to the stock, and the money is refunded. Idempotent.

    Raises RefundNotFound, IllegalTransition.
    """
    refund = find(order, refund_sn)
    if (
        refund.type is RefundType.RETURN
        and refund.is_decided
        and refund.state is not RefundState.AWAITING_RETURN
    ):
        return refund
    returned = order.money.move(refund_sn, RefundState.RETURNED)
    order.record_refund(events.REFUND_RETURNED, returned, actor, now_ms)
    return returned


def send_again(
    order: Order, refund_sn: str, actor: Actor, now_ms: int, *, closed: str = "", out_refund_no: str = ""
) -> Refund:
    """Send a failed refund to the provider again. Idempotent.

    `out_refund_no` is a new number, to be used only because the provider just said that it closed the number
    `closed`. Raises RefundNotFound, IllegalTransition, RefundTooLate, RefundAbnormal.
    """
    refund = find(order, refund_sn)
    if refund.state in (RefundState.SENT, RefundState.UNKNOWN):
        return refund
    refund.require_sent_again()
    if out_refund_no and (refund.failure, refund.out_refund_no) != (CLOSED, closed):
        raise IllegalTransition(refund.state.name, RefundState.SENT.name)  # of another number, meanwhile
    number = out_refund_no or refund.out_refund_no
    again = order.money.move(refund_sn, RefundState.SENT, finished_ms=0, failure="", out_refund_no=number)
    order.record_refund(events.REFUND_SENT, again, actor, now_ms)
    return again


def settle_by_hand(order: Order, refund_sn: str, actor: Actor, now_ms: int, *, reason: str) -> Refund:
    """Record that the buyer was paid outside the provider, after it failed there. Idempotent.

    Raises RefundNotFound, IllegalTransition.
    """
    plain_text("reason", reason, max_length=255, required=True)
    refund = find(order, refund_sn)
    if refund.state is RefundState.SETTLED:
        return refund
    settled = order.money.refunded(refund_sn, RefundState.SETTLED, finished_ms=now_ms, decision=reason)
    order.record_refund(events.REFUND_SETTLED, settled, actor, now_ms)
    _cancel_if_refunded(order, settled, now_ms)
    return settled


# ---- what the provider answers ----


def sent(order: Order, refund_sn: str, now_ms: int) -> None:
    """Mark a refund as sent to the provider. Idempotent."""
    if order.refunds[refund_sn].state in READY_REFUND:
        refund = order.money.move(refund_sn, RefundState.SENT)
        order.record_refund(events.REFUND_SENT, refund, SYSTEM, now_ms)


def succeeded(order: Order, refund_sn: str, now_ms: int) -> None:
    """Record that the buyer has received the refund. Idempotent. Raises IllegalTransition."""
    if not order.refunds[refund_sn].is_refunded:
        refund = order.money.refunded(refund_sn, RefundState.SUCCEEDED, finished_ms=now_ms, failure="")
        order.record_refund(events.REFUND_SUCCEEDED, refund, SYSTEM, now_ms)
        _cancel_if_refunded(order, refund, now_ms)


def failed(order: Order, refund_sn: str, now_ms: int, *, failure: str = REFUSED, asked: str = "") -> None:
    """Record that the provider refused; an operator must decide. Raises IllegalTransition.

    Ignored if that is known, or if it is about the number `asked`, and the refund was sent under another one
    meanwhile.
    """
    refund = order.refunds[refund_sn]
    known = refund.state in (RefundState.FAILED, RefundState.SETTLED)
    if known or asked not in ("", refund.out_refund_no):
        return
    refund = order.money.move(refund_sn, RefundState.FAILED, finished_ms=now_ms, failure=failure)
    order.record_refund(events.REFUND_FAILED, refund, SYSTEM, now_ms)


def find(order: Order, refund_sn: str) -> Refund:
    """The order's refund of this number. Raises RefundNotFound."""
    if refund_sn not in order.refunds:
        raise RefundNotFound
    return order.refunds[refund_sn]


def _require_refundable(
    order: Order, wish: RefundWish, actor: Actor, now_ms: int, rules: RefundRules
) -> None:
    if order.status not in _REFUNDABLE:
        raise NotRefundable("cancelled" if order.status is OrderStatus.CANCELLED else "unpaid")
    asked = sum(refund.requested_by == "BUYER" for refund in order.refunds.values())
    if not actor.is_admin and (asked >= MAX_REQUESTS or order.version >= MAX_EVENTS):
        raise NotRefundable("too_many")
    completed = order.status is OrderStatus.COMPLETED
    if completed and not actor.is_admin and now_ms > order.completed_ms + rules.window_ms:
        raise NotRefundable("window_over")
    if wish.type is RefundType.RETURN:
        if order.status is OrderStatus.PAID:
            raise NotRefundable("not_shipped")
        if wish.amount_fen and not wish.lines:
            raise InvalidArgument("items", "required")


def _cancel_if_refunded(order: Order, last: Refund, now_ms: int) -> None:
    """Cancel an order that was not shipped, once all its money was refunded.

    Whatever else was asked for is rejected: no money is left for it.
    """
    own = order.money.own_refunds()
    refunded_fen = sum(refund.amount_fen for refund in own if refund.is_refunded)
    if order.status is not OrderStatus.PAID or refunded_fen < order.pay_fen:
        return
    for refund in own:
        if refund.state is RefundState.REQUESTED:
            rejected = order.money.move(refund.refund_sn, RefundState.REJECTED, finished_ms=now_ms)
            order.record_refund(events.REFUND_REJECTED, rejected, SYSTEM, now_ms)
    order.cancel_refunded(last.reason, last.requested_by, now_ms)
