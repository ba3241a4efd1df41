"""What the suites share: an engine under test, and orders to put into it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import Key
from shop_order.domain.status import PaymentState, PaymentType
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import Actor, PostalAddress, Role
from shop_order.repository.dao.engine.base import GUARDS
from shop_order.repository.dao.store import Store, open_store

NOW_MS = 1_795_000_000_123
DAY_MS = 86_400_000
TIMEOUT_MS = 1_800_000
BUYER = Actor(Role.USER, 7)
ADDRESS = PostalAddress(
    "王小明👍", "+8613800138000", "人民路 1 号👨‍👩‍👧 % _ ' \"", "上海", "上海", "浦东", "200000"
)
GOODS = {n: Goods(n, f"goods {n}", f"{n}.png", 1000 + n, True) for n in range(1, 10)}
_numbers = itertools.count(1)
_ids = itertools.count(1)


@dataclass
class Engine:
    """One order database; `sql` looks past the service at what was stored."""

    guards: ClassVar[frozenset[str]]
    url: str
    next_id: Callable[[], int]
    opened: list[Store] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store that is open now."""
        return self.opened[-1]

    async def open(self) -> Store:
        """Open one more."""
        self.opened.append(open_store(self.url, next_id=self.next_id))
        await self.store.open()
        return self.store

    async def reopen(self) -> Store:
        """The process ends, another one begins."""
        await self.opened.pop().close()
        return await self.open()

    async def close(self) -> None:
        """Close all."""
        while self.opened:
            await self.opened.pop().close()

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Rows of a statement on a connection of our own; writes are committed."""
        raise NotImplementedError

    def count(self, table: str) -> int:
        """Rows of a table."""
        (found,) = self.sql(f"SELECT count(*) FROM {table}")[0]
        assert isinstance(found, int)
        return found


class FileEngine(Engine):
    """An SQLite file."""

    guards = GUARDS

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


def late_clock() -> int:
    """A clock later than whatever a suite does: nothing that is stored is too far ahead of it."""
    return NOW_MS + 1000 * DAY_MS


def sn() -> str:
    """A number nobody used before."""
    return f"261121080000{next(_numbers):015d}"


def order(
    *lines: tuple[int, int],
    user: int = 7,
    order_sn: str = "",
    now_ms: int = NOW_MS,
    timeout_ms: int = TIMEOUT_MS,
    pay_type: PaymentType = PaymentType.NOT_CHOSEN,
    pages: tuple[str, str] = ("", ""),
) -> Order:
    """A pending order that is not stored yet."""
    return Order.place(
        [Line(goods, nums) for goods, nums in lines or ((1, 2),)],
        GOODS,
        order_sn=order_sn or sn(),
        actor=Actor(Role.USER, user),
        address=ADDRESS,
        note="快一点",
        pay_type=pay_type,
        now_ms=now_ms,
        pay_timeout_ms=timeout_ms,
        next_id=_ids.__next__,
        salt=f"{next(_ids):032x}",
        return_url=pages[0],
        cancel_url=pages[1],
    )


async def add(
    store: Store, new: Order, *, cart_version: int | None = None, key: Key | None = None, limit: int = 0
) -> Order:
    """Store it, with what a test leaves out left out."""
    await store.orders.add(new, cart_version=cart_version, key=key, unpaid_limit=limit, in_time=lambda: True)
    return new


async def added(store: Store, *lines: tuple[int, int], user: int = 7, now_ms: int = NOW_MS) -> Order:
    """A stored pending order."""
    return await add(store, order(*lines, user=user, now_ms=now_ms))


def key(name: str = "k", *, command: bytes = b"c" * 32, at_ms: int = NOW_MS, user: int = 7) -> Key:
    """An idempotency key."""
    return Key(f"{user}:place", name, command, at_ms)


def attempt(of: Order, *, payment_sn: str = "") -> Payment:
    """An open attempt to pay an order."""
    return Payment(
        payment_sn or "P" + sn(),
        of.order_sn,
        of.user,
        PaymentType.ALIPAY,
        "page",
        of.pay_fen,
        PaymentState.PENDING,
        "https://pay.example/",
        NOW_MS,
        of.expire_ms,
    )


def stored_columns(engine: Engine, table: str) -> list[str]:
    """The columns that are not generated."""
    if engine.url.startswith("sqlite:"):
        rows = engine.sql(f"PRAGMA table_xinfo({table})")
        return sorted(f'"{row[1]}"' for row in rows if row[6] == 0)
    sql = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = database()"
        " AND table_name = ? AND extra NOT LIKE '%GENERATED%'"
    )
    return sorted(f'"{name}"' for (name,) in engine.sql(sql, table))


async def opened(store: Store, of: Order, now_ms: int = NOW_MS) -> Payment:
    """An order's stored open attempt."""
    payment = attempt(of)
    await store.orders.change(of.order_sn, lambda o: o.open_attempt(payment, BUYER, now_ms))
    return payment


async def due(store: Store, now_ms: int, limit: int = 10) -> list[str]:
    """Numbers of the orders whose time is over."""
    return [one.order_sn for one in await store.orders.due(now_ms, limit)]


async def paid(store: Store, of: Order, payment: Payment, now_ms: int = NOW_MS) -> Order:
    """The money arrives."""

    def decide(o: Order) -> None:
        o.receive_payment(
            payment.payment_sn,
            trade_no="T" + payment.payment_sn,
            amount_fen=payment.amount_fen,
            paid_ms=now_ms,
            now_ms=now_ms,
            refund_sn="R" + payment.payment_sn[1:],
        )

    return (await store.orders.change(of.order_sn, decide))[0]
