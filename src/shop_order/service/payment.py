"""Paying: opening attempts, and believing notices only after they were proved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.errors import (
    AmountMismatch,
    AmountNotPayable,
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
    Orders,
    PaymentChannel,
    Payments,
    Trade,
    TradeNoTaken,
)
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.actor import SYSTEM, Actor
from shop_order.domain.valueobject.text import plain_text
from shop_order.domain.valueobject.title import title
from shop_order.service.idempotency import Idempotency, Outcome, same_command
from shop_order.service.notice import GatewayNotice, GatewaySecret, check_size
from shop_order.service.order import visible
from shop_order.service.return_urls import ReturnUrls

TRIES = 3
AHEAD_MS = 86_400_000  # so much later than now no money has come: more is no matter of two clocks
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
        Raises OrderNotFound, IllegalTransition, PayWindowClosed, ChannelUnavailable, AmountNotPayable,
        KeyReused, InvalidArgument, TooMuchContention, DependencyDown.
        """
        self._return_urls.check("return_url", cmd.return_url)
        plain_text("trade_type", cmd.trade_type, most=20)
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
            check_amount(channel, order.pay_fen)
            draft = self._draft(order, cmd, trade_type)
            earlier = order.open_payment()
            if earlier and equal(earlier, draft):
                draft = earlier
            elif len(order.payments) >= MOST_ATTEMPTS:
                raise ChannelUnavailable(cmd.payment_type.code, "too_many_attempts")
            elif earlier:
                if (await self.close(earlier)).is_open:
                    raise DependencyDown("payment_provider")  # it may still take money for that one
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
            raise InvalidArgument("payment_type", "required")
        if payment_type not in self._channels:
            raise ChannelUnavailable(payment_type.code)
        return self._channels[payment_type]

    def check_choice(self, payment_type: PaymentType, amount_fen: int | None = None) -> None:
        """That this channel can be chosen for now, and for this amount where it is known.

        Raises InvalidArgument (none chosen), ChannelUnavailable, AmountNotPayable.
        """
        channel = self.channel(payment_type)
        channel.trade_type("")
        if amount_fen is not None:
            check_amount(channel, amount_fen)

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

        Returning means: answered as done. Raises SignatureInvalid, InvalidArgument (malformed, too large),
        AmountMismatch (not ours, out of bounds, or to be asked about), ChannelUnavailable.
        """
        check_size(body, headers)
        try:
            notice = self.channel(payment_type).verify(body, headers)
        except AmountMismatch as wrong:
            self._alert("notice_mismatch", **wrong.details)
            raise
        if notice.hides:
            return await self._ask_instead(notice, payment_type)
        if notice.is_refund:
            return ""  # it may carry TRADE_SUCCESS; refunds are settled by their own number
        with self._alerting(notice.payment_sn, notice.trade.trade_no):
            payment = await self._known(notice.payment_sn, payment_type)
            return (await self._apply(payment, notice.trade)).order_sn

    async def _ask_instead(self, notice: Notice, payment_type: PaymentType) -> str:
        """Of a notice that can be read in two ways the number alone is taken, and its provider is asked.

        By the job that asks, since who has one such notice may send it without end. Raises AmountMismatch, so
        that it comes again: by then we know, and there is nothing left to ask.
        """
        with self._alerting(notice.payment_sn):
            payment = await self._known(notice.payment_sn, payment_type)
            if payment.is_paid:
                return payment.order_sn
            await self._payments.ask_again(payment.payment_sn, self._now())
            raise AmountMismatch(notice.hides)

    async def gateway_notice(self, notice: GatewayNotice) -> None:
        """What our own payment gateway signed (contract, chapter 4).

        Raises SignatureInvalid, AmountInexact, InvalidArgument, AmountMismatch.
        """
        amount_fen = self._gateway_secret.check(notice)
        if not notice.means_paid:
            return
        if not notice.trade_no:
            raise InvalidArgument("trade_no", "required")
        with self._alerting(notice.payment_sn, notice.trade_no):
            paid = Trade("paid", trade_no=notice.trade_no, amount_fen=amount_fen, paid_ms=self._now())
            payment = await self._known(notice.payment_sn, notice.payment_type)
            if payment.order_sn != notice.order_sn:
                raise AmountMismatch("order")
            await self._apply(payment, paid)

    async def believe(self, payment_sn: str, trade: Trade) -> Payment:
        """Move order and attempt to what the provider says; a race is decided again, never refused.

        Returns the attempt afterwards. Raises AmountMismatch (after an alert).
        """
        with self._alerting(payment_sn, trade.trade_no):
            return await self._apply(await self._known(payment_sn), trade)

    async def _known(self, payment_sn: str, payment_type: int | None = None) -> Payment:
        """The attempt, if it is of that channel. Raises AmountMismatch."""
        if (payment := await self._payments.find(payment_sn)) is None:
            raise AmountMismatch("payment")
        if payment_type not in (None, payment.payment_type):
            raise AmountMismatch("payment_type")
        return payment

    @contextmanager
    def _alerting(self, payment_sn: str, trade_no: str = "") -> Iterator[None]:
        try:
            yield
        except AmountMismatch as wrong:
            self._alert("notice_mismatch", payment_sn=payment_sn, trade_no=trade_no, **wrong.details)
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
            if trade.paid_ms > self._now() + AHEAD_MS:
                raise AmountMismatch("paid_ms")  # no day that is reconciled would ever have it
            channel = self._channels.get(payment.payment_type)
            try:
                found = await self._orders.change(
                    payment.order_sn, paid, seller=channel.seller if channel else ""
                )
            except TradeNoTaken as taken:
                raise AmountMismatch("trade_no") from taken
            return found[0].payments[sn]
        if trade.state == "closed" and payment.is_open:
            return (await self._orders.change(payment.order_sn, closed))[0].payments[sn]
        return payment

    # ---- asking ----

    async def query(self, payment: Payment) -> Trade:
        """What the provider knows of an attempt; unknown, after an alert, if what it says can't be.

        Raises ChannelUnavailable.
        """
        return await self._answer(payment, self.channel(payment.payment_type).query(payment.payment_sn))

    async def _answer(self, payment: Payment, asking: Awaitable[Trade]) -> Trade:
        try:
            with self._alerting(payment.payment_sn):
                return await asking
        except AmountMismatch:
            return Trade("unknown")

    # ---- closing ----

    async def close(self, payment: Payment) -> Payment:
        """Tell the provider to take no money for this attempt; if it has it already, that is believed.

        Still open afterwards when the provider's answer is not known. Raises ChannelUnavailable.
        """
        trade = await self._answer(payment, self.channel(payment.payment_type).close(payment.payment_sn))
        if trade.state == "absent":
            trade = Trade("closed")  # no buyer has opened it: its link works on, and it is asked about again
        return await self.believe(payment.payment_sn, trade)


def check_amount(channel: PaymentChannel, amount_fen: int) -> None:
    """That the channel takes so much in one payment. Raises AmountNotPayable."""
    smallest_fen, largest_fen = channel.smallest_fen, channel.largest_fen
    if not smallest_fen <= amount_fen <= largest_fen:
        code = channel.payment_type.code
        raise AmountNotPayable(code, smallest_fen=smallest_fen, largest_fen=largest_fen)


def equal(one: Payment, other: Payment) -> bool:
    """The same way to pay the same amount: an open attempt can be used again."""
    return (one.payment_type, one.trade_type, one.amount_fen) == (
        other.payment_type,
        other.trade_type,
        other.amount_fen,
    )
