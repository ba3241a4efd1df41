"""When a trade is late at Alipay: after its time limit, or when the merchant closed it or tried to.

The Shop's wish to close a trade that no buyer has started counts too: the provider then answers that there is
no such trade, and a buyer can still pay.
"""

from collections.abc import Callable

from shop_sandbox.database import Database
from shop_sandbox.payments import late

SCHEMA = f"""
{late.SCHEMA}
CREATE TABLE IF NOT EXISTS given_up (
  out_trade_no TEXT PRIMARY KEY REFERENCES session (out_trade_no),
  asked_ms INTEGER NOT NULL
);
"""
_EXPIRY = (
    "SELECT min(s.expire_ms, coalesce(g.asked_ms, s.expire_ms),"
    " CASE WHEN t.status = 'TRADE_CLOSED' AND t.paid_ms = 0 THEN t.closed_ms ELSE s.expire_ms END)"
    " FROM session s LEFT JOIN given_up g USING (out_trade_no) LEFT JOIN trade t USING (out_trade_no)"
    " WHERE s.out_trade_no = "
)


class LateBuyers(late.LateBuyers):
    """The buyers of Alipay who pay late."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        super().__init__(database, clock_ms, _EXPIRY)

    async def close_requested(self, out_trade_no: str) -> None:
        """Record that the merchant asked to close a trade. Idempotent; ignores unknown numbers."""
        insert = "INSERT OR IGNORE INTO given_up SELECT out_trade_no, ? FROM session WHERE out_trade_no = ?"
        values = (self._clock_ms(), out_trade_no)
        await self._database.run(lambda one: one.execute(insert, values))
        self.look()
