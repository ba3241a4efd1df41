"""Orders of merchants, which become trades when the buyer pays. Refunds are in `refunds`."""

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace

from shop_sandbox.database import Database
from shop_sandbox.payments.formats import random_number
from shop_sandbox.wechat.errors import Refused, invalid_request, order_closed, order_not_exist, order_paid
from shop_sandbox.wechat.requests import TRADE_TYPES, Order

NOTPAY, USERPAYING, PAYERROR = "NOTPAY", "USERPAYING", "PAYERROR"
SUCCESS, CLOSED, REFUND = "SUCCESS", "CLOSED", "REFUND"
UNPAID = (NOTPAY, USERPAYING, PAYERROR)
PREPAY_MS = 2 * 3_600_000  # prepay_id and code_url
H5_MS = 5 * 60_000
DEFAULT_EXPIRY_MS = 7 * 86_400_000
MAX_LISTED = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS trade (
  out_trade_no TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  app_id TEXT NOT NULL,
  description TEXT NOT NULL,
  attach TEXT NOT NULL,
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  notify_url TEXT NOT NULL,
  openid TEXT NOT NULL,
  expire_ms INTEGER NOT NULL,
  body TEXT NOT NULL,
  order_ref TEXT NOT NULL,
  signer TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  prepay_id TEXT NOT NULL UNIQUE,
  prepaid_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  transaction_id TEXT UNIQUE,
  paid_ms INTEGER NOT NULL DEFAULT 0,
  closed_ms INTEGER NOT NULL DEFAULT 0,
  refunded_fen INTEGER NOT NULL DEFAULT 0,
  return_url TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS trade_order ON trade (order_ref);
CREATE INDEX IF NOT EXISTS trade_paid ON trade (paid_ms) WHERE paid_ms > 0;
"""
# When a trade expired: at its time limit, or when the merchant closed it.
EXPIRY = (
    "SELECT CASE WHEN state = 'CLOSED' AND closed_ms < expire_ms THEN closed_ms ELSE expire_ms END"
    " FROM trade WHERE out_trade_no = "
)


@dataclass(frozen=True, slots=True)
class Trade:
    """An order, paid or not; `openid` is the payer's, `refunded_fen` sums what was or is being refunded.

    `signer` is the serial or public key id that the merchant asked for when it placed the order; `return_url`
    is where an H5 buyer goes back to. Before the payment `transaction_id` is None; `paid_ms` and `closed_ms`
    are 0 until it is paid or closed.
    """

    out_trade_no: str
    kind: str
    app_id: str
    description: str
    attach: str
    amount_fen: int
    notify_url: str
    openid: str
    expire_ms: int
    body: str
    order_ref: str
    signer: str
    created_ms: int
    prepay_id: str
    prepaid_ms: int
    state: str = NOTPAY
    transaction_id: str | None = None
    paid_ms: int = 0
    closed_ms: int = 0
    refunded_fen: int = 0
    return_url: str = ""

    @property
    def trade_type(self) -> str:
        """The type as answers and notices write it."""
        return TRADE_TYPES[self.kind]

    @property
    def code_url(self) -> str:
        """The content of a QR code."""
        return f"weixin://wxpay/bizpayurl?pr={self.prepay_id[-10:]}"

    @property
    def shown_state(self) -> str:
        """The state as a query answers it: a paid trade with a refund is REFUND."""
        return REFUND if self.state == SUCCESS and self.refunded_fen else self.state


COLUMNS = ", ".join(field.name for field in fields(Trade))


class Trades:
    """The provider's records. Each method is one transaction; errors are the provider's own codes."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def open(self, order: Order, signer: str) -> Trade:
        """Store an order; the same call again answers with the same order. Raises Refused."""
        now_ms = self._clock_ms()
        fresh = Trade(
            **{name: getattr(order, name) for name in _OF_ORDER},
            signer=signer,
            expire_ms=order.expire_ms or now_ms + DEFAULT_EXPIRY_MS,
            created_ms=now_ms,
            prepay_id=_prepay_id(now_ms),
            prepaid_ms=now_ms,
        )

        def store(connection: sqlite3.Connection) -> Trade:
            known = find(connection, now_ms, out_trade_no=order.out_trade_no)
            if known is None:
                marks = ", ".join("?" * len(fields(Trade)))
                connection.execute(f"INSERT INTO trade ({COLUMNS}) VALUES ({marks})", astuple(fresh))
                return fresh
            if (known.kind, known.app_id) != (order.kind, order.app_id):
                raise Refused(403, "OUT_TRADE_NO_USED", "商户订单号重复")
            if known.body != order.body:
                raise invalid_request("请求重入时，参数与首次请求时不一致")
            if known.paid_ms:
                raise order_paid()
            if known.state == CLOSED:
                raise order_closed()
            if known.prepaid_ms + PREPAY_MS > now_ms and known.kind != "h5":
                return known
            return save(connection, replace(known, prepay_id=_prepay_id(now_ms), prepaid_ms=now_ms))

        return await self._database.run(store)

    async def trade(self, out_trade_no: str = "", **numbers: str) -> Trade:
        """The trade by `out_trade_no`, `transaction_id` or `prepay_id`. Raises Refused ORDER_NOT_EXIST."""
        now_ms = self._clock_ms()
        if out_trade_no:
            numbers["out_trade_no"] = out_trade_no
        found = await self._database.run(lambda connection: find(connection, now_ms, **numbers))
        if found is None:
            raise order_not_exist()
        return found

    async def by_code(self, code_url: str) -> Trade:
        """The trade of a QR code's content. Raises Refused."""
        _, _, code = code_url.strip().partition("weixin://wxpay/bizpayurl?pr=")
        select = "SELECT prepay_id FROM trade WHERE substr(prepay_id, -10) = ?"
        row = await self._database.run(lambda one: one.execute(select, (code,)).fetchone())
        if row is None:
            raise order_not_exist()
        found = await self.trade(prepay_id=row[0])
        if found.prepaid_ms + PREPAY_MS <= self._clock_ms():
            raise invalid_request("二维码已过期，请商户重新下单")
        return found

    async def newest(self) -> list[Trade]:
        """The newest 100 trades."""
        select = f"SELECT {COLUMNS} FROM trade ORDER BY rowid DESC LIMIT ?"
        rows = await self._database.run(lambda one: one.execute(select, (MAX_LISTED,)).fetchall())
        return [Trade(*row) for row in rows]

    async def set_state(self, out_trade_no: str, state: str) -> Trade:
        """The buyer is paying, or failed to. Raises Refused."""
        return await self._change(out_trade_no, lambda trade, now_ms: replace(_unpaid(trade), state=state))

    async def set_return(self, out_trade_no: str, return_url: str) -> Trade:
        """Remember where an H5 buyer came from. Raises Refused."""
        return await self._change(out_trade_no, lambda trade, _: replace(trade, return_url=return_url))

    async def pay(self, out_trade_no: str, openid: str, *, late: bool) -> Trade:
        """Pay the trade; `late` allows it after expiry or closing. Raises Refused."""

        def paid(trade: Trade, now_ms: int) -> Trade:
            if trade.paid_ms:
                raise order_paid()
            if trade.state == CLOSED and not late:
                raise order_closed()
            return replace(
                trade,
                state=SUCCESS,
                transaction_id=transaction_number(now_ms),
                paid_ms=now_ms,
                closed_ms=0,
                openid=trade.openid or openid,
            )

        return await self._change(out_trade_no, paid)

    async def close(self, out_trade_no: str) -> Trade:
        """Close an unpaid trade for the merchant. Raises Refused."""

        def closed(trade: Trade, now_ms: int) -> Trade:
            if trade.state == USERPAYING:
                raise Refused(202, "USERPAYING", "用户支付中，需要输入密码")
            return replace(_unpaid(trade), state=CLOSED, closed_ms=now_ms)

        return await self._change(out_trade_no, closed)

    async def unpaid_sibling(self, trade: Trade) -> Trade | None:
        """The newest other trade for the same order that is unpaid, if any."""
        if not trade.order_ref:
            return None
        select = (
            f"SELECT {COLUMNS} FROM trade WHERE order_ref = ? AND out_trade_no <> ? AND paid_ms = 0"
            " ORDER BY rowid DESC LIMIT 1"
        )
        values = (trade.order_ref, trade.out_trade_no)
        row = await self._database.run(lambda one: one.execute(select, values).fetchone())
        return Trade(*row) if row else None

    async def _change(self, out_trade_no: str, change: Callable[[Trade, int], Trade]) -> Trade:
        now_ms = self._clock_ms()

        def act(connection: sqlite3.Connection) -> Trade:
            trade = find(connection, now_ms, out_trade_no=out_trade_no)
            if trade is None:
                raise order_not_exist()
            return save(connection, change(trade, now_ms))

        return await self._database.run(act)


_OF_ORDER = (
    "out_trade_no", "kind", "app_id", "description", "attach", "amount_fen", "notify_url", "openid", "body",
    "order_ref",
)  # fmt: skip


def find(connection: sqlite3.Connection, now_ms: int, **numbers: str) -> Trade | None:
    """The trade with one of its numbers, or None; closes it if it has expired unpaid."""
    ((column, value),) = numbers.items()
    row = connection.execute(f"SELECT {COLUMNS} FROM trade WHERE {column} = ?", (value,)).fetchone()
    if row is None:
        return None
    trade = Trade(*row)
    if trade.state in UNPAID and trade.expire_ms <= now_ms:
        return save(connection, replace(trade, state=CLOSED, closed_ms=trade.expire_ms))
    return trade


def save(connection: sqlite3.Connection, trade: Trade) -> Trade:
    """Write what can change of a trade."""
    names = (
        "openid",
        "prepay_id",
        "prepaid_ms",
        "state",
        "transaction_id",
        "paid_ms",
        "closed_ms",
        "return_url",
    )
    changes = ", ".join(f"{name} = ?" for name in (*names, "refunded_fen"))
    values = [getattr(trade, name) for name in names]
    connection.execute(
        f"UPDATE trade SET {changes} WHERE out_trade_no = ?",
        (*values, trade.refunded_fen, trade.out_trade_no),
    )
    return trade


def transaction_number(now_ms: int) -> str:
    """A number of WeChat Pay's."""
    return f"42000{random_number('', now_ms, 15)}"


def _unpaid(trade: Trade) -> Trade:
    if trade.paid_ms:
        raise order_paid()
    if trade.state == CLOSED:
        raise order_closed()
    return trade


def _prepay_id(now_ms: int) -> str:
    return f"wx{random_number('', now_ms, 6)}{secrets.token_hex(10)}"
