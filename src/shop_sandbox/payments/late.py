"""Buyers who pay late: they wait until their trade has expired or the merchant has given it up.

The simulators can't see the Shop's test clock, but they see the Shop close a trade.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from shop_sandbox.database import Database
from shop_sandbox.payments.calls import CallRefused
from shop_sandbox.payments.tasks import background

# The merchant scans for expired orders every 5 s: by then it has cancelled this one.
LATE_PAYMENT_DELAY_MS = 10_000
IDLE_S = 1.0
BATCH = 16

SCHEMA = """
CREATE TABLE IF NOT EXISTS late (
  out_trade_no TEXT PRIMARY KEY
);
"""

logger = logging.getLogger("shop_sandbox.late")


@dataclass(frozen=True, slots=True)
class Choices:
    """The actions that a trade allows now.

    `late`: a payment made now would be late. `waits`: the buyer is waiting for that.
    """

    actions: tuple[str, ...]
    late: bool
    waits: bool


class LateBuyers:
    """The buyers who wait to pay late; they survive a restart.

    `expiry` is the provider's SELECT of the moment a trade expired, up to the number it looks for.
    """

    def __init__(self, database: Database, clock_ms: Callable[[], int], expiry: str) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._expiry = expiry
        self._wake = asyncio.Event()

    async def is_expired(self, out_trade_no: str) -> bool:
        """Whether a payment made now would be late."""
        return await self._expiry_ms(out_trade_no) <= self._clock_ms()

    async def is_waiting(self, out_trade_no: str) -> bool:
        """Whether the buyer is waiting to pay late."""
        select = "SELECT 1 FROM late WHERE out_trade_no = ?"
        return bool(await self._database.run(lambda one: one.execute(select, (out_trade_no,)).fetchone()))

    async def wait(self, out_trade_no: str) -> None:
        """Let the buyer pay once the trade has expired. Idempotent."""
        insert = "INSERT OR IGNORE INTO late VALUES (?)"
        await self._database.run(lambda one: one.execute(insert, (out_trade_no,)))
        self._wake.set()

    async def choices(
        self, out_trade_no: str, *, paid: bool, closed: bool, possible: Mapping[str, bool]
    ) -> Choices:
        """What a trade allows: paying, now or late, and of the other actions those that are possible."""
        late = await self.is_expired(out_trade_no)
        waits = not paid and await self.is_waiting(out_trade_no)
        found = {
            "pay": not paid and not closed,
            "pay_late": not paid and (late or not waits),
            **possible,
        }
        return Choices(tuple(action for action, can in found.items() if can), late, waits)

    def look(self) -> None:
        """Look for buyers to pay for: the merchant may have closed a trade."""
        self._wake.set()

    def running(self, pay: Callable[[str], Awaitable[object]]) -> AbstractAsyncContextManager[None]:
        """Call `pay` for each waiting buyer whose trade has expired, while the block runs."""
        return background(self._run(pay), "late-buyers")

    async def _run(self, pay: Callable[[str], Awaitable[object]]) -> None:
        while True:
            self._wake.clear()
            waiting = True
            try:
                waiting = await self._pay_due(pay)
            except Exception:
                logger.exception("a late payment failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S if waiting else None):
                    await self._wake.wait()

    async def _pay_due(self, pay: Callable[[str], Awaitable[object]]) -> bool:
        """Pay what is due. Returns whether buyers are still waiting."""
        expiry = f"({self._expiry} l.out_trade_no) AS expiry_ms"
        select = f"SELECT out_trade_no, {expiry} FROM late l ORDER BY expiry_ms LIMIT ?"
        rows = await self._database.run(lambda one: one.execute(select, (BATCH,)).fetchall())
        due_ms = self._clock_ms() - LATE_PAYMENT_DELAY_MS
        due = [out_trade_no for out_trade_no, expiry_ms in rows if expiry_ms <= due_ms]
        for out_trade_no in due:
            with contextlib.suppress(CallRefused):  # paid meanwhile
                await pay(out_trade_no)
            await self._forget(out_trade_no)
        return len(due) < len(rows) or len(rows) == BATCH

    async def _forget(self, out_trade_no: str) -> None:
        delete = "DELETE FROM late WHERE out_trade_no = ?"
        await self._database.run(lambda one: one.execute(delete, (out_trade_no,)))

    async def _expiry_ms(self, out_trade_no: str) -> int:
        rows = await self._database.run(
            lambda one: one.execute(f"{self._expiry} ?", (out_trade_no,)).fetchone()
        )
        return int(rows[0]) if rows else 0
