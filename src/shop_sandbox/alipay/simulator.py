"""The actions of buyer, provider and attacker: the cashier's buttons and the tests' API."""

from collections.abc import Callable

from shop_sandbox.alipay import content, fields
from shop_sandbox.alipay.late import LateBuyers
from shop_sandbox.alipay.requests import PayRequest, Refused
from shop_sandbox.alipay.trades import CLOSED, Refund, Trade, Trades, trade_not_found
from shop_sandbox.payments.late import Choices
from shop_sandbox.payments.notices import Notice, Notices

ACTIONS = (
    "pay",
    "pay_late",
    "pay_twice",
    "notify_again",
    "forge_amount",
    "forge_seller",
    "forge_app",
    "forge_sign",
    "refund_notice",
    "close_notice",
    "scan",
    "finish",
)


class Simulator:
    """Each action returns the notices it sent, with the merchant's answers. Raises Refused.

    pay: pay before the time limit. pay_late: pay at once, even if the trade has expired or was closed unpaid;
    a test knows from the Shop's own clock that this is late. Its button waits until it is (see `press`).
    scan: the buyer logs in without paying: the trade exists, and can be closed.
    pay_twice: pay this attempt if unpaid, then another unpaid attempt for the same order (found by its number
    in passback_params, body, subject or return URL); if there is none, resend the notice.
    notify_again: resend the payment's notice with the same notify_id; send it if none was sent yet.
    forge_*: send a forged notice, with a wrong amount, seller, app or signature; the trade does not change.
    refund_notice: send the notice of the last refund; if there is none, claim a refund of half the amount.
    close_notice: send TRADE_CLOSED, whatever the state.
    finish: the time limit of refunds has passed: a paid trade can't be refunded any more.
    """

    def __init__(
        self, trades: Trades, notices: Notices, late: LateBuyers, clock_ms: Callable[[], int]
    ) -> None:
        self._trades = trades
        self._notices = notices
        self._late = late
        self._clock_ms = clock_ms

    def now_ms(self) -> int:
        """The provider's clock, epoch milliseconds."""
        return self._clock_ms()

    async def act(self, out_trade_no: str, action: str, *, notice: bool = True) -> list[Notice]:
        """Carry out one of ACTIONS; without `notice` a payment sends none, as if it had been lost."""
        session = await self._trades.session(out_trade_no)
        match action:
            case "pay" | "pay_late":
                return await self._pay(session, late=action == "pay_late", notice=notice)
            case "pay_twice":
                return await self._pay_twice(session, notice=notice)
            case "scan":
                await self._trades.begin(out_trade_no)
                return []
            case "finish":
                await self._trades.finish(out_trade_no)
                return []
            case "notify_again":
                return await self._notify_again(session)
            case "forge_amount" | "forge_seller" | "forge_app" | "forge_sign":
                return await self._forge(session, action)
            case "refund_notice":
                return await self._refund_notice(session)
            case "close_notice":
                return await self._close_notice(session)
        raise Refused("ACQ.INVALID_PARAMETER", f"没有这个动作：{action}")

    async def choices(self, session: PayRequest) -> Choices:
        """The actions that a trade allows now."""
        number, has_notify_url = session.out_trade_no, bool(session.notify_url)
        trade = await self._trades.trade(number)
        paid = trade is not None and trade.paid_ms > 0
        closed = session.expire_ms <= self._clock_ms() or (trade is not None and trade.status == CLOSED)
        possible = {
            "pay_twice": has_notify_url or await self._trades.unpaid_sibling(session) is not None,
            "notify_again": has_notify_url and paid,
            "forge_amount": has_notify_url,
            "forge_sign": has_notify_url,
        }
        return await self._late.choices(number, paid=paid, closed=closed, possible=possible)

    async def press(self, out_trade_no: str, action: str) -> None:
        """Handle a button: like `act`, but late payments wait until the trade has expired. Raises Refused."""
        if action == "pay_late":
            session = await self._trades.session(out_trade_no)
            choices = await self.choices(session)
            if not choices.late and "pay" in choices.actions:
                return await self._late.wait(out_trade_no)
        await self.act(out_trade_no, action)

    async def pay_late(self, out_trade_no: str) -> None:
        """Pay for a buyer who waited until the trade had expired. Raises Refused."""
        await self.act(out_trade_no, "pay_late")

    async def _pay(self, session: PayRequest, *, late: bool, notice: bool) -> list[Notice]:
        trade = await self._trades.pay(session.out_trade_no, late=late)
        if not notice or not session.notify_url:
            return []
        return [await self._send(session, "paid", content.payment_notice(session, trade))]

    async def _pay_twice(self, session: PayRequest, *, notice: bool) -> list[Notice]:
        trade = await self._trades.trade(session.out_trade_no)
        sent = [] if trade and trade.paid_ms else await self._pay(session, late=True, notice=notice)
        sibling = await self._trades.unpaid_sibling(session)
        if sibling is not None:
            return sent + await self._pay(sibling, late=True, notice=notice)
        return sent + (await self._notify_again(session) if notice else [])

    async def _notify_again(self, session: PayRequest) -> list[Notice]:
        sent = [one for one in await self._notices.newest(session.out_trade_no) if one.kind == "paid"]
        if sent:
            return [await self._notices.resend(sent[-1])]
        trade = await self._trades.trade(session.out_trade_no)
        if trade is None or not trade.paid_ms:
            raise trade_not_found()
        return [await self._send(session, "paid", content.payment_notice(session, trade))]

    async def _forge(self, session: PayRequest, action: str) -> list[Notice]:
        trade = await self._trades.trade(session.out_trade_no) or self._made_up_trade(session)
        forged = content.payment_notice(session, trade)
        if action == "forge_amount":
            forged["total_amount"] = "0.01" if session.amount_fen != 1 else "0.02"
        elif action == "forge_seller":
            forged["seller_id"] = "2088999999999999"
        elif action == "forge_app":
            forged["app_id"] = "2021999999999999"
        self._check_url(session)
        return [
            await self._notices.send_forged(
                session.out_trade_no,
                session.notify_url,
                forged,
                forgery="sign" if action == "forge_sign" else "",
            )
        ]

    async def _refund_notice(self, session: PayRequest) -> list[Notice]:
        trade = await self._trades.trade(session.out_trade_no) or self._made_up_trade(session)
        refunds = await self._trades.refunds(session.out_trade_no)
        half_fen = max(session.amount_fen // 2, 1)
        claimed = Refund(f"{session.out_trade_no[:60]}_R1", half_fen, self._clock_ms(), half_fen)
        last = refunds[-1] if refunds else claimed
        return [await self._send(session, "refund", content.refund_notice(session, trade, last))]

    async def _close_notice(self, session: PayRequest) -> list[Notice]:
        trade = await self._trades.trade(session.out_trade_no) or self._made_up_trade(session)
        return [await self._send(session, "closed", content.close_notice(session, trade, self._clock_ms()))]

    async def _send(self, session: PayRequest, kind: str, content_fields: dict[str, str]) -> Notice:
        self._check_url(session)
        return await self._notices.send(session.out_trade_no, kind, session.notify_url, content_fields)

    def _check_url(self, session: PayRequest) -> None:
        if not session.notify_url:
            raise Refused("ACQ.INVALID_PARAMETER", "该交易没有 notify_url")

    def _made_up_trade(self, session: PayRequest) -> Trade:
        now_ms = self._clock_ms()
        return Trade(session.out_trade_no, fields.random_number("22001", now_ms, 15), "", now_ms)
