"""Creates topics and groups over RocketMQ's remoting protocol, which the official client lacks.

A frame is its length, the header's length, a JSON header, and a body.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import struct
from collections.abc import Iterable, Mapping

from shop_order.pkg.address import split_host_port
from shop_order.pkg.message import QUEUES, RETRY_S, BrokerUnavailable, Group, Topic
from shop_order.pkg.message.rocketmq import RocketMQAddress

CREATE_TOPIC, LIST_TOPICS, CLUSTERS, CREATE_GROUP, STATISTICS = 17, 21, 106, 200, 202
DEAD_LETTERS = "%DLQ%"  # followed by a group's name: the topic of its dead letters
READ_WRITE = 6
# Attempts at the broker, which also counts messages that it hands to the connections of dead consumers.
# In order, our consumer itself ends what is refused (MAX_RETRIES).
ORDERLY_ATTEMPTS, ATTEMPTS = 10_000, 16
RESPONSE_S = 5.0
MAX_BYTES = 1 << 24
_BARE_KEY = re.compile(rb"([{,])(-?\d+):")  # in brokers' JSON, keys may be numbers
_MAX_OFFSET = re.compile(rb'"maxOffset":(\d+)')  # or objects


class Refused(Exception):
    """The broker refused a command."""


class Admin:
    """Sends requests to the brokers of a name server."""

    def __init__(self, namesrv: str) -> None:
        self._namesrv = namesrv
        self._opaque = itertools.count(1)

    async def brokers(self) -> list[str]:
        """Return host:port of every master. Raises BrokerUnavailable."""
        body = await self._request(self._namesrv, CLUSTERS, {})
        table = json.loads(_BARE_KEY.sub(rb'\1"\2":', body)).get("brokerAddrTable", {})
        masters = (row.get("brokerAddrs", {}).get("0") for row in table.values())
        return sorted(master for master in masters if master)

    async def make(self, address: RocketMQAddress, topics: Iterable[Topic], groups: Iterable[Group]) -> None:
        """Create or update topics and groups on every master. Raises BrokerUnavailable, Refused."""
        brokers = await self.brokers()
        if not brokers:
            raise BrokerUnavailable(f"the name server {self._namesrv} knows no broker")
        for broker in brokers:
            for topic in topics:
                await self._request(broker, CREATE_TOPIC, topic_fields(address, topic))
            for group in groups:
                await self._request(
                    broker, CREATE_GROUP, {}, json.dumps(group_config(address, group)).encode()
                )

    async def topic_types(self, prefix: str) -> dict[str, str]:
        """Return the type of each topic with this prefix. Raises BrokerUnavailable, Refused."""
        found: dict[str, str] = {}
        for broker in await self.brokers():
            table = json.loads(await self._request(broker, LIST_TOPICS, {}))["topicConfigTable"]
            for name, topic in table.items():
                if name.startswith(prefix):
                    found[name] = topic.get("attributes", {}).get("message.type", "NORMAL")
        return found

    async def dead_letters(self, address: RocketMQAddress) -> dict[str, int]:
        """Return how many dead letters each group has had. Raises BrokerUnavailable, Refused."""
        head = DEAD_LETTERS + address.full("")
        return {
            name.removeprefix(head): await self.message_count(name) for name in await self.topic_types(head)
        }

    async def message_count(self, topic: str) -> int:
        """Return how many messages a topic has had; 0 if there is no such topic. Raises BrokerUnavailable."""
        count = 0
        for broker in await self.brokers():
            try:
                body = await self._request(broker, STATISTICS, {"topic": topic})
            except Refused:
                continue
            count += sum(int(end) for end in _MAX_OFFSET.findall(body))
        return count

    async def _request(self, host: str, code: int, fields: Mapping[str, str], body: bytes = b"") -> bytes:
        name, port = split_host_port(host)
        request = {"code": code, "language": "PYTHON", "version": 0, "opaque": next(self._opaque), "flag": 0}
        header = json.dumps(request | {"serializeTypeCurrentRPC": "JSON", "extFields": dict(fields)}).encode()
        try:
            async with asyncio.timeout(RESPONSE_S):
                reader, writer = await asyncio.open_connection(name, port)
                try:
                    writer.write(struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body)
                    length = int.from_bytes(await reader.readexactly(4), "big")
                    if not 4 <= length <= MAX_BYTES:
                        raise BrokerUnavailable(f"{host} does not speak RocketMQ's remoting protocol")
                    response = await reader.readexactly(length)
                finally:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise BrokerUnavailable(f"{host} can't be reached: {error!r}") from error
        end = 4 + int.from_bytes(response[1:4], "big")
        result = json.loads(response[4:end])
        if result["code"] != 0:
            raise Refused(f"{host} answered {result['code']}: {result.get('remark', '')}")
        return response[end:]


def topic_fields(address: RocketMQAddress, topic: Topic) -> dict[str, str]:
    """Return a topic in the broker's format."""
    return {
        "topic": address.full(topic.name),
        "defaultTopic": "TBW102",
        "readQueueNums": str(QUEUES),
        "writeQueueNums": str(QUEUES),
        "perm": str(READ_WRITE),
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
        "attributes": f"+message.type={topic.kind}",
    }


def group_config(address: RocketMQAddress, group: Group) -> dict[str, object]:
    """Return a group in the broker's format."""
    return {
        "groupName": address.full(group.name),
        "consumeEnable": True,
        "consumeBroadcastEnable": True,
        "consumeFromMinEnable": True,
        "consumeMessageOrderly": group.in_order,
        "retryQueueNums": 1,
        "retryMaxTimes": attempts(group),
        "groupRetryPolicy": {
            "type": "CUSTOMIZED",
            "customizedRetryPolicy": {"next": [1000 * s for s in RETRY_S]},
        },
        "brokerId": 0,
        "whichBrokerWhenConsumeSlowly": 1,
        "notifyConsumerIdsChangedEnable": True,
    }


def attempts(group: Group) -> int:
    """Return after how many attempts the broker gives a message up."""
    return ORDERLY_ATTEMPTS if group.in_order else ATTEMPTS


def commands(address: RocketMQAddress, topics: Iterable[Topic], groups: Iterable[Group]) -> list[str]:
    """Return equivalent `mqadmin` commands, for clusters that only operators may change."""
    queues = f"-r {QUEUES} -w {QUEUES}"
    made = [
        f"mqadmin updateTopic -c DefaultCluster -t {address.full(t.name)} {queues} -a +message.type={t.kind}"
        for t in topics
    ]
    return made + [
        f"mqadmin updateSubGroup -c DefaultCluster -g {address.full(g.name)} -r {attempts(g)}"
        f" -o {str(g.in_order).lower()}"
        for g in groups
    ]
