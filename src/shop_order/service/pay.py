"""Paying an order: open attempts, and handle signed notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Done, Payment
from shop_order.domain.errors import (
    AmountMismatch,
    ChannelUnavailable,
    DependencyDown,
    InvalidArgument,
    PaymentNotFound,
    TooMuchContention,
)
from shop_order.domain.ports import (
    Clock,
    Key,
    KeyRecord,
    KeyTaken,
    Notice,
    OpenRequest,
    Orders,
    Payer,
    Payments,
    Trade,
    TradeState,
)
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.item import title
from shop_order.domain.valueobject.parties import Actor
from shop_order.domain.valueobject.text import plain_text
from shop_order.service.alerts import Alert
from shop_order.service.attempts import Attempts
from shop_order.service.channels import Channels, ChosenChannel
from shop_order.service.idempotency import Idempotency, Outcome, same_command
from shop_order.service.notice import GatewayNotice, GatewaySecret, check_size
from shop_order.service.order import visible
from shop_order.service.place import ReturnUrls

TRIES = 3
MAX_TRADE_TYPE = 20  # characters, as in the table
MAX_OPENID = 128  # characters
MAX_ATTEMPTS = 20  # of one order: each is loaded with it, recorded in its history, and queried


@dataclass(frozen=True, slots=True)
class PayOrder:
    """Open (or reuse) an attempt on `order_sn`; an empty `trade_type` is the channel's default."""

    order_sn: str
    payment_type: PaymentType
    trade_type: str = ""
    return_url: str = ""
    payer: Payer = field(default_factory=Payer)
    key: str = ""

    def normalized(self) -> list[object]:
        """The command to compare requests: without the key and the address, which changes with the network.

        Empty payers are left out, so that keys stored by earlier versions stay valid.
        """
        payer = [self.payer.openid] if self.payer.openid else []
        return ["pay", self.order_sn, int(self.payment_type), self.trade_type, self.return_url, *payer]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An order and one of its attempts."""

    order: Order
    payment: Payment


class AnotherAttempt(Exception):
    """A different attempt was opened meanwhile, or ours was closed: retry."""


@dataclass(kw_only=True, eq=False)
class PaymentService:
    """The use cases of payments (specification 4.3); see the methods for what each raises."""

    orders: Orders
    payments: Payments
    channels: Channels
    attempts: Attempts
    idempotency: Idempotency
    clock: Clock
    next_payment_sn: Callable[[], str]
    return_urls: ReturnUrls
    gateway_secret: GatewaySecret
    alert: Alert

    # ---- opening ----

    async def pay(self, actor: Actor, cmd: PayOrder) -> Outcome[Attempt]:
        """Open an attempt through the channel, or reuse the open one if it is equal.

        A different one is closed at its provider first; an order has at most 20 attempts.
        Raises OrderNotFound, IllegalTransition, PayWindowClosed, ChannelUnavailable, AmountNotPayable,
        KeyReused, InvalidArgument, TooMuchContention, DependencyDown.
        """
        self.return_urls.check("return_url", cmd.return_url)
        plain_text("trade_type", cmd.trade_type, max_length=MAX_TRADE_TYPE)
        plain_text("openid", cmd.payer.openid, max_length=MAX_OPENID)
        return await self.idempotency.once(
            f"{actor.user_id}:pay",
            cmd.key,
            cmd.normalized(),
            lambda key: self._pay(actor, cmd, key),
            lambda record: self._replay(actor, record),
        )

    async def _pay(self, actor: Actor, cmd: PayOrder, key: Key | None) -> Attempt:
        choice = self.channels.choose(cmd.payment_type, cmd.trade_type)
        for _ in range(TRIES):
            order = visible(await self.orders.get(cmd.order_sn), actor)
            order.require_payable(self.clock())
            choice.check_amount(order.pay_fen)
            draft = self._draft(order, choice)
            earlier = order.money.open_payment()
            if earlier and equal(earlier, draft):
                draft = earlier
            elif len(order.payments) >= MAX_ATTEMPTS:
                raise ChannelUnavailable(cmd.payment_type.code, "too_many_attempts")
            elif earlier:
                if (await self.attempts.close(earlier)).is_open:
                    raise DependencyDown("payment_provider")  # the earlier attempt may still be paid
                continue
            else:
                draft = await self._open(choice, order, draft, cmd)
            try:
                return await self._store(actor, draft, key)
            except AnotherAttempt:
                continue
        raise TooMuchContention

    async def _store(self, actor: Actor, draft: Payment, key: Key | None) -> Attempt:
        """Store the attempt. Raises AnotherAttempt if it was closed meanwhile, or a different one opened."""

        def decide(order: Order) -> Payment:
            now_open = order.money.open_payment()
            if now_open is None and draft.payment_sn not in order.payments:
                order.open_attempt(draft, actor, self.clock())
                return draft
            if now_open is None or not equal(now_open, draft):
                raise AnotherAttempt
            return now_open

        try:
            return Attempt(*await self.orders.change(draft.order_sn, decide, key=key))
        except KeyTaken as taken:
            assert key is not None
            return await self._replay(actor, same_command(key, taken.record))

    def _draft(self, order: Order, choice: ChosenChannel) -> Payment:
        return Payment(
            payment_sn=self.next_payment_sn(),
            order_sn=order.order_sn,
            user=order.user,
            payment_type=choice.channel.payment_type,
            trade_type=choice.trade_type,
            amount_fen=order.pay_fen,
            state=PaymentState.PENDING,
            payment_url="",
            created_ms=self.clock(),
            expire_ms=order.expire_ms,
        )

    async def _open(self, choice: ChosenChannel, order: Order, draft: Payment, cmd: PayOrder) -> Payment:
        subject, lasts_ms = title(order.items, order.order_sn), draft.expire_ms - self.clock()
        request = OpenRequest(draft, subject, lasts_ms, cmd.return_url, cmd.payer)
        return draft.opened(await choice.channel.open(request))

    async def _replay(self, actor: Actor, record: KeyRecord) -> Attempt:
        order = visible(await self.orders.get(record.order_sn), actor)
        return Attempt(order, order.payments[record.payment_sn])

    # ---- reading ----

    async def get_payment(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Attempt:
        """The order with its paying attempt, otherwise its latest. Raises OrderNotFound, PaymentNotFound."""
        order = visible(await self.orders.get(order_sn), actor, owner)
        payment = order.shown_payment()
        if payment is None:
            raise PaymentNotFound
        return Attempt(order, payment)

    # ---- notices ----

    async def provider_notice(
        self, payment_type: PaymentType, body: bytes, headers: Mapping[str, str]
    ) -> str:
        """Handle a provider's notice, byte for byte; return its order's number, empty for a refund's notice.

        Raises SignatureInvalid, InvalidArgument (malformed, too large), ChannelUnavailable, AmountMismatch
        (not ours, out of bounds, or ambiguous).
        """
        check_size(body, headers)
        try:
            named = {name.lower(): value for name, value in headers.items()}
            notice = self.channels.get(payment_type).verify(body, named)
        except AmountMismatch as wrong:
            self.alert("notice_mismatch", **wrong.details)
            raise
        if notice.ambiguous:
            return await self._query_instead(notice, payment_type)
        if notice.is_refund:  # its trade may look paid; `Settlement` queries the refund by its own number
            await self.payments.request_refund(notice.out_refund_no, self.clock())
            return ""
        with self.attempts.alerting(notice.payment_sn, notice.trade.trade_no):
            payment = await self.attempts.find(notice.payment_sn, payment_type)
            return (await self.attempts.apply(payment, notice.trade)).order_sn

    async def _query_instead(self, notice: Notice, payment_type: PaymentType) -> str:
        """Let `Settlement` query the provider later, since a sender could repeat such a notice endlessly.

        Raises AmountMismatch, so that the provider sends the notice again.
        """
        with self.attempts.alerting(notice.payment_sn):
            payment = await self.attempts.find(notice.payment_sn, payment_type)
            if payment.is_paid:
                return payment.order_sn
            await self.payments.request_query(payment.payment_sn, self.clock())
            raise AmountMismatch(notice.ambiguous)

    async def gateway_notice(self, notice: GatewayNotice) -> None:
        """Handle a notice of our own payment gateway (decision callbacks).

        Raises SignatureInvalid, AmountInexact, InvalidArgument, AmountMismatch.
        """
        amount_fen = self.gateway_secret.check(notice)
        if not notice.means_paid:
            return
        if not notice.trade_no:
            raise InvalidArgument("trade_no", "required")
        with self.attempts.alerting(notice.payment_sn, notice.trade_no):
            paid = Trade(TradeState.PAID, notice.trade_no, amount_fen, paid_ms=self.clock())
            payment = await self.attempts.find(notice.payment_sn, notice.payment_type)
            if payment.order_sn != notice.order_sn:
                raise AmountMismatch("order")
            if isinstance(payment.action, Done):  # only its own messages tell of that money
                raise AmountMismatch("payment_type")
            await self.attempts.apply(payment, paid)


def equal(one: Payment, other: Payment) -> bool:
    """Whether both pay the same amount the same way, so that an open attempt can be reused."""
    return (one.payment_type, one.trade_type, one.amount_fen) == (
        other.payment_type,
        other.trade_type,
        other.amount_fen,
    )
