"""Cashier sessions, trades and refunds. A trade is created only when the buyer logs in, scans or pays."""

import sqlite3
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

from shop_sandbox.alipay import fields
from shop_sandbox.alipay.requests import PayRequest, Refused
from shop_sandbox.database import Database

WAIT, SUCCESS, CLOSED = "WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_CLOSED"
FINISHED = "TRADE_FINISHED"  # paid, and past the time limit of refunds
MAX_LISTED = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
  out_trade_no TEXT PRIMARY KEY,
  method TEXT NOT NULL,
  amount_fen INTEGER NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  passback_params TEXT NOT NULL,
  notify_url TEXT NOT NULL,
  return_url TEXT NOT NULL,
  expire_ms INTEGER NOT NULL,
  order_ref TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS session_order ON session (order_ref);
CREATE TABLE IF NOT EXISTS session_quit (
  out_trade_no TEXT PRIMARY KEY REFERENCES session (out_trade_no),
  quit_url TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS trade (
  out_trade_no TEXT PRIMARY KEY REFERENCES session (out_trade_no),
  trade_no TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  paid_ms INTEGER NOT NULL DEFAULT 0,
  closed_ms INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS refund (
  out_trade_no TEXT NOT NULL REFERENCES trade (out_trade_no),
  out_request_no TEXT NOT NULL,
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (out_trade_no, out_request_no)
);
"""


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade; `paid_ms` and `closed_ms` are 0 until it is paid or closed."""

    out_trade_no: str
    trade_no: str
    status: str
    created_ms: int
    paid_ms: int = 0
    closed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund; `total_fen` sums all refunds of the trade, `fresh` says whether this call made it."""

    out_request_no: str
    amount_fen: int
    created_ms: int
    total_fen: int
    fresh: bool = False


class Trades:
    """The provider's records. Each method is one transaction; errors are the provider's own codes."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def open(self, request: PayRequest) -> None:
        """Store the session of a payment call; a repeated call updates it. Raises Refused."""

        def store(connection: sqlite3.Connection) -> None:
            known = _session(connection, request.out_trade_no)
            if known and known.amount_fen != request.amount_fen:
                raise Refused("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
            *session, quit_url = astuple(request)
            marks = ",".join("?" * len(session))
            connection.execute(f"INSERT OR IGNORE INTO session VALUES ({marks})", session)
            quits = (request.out_trade_no, quit_url)
            connection.execute("INSERT OR REPLACE INTO session_quit VALUES (?, ?)", quits)
            connection.execute(
                "UPDATE session SET notify_url = ?, return_url = ?, expire_ms = ? WHERE out_trade_no = ?",
                (request.notify_url, request.return_url, request.expire_ms, request.out_trade_no),
            )

        await self._database.run(store)

    async def session(self, out_trade_no: str) -> PayRequest:
        """The session with this number. Raises Refused ACQ.TRADE_NOT_EXIST."""
        found = await self._database.run(lambda connection: _session(connection, out_trade_no))
        if found is None:
            raise trade_not_found()
        return found

    async def sessions(self) -> list[PayRequest]:
        """The newest 100 sessions."""
        select = "SELECT * FROM session ORDER BY rowid DESC LIMIT ?"
        rows = await self._database.run(lambda one: one.execute(select, (MAX_LISTED,)).fetchall())
        return [PayRequest(*row) for row in rows]

    async def sessions_with_trades(self) -> list[tuple[PayRequest, Trade | None]]:
        """The newest 100 sessions, each with its trade if there is one yet."""
        sessions, now_ms = await self.sessions(), self._clock_ms()
        return await self._database.run(
            lambda connection: [(one, _trade(connection, one.out_trade_no, now_ms)) for one in sessions]
        )

    async def trade(self, out_trade_no: str = "", trade_no: str = "") -> Trade | None:
        """The trade by either number, or None if there is none yet; closes it if it has expired unpaid."""
        now_ms = self._clock_ms()
        return await self._database.run(
            lambda connection: _trade(connection, out_trade_no or _out_trade_no(connection, trade_no), now_ms)
        )

    async def begin(self, out_trade_no: str) -> Trade:
        """Create the unpaid trade, as when the buyer logs in or scans. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> Trade:
            session = _session(connection, out_trade_no)
            if session is None:
                raise trade_not_found()
            known = _trade(connection, out_trade_no, now_ms)
            if known is not None:
                return known
            if session.expire_ms <= now_ms:
                raise Refused("ACQ.TRADE_HAS_CLOSE", "交易超时")
            return _insert(connection, out_trade_no, now_ms)

        return await self._database.run(act)

    async def pay(self, out_trade_no: str, *, late: bool) -> Trade:
        """Pay the trade; `late` allows it after expiry or closing. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> Trade:
            session = _session(connection, out_trade_no)
            if session is None:
                raise trade_not_found()
            known = _trade(connection, out_trade_no, now_ms)
            if known and known.paid_ms:
                raise Refused("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
            closed = session.expire_ms <= now_ms or (known is not None and known.status == CLOSED)
            if closed and not late:
                raise Refused("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
            trade = known or _insert(connection, out_trade_no, now_ms)
            return _update(connection, replace(trade, status=SUCCESS, paid_ms=now_ms, closed_ms=0))

        return await self._database.run(act)

    async def close(self, out_trade_no: str, trade_no: str) -> Trade:
        """Close an unpaid trade for the merchant. Idempotent. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> Trade:
            trade = _trade(connection, out_trade_no or _out_trade_no(connection, trade_no), now_ms)
            if trade is None:
                raise trade_not_found()
            if trade.paid_ms:
                raise Refused("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态异常")
            if trade.status == CLOSED:
                return trade
            return _update(connection, replace(trade, status=CLOSED, closed_ms=now_ms))

        return await self._database.run(act)

    async def finish(self, out_trade_no: str) -> None:
        """End the time in which a paid trade can be refunded. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> None:
            trade = _trade(connection, out_trade_no, now_ms)
            if trade is None or trade.status != SUCCESS:
                raise Refused("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
            _update(connection, replace(trade, status=FINISHED))

        await self._database.run(act)

    async def refund(self, trade: Trade, out_request_no: str, amount_fen: int) -> Refund:
        """Refund once per out_request_no, at most the amount paid. Raises Refused."""
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> Refund:
            session, current = (
                _session(connection, trade.out_trade_no),
                _trade(connection, trade.out_trade_no, now_ms),
            )
            if session is None or current is None:
                raise trade_not_found()
            if not current.paid_ms:
                raise Refused("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
            earlier = _refunds(connection, trade.out_trade_no)
            total_fen = sum(one.amount_fen for one in earlier)
            for one in earlier:
                if one.out_request_no == out_request_no:
                    if one.amount_fen != amount_fen:
                        raise Refused("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
                    return replace(one, total_fen=total_fen)
            if current.status == FINISHED:
                raise Refused("ACQ.TRADE_HAS_FINISHED", "交易已完结")
            if total_fen + amount_fen > session.amount_fen:
                raise Refused("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
            connection.execute(
                "INSERT INTO refund VALUES (?, ?, ?, ?)",
                (trade.out_trade_no, out_request_no, amount_fen, now_ms),
            )
            total_fen += amount_fen
            if total_fen == session.amount_fen:
                _update(connection, replace(current, status=CLOSED, closed_ms=now_ms))
            return Refund(out_request_no, amount_fen, now_ms, total_fen, fresh=True)

        return await self._database.run(act)

    async def refunds(self, out_trade_no: str) -> list[Refund]:
        """All refunds of a trade, oldest first, each with the total."""
        found = await self._database.run(lambda connection: _refunds(connection, out_trade_no))
        total_fen = sum(one.amount_fen for one in found)
        return [replace(one, total_fen=total_fen) for one in found]

    async def unpaid_sibling(self, session: PayRequest) -> PayRequest | None:
        """The newest other session for the same order that is unpaid, if any."""
        if not session.order_ref:
            return None
        rows = await self._database.run(
            lambda connection: connection.execute(
                "SELECT s.* FROM session s LEFT JOIN trade t USING (out_trade_no)"
                " WHERE s.order_ref = ? AND s.out_trade_no <> ? AND coalesce(t.paid_ms, 0) = 0"
                " ORDER BY s.rowid DESC LIMIT 1",
                (session.order_ref, session.out_trade_no),
            ).fetchall()
        )
        return PayRequest(*rows[0]) if rows else None


def trade_not_found() -> Refused:
    """The error for a trade that does not exist (yet)."""
    return Refused("ACQ.TRADE_NOT_EXIST", "交易不存在")


def _session(connection: sqlite3.Connection, out_trade_no: str) -> PayRequest | None:
    select = (
        "SELECT s.*, coalesce(q.quit_url, '') FROM session s LEFT JOIN session_quit q USING (out_trade_no)"
        " WHERE s.out_trade_no = ?"
    )
    row = connection.execute(select, (out_trade_no,)).fetchone()
    return PayRequest(*row) if row else None


def _out_trade_no(connection: sqlite3.Connection, trade_no: str) -> str:
    row = connection.execute("SELECT out_trade_no FROM trade WHERE trade_no = ?", (trade_no,)).fetchone()
    return row[0] if row else ""


def _trade(connection: sqlite3.Connection, out_trade_no: str, now_ms: int) -> Trade | None:
    row = connection.execute(
        "SELECT t.*, s.expire_ms FROM trade t JOIN session s USING (out_trade_no) WHERE out_trade_no = ?",
        (out_trade_no,),
    ).fetchone()
    if row is None:
        return None
    trade, expire_ms = Trade(*row[:-1]), row[-1]
    if trade.status == WAIT and expire_ms <= now_ms:
        return _update(connection, replace(trade, status=CLOSED, closed_ms=expire_ms))
    return trade


def _insert(connection: sqlite3.Connection, out_trade_no: str, now_ms: int) -> Trade:
    trade = Trade(out_trade_no, fields.random_number("22001", now_ms, 15), WAIT, now_ms)
    connection.execute("INSERT INTO trade VALUES (?, ?, ?, ?, ?, ?)", astuple(trade))
    return trade


def _update(connection: sqlite3.Connection, trade: Trade) -> Trade:
    connection.execute(
        "UPDATE trade SET status = ?, paid_ms = ?, closed_ms = ? WHERE out_trade_no = ?",
        (trade.status, trade.paid_ms, trade.closed_ms, trade.out_trade_no),
    )
    return trade


def _refunds(connection: sqlite3.Connection, out_trade_no: str) -> list[Refund]:
    rows = connection.execute(
        "SELECT out_request_no, amount_fen, created_ms FROM refund WHERE out_trade_no = ? ORDER BY rowid",
        (out_trade_no,),
    ).fetchall()
    return [Refund(row[0], row[1], row[2], total_fen=0) for row in rows]
