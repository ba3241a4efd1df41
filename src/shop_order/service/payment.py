"""Paying: opening attempts, and believing notices only after they were proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import (
    AmountMismatch,
    ChannelUnavailable,
    DependencyDown,
    InvalidArgument,
    PaymentNotFound,
    TooMuchContention,
)
from shop_order.domain.ports import Clock, Key, KeyRecord, KeyTaken, Orders, PaymentChannel, Payments, Trade
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.actor import SYSTEM, Actor
from shop_order.domain.valueobject.text import plain_text
from shop_order.domain.valueobject.title import title
from shop_order.service.idempotency import Idempotency, Outcome, same_command
from shop_order.service.notice import GatewayNotice, GatewaySecret
from shop_order.service.order import visible
from shop_order.service.return_urls import ReturnUrls

TRIES = 3
MOST_ATTEMPTS = 20  # of one order: each is read with it, told in its history, and asked about at its provider


@dataclass(frozen=True, slots=True)
class PayOrder:
    """Open (or reuse) an attempt on `order_sn`; `owner` is the user the caller named, 0 for none."""

    order_sn: str
    payment_type: PaymentType
    trade_type: str = ""
    return_url: str = ""
    owner: int = 0
    key: str = ""

    def normal(self) -> list[object]:
        """The command as JSON, without the key."""
        return ["pay", self.order_sn, int(self.payment_type), self.trade_type, self.return_url]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An order and the attempt a use case was about."""

    order: Order
    payment: Payment


class AnotherAttempt(Exception):
    """A different attempt was opened while we prepared ours, or ours was closed: decide again."""


class Alert(Protocol):
    """Tells the operator that something needs a human's eye."""

    def __call__(self, name: str, **about: object) -> None: ...


class PaymentService:
    """The use cases of payments (specification 4.3); see the methods for what each raises."""

    def __init__(
        self,
        *,
        orders: Orders,
        payments: Payments,
        channels: Mapping[PaymentType, PaymentChannel],
        idempotency: Idempotency,
        clock: Clock,
        next_payment_sn: Callable[[], str],
        next_refund_sn: Callable[[], str],
        return_urls: ReturnUrls,
        gateway_secret: GatewaySecret,
        alert: Alert,
    ) -> None:
        self._orders = orders
        self._payments = payments
        self._channels = channels
        self._idempotency = idempotency
        self._now = clock
        self._next_payment_sn = next_payment_sn
        self._next_refund_sn = next_refund_sn
        self._return_urls = return_urls
        self._gateway_secret = gateway_secret
        self._alert = alert

    # ---- opening ----

    async def pay(self, actor: Actor, cmd: PayOrder) -> Outcome[Attempt]:
        """An open attempt through the channel; one that is open already and equal is used again.

        A different one is closed at its provider first; after 20 attempts there is no other one.
        Raises OrderNotFound, IllegalTransition, PayWindowClosed, ChannelUnavailable, KeyReused,
        InvalidArgument, TooMuchContention, DependencyDown.
        """
        self._return_urls.check("return_url", cmd.return_url)
        return await self._idempotency.once(
            f"{actor.user_id}:pay",
            cmd.key,
            cmd.normal(),
            lambda key: self._pay(actor, cmd, key),
            lambda record: self._replay(actor, record),
        )

    async def _pay(self, actor: Actor, cmd: PayOrder, key: Key | None) -> Attempt:
        channel = self.channel(cmd.payment_type)
        trade_type = channel.trade_type(cmd.trade_type)
        for _ in range(TRIES):
            order = visible(await self._orders.get(cmd.order_sn), actor, cmd.owner)
            order.require_payable(self._now())
            draft = self._draft(order, cmd, trade_type)
            earlier = order.open_payment()
            if earlier and equal(earlier, draft):
                draft = earlier
            elif len(order.payments) >= MOST_ATTEMPTS:
                raise ChannelUnavailable(f"{cmd.payment_type.code} {trade_type}")  # but the open one still is
            elif earlier:
                if (await self.close(earlier)).is_open:
                    raise DependencyDown("the payment provider")  # it may still take money for that one
                continue
            else:
                draft = await self._with_link(channel, order, draft, cmd.return_url)
            try:
                return await self._store(actor, draft, key)
            except AnotherAttempt:
                continue
        raise TooMuchContention

    async def _store(self, actor: Actor, draft: Payment, key: Key | None) -> Attempt:
        """Keep the attempt. Raises AnotherAttempt when it was closed meanwhile, or a different one opened."""

        def decide(order: Order) -> Payment:
            now_open = order.open_payment()
            if now_open is None and draft.payment_sn not in order.payments:
                order.open_attempt(draft, actor, self._now())
                return draft
            if now_open is None or not equal(now_open, draft):
                raise AnotherAttempt
            return now_open

        try:
            return Attempt(*await self._orders.change(draft.order_sn, decide, key=key))
        except KeyTaken as taken:
            assert key is not None
            return await self._replay(actor, same_command(key, taken.record))

    def _draft(self, order: Order, cmd: PayOrder, trade_type: str) -> Payment:
        return Payment(
            payment_sn=self._next_payment_sn(),
            order_sn=order.order_sn,
            user=order.user,
            payment_type=cmd.payment_type,
            trade_type=trade_type,
            amount_fen=order.pay_fen,
            state=PaymentState.PENDING,
            payment_url="",
            created_ms=self._now(),
            expire_ms=order.expire_ms,
        )

    async def _with_link(
        self, channel: PaymentChannel, order: Order, draft: Payment, return_url: str
    ) -> Payment:
        url = await channel.open(
            payment_sn=draft.payment_sn,
            order_sn=order.order_sn,
            trade_type=draft.trade_type,
            amount_fen=draft.amount_fen,
            subject=title(order.items, order.order_sn),
            lasts_ms=draft.expire_ms - self._now(),
            return_url=return_url,
        )
        return draft.with_url(url)

    async def _replay(self, actor: Actor, record: KeyRecord) -> Attempt:
        order = visible(await self._orders.get(record.order_sn), actor)
        return Attempt(order, order.payments[record.payment_sn])

    def channel(self, payment_type: PaymentType) -> PaymentChannel:
        """The channel of this type. Raises InvalidArgument (none chosen), ChannelUnavailable."""
        if payment_type is PaymentType.NOT_CHOSEN:
            raise InvalidArgument("payment_type", "choose a channel")
        if payment_type not in self._channels:
            raise ChannelUnavailable(payment_type.code)
        return self._channels[payment_type]

    # ---- looking ----

    async def info(self, actor: Actor, order_sn: str, *, owner: int = 0) -> Attempt:
        """The attempt that paid the order, otherwise the latest. Raises OrderNotFound, PaymentNotFound."""
        order = visible(await self._orders.get(order_sn), actor, owner)
        payment = order.shown_payment()
        if payment is None:
            raise PaymentNotFound
        return Attempt(order, payment)

    # ---- being told ----

    async def provider_notice(
        self, payment_type: PaymentType, body: bytes, headers: Mapping[str, str]
    ) -> str:
        """What a provider sent, byte for byte: the order it paid, or empty for news of a refund.

        Returning means: answered as done.
        Raises SignatureInvalid, InvalidArgument (malformed), AmountMismatch (not ours), ChannelUnavailable.
        """
        try:
            notice = self.channel(payment_type).verify(body, headers)
        except AmountMismatch as wrong:
            self._alert("notice_mismatch", **wrong.details)
            raise
        if notice.is_refund:
            return ""  # it may carry TRADE_SUCCESS; refunds are settled by their own number
        return (await self.believe(notice.payment_sn, notice.trade)).order_sn

    async def gateway_notice(self, notice: GatewayNotice) -> None:
        """What our own payment gateway signed (contract, chapter 4).

        Raises SignatureInvalid, AmountInexact, InvalidArgument, AmountMismatch.
        """
        amount_fen = self._gateway_secret.check(notice)
        if not notice.means_paid:
            return
        plain_text("trade_no", notice.trade_no, most=100, required=True)
        paid = Trade("paid", trade_no=notice.trade_no, amount_fen=amount_fen, paid_ms=self._now())
        await self.believe(
            notice.payment_sn, paid, order_sn=notice.order_sn, payment_type=notice.payment_type
        )

    async def believe(
        self, payment_sn: str, trade: Trade, *, order_sn: str = "", payment_type: int = 0
    ) -> Payment:
        """Move order and attempt to what the provider says; a race is decided again, never refused.

        Returns the attempt afterwards. Raises AmountMismatch (after an alert).
        """
        try:
            payment = await self._payments.find(payment_sn)
            if payment is None:
                raise AmountMismatch("payment")
            if order_sn and payment.order_sn != order_sn:
                raise AmountMismatch("order")
            if payment_type and payment.payment_type != payment_type:
                raise AmountMismatch("payment_type")
            return await self._apply(payment, trade)
        except AmountMismatch as wrong:
            self._alert("notice_mismatch", payment_sn=payment_sn, trade_no=trade.trade_no, **wrong.details)
            raise

    async def _apply(self, payment: Payment, trade: Trade) -> Payment:
        sn = payment.payment_sn
        refund_sn = self._next_refund_sn()  # not in `paid`: the store's thread must not draw numbers

        def paid(order: Order) -> None:
            order.money_arrived(
                sn,
                trade_no=trade.trade_no,
                amount_fen=trade.amount_fen,
                paid_ms=trade.paid_ms or self._now(),
                now_ms=self._now(),
                refund_sn=refund_sn,
            )

        def closed(order: Order) -> None:
            order.close_attempt(sn, SYSTEM, self._now())

        if trade.state == "paid":
            return (await self._orders.change(payment.order_sn, paid))[0].payments[sn]
        if trade.state == "closed" and payment.is_open:
            return (await self._orders.change(payment.order_sn, closed))[0].payments[sn]
        return payment

    # ---- closing ----

    async def close(self, payment: Payment) -> Payment:
        """Tell the provider to take no money for this attempt; if it has it already, that is believed.

        Still open afterwards when the provider's answer is not known.
        """
        trade = await self.channel(payment.payment_type).close(payment.payment_sn)
        if trade.state == "absent":
            trade = Trade("closed")  # no buyer has opened it: its link works on, and it is asked about again
        return await self.believe(payment.payment_sn, trade)


def equal(one: Payment, other: Payment) -> bool:
    """The same way to pay the same amount: an open attempt can be used again."""
    return (one.payment_type, one.trade_type, one.amount_fen) == (
        other.payment_type,
        other.trade_type,
        other.amount_fen,
    )
