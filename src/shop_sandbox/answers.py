"""Sends the wallet's answers to the order service until it accepts them, by gRPC or through the broker."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import orjson

from shop_order.api.client.events import WalletAnswers
from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_sandbox.database import Database
from shop_sandbox.order_link import OrderLink, brief

BATCH = 100
DEADLINE_S = 5.0
MAX_WAIT_S = 60
FAILED_WAIT_S = 5.0

logger = logging.getLogger("shop_sandbox.answers")


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer; `asked` counts its commands, so that it is not removed if it was asked for again."""

    payment_sn: str
    refund_sn: str
    type: str
    body: bytes
    asked: int

    @property
    def id(self) -> str:
        """The id of the event."""
        return str(orjson.loads(self.body)["id"])


class Carrier(Protocol):
    """How answers get to the order service."""

    async def open(self) -> None:
        """Start."""

    async def send(self, answers: Sequence[Answer]) -> set[str]:
        """Send answers; return the ids of the accepted ones."""

    async def close(self) -> None:
        """Stop."""


class InboxCarrier:
    """Calls the order service's `EventInbox`."""

    def __init__(self, order: OrderLink) -> None:
        self._order = order

    async def open(self) -> None: ...

    async def send(self, answers: Sequence[Answer]) -> set[str]:
        batch = pb.EventBatch(cloud_events=[answer.body for answer in answers])
        stub = EventInboxStub(self._order.channel())
        reply = await stub.Deliver(batch, timeout=DEADLINE_S, metadata=self._order.metadata())
        return set(reply.accepted_ids)

    async def close(self) -> None:
        await self._order.close()


class BrokerCarrier:
    """Publishes to the broker's topic `wallet-events`, signed with what `key` returns."""

    def __init__(self, url: str, key: Callable[[], bytes]) -> None:
        self._answers = WalletAnswers(url, key)

    async def open(self) -> None:
        await self._answers.open()

    async def send(self, answers: Sequence[Answer]) -> set[str]:
        return await self._answers.publish([(one.id, one.payment_sn, one.type, one.body) for one in answers])

    async def close(self) -> None:
        await self._answers.close()


class AnswerSender:
    """A background loop over `wallet_answer`; an answer that is not accepted is sent again, for ever."""

    def __init__(
        self, database: Database, carrier: Carrier, clock_ms: Callable[[], int], *, interval_s: float
    ) -> None:
        self._database = database
        self._carrier = carrier
        self._clock_ms = clock_ms
        self._interval_s = interval_s
        self._awake = asyncio.Event()

    def hint(self) -> None:
        """Wake the loop after a command."""
        self._awake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        await self._carrier.open()
        failures = 0
        while True:
            try:
                while await self.send_once() == BATCH:
                    pass
                failures = 0
            except Exception as error:  # noqa: BLE001 - a background loop: the answers stay whatever fails
                failures += 1
                logger.warning("answers not delivered (%d): %r", failures, brief(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._interval_s * 2 ** min(failures, 10), FAILED_WAIT_S)):
                    await self._awake.wait()
            self._awake.clear()

    async def send_once(self) -> int:
        """Send up to 100 answers that are due; return how many. Raises what the carrier raises."""
        now_ms = self._clock_ms()
        due = await self._database.run(lambda connection: _due(connection, now_ms))
        if due:
            accepted = await self._carrier.send(due)
            now_ms = self._clock_ms()
            await self._database.run(lambda connection: _settle(connection, due, accepted, now_ms))
        return len(due)

    async def close(self) -> None:
        """Close the carrier."""
        await self._carrier.close()


def _due(connection: sqlite3.Connection, now_ms: int) -> list[Answer]:
    sql = (
        "SELECT payment_sn, refund_sn, type, body, asked FROM wallet_answer"
        " WHERE due_ms <= ? ORDER BY due_ms LIMIT ?"
    )
    return [Answer(*row) for row in connection.execute(sql, (now_ms, BATCH))]


def _settle(connection: sqlite3.Connection, sent: Sequence[Answer], accepted: set[str], now_ms: int) -> None:
    """Remove accepted answers, unless they were asked for again meanwhile; postpone the others."""
    for answer in sent:
        key = (answer.payment_sn, answer.refund_sn)
        if answer.id in accepted:
            sql = "DELETE FROM wallet_answer WHERE payment_sn = ? AND refund_sn = ? AND asked = ?"
            connection.execute(sql, (*key, answer.asked))
        else:
            logger.error("%s of %s was not accepted", answer.type, answer.payment_sn)
            sql = (
                "UPDATE wallet_answer SET tries = tries + 1, due_ms = ? + min(1000 << min(tries, 10), ?)"
                " WHERE payment_sn = ? AND refund_sn = ?"
            )
            connection.execute(sql, (now_ms, MAX_WAIT_S * 1000, *key))
