"""Refunds: accepted as PROCESSING, and later SUCCESS, CLOSED or ABNORMAL; or they stay PROCESSING.

An operator or a test decides the fate of a trade's next refund; most succeed after a moment.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import astuple, dataclass, fields, replace

from shop_sandbox.database import Database
from shop_sandbox.payments.calls import GatewayDown
from shop_sandbox.payments.formats import random_number
from shop_sandbox.payments.tasks import background
from shop_sandbox.wechat import trades
from shop_sandbox.wechat.errors import Refused, invalid_request, not_found
from shop_sandbox.wechat.requests import RefundRequest
from shop_sandbox.wechat.trades import Trade

PROCESSING, SUCCESS, CLOSED, ABNORMAL = "PROCESSING", "SUCCESS", "CLOSED", "ABNORMAL"
# What becomes of a refund. `stay`: PROCESSING until an operator ends it. `lost`: it succeeds, but the answer
# to the first call is lost. The last two refuse it.
FATES = ("success", "stay", "closed", "abnormal", "lost", "not_enough", "account")
_ENDS = {"success": SUCCESS, "lost": SUCCESS, "closed": CLOSED, "abnormal": ABNORMAL}
LIMIT_MS = 365 * 86_400_000
MAX_REFUNDS = 50
IDLE_S = 1.0
BATCH = 16

SCHEMA = """
CREATE TABLE IF NOT EXISTS refund (
  out_refund_no TEXT PRIMARY KEY,
  refund_id TEXT NOT NULL UNIQUE,
  out_trade_no TEXT NOT NULL REFERENCES trade (out_trade_no),
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  reason TEXT NOT NULL,
  notify_url TEXT NOT NULL,
  funds_account TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  status TEXT NOT NULL,
  fate TEXT NOT NULL,
  due_ms INTEGER,
  done_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS refund_trade ON refund (out_trade_no);
CREATE INDEX IF NOT EXISTS refund_due ON refund (due_ms) WHERE due_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS fate (
  out_trade_no TEXT PRIMARY KEY REFERENCES trade (out_trade_no),
  fate TEXT NOT NULL
);
"""

logger = logging.getLogger("shop_sandbox.wechat.refunds")


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund; its fate comes at `due_ms` (None: never by itself), and came at `done_ms` (0: not yet)."""

    out_refund_no: str
    refund_id: str
    out_trade_no: str
    amount_fen: int
    reason: str
    notify_url: str
    funds_account: str
    created_ms: int
    status: str = PROCESSING
    fate: str = "success"
    due_ms: int | None = None
    done_ms: int = 0


COLUMNS = ", ".join(field.name for field in fields(Refund))


class Refunds:
    """The provider's refunds. Each method is one transaction."""

    def __init__(self, database: Database, clock_ms: Callable[[], int], delay_s: float) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._delay_ms = int(delay_s * 1_000)
        self._wake = asyncio.Event()

    async def request(self, wanted: RefundRequest) -> tuple[Trade, Refund]:
        """Accept a refund, once per number; a repeated call answers with its state now.

        Raises Refused, and GatewayDown if it was accepted and its fate is that the answer is lost.
        """
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> tuple[Trade, Refund, bool]:
            trade = _paid_trade(connection, wanted, now_ms)
            known = _find(connection, wanted.out_refund_no)
            if known is not None:
                same = (known.out_trade_no, known.amount_fen) == (trade.out_trade_no, wanted.amount_fen)
                if not same or trade.amount_fen != wanted.total_fen:
                    raise invalid_request("订单金额或退款金额与之前请求不一致，请核实后再试")
                return trade, known, False
            fate = _checked(connection, trade, wanted, now_ms)
            due_ms = None if fate == "stay" else now_ms + self._delay_ms
            made = Refund(
                wanted.out_refund_no,
                f"50300{random_number('', now_ms, 16)}",
                trade.out_trade_no,
                wanted.amount_fen,
                wanted.reason,
                wanted.notify_url,
                wanted.funds_account,
                now_ms,
                fate=fate,
                due_ms=due_ms,
            )
            marks = ", ".join("?" * len(fields(Refund)))
            connection.execute(f"INSERT INTO refund ({COLUMNS}) VALUES ({marks})", astuple(made))
            connection.execute("DELETE FROM fate WHERE out_trade_no = ?", (trade.out_trade_no,))
            return _summed(connection, trade), made, fate == "lost"

        trade, refund, is_lost = await self._database.run(act)
        self._wake.set()
        if is_lost:
            raise GatewayDown(502)
        return trade, refund

    async def refund(self, out_refund_no: str) -> tuple[Trade, Refund]:
        """A refund with its trade. Raises Refused RESOURCE_NOT_EXISTS."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> tuple[Trade, Refund]:
            found = _find(connection, out_refund_no)
            trade = trades.find(connection, now_ms, out_trade_no=found.out_trade_no) if found else None
            if found is None or trade is None:
                raise not_found("退款单不存在")
            return trade, found

        return await self._database.run(act)

    async def of(self, out_trade_no: str) -> list[Refund]:
        """The refunds of a trade, oldest first."""
        select = f"SELECT {COLUMNS} FROM refund WHERE out_trade_no = ? ORDER BY rowid"
        rows = await self._database.run(lambda one: one.execute(select, (out_trade_no,)).fetchall())
        return [Refund(*row) for row in rows]

    async def decide(self, out_trade_no: str, fate: str) -> None:
        """Decide the fate of the trade's next refund. Raises ValueError."""
        if fate not in FATES:
            raise ValueError(f"fates: {', '.join(FATES)}")
        replacing = "INSERT OR REPLACE INTO fate VALUES (?, ?)"
        await self._database.run(lambda one: one.execute(replacing, (out_trade_no, fate)))

    async def end(self, out_refund_no: str, fate: str) -> tuple[Trade, Refund]:
        """End a refund that is PROCESSING, or was ABNORMAL and is settled by hand. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> tuple[Trade, Refund]:
            found = _find(connection, out_refund_no)
            if found is None:
                raise not_found("退款单不存在")
            if found.status not in (PROCESSING, ABNORMAL) or fate not in _ENDS:
                raise invalid_request("退款单状态不允许")
            return _ended(connection, found, fate, now_ms)

        return await self._database.run(act)

    def running(
        self, told: Callable[[Trade, Refund], Awaitable[object]]
    ) -> AbstractAsyncContextManager[None]:
        """End refunds when they are due, and call `told` for each, while the block runs."""
        return background(self._run(told), "wechat-refunds")

    async def _run(self, told: Callable[[Trade, Refund], Awaitable[object]]) -> None:
        while True:
            self._wake.clear()
            wait_s = IDLE_S
            try:
                ended, wait_s = await self._end_due()
                for trade, refund in ended:
                    await told(trade, refund)
            except Exception:
                logger.exception("ending refunds failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _end_due(self) -> tuple[list[tuple[Trade, Refund]], float]:
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> tuple[list[tuple[Trade, Refund]], float]:
            select = f"SELECT {COLUMNS} FROM refund WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT ?"
            waiting = [Refund(*row) for row in connection.execute(select, (BATCH,)).fetchall()]
            due = [one for one in waiting if (one.due_ms or 0) <= now_ms]
            ended = [_ended(connection, one, one.fate, now_ms) for one in due]
            left_ms = min((one.due_ms or 0 for one in waiting[len(due) :]), default=now_ms + 1_000) - now_ms
            return ended, 0.0 if len(due) == BATCH else min(max(left_ms, 1) / 1_000, IDLE_S)

        return await self._database.run(act)


def _paid_trade(connection: sqlite3.Connection, wanted: RefundRequest, now_ms: int) -> Trade:
    number = (
        {"transaction_id": wanted.transaction_id}
        if wanted.transaction_id
        else {"out_trade_no": wanted.out_trade_no}
    )
    trade = trades.find(connection, now_ms, **number)
    if trade is None or not trade.paid_ms:
        raise not_found("订单不存在，或尚未支付")
    if wanted.out_trade_no not in ("", trade.out_trade_no):
        raise invalid_request("微信支付订单号与商户订单号不匹配")
    return trade


def _checked(connection: sqlite3.Connection, trade: Trade, wanted: RefundRequest, now_ms: int) -> str:
    """The fate of a new refund. Raises Refused."""
    if trade.amount_fen != wanted.total_fen:
        raise invalid_request("订单金额或退款金额与之前请求不一致，请核实后再试")
    if now_ms > trade.paid_ms + LIMIT_MS:
        raise invalid_request("订单已超过可退款的最大期限（一年）")
    if trade.refunded_fen == trade.amount_fen:
        raise invalid_request("订单已全额退款")
    if trade.refunded_fen + wanted.amount_fen > trade.amount_fen:
        raise invalid_request("申请退款金额大于订单可退金额")
    count = "SELECT count(*) FROM refund WHERE out_trade_no = ?"
    if connection.execute(count, (trade.out_trade_no,)).fetchone()[0] >= MAX_REFUNDS:
        raise invalid_request("部分退款次数已超过 50 次")
    select = "SELECT fate FROM fate WHERE out_trade_no = ?"
    fate = (connection.execute(select, (trade.out_trade_no,)).fetchone() or ("success",))[0]
    if fate == "not_enough":
        raise Refused(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
    if fate == "account":
        raise Refused(403, "USER_ACCOUNT_ABNORMAL", "退款请求失败：用户账户异常或注销")
    return str(fate)


def _ended(connection: sqlite3.Connection, refund: Refund, fate: str, now_ms: int) -> tuple[Trade, Refund]:
    ended = replace(refund, status=_ENDS[fate], due_ms=None, done_ms=now_ms)
    connection.execute(
        "UPDATE refund SET status = ?, due_ms = NULL, done_ms = ? WHERE out_refund_no = ?",
        (ended.status, now_ms, refund.out_refund_no),
    )
    trade = trades.find(connection, now_ms, out_trade_no=refund.out_trade_no)
    assert trade is not None
    return _summed(connection, trade), ended


def _summed(connection: sqlite3.Connection, trade: Trade) -> Trade:
    """The trade with the sum of its refunds; those that were closed do not count."""
    select = "SELECT coalesce(sum(amount_fen), 0) FROM refund WHERE out_trade_no = ? AND status <> 'CLOSED'"
    (total_fen,) = connection.execute(select, (trade.out_trade_no,)).fetchone()
    return trades.save(connection, replace(trade, refunded_fen=total_fen))


def _find(connection: sqlite3.Connection, out_refund_no: str) -> Refund | None:
    select = f"SELECT {COLUMNS} FROM refund WHERE out_refund_no = ?"
    row = connection.execute(select, (out_refund_no,)).fetchone()
    return Refund(*row) if row else None
