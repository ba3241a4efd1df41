"""Refunds by request: buyers ask and send goods back, admins decide, send again and settle by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import CLOSED, Refund
from shop_order.domain.errors import (
    ChannelUnavailable,
    DependencyDown,
    IllegalTransition,
    InvalidArgument,
    RefundNotFound,
)
from shop_order.domain.ports import (
    Clock,
    Key,
    KeyRecord,
    KeyTaken,
    OnUnreadable,
    Orders,
    RefundFilter,
    RefundPage,
    RefundPosition,
    RefundResult,
    Refunds,
)
from shop_order.domain.status import RefundState
from shop_order.domain.valueobject.parties import Actor
from shop_order.service.channels import Channels
from shop_order.service.idempotency import Idempotency, Outcome, same_command
from shop_order.service.order import MAX_PAGE_SIZE, visible

Step = Callable[[Order], Refund]


@dataclass(frozen=True, slots=True)
class RequestRefund:
    """Ask for a refund of an order."""

    order_sn: str
    wish: RefundWish
    key: str = ""

    def normalized(self) -> list[object]:
        """The command to compare requests: without the key."""
        lines = [[line.goods, line.nums] for line in sorted(self.wish.lines)]
        wish = self.wish
        return ["refund", self.order_sn, wish.type.value, lines, wish.amount_fen, wish.reason]


@dataclass(kw_only=True, eq=False)
class RefundService:
    """The use cases of refunds; who may call which stands in the table of roles.

    Each raises RefundNotFound for a refund that the caller may not see, IllegalTransition where its state
    does not allow the step, and TooMuchContention.
    """

    orders: Orders
    refunds: Refunds
    channels: Channels
    idempotency: Idempotency
    clock: Clock
    next_refund_sn: Callable[[], str]
    rules: Callable[[], RefundRules]
    on_unreadable: OnUnreadable

    # ---- the buyer ----

    async def request(self, actor: Actor, cmd: RequestRefund) -> Outcome[Refund]:
        """Ask for a refund; an admin has to decide.

        Raises OrderNotFound, NotRefundable, InvalidArgument, KeyReused.
        """
        return await self.idempotency.once(
            f"{actor.buyer_id()}:refund",
            cmd.key,
            cmd.normalized(),
            lambda key: self._request(actor, cmd, key),
            lambda record: self._replay(actor, record),
        )

    async def _request(self, actor: Actor, cmd: RequestRefund, key: Key | None) -> Refund:
        refund_sn = self.next_refund_sn()  # drawn here, since the store's thread must not draw numbers

        def decide(order: Order) -> Refund:
            visible(order, actor)
            return after_sales.request_refund(order, cmd.wish, refund_sn, actor, self.clock(), self.rules())

        try:
            return (await self.orders.change(cmd.order_sn, decide, key=key))[1]
        except KeyTaken as taken:
            assert key is not None
            return await self._replay(actor, same_command(key, taken.record))

    async def _replay(self, actor: Actor, record: KeyRecord) -> Refund:
        return await self.get(actor, record.payment_sn)

    async def withdraw(self, actor: Actor, refund_sn: str) -> Refund:
        """The buyer no longer wants it. Idempotent."""
        return await self._change(
            actor, refund_sn, lambda order: after_sales.withdraw(order, refund_sn, actor, self.clock())
        )

    async def send_parcel(self, actor: Actor, refund_sn: str, company: str, no: str) -> Refund:
        """Record the parcel that brings the goods back. Idempotent. Raises InvalidArgument, NotRefundable."""
        return await self._change(
            actor,
            refund_sn,
            lambda order: after_sales.send_parcel(order, refund_sn, company, no, actor, self.clock()),
        )

    # ---- reading ----

    async def get(self, actor: Actor, refund_sn: str) -> Refund:
        """The refund, if the actor may see it. Raises RefundNotFound."""
        refund = await self.refunds.find(refund_sn)
        if not actor.is_admin and refund.user != actor.buyer_id():
            raise RefundNotFound
        return refund

    async def list(
        self,
        actor: Actor,
        where: RefundFilter,
        *,
        page_size: int = 20,
        after: RefundPosition | None = None,
    ) -> RefundPage:
        """A page of refunds, newest first: of users their own, of admins those of `where.user` or all.

        Raises InvalidArgument.
        """
        if page_size < 1:
            raise InvalidArgument("page_size", "too_small", min=1)
        if not actor.is_admin:
            where = replace(where, user=actor.buyer_id())
        found = await self.refunds.list(where, limit=min(page_size, MAX_PAGE_SIZE), after=after)
        for row in found.unreadable:
            self.on_unreadable(row)
        return found

    # ---- the admin ----

    async def approve(
        self, actor: Actor, refund_sn: str, *, freight_fen: int = 0, reason: str = ""
    ) -> Refund:
        """Approve a refund, with some freight after shipping; a large one needs two admins. Idempotent.

        Raises SecondApprovalNeeded (by another admin), NotRefundable, InvalidArgument.
        """

        def decide(order: Order) -> Refund:
            now_ms, rules = self.clock(), self.rules()
            return after_sales.approve(
                order, refund_sn, actor, now_ms, rules, freight_fen=freight_fen, reason=reason
            )

        return await self._change(actor, refund_sn, decide)

    async def reject(self, actor: Actor, refund_sn: str, reason: str) -> Refund:
        """Refuse a refund, or the goods of a return. Idempotent. Raises InvalidArgument."""
        return await self._change(
            actor,
            refund_sn,
            lambda order: after_sales.reject(order, refund_sn, actor, self.clock(), reason=reason),
        )

    async def receive_goods(self, actor: Actor, refund_sn: str) -> Refund:
        """Record that the goods are back; then the money is refunded. Idempotent."""
        return await self._change(
            actor, refund_sn, lambda order: after_sales.receive_goods(order, refund_sn, actor, self.clock())
        )

    async def resend(self, actor: Actor, refund_sn: str) -> Refund:
        """Send a failed refund to the provider again. Idempotent.

        The provider is asked first: it may have paid meanwhile, and only a number that it still calls closed
        is replaced. Raises RefundTooLate, RefundAbnormal, DependencyDown (it does not answer).
        """
        refund = await self.get(actor, refund_sn)
        if refund.state is not RefundState.FAILED:
            return await self._send_again(actor, refund)
        result = await self._ask(refund)
        if result is RefundResult.SUCCEEDED:
            return await self._paid_meanwhile(actor, refund_sn)
        refund.require_sent_again()
        if refund.failure != CLOSED:
            return await self._send_again(actor, refund)
        if result is RefundResult.UNKNOWN:
            raise DependencyDown("payment_provider")
        if result is RefundResult.CLOSED:
            return await self._send_again(actor, refund, self.next_refund_sn())
        return await self._send_again(actor, refund)

    async def settle(self, actor: Actor, refund_sn: str, reason: str) -> Refund:
        """Record that the buyer was paid by hand after the refund failed. Idempotent. Raises InvalidArgument.

        If the provider says that it has paid meanwhile, that is recorded instead. While it may still pay,
        IllegalTransition.
        """
        refund = await self.get(actor, refund_sn)
        if refund.state is RefundState.FAILED:
            result = await self._ask(refund)
            if result is RefundResult.SUCCEEDED:
                return await self._paid_meanwhile(actor, refund_sn)
            if result is RefundResult.PROCESSING:
                raise IllegalTransition(result.name, RefundState.SETTLED.name)
        return await self._change(
            actor,
            refund_sn,
            lambda order: after_sales.settle_by_hand(order, refund_sn, actor, self.clock(), reason=reason),
        )

    async def _ask(self, refund: Refund) -> RefundResult:
        """What the provider says about a refund's present number; outside any transaction."""
        payment = (await self.orders.get(refund.order_sn)).payments[refund.payment_sn]
        try:
            return await self.channels.get(payment.payment_type).query_refund(refund)
        except ChannelUnavailable:
            return RefundResult.UNKNOWN

    async def _send_again(self, actor: Actor, refund: Refund, new_number: str = "") -> Refund:
        sn, closed = refund.refund_sn, refund.out_refund_no

        def decide(order: Order) -> Refund:
            now_ms = self.clock()
            return after_sales.send_again(order, sn, actor, now_ms, closed=closed, out_refund_no=new_number)

        return await self._change(actor, sn, decide)

    async def _paid_meanwhile(self, actor: Actor, refund_sn: str) -> Refund:
        def decide(order: Order) -> Refund:
            after_sales.succeeded(order, refund_sn, self.clock())
            return order.refunds[refund_sn]

        return await self._change(actor, refund_sn, decide)

    async def _change(self, actor: Actor, refund_sn: str, step: Step) -> Refund:
        refund = await self.get(actor, refund_sn)
        return (await self.orders.change(refund.order_sn, step))[1]
