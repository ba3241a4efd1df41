"""The planted faults: what is changed, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass

ORDER = "shop_order/domain/entity/order.py"
SERVICE = "shop_order/service/"
SQLITE = "shop_order/repository/dao/sqlite/"
LEASES = "shop_sandbox/leases.py"
BATCHES = "shop_order/pkg/batching.py"
WORKERS = "shop_order/cmd/workers/crew.py"

ADD = "tests/contract/test_store_add.py"
CHANGE = "tests/contract/test_store_change.py"
OUTBOX = "tests/contract/test_store_outbox.py"
HISTORY = "tests/contract/test_store_history.py"
USE_CASES = "tests/unit/service/test_use_cases.py"
KEYS = "tests/unit/service/test_idempotency.py"
BATCHING = "tests/unit/service/test_batching.py"
GROUPS = "tests/unit/pkg/test_batching_groups.py"
ATTEMPTS = "tests/unit/service/test_attempts.py"
ARCHIVE = "tests/contract/test_store_archive.py"
CREW = "tests/unit/workers/test_crew.py"
PLACING = "tests/component/rest/test_orders.py"
STOPPING = "tests/component/grpc/test_stopping.py"
STATES = "tests/unit/domain/test_transitions.py"
MONEY = "tests/unit/domain/test_money_arrived.py"
VALUES = "tests/unit/domain/test_values.py"
SANDBOX = "tests/unit/sandbox/test_leases.py"
FEN = "tests/unit/pkg/test_money.py"
STORIES = "tests/property/test_shop.py"


@dataclass(frozen=True)
class Fault:
    """Texts to be replaced, each of which stands once in its file; and the tests that must fail."""

    name: str
    tests: tuple[str, ...]
    patches: tuple[tuple[str, str, str], ...]


def fault(name: str, tests: str | tuple[str, ...], *patches: tuple[str, str, str]) -> Fault:
    """A fault; one file of tests is enough for most."""
    return Fault(name, (tests,) if isinstance(tests, str) else tests, patches)


FAULTS = (
    # ---- stock ----
    fault(
        "no tombstone",
        ADD,
        (
            SQLITE + "tombstones.py",
            "insert(conn, INTO_CLAIM, [(sn, TOMBSTONE, now_ms) for sn in new])",
            "pass",
        ),
    ),
    fault(
        "tombstone ignored at commit",
        STORIES,
        (
            SQLITE + "placing.py",
            "if owner == TOMBSTONE:\n        raise PlacingGivenUp",
            "if owner == TOMBSTONE:\n        return True",
        ),
    ),
    fault(
        "number drawn again on a duplicate",
        ADD,
        (
            SQLITE + "placing.py",
            "if owner != new.order_id:\n        raise NumberTaken\n    return False",
            "raise NumberTaken",
        ),
    ),
    fault(
        "lease of another order given back when a number is taken",
        STORIES,
        (
            SERVICE + "order.py",
            "except OrderServiceError:\n            self._give_back",
            "except (OrderServiceError, NumberTaken):\n            self._give_back",
        ),
    ),
    fault(
        "release without lease check",
        SANDBOX,
        (
            LEASES,
            "'released' WHERE order_sn = ? AND state = 'reserved' RETURNING",
            "'released' WHERE order_sn = ? RETURNING",
        ),
    ),
    fault(
        "release without lease check, told by a story",
        STORIES,
        (
            LEASES,
            "'released' WHERE order_sn = ? AND state = 'reserved' RETURNING",
            "'released' WHERE order_sn = ? RETURNING",
        ),
    ),
    fault(
        "double reserve counted twice",
        SANDBOX,
        (
            LEASES,
            "if inserted.rowcount == 0:",
            'if inserted.rowcount == 0 and _state(connection, order_sn) != "reserved":',
        ),
    ),
    fault(
        "a short line takes the others' stock",
        SANDBOX,
        (
            LEASES,
            "connection.executemany(_PUT_BACK, [line for line in lines if line[0] not in short])",
            "pass",
        ),
    ),
    fault(
        "check-back releases orders that wait for payment",
        ("tests/unit/service/test_reservation.py",),
        (
            SERVICE + "reservation.py",
            "if order.status is OrderStatus.CANCELLED:",
            "if order.status in (OrderStatus.CANCELLED, OrderStatus.PENDING):",
        ),
    ),
    # ---- money ----
    fault(
        "no amount check",
        MONEY,
        (ORDER, 'if amount_fen != payment.amount_fen:\n            raise AmountMismatch("amount")', "pass"),
    ),
    fault(
        "late payment not refunded",
        STORIES,
        (ORDER, "self._give_back_surplus(payment, refund_sn, now_ms)\n", "pass\n"),
    ),
    fault(
        "money by the link of a closed attempt is never looked for",
        ATTEMPTS,
        (
            "shop_order/repository/dao/changing.py",
            "return payment.over_ms if closed_early else None",
            "return None",
        ),
    ),
    fault(
        "timeout asks about the open attempt alone",
        ATTEMPTS,
        (ORDER, "if p.is_open or (waits and not p.is_paid)]", "if p.is_open]"),
    ),
    fault(
        "second refund number on retry",
        USE_CASES,
        (
            SERVICE + "settlement.py",
            "refund_sn=sn, amount_fen=refund.amount_fen",
            "refund_sn=self._paying._next_refund_sn(), amount_fen=refund.amount_fen",
        ),
    ),
    fault(
        "a closed attempt never pays",
        STATES,
        (
            "shop_order/domain/status.py",
            "PaymentState.CLOSED: frozenset({PaymentState.PAID})",
            "PaymentState.CLOSED: frozenset()",
        ),
    ),
    fault(
        "cancel of a paid order allowed",
        STATES,
        (ORDER, "if self.status is OrderStatus.PAID:\n            raise UseRefund\n", "\n"),
    ),
    fault(
        "yuan through float",
        FEN,
        (
            "shop_order/pkg/util/money.py",
            'return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))',
            "return int(float(text) * 100)",
        ),
    ),
    fault(
        "float32 that hides a fen",
        FEN,
        ("shop_order/pkg/util/money.py", "if _float32(fen / 100) != yuan:", "if False:"),
    ),
    # ---- carts, keys, limits ----
    fault(
        "cart removal without version",
        (ADD,),
        (
            SQLITE + "placing.py",
            "version + 1 WHERE user = ? AND version = ?",
            "version + 1 WHERE user = ? AND ? IS NOT NULL",
        ),
    ),
    fault(
        "cart removal without version, told by a story",
        STORIES,
        (
            SQLITE + "placing.py",
            "version + 1 WHERE user = ? AND version = ?",
            "version + 1 WHERE user = ? AND ? IS NOT NULL",
        ),
    ),
    fault(
        "cart add overwrites",
        VALUES,
        ("shop_order/domain/entity/cart.py", "nums=line.nums + nums, checked", "nums=nums, checked"),
    ),
    fault(
        "key not stored",
        ADD,
        (SQLITE + "placing.py", "    if new.key:\n        take_key", "    if False:\n        take_key"),
        (SQLITE + "placing.py", "for new in news if new.key]", "for new in news if False]"),
    ),
    fault(
        "key hash not compared",
        KEYS,
        (SERVICE + "idempotency.py", "if record.command_hash != wanted.command_hash:", "if False:"),
    ),
    fault(
        "key covers no address of the address book",
        PLACING,
        (SERVICE + "placing.py", "a if isinstance(a, int) else [", "0 if isinstance(a, int) else ["),
    ),
    fault(
        "equal keys do not share a flight",
        KEYS,
        (
            SERVICE + "idempotency.py",
            "if flight := self._flights.get((scope, key)):",
            "if flight := self._flights.get((scope, key, 0)):",
        ),
    ),
    fault(
        "unpaid limit off by one",
        ADD,
        (
            SQLITE + "placing.py",
            "count_unpaid(conn, new.user) >= new.unpaid_limit",
            "count_unpaid(conn, new.user) > new.unpaid_limit",
        ),
        (SQLITE + "placing.py", "all(count <= limits[user]", "all(count <= limits[user] + 1"),
    ),
    # ---- history and messages ----
    fault(
        "event not chained to the previous one",
        STORIES,
        (SQLITE + "orders.py", "prev_hash=order.last_hash)", "prev_hash=bytes(32))"),
    ),
    fault(
        "replace passes the guards",
        HISTORY,
        (
            "shop_order/script/migrations/versions/0001_orders.py",
            "WHEN EXISTS (SELECT 1 FROM order_event WHERE",
            "WHEN 0 AND EXISTS (SELECT 1 FROM order_event WHERE",
        ),
    ),
    fault(
        "a later version goes out first",
        OUTBOX,
        (
            SQLITE + "outbox.py",
            "ORDER BY o.order_sn, o.version LIMIT",
            "ORDER BY o.order_sn, o.version DESC LIMIT",
        ),
    ),
    fault(
        "a held order's later events go out",
        OUTBOX,
        (SQLITE + "outbox.py", "WHERE order_sn NOT IN", "WHERE event_id NOT IN"),
        (
            SQLITE + "outbox.py",
            "(SELECT order_sn FROM outbox WHERE not_before_ms > 0 AND",
            "(SELECT event_id FROM outbox WHERE not_before_ms > 0 AND",
        ),
    ),
    fault(
        "refused events are forgotten",
        USE_CASES,
        (
            SERVICE + "relay.py",
            "await self._outbox.published(acknowledged)",
            "await self._outbox.published([e.id for e in events])",
        ),
    ),
    # ---- time, access, batches ----
    fault(
        "timeout ignores the clock",
        USE_CASES,
        (
            SERVICE + "order.py",
            "if order.due_ms is None or order.due_ms > now_ms:",
            "if order.due_ms is None:",
        ),
    ),
    fault(
        "timeout does not ask the provider first",
        USE_CASES,
        (SERVICE + "timeout.py", "for attempt in order.may_have_money():", "for attempt in ():"),
    ),
    fault(
        "list without the user filter",
        USE_CASES,
        (SERVICE + "order.py", "where = replace(where, user=buyer(actor))", "buyer(actor)"),
    ),
    fault(
        "strangers see orders",
        USE_CASES,
        (SERVICE + "order.py", "order.user == actor.user_id", "order.user != 0"),
    ),
    fault(
        "a bad order's rows stay in the batch",
        CHANGE,
        (SQLITE + "database.py", 'conn.execute("ROLLBACK TO one")', "pass"),
    ),
    fault(
        "a caller that leaves stops the batch",
        BATCHING,
        (
            BATCHES,
            "if future.done():\n                continue",
            "if False:\n                continue",
        ),
    ),
    fault("a queue without end", BATCHING, (BATCHES, "if len(self._waiting) >= self._queue:", "if False:")),
    fault("no batch lets others go first", GROUPS, (BATCHES, "if self._ahead:", "if False:")),
    # ---- archive ----
    fault(
        "what changed meanwhile is archived",
        ARCHIVE,
        (SQLITE + "archive.py", "if row[2] == versions[row[1]]]", "if row[2]]"),
    ),
    fault(
        "orders are archived whose money is on its way",
        ARCHIVE,
        (ORDER, "return self.is_finished and not money", "return self.is_finished"),
    ),
    # ---- several processes, and their ends ----
    fault(
        "a worker that died is not followed",
        CREW,
        (WORKERS, "while not self._leaving.is_set():", "for _ in range(1):"),
    ),
    fault(
        "nobody takes over from who was on duty",
        CREW,
        (WORKERS, "if self._on_duty is worker:", "if False:"),
    ),
    fault(
        "a worker that hangs is left alone",
        CREW,
        (WORKERS, "worker.silent = True\n                    worker.kill()", "worker.silent = True"),
    ),
    fault(
        "a worker that starts later has the first settings",
        CREW,
        (WORKERS, 'worker.say("settings", self._settings())\n        async for', "async for"),
    ),
    fault(
        "callers of a server that stops are told CANCELLED",
        STOPPING,
        ("shop_order/pkg/grpc/server.py", "            hang_up(self._port)\n", ""),
    ),
)
