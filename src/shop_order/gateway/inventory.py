"""The inventory service: leases of concurrent orders travel together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryStub
from shop_order.domain.errors import DependencyDown, OutOfStock, Overloaded, PlacingGivenUp
from shop_order.domain.ports import Lease, NumberTaken
from shop_order.domain.valueobject.item import Line
from shop_order.gateway.calls import failure
from shop_order.pkg.batching import Batcher
from shop_order.pkg.grpc.client import Neighbour
from shop_order.pkg.tracing import Origin, origin

NAME: Final = "inventory_service"
Wanted = tuple[str, Sequence[Line], Origin]


class GrpcStock:
    """See `domain.ports.Stock` and `domain.ports.Leases`."""

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
        self.reservations: Batcher[Wanted, None] = Batcher(
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
        answer = await self._stock(goods_ids)
        return {stock.goods_id: stock.available for stock in answer.stocks}

    async def counters(self, goods_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        answer = await self._stock(goods_ids)
        return {stock.goods_id: (stock.reserved, stock.sold) for stock in answer.stocks}

    async def _stock(self, goods_ids: Sequence[int]) -> pb.StockList:
        try:
            return await self._neighbour.call(self._stub.GetStock, pb.GoodsIds(ids=goods_ids))
        except grpc.aio.AioRpcError as error:
            raise failure(NAME, error, self._neighbour.address) from error

    async def leases(self, after: str, limit: int) -> Sequence[Lease]:
        try:
            answer = await self._neighbour.call(
                self._stub.ListLeases, pb.LeaseFilter(after_order_sn=after, limit=limit)
            )
        except grpc.aio.AioRpcError as error:
            raise failure(NAME, error, self._neighbour.address) from error
        return [lease_of(lease) for lease in answer.leases]

    async def _reserve(self, wanted: Sequence[Wanted]) -> Sequence[Exception | None]:
        requests = [
            pb.ReserveRequest(
                order_sn=order_sn,
                lines=[pb.Line(goods_id=line.goods, nums=line.nums) for line in lines],
                lease_s=self._lease_s,
            )
            for order_sn, lines, _ in wanted
        ]
        origins = [asked for _, _, asked in wanted]
        try:
            answer = await self._neighbour.call(
                self._stub.Reserve, pb.ReserveRequests(requests=requests), origins=origins
            )
        except grpc.aio.AioRpcError as error:
            raise failure(NAME, error, self._neighbour.address) from error
        if [result.key for result in answer.results] != [order_sn for order_sn, _, _ in wanted]:
            raise DependencyDown(
                NAME, self._neighbour.address
            )  # it did not answer what we asked: nothing is known
        return [None if result.ok else refusal(result) for result in answer.results]

    async def _release(self, wanted: Sequence[tuple[str, Origin]]) -> Sequence[None]:
        released = pb.OrderSns(order_sns=[order_sn for order_sn, _ in wanted])
        origins = [asked for _, asked in wanted]
        try:
            await self._neighbour.call(self._stub.Release, released, origins=origins)
        except grpc.aio.AioRpcError as error:
            raise failure(NAME, error, self._neighbour.address) from error
        return [None] * len(wanted)


def refusal(result: pb.Result) -> Exception:
    """Why a lease was not given."""
    if result.reason == "OUT_OF_STOCK":
        return OutOfStock(result.goods_ids)
    if result.reason == "TOMBSTONE":
        return PlacingGivenUp()
    if result.reason in ("MISMATCH", "CONFIRMED"):
        return NumberTaken()
    return DependencyDown(NAME)


def lease_of(lease: pb.Lease) -> Lease:
    """A lease as the inventory tells it."""
    lines, returned = (
        tuple((line.goods_id, line.nums) for line in some) for some in (lease.lines, lease.returned)
    )
    return Lease(lease.order_sn, lease.state, lines, returned)
