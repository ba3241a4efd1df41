"""The history tables: settled orders lie there in the same columns, for every SQL engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shop_order.repository.dao.rows import ITEM_COLUMNS, ORDER_COLUMNS, PAYMENT_COLUMNS, REFUND_COLUMNS, marks


@dataclass(frozen=True, slots=True)
class Tables:
    """Where an order lies: in one set of tables or in the other, with all that belongs to it."""

    orders: str
    items: str
    payments: str
    refunds: str


LIVE = Tables("order_info", "order_goods", "payment", "refund")
HISTORY = Tables("order_info_history", "order_goods_history", "payment_history", "refund_history")

# Every column that is stored; the others are generated.
_STORED = Tables(
    f"{ORDER_COLUMNS}, deleted_at",
    f"{ITEM_COLUMNS}, created_at, updated_at, deleted_at",
    f"{PAYMENT_COLUMNS}, open_order_sn, ask_ms, ask_tries",
    f"{REFUND_COLUMNS}, surplus_of, try_ms, tries",
)


def still_asked(orders: int) -> str:
    """Finds those of so many orders whose providers are to be asked again; in the history nobody would."""
    return f"SELECT order_sn FROM payment WHERE order_sn IN ({marks(orders)}) AND ask_ms IS NOT NULL"


def moves(source: Tables, target: Tables, orders: int) -> Iterator[tuple[str, bool]]:
    """The statements that move so many orders, each with whether it wants their ids (else their numbers)."""
    for source_table, target_table, columns, key in (
        (source.orders, target.orders, _STORED.orders, "id"),
        (source.items, target.items, _STORED.items, '"order"'),
        (source.payments, target.payments, _STORED.payments, "order_sn"),
        (source.refunds, target.refunds, _STORED.refunds, "order_sn"),
    ):
        these = f"WHERE {key} IN ({marks(orders)})"
        by_id = key != "order_sn"
        yield f"INSERT INTO {target_table} ({columns}) SELECT {columns} FROM {source_table} {these}", by_id
        yield f"DELETE FROM {source_table} {these}", by_id
