"""The services we call: goods, inventory, users and event inboxes. Concurrent calls are batched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub, GoodsStub, InventoryStub, UsersStub
from shop_order.domain.errors import (
    AddressNotFound,
    DeadlineExceeded,
    DependencyDown,
    OutOfStock,
    Overloaded,
    PlacingGivenUp,
    inside,
)
from shop_order.domain.ports import NumberTaken, StockLease, WalletEntry
from shop_order.domain.problems import Dependency
from shop_order.domain.valueobject.item import MAX_ORDER_FEN, Goods, Line
from shop_order.domain.valueobject.parties import PostalAddress
from shop_order.pkg.batching import Batcher
from shop_order.pkg.grpc.client import Neighbour
from shop_order.pkg.tracing import Origin, origin

if TYPE_CHECKING:
    from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxAsyncStub

INVENTORY: Final = "inventory_service"
USERS: Final = "user_service"
NAME_CHARS, IMAGE_CHARS = 100, 255  # the columns of specification 2.3
MAX_IDS_PER_CALL = 500
GoodsQuery = tuple[Sequence[int], Origin]
Reservation = tuple[str, Sequence[Line], Origin]


@contextmanager
def calling(name: Dependency, neighbour: Neighbour) -> Iterator[None]:
    """Raise DeadlineExceeded, Overloaded or DependencyDown if the call inside fails."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        address = neighbour.address
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineExceeded(f"{name} at {address}" if address else name) from error
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise Overloaded from error
        raise DependencyDown(name, address) from error


class GrpcGoods:
    """See `domain.ports.GoodsCatalogue`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        neighbour: Neighbour,
        *,
        max_batch: int,
        queue: int,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self._stub = GoodsStub(channel)
        self._neighbour = neighbour
        self.batches: Batcher[GoodsQuery, Mapping[int, Goods]] = Batcher(
            self._fetch, max_batch=max_batch, queue=queue, full=Overloaded, observe=observe
        )

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        return await self.batches.submit((goods_ids, origin()))

    async def _fetch(self, wanted: Sequence[GoodsQuery]) -> Sequence[Mapping[int, Goods]]:
        ids = sorted({id for goods_ids, _ in wanted for id in goods_ids})
        origins = [caller for _, caller in wanted]
        found: dict[int, Goods] = {}
        for at in range(0, len(ids), MAX_IDS_PER_CALL):
            request = pb.GoodsIds(ids=ids[at : at + MAX_IDS_PER_CALL])
            with calling("goods_service", self._neighbour):
                response = await self._neighbour.call(self._stub.BatchGetGoods, request, origins=origins)
            found |= {g.id: goods_of(g) for g in response.goods}
        return [found] * len(wanted)


def goods_of(info: pb.GoodsInfo) -> Goods:
    """Return goods as we store them; goods with an invalid price are not on sale."""
    valid_price = 0 <= info.price_fen <= MAX_ORDER_FEN
    image = info.image if len(info.image) <= IMAGE_CHARS else ""
    return Goods(
        info.id,
        info.name[:NAME_CHARS],
        image,
        info.price_fen if valid_price else 0,
        info.on_sale and valid_price,
    )


class GrpcStock:
    """See `domain.ports.Stock` and `domain.ports.StockLeases`."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        neighbour: Neighbour,
        *,
        lease_s: int,
        max_batch: int,
        queue: int,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self._stub = InventoryStub(channel)
        self._neighbour = neighbour
        self._lease_s = lease_s
        self.reservations: Batcher[Reservation, None] = Batcher(
            self._reserve, max_batch=max_batch, queue=queue, full=Overloaded, observe=observe
        )
        self._releasing: Batcher[tuple[str, Origin], None] = Batcher(
            self._release, max_batch=max_batch, queue=queue, full=Overloaded
        )

    async def reserve(self, order_sn: str, lines: Sequence[Line]) -> None:
        await self.reservations.submit((order_sn, lines, origin()))

    async def release(self, order_sn: str) -> None:
        await self._releasing.submit((order_sn, origin()))

    async def available(self, goods_ids: Sequence[int]) -> Mapping[int, int]:
        response = await self._stock(goods_ids)
        return {stock.goods_id: stock.available for stock in response.stocks}

    async def counters(self, goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        response = await self._stock(goods_ids)
        return {stock.goods_id: (stock.reserved, stock.sold) for stock in response.stocks}

    async def _stock(self, goods_ids: Sequence[int]) -> pb.StockList:
        with calling(INVENTORY, self._neighbour):
            return await self._neighbour.call(self._stub.GetStock, pb.GoodsIds(ids=goods_ids))

    async def leases(self, after: str, limit: int) -> Sequence[StockLease]:
        request = pb.LeaseFilter(after_order_sn=after, limit=limit)
        with calling(INVENTORY, self._neighbour):
            response = await self._neighbour.call(self._stub.ListLeases, request)
        return [lease_of(lease) for lease in response.leases]

    async def _reserve(self, wanted: Sequence[Reservation]) -> Sequence[Exception | None]:
        requests = [
            pb.ReserveRequest(
                order_sn=order_sn,
                lines=[pb.Line(goods_id=line.goods, nums=line.nums) for line in lines],
                lease_s=self._lease_s,
            )
            for order_sn, lines, _ in wanted
        ]
        origins = [caller for _, _, caller in wanted]
        batch = pb.ReserveRequests(requests=requests)
        with calling(INVENTORY, self._neighbour):
            response = await self._neighbour.call(self._stub.Reserve, batch, origins=origins)
        if [result.key for result in response.results] != [order_sn for order_sn, _, _ in wanted]:
            raise DependencyDown(INVENTORY, self._neighbour.address)  # the response is to another request
        return [None if result.ok else refusal(result) for result in response.results]

    async def _release(self, wanted: Sequence[tuple[str, Origin]]) -> Sequence[None]:
        released = pb.OrderSns(order_sns=[order_sn for order_sn, _ in wanted])
        origins = [caller for _, caller in wanted]
        with calling(INVENTORY, self._neighbour):
            await self._neighbour.call(self._stub.Release, released, origins=origins)
        return [None] * len(wanted)


def refusal(result: pb.Result) -> Exception:
    """Return the error of a refused lease."""
    if result.reason == "OUT_OF_STOCK":
        return OutOfStock(result.goods_ids)
    if result.reason == "TOMBSTONE":
        return PlacingGivenUp()
    if result.reason in ("MISMATCH", "CONFIRMED"):
        return NumberTaken()
    return DependencyDown(INVENTORY)


def lease_of(lease: pb.Lease) -> StockLease:
    """Return the lease of a response."""
    lines, returned = (
        tuple((line.goods_id, line.nums) for line in some) for some in (lease.lines, lease.returned)
    )
    return StockLease(lease.order_sn, lease.state, lines, returned)


class GrpcAddresses:
    """See `domain.ports.AddressBook`."""

    def __init__(self, channel: grpc.aio.Channel, neighbour: Neighbour) -> None:
        self._stub = UsersStub(channel)
        self._neighbour = neighbour

    async def get(self, user: int, address_id: int) -> PostalAddress:
        request = pb.AddressRequest(user_id=user, address_id=address_id)
        with calling(USERS, self._neighbour):
            try:
                a = await self._neighbour.call(self._stub.GetAddress, request)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise AddressNotFound from error
                raise
        # Not cleaned: the buyer must correct the entry, and the error names the field of the request.
        with inside("address_id"):
            return PostalAddress(a.name, a.phone, a.detail, a.province, a.city, a.district)


class GrpcInboxes:
    """The event inboxes of our neighbours."""

    def __init__(self, inboxes: Sequence[tuple[grpc.aio.Channel, Neighbour]]) -> None:
        self._inboxes = [(EventInboxStub(channel), neighbour) for channel, neighbour in inboxes]

    async def hand_over(self, cloud_events: Sequence[bytes]) -> set[str]:
        """Deliver events to every inbox; return the ids that all inboxes accepted.

        Raises DependencyDown, DeadlineExceeded, Overloaded.
        """
        batch = pb.EventBatch(cloud_events=cloud_events)
        responses = await asyncio.gather(*(_deliver(stub, each, batch) for stub, each in self._inboxes))
        return set.intersection(*(set(response.accepted_ids) for response in responses))


class GrpcWallet:
    """See `domain.ports.Wallet`; it also takes the wallet's commands where no broker delivers them."""

    def __init__(self, channel: grpc.aio.Channel, neighbour: Neighbour, log: Callable[..., None]) -> None:
        self._users = UsersStub(channel)
        self._inbox = EventInboxStub(channel)
        self._neighbour = neighbour
        self._log = log

    async def balance(self, user: int) -> int | None:
        try:
            with calling(USERS, self._neighbour):
                response = await self._neighbour.call(self._users.GetBalance, pb.UserId(user_id=user))
        except (DependencyDown, DeadlineExceeded, Overloaded):
            return None
        return response.balance_fen

    async def entries(self, after: int, limit: int) -> Sequence[WalletEntry]:
        request = pb.LedgerFilter(after_id=after, limit=limit)
        with calling(USERS, self._neighbour):
            response = await self._neighbour.call(self._users.ListLedger, request)
        return [
            WalletEntry(e.id, e.user_id, e.payment_sn, e.amount_fen, e.kind, e.refund_sn)
            for e in response.entries
        ]

    async def hand_over(self, commands: Sequence[bytes]) -> set[str]:
        """Deliver commands; return the ids of the accepted ones, none if the wallet can't be reached.

        A wallet that is away must hold back the events of its own orders only.
        """
        try:
            response = await _deliver(self._inbox, self._neighbour, pb.EventBatch(cloud_events=commands))
        except (DependencyDown, DeadlineExceeded, Overloaded) as away:
            self._log("wallet_away", waiting=len(commands), error=repr(away))
            return set()
        return set(response.accepted_ids)


async def _deliver(stub: EventInboxAsyncStub, neighbour: Neighbour, batch: pb.EventBatch) -> pb.DeliverResult:
    with calling("event_inbox", neighbour):
        return await neighbour.call(stub.Deliver, batch, origins=())
