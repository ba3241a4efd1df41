"""Every field of an entity has its column: what a new field needs is one `Column`, and this says where."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import pytest

from shop_order.domain.entity.cart import CartLine
from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.event.order_events import Event
from shop_order.domain.status import OrderStatus, PaymentState, PaymentType, RefundState
from shop_order.domain.valueobject.item import OrderItem
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.repository.dao import rows
from shop_order.repository.dao.engine.columns import Columns
from shop_order.repository.schema import SQLITE_SCRIPT

MANY = {"items", "money", "new_events"}  # have tables of their own
MAPPED: list[tuple[type[Any], Columns, set[str]]] = [
    (Order, rows.ORDER, MANY | {"last_hash"}),
    (OrderItem, rows.ITEM, set()),
    (Payment, rows.PAYMENT, set()),
    (Refund, rows.REFUND, set()),
    (Event, rows.EVENT, {"request_id", "traceparent"}),  # only while it waits to be published
    (CartLine, rows.CART_LINE, set()),
]


@pytest.mark.parametrize(("entity", "columns", "elsewhere"), MAPPED)
def test_each_field_has_a_column(entity: type[Any], columns: Columns, elsewhere: set[str]) -> None:
    mapped = {field.partition(".")[0] for field in columns.fields} - {"refund_status"}  # made from refunds
    stored = {field.name for field in fields(entity)} - elsewhere
    assert mapped == stored, "add a Column in repository/dao/rows.py"


def test_each_field_of_an_address_has_a_column() -> None:
    mapped = {field for field in rows.ORDER.fields if "." in field}
    assert mapped == {f"address.{field.name}" for field in fields(PostalAddress)}


@pytest.fixture
def tables() -> Iterator[dict[str, set[str]]]:
    """Each table's columns, without those the database makes itself."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SQLITE_SCRIPT.read_text(encoding="utf-8"))
        found = connection.execute(
            "SELECT t.name, c.name FROM sqlite_master AS t, pragma_table_xinfo(t.name) AS c"
            " WHERE t.type = 'table' AND c.hidden = 0"
        ).fetchall()
    yield {table: {column for name, column in found if name == table} for table, _ in found}


@dataclass(frozen=True)
class Stored:
    """A table: what of it an entity fills, and what the store keeps beside."""

    table: str
    columns: Columns
    beside: set[str]


LINE_TIMES = {"created_at", "updated_at", "deleted_at"}
STORED = [
    Stored("order_info", rows.ORDER, {"deleted_at"}),
    Stored("order_goods", rows.ITEM, {"order", *LINE_TIMES}),
    Stored("payment", rows.PAYMENT, {"open_order_sn", "ask_ms", "ask_tries"}),
    Stored("refund", rows.REFUND, {"surplus_of", "try_ms", "tries"}),
]


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored.table)
def test_each_column_stands_in_both_tables_and_no_other(stored: Stored, tables: dict[str, set[str]]) -> None:
    wanted = {*stored.columns.names, *stored.beside}
    assert tables[stored.table] == wanted, "a migration and a Column go together"
    assert tables[f"{stored.table}_history"] == wanted, "the history table has the same columns"


def different(order: Order) -> Order:
    """The order with another value in each of its plain fields."""
    for n, field in enumerate(fields(order), 1):
        value = getattr(order, field.name)
        if field.name == "due_ms" or type(value) is int:
            setattr(order, field.name, 1_790_000_000_000 + n)
        elif type(value) is str:
            setattr(order, field.name, f"{field.name} {n}")
    order.pay_type, order.status, order.last_hash = PaymentType.ALIPAY, OrderStatus.SHIPPED, b"h" * 32
    return order


@pytest.fixture
def order() -> Order:
    """Nothing of it is as it would be by default."""
    payment = Payment(
        "P1", "S1", 7, PaymentType.ALIPAY, "page", 5, PaymentState.PAID, "http://pay", 1, 2, "T1", 3, 4
    )
    refund = Refund("R1", "P1", "S1", 5, RefundState.SUCCEEDED, "late", True, 1, 2)
    address = PostalAddress("王小明", "13800138000", "人民路 1 号", "上海", "上海市", "浦东", "200000")
    items = (OrderItem(1, 2, "goods", "1.png", 3, 4),)
    order = Order(
        1, "", 1, OrderStatus.PENDING, address, items, "", 1, 1, 1, 1, PaymentType.NOT_CHOSEN, 1, 1, 1
    )
    order.payments["P1"], order.refunds["R1"] = payment, refund
    return different(order)


def test_an_order_comes_back_from_its_rows_field_by_field(order: Order) -> None:
    row, items = rows.ORDER.row(order), [item[:7] for item in rows.item_rows(order)]
    payments = [rows.PAYMENT.row(payment) for payment in order.payments.values()]
    refunds = [rows.REFUND.row(refund) for refund in order.refunds.values()]
    again = rows.order_of(row, items, payments, refunds, order.last_hash)
    assert again == order
    assert rows.ORDER.row(again) == row
    assert rows.version_of(row) == order.version


def test_a_value_of_another_version_is_named_by_its_order(order: Order) -> None:
    row = [*rows.ORDER.row(order)]
    row[rows.ORDER.names.index("status")] = 99
    with pytest.raises(UnreadableRow) as refused:
        rows.order_of(row, [], [], [], b"")
    assert refused.value.number == order.order_sn
