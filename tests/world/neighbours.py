"""The sandbox's real inventory and inbox behind the ports, without a wire between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.errors import AddressNotFound, DependencyDown
from shop_order.domain.event.order_events import Event
from shop_order.domain.ports import StockLease
from shop_order.domain.valueobject.item import Goods, Line
from shop_order.domain.valueobject.parties import Actor, PostalAddress, Role
from shop_order.gateway.events import cloud_event
from shop_order.gateway.neighbours import lease_of, refusal
from shop_order.service.reservation import ReservationService
from shop_sandbox import events, leases
from shop_sandbox.database import Database
from shop_sandbox.inbox import EventInbox
from shop_sandbox.inventory import Inventory

LEASE_S = 60

INVENTORY = Actor(Role.SERVICE, service="inventory")


class Neighbours:
    """Inventory and event inbox, each with its own SQLite file."""

    def __init__(self, folder: Path, clock_ms: Callable[[], int]) -> None:
        self._stock_file = Database(folder / "inventory.db", leases.SCHEMA)
        self._inbox_file = Database(folder / "inbox.db", events.SCHEMA)
        self.inventory = Inventory(self._stock_file, clock_ms)
        self.inbox = EventInbox(self._inbox_file, self.inventory, clock_ms)
        self.path = folder / "inventory.db"

    async def open(self, stocks: Mapping[int, int]) -> None:
        """Start with so many of each goods."""
        self._stock_file.open()
        self._inbox_file.open()
        await self.inventory.open(stocks.items())

    async def close(self) -> None:
        """Stop the threads."""
        await self._stock_file.close()
        await self._inbox_file.close()

    async def check_back(self, reservation: ReservationService) -> int:
        """One round of the inventory's questions about leases that ran out; how many were asked."""
        due = [order_sn for order_sn, _ in await self.inventory.due(100)]
        if due:
            verdicts = await reservation.check(INVENTORY, due)
            told = [pb.Verdict(order_sn=v.order_sn, answer=v.answer, until_ms=v.until_ms) for v in verdicts]
            await self.inventory.settle(told, [])
        return len(due)


class InProcessStock:
    """See `domain.ports.Stock`, `Leases`. `after_reserve` runs once, between lease and commit."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self.after_reserve: Callable[[], Awaitable[None]] | None = None
        self.reserved: list[str] = []

    async def reserve(self, order_sn: str, lines: Sequence[Line]) -> None:
        wanted = [pb.Line(goods_id=line.goods, nums=line.nums) for line in lines]
        request = pb.ReserveRequest(order_sn=order_sn, lines=wanted, lease_s=LEASE_S)
        answer = await self._inventory.reserve(pb.ReserveRequests(requests=[request]))
        if not answer.results[0].ok:
            raise refusal(answer.results[0])
        self.reserved.append(order_sn)
        if hook := self.after_reserve:
            self.after_reserve = None
            await hook()

    async def release(self, order_sn: str) -> None:
        await self._inventory.release(pb.OrderSns(order_sns=[order_sn]))

    async def available(self, goods_ids: Sequence[int]) -> Mapping[int, int]:
        answer = await self._inventory.get_stock(pb.GoodsIds(ids=goods_ids))
        return {stock.goods_id: stock.available for stock in answer.stocks}

    async def leases(self, after: str, limit: int) -> Sequence[StockLease]:
        answer = await self._inventory.list_leases(pb.LeaseFilter(after_order_sn=after, limit=limit))
        return [lease_of(one) for one in answer.leases]

    async def counters(self, goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        answer = await self._inventory.get_stock(pb.GoodsIds(ids=goods_ids))
        return {stock.goods_id: (stock.reserved, stock.sold) for stock in answer.stocks}


class InProcessInboxes:
    """See `domain.ports.EventPublisher`; remembers in which order an order's versions were accepted."""

    def __init__(self, inbox: EventInbox) -> None:
        self._inbox = inbox
        self.refuse: Callable[[Event], bool] = lambda event: False
        self.down = False
        self.lose_answer = False
        self.accepted: dict[str, int] = {}

    async def deliver(self, events: Sequence[Event]) -> Sequence[int]:
        if self.down:
            raise DependencyDown("event_inbox")
        refused: set[str] = set()
        taken = []
        for event in events:
            if event.order_sn in refused or self.refuse(event):
                refused.add(event.order_sn)
            else:
                taken.append(event)
        answer = await self._inbox.deliver(pb.EventBatch(cloud_events=[cloud_event(e) for e in taken]))
        accepted = [event for event in taken if str(event.id) in set(answer.accepted_ids)]
        for event in accepted:
            last = self.accepted.get(event.order_sn, 0)
            assert event.version <= last + 1, f"{event.order_sn}: v{event.version} went out after v{last}"
            self.accepted[event.order_sn] = max(last, event.version)
        if self.lose_answer:
            self.lose_answer = False
            raise DependencyDown("event_inbox")
        return [event.id for event in accepted]


class AddressBook:
    """See `domain.ports.Addresses`: the entries by user and id."""

    def __init__(self, entries: Mapping[tuple[int, int], PostalAddress]) -> None:
        self.entries = dict(entries)
        self.down = False

    async def get(self, user: int, address_id: int) -> PostalAddress:
        if self.down:
            raise DependencyDown("user_service")
        if (user, address_id) not in self.entries:
            raise AddressNotFound
        return self.entries[user, address_id]


class Shelf:
    """See `domain.ports.GoodsCatalogue`: goods as the test puts them up."""

    def __init__(self, goods: Mapping[int, Goods]) -> None:
        self.goods = dict(goods)

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        return {id: self.goods[id] for id in goods_ids if id in self.goods}
