"""The goods service: look-ups of concurrent orders travel together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import GoodsStub
from shop_order.domain.errors import Overloaded
from shop_order.domain.valueobject.item import MOST_FEN, Goods
from shop_order.gateway.calls import failure
from shop_order.pkg.batching import Batcher
from shop_order.pkg.grpc.client import Neighbour
from shop_order.pkg.tracing import Origin, origin

NAME_CHARS, IMAGE_CHARS = 100, 255  # the columns of specification 2.3
MOST_ASKED = 500  # ids in one call: a few large orders together name more than a service takes
Wanted = tuple[Sequence[int], Origin]


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
        self.batches: Batcher[Wanted, Mapping[int, Goods]] = Batcher(
            self._fetch, max_batch=max_batch, queue=queue, full=Overloaded, observe=observe
        )

    async def get_many(self, goods_ids: Sequence[int]) -> Mapping[int, Goods]:
        return await self.batches.submit((goods_ids, origin()))

    async def _fetch(self, wanted: Sequence[Wanted]) -> Sequence[Mapping[int, Goods]]:
        ids = sorted({id for goods_ids, _ in wanted for id in goods_ids})
        origins = [asked for _, asked in wanted]
        found: dict[int, Goods] = {}
        for at in range(0, len(ids), MOST_ASKED):
            asked = pb.GoodsIds(ids=ids[at : at + MOST_ASKED])
            try:
                answer = await self._neighbour.call(self._stub.BatchGetGoods, asked, origins=origins)
            except grpc.aio.AioRpcError as error:
                raise failure("goods_service", error, self._neighbour.address) from error
            found |= {g.id: goods_of(g) for g in answer.goods}
        return [found] * len(wanted)


def goods_of(info: pb.GoodsInfo) -> Goods:
    """Goods as we keep them; a price beyond any sense counts as not on sale."""
    sane = 0 <= info.price_fen <= MOST_FEN
    image = info.image if len(info.image) <= IMAGE_CHARS else ""
    return Goods(info.id, info.name[:NAME_CHARS], image, info.price_fen if sane else 0, info.on_sale and sane)
