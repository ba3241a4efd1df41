"""The planted faults: what is changed, and which tests must notice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.planting import Change, argument, never, reword, skip, swap

ADD = "test_store_add"
CHANGE = "test_store_change"
OUTBOX = "test_store_outbox"
HISTORY = "test_store_history"
USE_CASES = "test_use_cases"
KEYS = "test_idempotency"
BATCHING = "test_batching"
GROUPS = "test_batching_groups"
ATTEMPTS = "test_attempts"
ARCHIVE = "test_store_archive"
PLACING = "rest/test_orders"
STOPPING = "test_stopping"
STATES = "test_transitions"
MONEY = "test_receive_payment"
VALUES = "test_values"
SANDBOX = "test_leases"
FEN = "test_money"
STORIES = "property/test_shop"
AFTER_SALES = "test_after_sales"
REFUNDS = "service/test_refunds"


@dataclass(frozen=True)
class Fault:
    """Changes of the code, and the tests that must fail then."""

    name: str
    tests: tuple[str, ...]
    changes: tuple[Change, ...]


def fault(name: str, tests: str | tuple[str, ...], *changes: Change) -> Fault:
    """A fault; one file of tests is enough for most."""
    return Fault(name, (tests,) if isinstance(tests, str) else tests, changes)


FAULTS = (
    # ---- stock ----
    fault("no tombstone", ADD, swap("dao:plant", "await insert(session, INSERT_CLAIM, ...)", "0")),
    fault(
        "tombstone ignored at commit",
        STORIES,
        swap("dao:claim", "if owner == TOMBSTONE: ...", "if owner == TOMBSTONE: return True"),
    ),
    fault("number drawn again on a duplicate", ADD, swap("dao:claim", "owner != new.order_id", "True")),
    fault(
        "lease of another order given back when a number is taken",
        STORIES,
        swap("_reserve_and_store", "OrderServiceError", "(OrderServiceError, NumberTaken)"),
    ),
    fault("release without lease check", SANDBOX, reword("release", "AND state = 'reserved'", "")),
    fault(
        "release without lease check, told by a story",
        STORIES,
        reword("release", "AND state = 'reserved'", ""),
    ),
    fault(
        "double reserve counted twice",
        SANDBOX,
        swap(
            "reserve",
            "inserted.rowcount == 0",
            "inserted.rowcount == 0 and _state(connection, order_sn) != 'reserved'",
        ),
    ),
    fault(
        "a short line takes the others' stock",
        SANDBOX,
        skip("reserve", "connection.executemany(_PUT_BACK, ...)"),
    ),
    fault(
        "check-back releases orders that wait for payment",
        "test_reservation",
        swap(
            "ReservationService._verdict",
            "order.status is OrderStatus.CANCELLED",
            "order.status in (OrderStatus.CANCELLED, OrderStatus.PENDING)",
        ),
    ),
    # ---- money ----
    fault("no amount check", MONEY, never("Money.receive", "amount_fen != payment.amount_fen")),
    fault(
        "late payment not refunded",
        STORIES,
        skip("Order.receive_payment", "self.record_refund(events.REFUND_APPROVED, ...)"),
    ),
    fault(
        "money by the link of a closed attempt is never looked for",
        ATTEMPTS,
        swap("ask_ms", "payment.grace_end_ms if ... else None", "None"),
    ),
    fault(
        "timeout asks about the open attempt alone",
        ATTEMPTS,
        swap("Money.attempts_to_query", "p.is_open or ...", "p.is_open"),
    ),
    fault(
        "second refund number on retry",
        USE_CASES,
        argument(
            "Settlement._send",
            "refund(refund=refund)",
            "__import__('dataclasses').replace(refund, out_refund_no=self.attempts.next_refund_sn())",
        ),
    ),
    fault(
        "a refund sent twice under two numbers",
        REFUNDS,
        swap("RefundService.resend", "result is RefundResult.CLOSED", "True"),
    ),
    fault(
        "settled by hand what the provider paid",
        REFUNDS,
        never("RefundService.settle", "result is RefundResult.SUCCEEDED"),
    ),
    fault(
        "a share rounded up twice",
        AFTER_SALES,
        swap(
            "share_of_pieces", "line_fen * (taken + more) // nums", "-(-line_fen * more // nums) + taken_fen"
        ),
    ),
    fault(
        "stock returned for an amount",
        AFTER_SALES,
        swap("Refund.restocks", "bool(self.lines) and self.is_refunded", "self.is_refunded"),
    ),
    fault(
        "stock of a return comes back twice",
        AFTER_SALES,
        never("Refund.restocks", "self.type is RefundType.RETURN"),
    ),
    fault(
        "a second approval by the same admin",
        AFTER_SALES,
        never("after_sales:approve", "refund.approver == actor.user_id"),
    ),
    fault(
        "the second admin alone approves more than the first",
        AFTER_SALES,
        never("after_sales:approve", "amount_fen > refund.amount_fen"),
    ),
    fault(
        "the same goods asked for twice in one request",
        REFUNDS,
        swap("request_refund", "merge_lines(wish.lines)", "wish.lines"),
    ),
    fault(
        "freight comes back with each part",
        AFTER_SALES,
        never("refund_amounts:amount", "not _sends_nothing(order, lines)"),
    ),
    fault(
        "an approval by itself stands for two admins",
        REFUNDS,
        never("is_approved_by_itself", "rules.need_two(...)"),
    ),
    fault(
        "a stranger's refund is shown",
        REFUNDS,
        never("RefundService.get", "refund.user != actor.buyer_id()"),
    ),
    fault(
        "a closed attempt never pays",
        STATES,
        swap("PAYMENT_TRANSITIONS", "frozenset({PaymentState.PAID})", "frozenset()"),
    ),
    fault(
        "cancel of a paid order allowed",
        STATES,
        never("Order.cancel", "self.status is OrderStatus.PAID"),
    ),
    fault(
        "yuan through float",
        FEN,
        swap("fen_of_yuan", "return int(match[1]) * 100 + ...", "return int(float(text) * 100)"),
    ),
    fault("float32 that hides a fen", FEN, never("fen_of_float32", "float32_of_fen(...) != yuan")),
    # ---- carts, keys, limits ----
    fault(
        "cart removal without version",
        ADD,
        reword("dao:take_from_carts", "user = ? AND version = ?", "user = ? AND ? IS NOT NULL"),
        swap("with_changed_carts", "times[user] > 1 or ...", "clicks[user] > 1"),
    ),
    fault(
        "cart removal without version, told by a story",
        STORIES,
        reword("dao:take_from_carts", "user = ? AND version = ?", "user = ? AND ? IS NOT NULL"),
        swap("with_changed_carts", "times[user] > 1 or ...", "clicks[user] > 1"),
    ),
    fault("cart add overwrites", VALUES, argument("Cart.add", "replace(nums=line.nums + nums)", "nums")),
    fault(
        "key not stored",
        ADD,
        skip("dao:store_one", "if new.key: ..."),
        swap("dao:_store_batch", "sorted((... for new in orders if new.key), key=tuple)", "[]"),
    ),
    fault("key hash not compared", KEYS, never("same_command", "record.command_hash != wanted.command_hash")),
    fault(
        "key covers no address of the address book",
        PLACING,
        swap("PlaceOrder.normalized", "a if isinstance(a, int) else ...", "0 if isinstance(a, int) else ..."),
    ),
    fault(
        "equal keys do not share a flight",
        KEYS,
        swap("Idempotency.once", "self._running.get((scope, key))", "self._running.get((scope, key, 0))"),
    ),
    fault(
        "unpaid limit off by one",
        ADD,
        swap(
            "dao:store_one",
            "await count_unpaid(...) >= new.unpaid_limit",
            "await count_unpaid(session, new.user) > new.unpaid_limit",
        ),
        swap("dao:over_limits", "unpaid[user] > limit", "unpaid[user] > limit + 1"),
    ),
    # ---- history and messages ----
    fault(
        "event not chained to the previous one",
        STORIES,
        argument("dao:_seal_events", "seal(prev_hash=order.last_hash)", "bytes(32)"),
    ),
    fault(
        "replace passes the guards",
        HISTORY,
        reword(
            "make_append_only",
            "WHEN EXISTS (SELECT 1 FROM ",
            "WHEN 0 AND EXISTS (SELECT 1 FROM ",
        ),
    ),
    fault(
        "a later version goes out first",
        OUTBOX,
        reword("dao:take_events", "ORDER BY o.order_sn, o.version", "ORDER BY o.order_sn, o.version DESC"),
    ),
    fault(
        "a held order's later events go out",
        OUTBOX,
        reword(
            "dao:take_events",
            "WHERE order_sn NOT IN (SELECT order_sn FROM outbox",
            "WHERE event_id NOT IN (SELECT event_id FROM outbox",
        ),
    ),
    fault(
        "refused events are forgotten",
        USE_CASES,
        swap("Relay.run_once", "self.outbox.published(...)", "self.outbox.published([e.id for e in events])"),
    ),
    # ---- time, access, batches ----
    fault(
        "timeout ignores the clock",
        USE_CASES,
        never("OrderService.apply_timeout", "order.due_ms > now_ms"),
    ),
    fault(
        "timeout does not ask the provider first",
        USE_CASES,
        swap("TimeoutService.decide", "order.attempts_to_query()", "()"),
    ),
    fault(
        "list without the user filter",
        USE_CASES,
        swap("OrderService.list", "where = replace(where, user=actor.buyer_id())", "actor.buyer_id()"),
    ),
    fault(
        "strangers see orders",
        USE_CASES,
        swap("visible", "order.user == actor.user_id", "order.user != 0"),
    ),
    fault(
        "a bad order's rows stay in the batch",
        ADD,
        skip("engine:run_one", "await session.rollback_to('one')"),
    ),
    fault("a caller that leaves stops the batch", BATCHING, never("Batcher._run_one", "future.done()")),
    fault("a queue without end", BATCHING, never("Batcher.submit", "len(self._waiting) >= self._queue")),
    fault("no batch lets others go first", GROUPS, skip("Batcher._drain", "if self._yields_to: ...")),
    # ---- archive ----
    fault(
        "what changed meanwhile is archived",
        ARCHIVE,
        swap("dao:lock_at_version", "version == versions[order_sn]", "version"),
    ),
    fault(
        "orders are archived whose money is on its way",
        ARCHIVE,
        swap("Order.is_settled", "self.is_finished and ...", "self.is_finished"),
    ),
    # ---- several processes, and their ends ----
    fault(
        "callers of a server that stops are told CANCELLED",
        STOPPING,
        skip("GrpcServer.stop", "close_connections(...)"),
    ),
)
