"""Whoever tells of an order and its money tells the same: all readers, in the worlds that stories end in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Set
from typing import Any

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.domain.order_log import day_of
from shop_order.domain.status import OrderStatus
from shop_order.pkg.signing import Signer
from shop_order.repository.cache.memory import MemoryCache
from shop_order.repository.cache.orders import OrderTimes, OrderViews
from shop_order.service.upkeep.archive import ArchiveService
from shop_order.service.upkeep.doctor import Doctor, Finding
from shop_order.service.upkeep.statistics import OrderTotals, StatisticsReport
from shop_order.web.context import RequestContext
from shop_order.web.dto.cursors import Cursors
from shop_order.web.dto.responses import OrderData
from shop_order.web.grpc.order_service import OrderServiceHandlers
from shop_order.web.grpc.shop_order import ShopOrderHandlers
from shop_order.web.messages import Language
from tests.component.rest.front import Rest, admin, token
from tests.property.model import CANCELLED, COMPLETED, ModelOrder
from tests.property.stage import USERS, Stage, buyer
from tests.world.shop import START_MS
from tests.world.wallet import Ledger

Told = dict[str, Any]
WIRE = {"open": 1, "paid": 2, "part_refunded": 2, "refunded": 3, "closed": 4}
ORDER_ROWS = "SELECT order_sn, status, refund_status, cancel_reason, cancel_code, version FROM {}"
AGES_MS = 100 * 86_400_000
SURPLUS = ("LATE_PAYMENT", "DUPLICATE_PAYMENT")


class Reading(Stage):
    """What callers and operators are told."""

    archived: Set[str] = frozenset()  # found by number, and in no list
    is_at_rest = False  # no message is on its way any more

    def everybody_tells_the_same(self) -> None:
        """Compare all readers with the model, and so with each other."""
        self.run(self._compare())

    def what_is_over_is_archived(self) -> None:
        """A long time later: only orders that nothing is left to do for."""
        store = self.world.store
        service = ArchiveService(
            archive=store.archive,
            on_unreadable=self.world.unreadable.report,
            clock=lambda: self.now_ms() + AGES_MS,
            after_days=lambda: 30,
        )

        async def walk() -> None:
            while not (await service.run_once(30)).is_last:
                pass

        self.run(walk())
        self.archived = {sn for (sn,) in self.rows("SELECT order_sn FROM order_info_history")}
        for sn in self.archived:
            order = self.model.orders[sn]
            assert order.status in (COMPLETED, CANCELLED)
            assert set(order.refunds.values()) <= {"succeeded"}
            assert all(refund.is_done for refund in order.live())

    def the_log_is_fed(self) -> None:
        """By its events, as they were published, and not by a walk."""

        async def feed() -> None:
            while (await self.world.store.feed.lag())[0]:
                await self.world.order_log.run_once()

        self.run(feed())
        self.run(self._figures_agree())

    async def _compare(self) -> None:
        self._rows_agree()
        async with Rest(self.world) as rest:
            for user in USERS:
                await self._rest_agrees(rest, user)
                await self._grpc_agrees(user)
            await self.world.order_log.rebuild()
            for order in self.model.orders.values():
                await self._log_agrees(rest, order)
            await self._figures_agree(rest)
        await self._cached_views_agree()

    # ---- what must be told ----

    def _wanted(self, order: ModelOrder) -> Told:
        shown = self.model.shown(order)
        return {
            "status": order.status,
            "refund_status": self.model.refund_status(order),
            "payment_sn": shown.sn if shown else "",
            "cancel_reason": order.cancel_words or order.cancel_code,
            "cancel_code": order.cancel_code,
            "version": order.events,
        }

    def _attempts(self, order: ModelOrder) -> dict[str, tuple[int, int, int]]:
        """By number: state, amount, given back."""
        return {p.sn: (WIRE[p.told], p.fen, p.refunded_fen) for p in self.model.attempts(order)}

    @staticmethod
    def _refused(order: ModelOrder) -> list[tuple[str, str]]:
        """By payment the states of its refunds."""
        return [*order.refunds.items(), *((order.paid_by, refund.state) for refund in order.asked.values())]

    def _of(self, user: int) -> dict[str, ModelOrder]:
        return {sn: order for sn, order in self.model.orders.items() if order.user == user}

    # ---- who tells it ----

    def _rows_agree(self) -> None:
        tables = ("order_info", "order_info_history")
        found = {sn: rest for table in tables for sn, *rest in self.rows(ORDER_ROWS.format(table))}
        assert found == {
            o.sn: [o.status, self.model.refund_status(o), o.cancel_words, o.cancel_code, o.events]
            for o in self.model.orders.values()
        }

    async def _rest_agrees(self, rest: Rest, user: int) -> None:
        mine = {"as_": token(user)}
        wanted = {sn: self._wanted(order) for sn, order in self._of(user).items()}
        recent = {sn: one for sn, one in wanted.items() if sn not in self.archived}
        listed = await rest.data("GET", "/orders", params={"page_size": "100"}, **mine)
        assert {one["order_sn"]: told(one) for one in listed["items"]} == recent
        for sn, order in self._of(user).items():
            detail = await rest.data("GET", f"/orders/{sn}", **mine)
            assert told(detail) == wanted[sn]
            assert {p["payment_sn"]: attempt(p) for p in detail["payments"]} == self._attempts(order)
            status = await rest.data("GET", f"/orders/{sn}/status", **mine)
            names = ("status", "refund_status", "version")
            assert [status[name] for name in names] == [wanted[sn][name] for name in names]
            if shown := self.model.shown(order):
                payment = await rest.data("GET", f"/orders/{sn}/payment", **mine)
                assert payment["payment_sn"] == shown.sn
                assert attempt(payment) == self._attempts(order)[shown.sn]

    async def _grpc_agrees(self, user: int) -> None:
        world, it = self.world, RequestContext("r", actor=buyer(user))
        parts: Any = {"cashier_link": lambda order: "", "cursors": Cursors(Signer([b"k" * 32]))}
        old = OrderServiceHandlers(world.use_cases, **parts)
        shop = ShopOrderHandlers(world.use_cases, **parts)
        wanted = {sn: self._wanted(order) for sn, order in self._of(user).items()}
        recent = {sn: one for sn, one in wanted.items() if sn not in self.archived}
        page = await old.list_orders(pb.ListOrdersRequest(page_size=100), it)
        assert {one.order_sn: told(one) for one in page.orders} == recent
        shop_page = await shop.order_list(shop_pb.OrderFilterRequest(page_per_nums=100), it)
        assert {one.order_sn: told(one) for one in shop_page.data} == recent
        for sn, order in self._of(user).items():
            one = await old.get_order_by_order_sn(pb.GetOrderByOrderSnRequest(order_sn=sn), it)
            assert told(one) == told(await old.get_order(pb.GetOrderRequest(id=one.id), it)) == wanted[sn]
            status = await old.check_order_status(pb.CheckOrderStatusRequest(order_sn=sn), it)
            assert (status.status, status.version) == (order.status, order.events)
            detail = await shop.order_detail(shop_pb.OrderRequest(order_sn=sn), it)
            assert told(detail.order_info) == wanted[sn]
            states = {sn: state for sn, (state, _, _) in self._attempts(order).items()}
            assert {p.payment_sn: p.status for p in detail.payments} == states
            if shown := self.model.shown(order):
                info = await old.get_payment_info(pb.GetPaymentInfoRequest(order_sn=sn), it)
                assert info.payment_sn == shown.sn
                assert (info.status, info.amount_fen, info.refunded_fen) == self._attempts(order)[shown.sn]

    async def _cached_views_agree(self) -> None:
        looked: Counter[str] = Counter()
        views = OrderViews(
            self.world.store.orders,
            MemoryCache(1000),
            times=lambda: OrderTimes(60_000, 0),
            jitter=lambda: 0.0,
            count=lambda how: looked.update([how]),
        )
        for order in self.model.orders.values():
            for _ in range(2):
                seen = OrderData.of(await views.get(order.sn), Language.EN, pay_url=None)
                assert told(seen) == self._wanted(order)
        assert looked["hit"] == looked["miss"] == len(self.model.orders)

    async def _log_agrees(self, rest: Rest, order: ModelOrder) -> None:
        """The events, as buyers, operators and other services read them."""
        log = await rest.data("GET", f"/admin/orders/{order.sn}/logs", as_=admin())
        entries = log["logs"]
        assert [entry["version"] for entry in entries] == list(range(1, order.events + 1))
        assert entries[-1]["new_status"] == order.status
        assert [e["reason"] for e in entries if e["action"] == "cancel"] == [order.cancel_code][
            : order.status == OrderStatus.CANCELLED
        ]
        came = sum(e["details"]["pay_fen"] for e in entries if e["action"] == "pay")
        surplus = [e for e in entries if e["action"] == "refund.requested" and e["reason"] in SURPLUS]
        came += sum(e["details"]["amount_fen"] for e in surplus)
        done = ("refund.succeeded", "refund.settled")
        back = sum(e["details"]["amount_fen"] for e in entries if e["action"] in done)
        assert (came, back) == self.model.money_totals(order)
        detail = await rest.data("GET", f"/orders/{order.sn}", as_=token(order.user))
        same = ("action", "reason", "old_status", "new_status", "at")
        assert [[e[n] for n in same] for e in detail["logs"]] == [[e[n] for n in same] for e in entries]

    async def _figures_agree(self, rest: Rest | None = None) -> None:
        orders = list(self.model.orders.values())
        money = [self.model.money_totals(order) for order in orders]
        paid_fen, refunded_fen = sum(came for came, _ in money), sum(back for _, back in money)
        first = day_of(START_MS)
        report = await self.world.statistics.report(first)
        assert report.is_complete
        for sums in totals(report):
            assert (sums.orders, sums.amount_fen) == (len(orders), sum(o.fen for o in orders))
            assert (sums.paid_fen, sums.refunded_fen) == (paid_fen, refunded_fen)
        for status, sums in report.by_status.items():
            of = [m for m, o in zip(money, orders, strict=True) if o.status == status]
            assert (sums.paid_fen, sums.refunded_fen) == (sum(c for c, _ in of), sum(b for _, b in of))
        if rest is not None:
            shown = await rest.data("GET", "/admin/stats/orders", params={"start": first}, as_=admin())
            names = ("paid_fen", "refunded_fen", "net_fen")
            assert [shown["total"][name] for name in names] == [
                paid_fen,
                refunded_fen,
                paid_fen - refunded_fen,
            ]
        await self._doctor_agrees(paid_fen, refunded_fen)

    async def _doctor_agrees(self, paid_fen: int, refunded_fen: int) -> None:
        store = self.world.store
        doctor = Doctor(
            audit=store.audit,
            clock=self.world.clock,
            outbox=store.outbox,
            leases=None,
            log=self.world.log_store,
            ledger=Ledger(self.town) if self.is_at_rest else None,
        )
        seen = await doctor.examine(lambda _: asyncio.sleep(0))
        assert (seen.paid_fen, seen.refunded_fen) == (paid_fen, refunded_fen)
        assert seen.orders == seen.compared == len(self.model.orders)
        assert seen.findings == {
            Finding("money", order.sn, f"{payment_sn}: the provider refused a refund")
            for order in self.model.orders.values()
            for payment_sn, state in self._refused(order)
            if state == "failed"
        }


def told(order: Any) -> Told:
    """What an answer of any protocol says of an order; null is empty."""
    names = ("status", "refund_status", "payment_sn", "cancel_reason", "cancel_code", "version")
    if isinstance(order, dict):
        return {name: "" if order[name] is None else order[name] for name in names}
    return {name: getattr(order, name) for name in names}


def attempt(payment: Told) -> tuple[int, int, int]:
    """State, amount and what was given back, as REST tells them."""
    return payment["status"], payment["amount_fen"], payment["refunded_fen"]


def totals(report: StatisticsReport) -> Iterator[OrderTotals]:
    """The sums, and those of each way to group them."""
    yield report.total
    for groups in (report.by_day, report.by_channel, report.by_status):
        found: list[OrderTotals] = list(groups.values())
        yield OrderTotals(
            sum(one.orders for one in found),
            sum(one.amount_fen for one in found),
            sum(one.paid_fen for one in found),
            sum(one.refunded_fen for one in found),
        )
