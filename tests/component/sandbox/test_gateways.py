"""The order service's gateways against the neighbours, over real sockets."""

from __future__ import annotations

import asyncio

import grpc.aio

from shop_order.gateway.goods import GrpcGoods
from shop_order.pkg.grpc.client import Neighbour
from shop_sandbox import seed


async def test_many_large_orders_at_once_all_learn_their_goods(channel: grpc.aio.Channel) -> None:
    goods = GrpcGoods(channel, Neighbour(lambda: "", lambda: 3.0), max_batch=64, queue=64)
    orders = [[101, *range(n * 1000, n * 1000 + 99)] for n in range(1, 21)]
    found = await asyncio.gather(*(goods.get_many(ids) for ids in orders))
    assert all(one[101].on_sale for one in found)
    assert seed.DELETED_ID not in found[0]
