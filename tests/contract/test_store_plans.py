"""Every statement the store sends to a server goes by an index, also when the tables are large.

What all tests of the run sent, in this process and in those they started, was recorded
(tests/plugins/statements.py), and every method of every part is used once more. Then each server explains
each over 200,000 orders. A scan is allowed only where scans.toml gives the reason.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pymysql
import pytest

from shop_order.domain.bill import BillCursor, Reconciliation, Totals, day_at
from shop_order.domain.entity import after_sales
from shop_order.domain.entity.cart import Cart
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.refund import Refund
from shop_order.domain.history_root import BEFORE_FIRST_ID
from shop_order.domain.ports import Cursor, KeyTaken, OrderFilter, RefundFilter, RefundPosition
from shop_order.domain.status import OrderStatus, PaymentType, RefundState
from shop_order.repository.dao.archive import move_statements
from shop_order.repository.dao.engine.mysql_session import MysqlAddress, MysqlSession
from shop_order.repository.dao.lists import list_orders
from shop_order.repository.dao.rows import HISTORY, LIVE
from shop_order.repository.dao.store import Store, open_store
from tests.contract.engine import BUYER, DAY_MS, NOW_MS, Engine, add, key, opened, order, paid, sn
from tests.contract.servers import connected
from tests.recording.recorder import recorded
from tests.world.provider import an_attempt

ORDERS = 200_000
FIRST = 5_000_000  # ids of the seeded rows, above those of the suite's own orders
FEW = 2_000  # rows a statement may look at without an index's help
SCANS = tomllib.loads((Path(__file__).parent / "scans.toml").read_text("utf-8"))
# Of what changes rows, that which looks for them first; the schema of the server is its own affair.
EXPLAINED = re.compile(r"\(?(SELECT (?!.* FROM information_schema)|UPDATE|DELETE|INSERT .* SELECT )")
_DIGITS = "(SELECT 0 AS d" + "".join(f" UNION ALL SELECT {n}" for n in range(1, 10)) + ")"
_NUMBERS = (
    "(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n FROM "
    + ", ".join(f"{_DIGITS} AS {name}" for name in "abcef")
    + ", (SELECT 0 AS d UNION ALL SELECT 1) AS g) AS numbers"
)
_STATUS = "IF(n % 20 < 3, 1 + n % 20, IF(n % 20 = 3, 5, 4))"  # most are completed, as in life
_CREATED = "timestamp('2026-01-01') + INTERVAL n SECOND"
SEED = (
    "INSERT INTO order_info (id, user, order_sn, pay_type, status, address, signer_name, signer_mobile,"
    " created_at, updated_at, province, city, district, total_fen, discount_fen, freight_fen, pay_fen,"
    " expire_ms, due_ms, payment_sn, cancel_reason, logistics_company, logistics_no, shipped_ms,"
    " completed_ms, refund_status, version)"
    f" SELECT {FIRST} + n, 1000 + n % 5000, concat('S', n), 'alipay', {_STATUS}, 'a', 'n', '1', {_CREATED},"
    f" {_CREATED}, '', '', '', 1, 0, 0, 1, 0, IF(n % 50 = 0, 1790000000000 + n, NULL), concat('P', n), '',"
    f" '', '', 0, 0, 0, 2 FROM {_NUMBERS}",
    'INSERT INTO order_goods (id, "order", goods, goods_name, nums, price_fen)'
    f" SELECT {FIRST} + n, {FIRST} + n, n % 1000, 'g', 1, 1 FROM {_NUMBERS}",
    "INSERT INTO order_event (order_sn, version, id, type, payload, prev_hash, hash, created_ms)"
    f" SELECT concat('S', n), 1, n, 'order.created', '{{}}', '', '', n FROM {_NUMBERS}",
    "INSERT INTO order_sn_claim (order_sn, order_id, created_ms)"
    f" SELECT concat('S', n), n, n FROM {_NUMBERS}",
    'INSERT INTO idempotency_key (scope, "key", command_hash, order_sn, payment_sn, created_ms)'
    f" SELECT concat(n % 5000, ':place'), n, '', '', '', 1794990000000 + n FROM {_NUMBERS}",
    "INSERT INTO payment (payment_sn, order_sn, user, payment_type, trade_type, amount_fen, state,"
    " payment_url, created_ms, expire_ms, trade_no, paid_ms, refunded_fen, ask_ms)"
    " SELECT concat('P', n), concat('S', n), 1, 1, 'page', 1, 'paid', '', 0, 0, '', 0, 0,"
    f" IF(n % 100 = 0, 1790000000000 + n, NULL) FROM {_NUMBERS}",
    "INSERT INTO refund (refund_sn, payment_sn, order_sn, amount_fen, state, reason, surplus, created_ms,"
    " finished_ms, try_ms, user, out_refund_no) SELECT concat('R', n), concat('P', n), concat('S', n), 1,"
    " IF(n % 100 = 7, 'requested', 'succeeded'), '', 0, 1790000000000 + n * 20000, 0,"
    " IF(n % 100 = 0, 1790000000000 + n, NULL), 1000 + n % 5000, concat('R', n)"
    f" FROM {_NUMBERS}",
    "INSERT INTO outbox (event_id, order_sn, version, created_ms)"
    f" SELECT n, concat('S', n), 1, n FROM {_NUMBERS} WHERE n < 20000",
    "INSERT INTO shopping_cart (id, user, goods, nums, checked)"
    f" SELECT n, n % 20000, n, 1, 1 FROM {_NUMBERS}",
    f"INSERT INTO cart_version (user, version) SELECT n, 1 FROM {_NUMBERS} WHERE n < 20000",
    "INSERT INTO log_feed (event_id, order_sn, version, created_ms)"
    f" SELECT {FIRST} + n, concat('S', n), 1, n FROM {_NUMBERS} WHERE n < 20000",
)


def seeding_history() -> Iterator[str]:
    """The history tables as full as those of today, with other orders."""
    for sql, _ in move_statements(LIVE, HISTORY, 1):
        into, _, rest = sql.partition(" SELECT ")
        columns = rest.partition(" FROM ")[0]
        others = re.sub(r'(?<![a-z_])("order"|id)(?![a-z_])', rf"\1 + {FIRST}", columns)
        others = re.sub(r"\b(order_sn|payment_sn|refund_sn)\b", r"concat('H', \1)", others)
        if rest:
            yield f"{into} SELECT {others} FROM {rest.partition(' FROM ')[2].partition(' WHERE ')[0]}"


@pytest.fixture
def seeded(server: Engine) -> Iterator[Engine]:
    """Many rows of everything, and the server's statistics about them."""
    statements = [*SEED, *seeding_history()]
    tables = re.findall(r"INTO ([a-z_]+)", " ".join(statements))
    with connected(server.url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()
        cursor.execute(f"ANALYZE TABLE {', '.join(tables)}")
    assert server.count("order_info") == server.count("order_info_history") == ORDERS
    yield server
    for table in tables:  # to delete so many rows would take the next test its time
        server.sql(f"TRUNCATE {table}")


@pytest.mark.slow
@pytest.mark.last
@pytest.mark.timeout(300)
async def test_every_statement_of_the_whole_run_goes_by_an_index(
    seeded: Engine, statements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = itertools.count(10**9)
    store = open_store(seeded.url, next_id=ids.__next__)
    await store.open()
    await use_everything(store)
    await store.close()
    monkeypatch.setattr("shop_order.repository.dao.lists.COUNT_CAP", 100)  # the total is counted too
    await a_cursor_is_near_wherever_it_stands(seeded.url)
    kinds = recorded(str(statements))
    explained = [sample for samples in kinds.values() for sample in samples if EXPLAINED.match(sample[0])]
    assert len(explained) > 70
    with connected(seeded.url) as connection:
        found = [(sql, why) for sql, values in explained for why in scans(connection, sql, values)]
    assert [
        (sql, why) for sql, why in found if not any(is_sent_as(sql, scan) for scan in SCANS.values())
    ] == []
    unsent = [name for name, scan in SCANS.items() if not any(is_sent_as(sql, scan) for sql, _ in explained)]
    assert unsent == []


def is_sent_as(sql: str, scan: Mapping[str, str]) -> bool:
    """Whether the statement is one of `scans.toml`."""
    return sql.startswith(scan["statement"]) and scan.get("containing", "") in sql


async def a_cursor_is_near_wherever_it_stands(url: str) -> None:
    """A page reads little, though most orders have this status and most of them are newer."""
    session = await MysqlSession.open(MysqlAddress.of(url), writes=False)
    before = await rows_read(session)
    deep = Cursor(1_767_300_000_000, FIRST + 75_600)
    page = await list_orders(session, OrderFilter(status=OrderStatus.COMPLETED), 0, 20, deep)
    read = await rows_read(session) - before
    await session.close()
    assert len(page.orders) == 20
    assert read < FEW


async def rows_read(session: MysqlSession) -> int:
    """From tables and indexes, as the server counts it for this connection."""
    return sum(int(n) for _, n in await session.all("SHOW SESSION STATUS LIKE 'Handler_read%'"))


def scans(connection: Any, sql: str, values: Sequence[Any]) -> list[str]:
    """The tables that a statement would read through."""
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute("EXPLAIN " + sql.replace("%", "%%").replace("?", "%s"), tuple(values))
        plan = cursor.fetchall()
    return [
        f"{step['table']}: {step['type']} of {step['rows']} rows by {step['key']}; {step['Extra']}"
        for step in plan
        if step["type"] in ("ALL", "index")
        and not str(step["table"]).startswith("<")
        and int(step["rows"] or 0) > FEW
    ]


async def use_everything(store: Store) -> None:
    """Every method of every part, on orders of our own and on what was seeded."""
    await use_orders(store)
    await use_lists(store)
    await store.carts.get(7)
    await store.carts.change(7, fill)
    await store.carts.change(7, lambda cart: cart.update(1, nums=5, checked=None, now_ms=NOW_MS))
    await store.carts.change(7, lambda cart: cart.remove([1]))
    now_ms = NOW_MS + 10**9
    await store.outbox.refused([e.id for e in await store.outbox.take(100, now_ms)], now_ms)
    await store.outbox.published([e.id for e in await store.outbox.take(100, now_ms)])
    await store.outbox.orders_waiting()
    await store.outbox.lag()
    await store.payments.find("P7")
    await store.payments.find("none")
    await store.payments.due_queries(now_ms, 50)
    await store.payments.due_refunds(now_ms, 50)
    await use_refunds(store)
    await store.payments.postpone_query("P100", now_ms)
    await store.payments.stop_queries(an_attempt("P101"), now_ms)
    await store.backlog.overdue(now_ms)
    await use_reconciliations(store)
    await store.payments.postpone_refund("R100", now_ms)
    await store.feed.done([fed.event_id for fed in await store.feed.take(0, 10)])
    await store.feed.events({"S7": 0}, 10)
    await store.feed.lag()
    page = await store.archive.oldest(now_ms, Cursor(1_767_300_000_000, FIRST + 20_000), 10)
    await store.archive.move({o.order_sn: o.version + n % 2 for n, o in enumerate(page.orders)})
    await store.orders.change(page.orders[0].order_sn, touch)
    await store.audit.order_sns("S1", 100)
    await store.audit.stored(["S1", "HS2"])
    await store.audit.items_without_order(10)
    await store.audit.payments_without_claim(10)
    await store.audit.chain("S7")
    await store.roots.last()
    await store.roots.page("2026-11-18", 100)
    for after_id in (BEFORE_FIRST_ID, FIRST - 1000):
        await store.roots.leaves(after_id, 10**9, 500)
    await store.time.advance(1)
    await store.last_id()
    await store.ping()
    await store.leases.hold("relay")
    await store.leases.worker_id()


async def use_refunds(store: Store) -> None:
    """The lists of a buyer, of a state, and of all; from the start, and from the middle."""
    await store.refunds.find("HR7")
    for after in (None, RefundPosition(1_792_000_000_000, "R7")):
        for where in (
            RefundFilter(user=1007),
            RefundFilter(state=RefundState.SUCCEEDED),
            RefundFilter(1007, RefundState.SUCCEEDED),
            RefundFilter(order_sn="S7"),
            RefundFilter(),
        ):
            await store.refunds.list(where, limit=20, after=after)
        await store.refunds.undecided(NOW_MS, 32, after)
    await store.payments.request_refund("R100", NOW_MS)


async def use_reconciliations(store: Store) -> None:
    """As if each day had its thousands."""
    ours, now_ms = store.reconciliations, NOW_MS
    await ours.payments([f"P{n}" for n in range(500)])
    await ours.refunds([f"R{n}" for n in range(500)])
    for after in (BillCursor(now_ms - DAY_MS), BillCursor(now_ms, "P7")):
        await ours.paid(PaymentType.ALIPAY, after, now_ms + DAY_MS, 500)
        await ours.refunded(PaymentType.ALIPAY, after, now_ms + DAY_MS, 500)
    await ours.request_query("P100", now_ms)
    await ours.request_query("HP100", now_ms)
    assert await store.leases.hold("reconcile")
    day = day_at(now_ms)
    result = Reconciliation(PaymentType.ALIPAY, day, Totals(), Totals(), 0, (), 0, 0, "", now_ms)
    await ours.keep(result, store.leases.fence("reconcile"))
    await ours.days(PaymentType.ALIPAY, day)


def touch(o: Order) -> None:
    o._record("order.touched", BUYER, NOW_MS, {})


def fill(cart: Cart) -> None:
    cart.add(1, 2, checked=True, id=10**8, now_ms=NOW_MS)


async def use_orders(store: Store) -> None:
    await store.carts.change(7, fill)
    await add(store, order((1, 2)), cart_version=(await store.carts.get(7)).version, key=key(), limit=20)
    with pytest.raises(KeyTaken):
        await add(store, order((1, 2)), key=key(), limit=20)
    new = await add(store, order((2, 1)), key=key("other"), limit=20)
    payment = await opened(store, new)
    await paid(store, new, payment)
    refund = Refund("R" + sn(), payment.payment_sn, new.order_sn, 1, RefundState.APPROVED, "", True, NOW_MS)

    def approve(o: Order) -> None:
        o.refunds[refund.refund_sn] = refund
        o._record("refund.approved", BUYER, NOW_MS, {})

    await store.orders.change(new.order_sn, approve)
    await store.orders.change(new.order_sn, lambda o: after_sales.sent(o, refund.refund_sn, NOW_MS))
    await store.orders.get(new.order_sn)
    await store.orders.get_by_id(new.id)
    await store.orders.history(new.order_sn)
    await store.orders.count_unpaid(1007)
    overdue = await store.orders.due(NOW_MS + 10**9, 32)
    await store.orders.due(NOW_MS + 10**9, 32, overdue[-1])
    await store.orders.statuses_or_tombstones([new.order_sn, sn()], NOW_MS)
    await store.orders.key("7:place", "k", NOW_MS)
    await store.orders.purge_keys(NOW_MS)
    await store.orders.purge_tombstones(NOW_MS + 10**9)


async def use_lists(store: Store) -> None:
    at = Cursor(1_767_300_000_000, FIRST + 150_000)
    for where in (
        OrderFilter(),
        OrderFilter(user=1007),
        OrderFilter(user=1007, status=OrderStatus.PAID),
        OrderFilter(order_sn="S7"),
        OrderFilter(order_sn="H7"),
        OrderFilter(status=OrderStatus.PAID),
        OrderFilter(status=OrderStatus.PAID, start_ms=1_767_250_000_000, end_ms=1_767_300_000_000),
        OrderFilter(user=1007, start_ms=1_767_250_000_000, end_ms=1_767_300_000_000),
        OrderFilter(start_ms=1_767_250_000_000, end_ms=1_767_300_000_000),
    ):
        for after in (None, at):
            await store.orders.list(where, offset=0, limit=20, after=after)
