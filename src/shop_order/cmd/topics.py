"""What is asked of the brokers themselves: topics and groups for `shop-order migrate`, dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shop_order.pkg.message import BrokerAway
from shop_order.pkg.message.base import GROUPS, TOPICS
from shop_order.pkg.message.rocketmq.admin import Admin, commands
from shop_order.pkg.message.rocketmq.connection import parse


async def make_topics(url: str) -> Sequence[str]:
    """Make what is missing; the commands for somebody else to run, if no name server is known.

    Raises BrokerAway, Refused.
    """
    address = parse(url)
    if not address.namesrv:
        return commands(address, TOPICS, GROUPS)
    await Admin(address.namesrv).make(address, TOPICS, GROUPS)
    return ()


async def dead_letters(url: str) -> Mapping[str, int]:
    """How many messages each group of consumers gave up; nothing while no broker can be asked.

    Raises Refused.
    """
    address = parse(url)
    try:
        return await Admin(address.namesrv).dead_letters(address) if address.namesrv else {}
    except BrokerAway:
        return {}  # the relay itself says so
