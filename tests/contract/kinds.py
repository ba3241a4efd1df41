"""Orders of every kind that money can make of them, and who looks at them afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from shop_order.domain.entity import after_sales
from shop_order.domain.entity.after_sales import RefundRules, RefundWish
from shop_order.domain.entity.order import Order
from shop_order.domain.status import RefundType
from shop_order.domain.valueobject.item import Line
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.repository.dao.store import Store
from shop_order.service.upkeep.audit import AuditService
from shop_order.service.upkeep.doctor import Doctor
from tests.contract.engine import BUYER, DAY_MS, NOW_MS, add, added, opened, order, paid, sn

ADMIN = Actor(Role.ADMIN, 1)
OTHER = Actor(Role.ADMIN, 2)
RULES = RefundRules(DAY_MS)
TWO_ADMINS = RefundRules(DAY_MS, second_approval_fen=1)
Step = Callable[..., object]


async def changed(store: Store, of: Order, *steps: Callable[[Order], object]) -> Order:
    """Each step in a commit of its own."""
    for step in steps:
        of = (await store.orders.change(of.order_sn, step))[0]
    return of


async def bought(store: Store, until: str = "paid") -> Order:
    """Two products, paid, maybe shipped and received."""
    new = await added(store, (1, 2), (2, 1))
    done = await paid(store, new, await opened(store, new))
    if until != "paid":
        done = await changed(
            store, done, lambda o: o.ship("顺丰", "SF1", BUYER, NOW_MS, auto_confirm_ms=DAY_MS)
        )
    if until == "completed":
        done = await changed(store, done, lambda o: o.complete(BUYER, NOW_MS))
    return done


async def cancelled(store: Store) -> Order:
    """Given up by its buyer, though its attempt may still be paid for a while."""
    new = await added(store)
    sn = (await opened(store, new)).payment_sn
    return await changed(
        store,
        new,
        lambda o: o.close_attempt(sn, BUYER, NOW_MS),
        lambda o: o.cancel("不要了", BUYER, NOW_MS, code="BUYER"),
    )


async def late(store: Store, *steps: Step) -> Order:
    """Money for a cancelled order is refunded."""
    of = await cancelled(store)
    (payment,) = of.payments.values()
    of = await paid(store, of, payment)
    (number,) = of.refunds
    return await changed(store, of, *(partial(step, number=number) for step in steps))


async def refund(store: Store, of: Order, wish: RefundWish, *steps: Step) -> Order:
    """A refund that was asked for, and what happened to it."""
    number = f"R{sn()}"

    asked = await changed(
        store, of, lambda o: after_sales.request_refund(o, wish, number, BUYER, NOW_MS, RULES)
    )
    return await changed(store, asked, *(partial(step, number=number) for step in steps))


def approve(o: Order, number: str) -> None:
    """At once."""
    after_sales.approve(o, number, ADMIN, NOW_MS, RULES, reason="好")


def approve_first(o: Order, number: str) -> None:
    """Another admin has to as well."""
    after_sales.approve(o, number, OTHER, NOW_MS, TWO_ADMINS, reason="先看看")


def parcel(o: Order, number: str) -> None:
    """The buyer sends the goods."""
    after_sales.send_parcel(o, number, "中通", "ZT1", BUYER, NOW_MS)


def arrive(o: Order, number: str) -> None:
    """The goods are back."""
    after_sales.receive_goods(o, number, ADMIN, NOW_MS)


def send(o: Order, number: str) -> None:
    """To the provider."""
    after_sales.sent(o, number, NOW_MS)


def succeed(o: Order, number: str) -> None:
    """At the provider."""
    after_sales.succeeded(o, number, NOW_MS)


def fail(o: Order, number: str) -> None:
    """The provider closed the number."""
    after_sales.failed(o, number, NOW_MS, failure="CLOSED")


def again(o: Order, number: str) -> None:
    """Under another number."""
    after_sales.send_again(o, number, ADMIN, NOW_MS, closed=number, out_refund_no=f"R{sn()}")


def settle(o: Order, number: str) -> None:
    """Somebody paid it by hand."""
    after_sales.settle_by_hand(o, number, ADMIN, NOW_MS, reason="银行转账")


def reject(o: Order, number: str) -> None:
    """No money."""
    after_sales.reject(o, number, ADMIN, NOW_MS, reason="已签收")


SOME = RefundWish(lines=(Line(1, 1),), reason="坏了")
BACK = RefundWish(RefundType.RETURN, (Line(1, 1),), reason="不喜欢")
STEPS: dict[str, tuple[str, RefundWish, list[Step]]] = {
    "requested": ("paid", SOME, []),
    "approved_once": ("shipped", SOME, [approve_first]),
    "approved": ("paid", SOME, [approve]),
    "rejected": ("completed", SOME, [reject]),
    "part": ("completed", SOME, [approve, send, succeed]),
    "whole": ("paid", RefundWish(reason="退"), [approve, send, succeed]),
    "failed": ("paid", SOME, [approve, send, fail]),
    "sent_again": ("shipped", SOME, [approve, send, fail, again]),
    "settled": ("completed", SOME, [approve, send, fail, settle]),
    "awaiting": ("shipped", BACK, [approve, parcel]),
    "returned": ("shipped", BACK, [approve, parcel, arrive]),
    "back": ("completed", BACK, [approve, parcel, arrive, send, succeed]),
}


async def every_kind(store: Store) -> dict[str, Order]:
    """An order of each kind by name."""
    new = order((1, 2), (2, 1), pages=("https://shop.example/done", "https://shop.example/cart"))
    kinds = {"pending": await add(store, new), "opened": await added(store), "closed": await added(store)}
    await opened(store, kinds["opened"])
    sn = (await opened(store, kinds["closed"])).payment_sn
    await changed(store, kinds["closed"], lambda o: o.close_attempt(sn, BUYER, NOW_MS))
    for until in ("paid", "shipped", "completed"):
        kinds[until] = await bought(store, until)
    kinds["cancelled"] = await cancelled(store)
    kinds["late"] = await late(store)
    kinds["late_succeeded"] = await late(store, send, succeed)
    kinds["late_failed"] = await late(store, send, fail)
    for name, (until, wish, steps) in STEPS.items():
        kinds[name] = await refund(store, await bought(store, until), wish, *steps)
    return kinds


def clock() -> int:
    """A moment after it all, while the jobs still have it before them."""
    return NOW_MS + 1000


async def faults(store: Store, now: Callable[[], int] = clock) -> tuple[dict[str, str], dict[str, str]]:
    """By order what the doctor and the audit find, without refunds that the provider refused."""
    doctor = Doctor(audit=store.audit, clock=now, outbox=store.outbox, leases=None)
    report = await doctor.examine(lambda _: asyncio.sleep(0))
    found: dict[str, str] = {}
    for finding in report.findings:
        if not finding.what.endswith("the provider refused a refund"):
            found[finding.order_sn] = f"{found.get(finding.order_sn, '')}{finding.what}\n"
    _, broken = await AuditService(store.audit, now).verify()
    return found, {one.order_sn: one.what for one in broken}
