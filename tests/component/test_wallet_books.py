"""The wallet's ledger against our payments: real books agree, and each altered one is told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shop_order.domain.ports import WalletEntry
from shop_order.service.upkeep.doctor import RECHECK_S, SETTLE_S, Doctor
from shop_order.service.upkeep.wallet_books import WalletBooks
from tests.world.wallet import Ledger, Town, buyer

pytestmark = pytest.mark.engine("sqlite")


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """One order is paid and partly refunded, one was paid too late, one was refused."""
    made = await Town().open()
    kept = await made.buy(7)
    await made.buy(8, goods=3)
    late = await made.buy(7)
    await made.exchange()
    await made.refund(kept, 5)
    await made.world.orders.cancel(buyer(7), await _cancelled_before_its_answer(made))
    await made.come_to_rest()
    made.check_at_rest()
    assert late
    yield made
    await made.close()


async def _cancelled_before_its_answer(town: Town) -> str:
    order_sn = await town.buy(7)
    await town.world.relay.run_once()
    await town.deliver_command(town.commands.pop())
    return order_sn


async def examined(town: Town, ledger: Ledger | None = None) -> list[str]:
    books = WalletBooks()
    await books.load(ledger or Ledger(town))
    found: list[str] = []
    for (order_sn,) in town.order_rows("SELECT order_sn FROM order_info"):
        found += books.faults(await town.world.store.orders.get(order_sn))
    return found + books.leftovers()


async def test_a_refused_debit_leaves_a_whole_history() -> None:
    town = await Town().open()
    order_sn = await town.buy(8, goods=3)
    await town.exchange()
    [(state, why, ask_ms)] = town.order_rows("SELECT state, close_reason, ask_ms FROM payment")
    assert (state, why, ask_ms) == ("closed", "INSUFFICIENT_BALANCE", None)
    assert await town.world.audit.verify(order_sn) == (1, [])
    await town.close()


async def test_true_books_agree(town: Town) -> None:
    entries = await Ledger(town).entries(0, 1000)
    assert entries, "there is something to compare"
    assert await examined(town) == []


ALTERED = [
    ("DELETE FROM ledger WHERE kind = 'debit'", "was paid, but the wallet debited 0 fen"),
    ("UPDATE ledger SET amount_fen = -1 WHERE kind = 'debit'", "was paid, but the wallet debited 1 fen"),
    (
        "INSERT INTO ledger (user_id, payment_sn, amount_fen, kind)"
        " SELECT user_id, payment_sn, amount_fen, kind FROM ledger WHERE kind = 'debit'",
        "was paid, but the wallet debited 3998 fen",
    ),
    ("UPDATE ledger SET user_id = 8", "the wallet debited user 8, not 7"),
    ("UPDATE ledger SET amount_fen = 4 WHERE amount_fen = 5", "succeeded, but the wallet refunded 4 fen"),
    ("DELETE FROM wallet_refund", "but the wallet debited"),
    ("UPDATE wallet_refund SET refund_sn = 'R' || rowid", "but there is no such refund"),
    (
        "INSERT INTO ledger (user_id, payment_sn, amount_fen, kind) VALUES (7, 'P0', -1, 'debit')",
        "P0: the wallet has entries, but there is no such payment",
    ),
]


@pytest.mark.parametrize(("sql", "told"), ALTERED)
async def test_altered_books_are_told_of(town: Town, sql: str, told: str) -> None:
    def alter(connection: Any) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(sql.replace("'R' || rowid", "'R' || ledger_id"))

    await town.users_db.run(alter)
    assert any(told in one for one in await examined(town)), await examined(town)


async def test_a_refund_that_the_wallet_made_twice_is_told_of(town: Town) -> None:
    class Twice(Ledger):
        async def entries(self, after: int, limit: int) -> list[WalletEntry]:
            found = await super().entries(after, limit)
            return [one for one in found for _ in range(2 if one.refund_sn else 1)]

    found = await examined(town, Twice(town))
    assert [one.split(": ")[1] for one in found] == ["the wallet refunded it twice"] * 2


async def test_the_doctor_compares_the_ledger(town: Town) -> None:
    store = town.world.store
    doctor = Doctor(
        audit=store.audit,
        clock=town.world.clock,
        outbox=store.outbox,
        leases=None,
        ledger=Ledger(town),
    )
    pauses_s: list[float] = []

    async def pause(seconds: float) -> None:
        pauses_s.append(seconds)

    report = await doctor.examine(pause)
    assert (report.findings, pauses_s) == (set(), [])
    await town.users_db.run(lambda connection: connection.execute(ALTERED[1][0]))
    report = await doctor.examine(pause)
    assert {finding.area for finding in report.findings} == {"wallet"}
    assert pauses_s == [RECHECK_S, *SETTLE_S], "the wallet's answer may be under way"
