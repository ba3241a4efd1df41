"""The broker's part of `shop-order migrate`: topics and groups."""

from __future__ import annotations

from collections.abc import Sequence

from shop_order.pkg.message.rocketmq.address import parse
from shop_order.pkg.message.rocketmq.admin import Admin, commands
from shop_order.pkg.message.topics import GROUPS, TOPICS


async def make_topics(url: str) -> Sequence[str]:
    """Make what is missing; the commands for somebody else to run, if no name server is known.

    Raises BrokerAway, Refused.
    """
    address = parse(url)
    if not address.namesrv:
        return commands(address, TOPICS, GROUPS)
    await Admin(address.namesrv).make(address, TOPICS, GROUPS)
    return ()
