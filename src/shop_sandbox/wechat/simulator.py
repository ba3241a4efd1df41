"""The actions of buyer, provider and attacker: the buttons of the pages and the API for tests."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shop_sandbox.payments.late import Choices, LateBuyers
from shop_sandbox.payments.notices import Notice, Notices
from shop_sandbox.wechat import content, refunds, trades
from shop_sandbox.wechat.errors import invalid_request, not_found, order_not_exist
from shop_sandbox.wechat.refunds import FATES, Refund, Refunds
from shop_sandbox.wechat.trades import CLOSED, PAYERROR, USERPAYING, Trade, Trades

OPENID = "oSandboxBuyer0000000000000007"
FORGED_FIELDS = {"forge_app": "appid", "forge_mchid": "mchid", "forge_currency": "currency"}
ACTIONS = (
    "pay", "pay_late", "pay_twice", "start_paying", "fail_paying", "notify_again",
    "forge_amount", *FORGED_FIELDS, "forge_sign", "forge_tag", "forge_time", "probe", "old_notice",
    "refund_notice", *(f"refund_{fate}" for fate in FATES), "end_refund_success", "end_refund_closed",
    "end_refund_abnormal",
)  # fmt: skip


class Simulator:
    """Each action returns the notices it sent, with the merchant's answers. Raises Refused.

    pay: pay before the time limit. pay_late: pay at once, even if the trade has expired or was closed.
    pay_twice: pay this order if unpaid, then another unpaid one for the same shop order; if there is none,
    repeat the notice. start_paying, fail_paying: USERPAYING, PAYERROR.
    notify_again: resend the payment's notice with the same id; send it if none was sent yet.
    old_notice: the payment's notice after everything else, as if it had been delayed: the same content with a
    new id. forge_*: one forged notice; the trade does not change. probe: a notice with WeChat Pay's own mark
    of a wrong signature. refund_notice: send the notice of the last refund again.
    refund_<fate>: decide what becomes of the next refund. end_refund_<fate>: end the newest one that is open.

    With `probes` > 0 that share of the notices, chosen by `seed` and count, is preceded by a probe.
    """

    def __init__(
        self,
        stored: Trades,
        refunded: Refunds,
        notices: Notices,
        late: LateBuyers,
        clock_ms: Callable[[], int],
        *,
        probes: float,
        seed: int,
    ) -> None:
        self._trades = stored
        self._refunds = refunded
        self._notices = notices
        self._late = late
        self._clock_ms = clock_ms
        self._probes = probes
        self._random = random.Random(seed)  # noqa: S311 - a seeded choice, no secret

    def now_ms(self) -> int:
        """The provider's clock, epoch milliseconds."""
        return self._clock_ms()

    async def act(
        self, out_trade_no: str, action: str, *, notice: bool = True, openid: str = ""
    ) -> list[Notice]:
        """Carry out one of ACTIONS; without `notice` a payment sends none, as if it had been lost."""
        trade = await self._trades.trade(out_trade_no)
        match action:
            case "pay" | "pay_late":
                return await self._pay(trade, late=action == "pay_late", notice=notice, openid=openid)
            case "pay_twice":
                return await self._pay_twice(trade, notice=notice)
            case "start_paying" | "fail_paying":
                state = USERPAYING if action == "start_paying" else PAYERROR
                await self._trades.set_state(out_trade_no, state)
                return []
            case "notify_again":
                return await self._notify_again(trade)
            case "old_notice":
                return [await self._send(trade, "paid", content.payment_notice(_paid(trade)))]
            case "probe":
                return [await self._forge(trade, content.payment_notice(self._claimed(trade)), "probe")]
            case "forge_sign" | "forge_tag" | "forge_time":
                told = content.payment_notice(self._claimed(trade))
                return [await self._forge(trade, told, action.removeprefix("forge_"))]
            case "refund_notice":
                return await self._refund_notice(trade)
        return await self._more(trade, action)

    async def _more(self, trade: Trade, action: str) -> list[Notice]:
        if action == "forge_amount" or action in FORGED_FIELDS:
            return [await self._forge(trade, self._altered(trade, action), "")]
        if action.startswith("end_refund_"):
            open_ones = [
                one
                for one in await self._refunds.of(trade.out_trade_no)
                if one.status in (refunds.PROCESSING, refunds.ABNORMAL)
            ]
            if not open_ones:
                raise not_found("没有处理中的退款")
            fate = action.removeprefix("end_refund_")
            return await self.refund_ended(*await self._refunds.end(open_ones[-1].out_refund_no, fate))
        if action.startswith("refund_") and action.removeprefix("refund_") in FATES:
            await self._refunds.decide(trade.out_trade_no, action.removeprefix("refund_"))
            return []
        raise invalid_request(f"没有这个动作：{action}")

    async def choices(self, trade: Trade) -> Choices:
        """The actions that a trade allows now."""
        number, paid = trade.out_trade_no, trade.paid_ms > 0
        closed = trade.state == CLOSED
        known = await self._refunds.of(number)
        open_refund = any(one.status == refunds.PROCESSING for one in known)
        refundable = paid and trade.refunded_fen < trade.amount_fen
        possible = {
            "pay_twice": True,
            "start_paying": not paid and not closed,
            "fail_paying": not paid and not closed,
            "notify_again": paid,
            "old_notice": paid,
            "forge_amount": True,
            "forge_sign": True,
            "probe": True,
            "refund_stay": refundable,
            "refund_closed": refundable,
            "refund_abnormal": refundable,
            "refund_lost": refundable,
            "end_refund_success": open_refund,
            "end_refund_closed": open_refund,
            "end_refund_abnormal": open_refund,
            "refund_notice": any(_is_told(one) for one in known),
        }
        return await self._late.choices(number, paid=paid, closed=closed, possible=possible)

    async def press(self, out_trade_no: str, action: str) -> None:
        """Handle a button: like `act`, but late payments wait until the trade has expired. Raises Refused."""
        if action == "pay_late":
            trade = await self._trades.trade(out_trade_no)
            choices = await self.choices(trade)
            if not choices.late and "pay" in choices.actions:
                return await self._late.wait(out_trade_no)
        await self.act(out_trade_no, action)

    async def pay_late(self, out_trade_no: str) -> None:
        """Pay for a buyer who waited until the trade had expired. Raises Refused."""
        await self.act(out_trade_no, "pay_late")

    async def refund_due(self, trade: Trade, refund: Refund) -> None:
        """Have the merchant told of a refund that ended by itself, without waiting for its answer."""
        if refund.notify_url:
            told = content.refund_notice(trade, refund)
            await self._probe(trade, refund.notify_url, told)
            await self._notices.post(trade.out_trade_no, "refund", refund.notify_url, told)

    async def refund_ended(self, trade: Trade, refund: Refund) -> list[Notice]:
        """Tell the merchant of a refund that an operator ended, if it named an address."""
        if not refund.notify_url:
            return []
        told = content.refund_notice(trade, refund)
        await self._probe(trade, refund.notify_url, told)
        return [await self._notices.send(trade.out_trade_no, "refund", refund.notify_url, told)]

    async def _pay(self, trade: Trade, *, late: bool, notice: bool, openid: str = "") -> list[Notice]:
        paid = await self._trades.pay(trade.out_trade_no, openid or OPENID, late=late)
        return [await self._send(paid, "paid", content.payment_notice(paid))] if notice else []

    async def _pay_twice(self, trade: Trade, *, notice: bool) -> list[Notice]:
        sent = [] if trade.paid_ms else await self._pay(trade, late=True, notice=notice)
        sibling = await self._trades.unpaid_sibling(trade)
        if sibling is not None:
            return sent + await self._pay(sibling, late=True, notice=notice)
        paid = await self._trades.trade(trade.out_trade_no)
        return sent + (await self._notify_again(paid) if notice else [])

    async def _notify_again(self, trade: Trade) -> list[Notice]:
        sent = [one for one in await self._notices.newest(trade.out_trade_no) if one.kind == "paid"]
        if sent:
            return [await self._notices.resend(sent[-1])]
        return [await self._send(trade, "paid", content.payment_notice(_paid(trade)))]

    async def _refund_notice(self, trade: Trade) -> list[Notice]:
        ended = [one for one in await self._refunds.of(trade.out_trade_no) if _is_told(one)]
        if not ended:
            raise not_found("没有可以通知的退款")
        told = content.refund_notice(trade, ended[-1])
        return [await self._notices.send(trade.out_trade_no, "refund", ended[-1].notify_url, told)]

    async def _send(self, trade: Trade, kind: str, told: dict[str, Any]) -> Notice:
        await self._probe(trade, trade.notify_url, told)
        return await self._notices.send(trade.out_trade_no, kind, trade.notify_url, told)

    async def _probe(self, trade: Trade, url: str, told: dict[str, Any]) -> None:
        if self._random.random() < self._probes:
            await self._notices.send_forged(trade.out_trade_no, url, told, forgery="probe", kind="probe")

    async def _forge(self, trade: Trade, told: dict[str, Any], forgery: str) -> Notice:
        kind = "probe" if forgery == "probe" else "forged"
        return await self._notices.send_forged(
            trade.out_trade_no, trade.notify_url, told, forgery=forgery, kind=kind
        )

    def _altered(self, trade: Trade, action: str) -> dict[str, Any]:
        told = content.payment_notice(self._claimed(trade))
        resource = told["resource"]
        match action:
            case "forge_amount":
                resource["amount"]["total"] = 1 if trade.amount_fen != 1 else 2
            case "forge_currency":
                resource["amount"]["currency"] = "HKD"
            case _:
                resource[FORGED_FIELDS[action]] = "wx9999999999999999"
        return told

    def _claimed(self, trade: Trade) -> Trade:
        """The trade as a forger claims it: paid."""
        if trade.paid_ms:
            return trade
        now_ms = self._clock_ms()
        number = trades.transaction_number(now_ms)
        return replace(trade, state=trades.SUCCESS, transaction_id=number, paid_ms=now_ms)


def _is_told(refund: Refund) -> bool:
    return refund.status != refunds.PROCESSING and bool(refund.notify_url)


def _paid(trade: Trade) -> Trade:
    if not trade.paid_ms:
        raise order_not_exist()
    return trade
