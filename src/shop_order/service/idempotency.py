"""One effect per key: in this process equal keys share one flight, between processes the store decides."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shop_order.domain.errors import InvalidArgument, KeyReused
from shop_order.domain.ports import Clock, Key, KeyRecord, Orders
from shop_order.domain.valueobject.text import plain_text

T = TypeVar("T")
MOST_KEY = 255
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def command_hash(command: Sequence[object]) -> bytes:
    """The hash of a normalised command: equal commands, equal hashes, whatever the protocol."""
    return hashlib.sha256(_COMPACT.encode(command).encode()).digest()


def checked_key(key: str) -> str:
    """A key that can be kept. Raises InvalidArgument."""
    plain_text("idempotency_key", key, most=MOST_KEY)
    if key != key.strip():
        raise InvalidArgument("idempotency_key", "starts or ends with blanks")
    return key


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """A use case's result; `replayed` when an earlier call with the same key had made it."""

    result: T
    replayed: bool = False


class Idempotency:
    """Runs a keyed command once."""

    def __init__(self, orders: Orders, real_clock: Clock) -> None:
        self._orders = orders
        self._now = real_clock
        self._flights: dict[tuple[str, str], tuple[bytes, asyncio.Task[Any]]] = {}

    async def once(
        self,
        scope: str,
        key: str,
        command: Sequence[object],
        run: Callable[[Key | None], Awaitable[T]],
        replay: Callable[[KeyRecord], Awaitable[T]],
    ) -> Outcome[T]:
        """`run` the command, or `replay` what its key led to; without a key, just run it.

        The flight goes on when its caller gives up, so that a second call finds the result.
        Raises KeyReused, InvalidArgument, and what `run` raises.
        """
        if not key:
            return Outcome(await run(None))
        checked_key(key)
        wanted = Key(scope, key, command_hash(command), self._now())
        if flight := self._flights.get((scope, key)):
            return await self._join(wanted, *flight)
        task = asyncio.create_task(self._fly(wanted, run, replay))
        self._flights[scope, key] = (wanted.command_hash, task)
        task.add_done_callback(lambda done: self._landed(scope, key, done))
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for the commands on their way; at stop."""
        if flights := [task for _, task in self._flights.values()]:
            await asyncio.wait(flights)

    def _landed(self, scope: str, key: str, done: asyncio.Task[Any]) -> None:
        self._flights.pop((scope, key), None)
        if not done.cancelled():
            done.exception()  # its caller may have left: nobody else would look at it

    async def _join(self, wanted: Key, command_hash: bytes, task: asyncio.Task[Outcome[T]]) -> Outcome[T]:
        if command_hash != wanted.command_hash:
            raise KeyReused
        outcome = await asyncio.shield(task)
        return Outcome(outcome.result, replayed=True)

    async def _fly(
        self,
        wanted: Key,
        run: Callable[[Key | None], Awaitable[T]],
        replay: Callable[[KeyRecord], Awaitable[T]],
    ) -> Outcome[T]:
        record = await self._orders.key(wanted.scope, wanted.key, self._now())
        if record is None:
            return Outcome(await run(wanted))
        return Outcome(await replay(same_command(wanted, record)), replayed=True)


def same_command(wanted: Key, record: KeyRecord) -> KeyRecord:
    """The record, if the same command made it. Raises KeyReused."""
    if record.command_hash != wanted.command_hash:
        raise KeyReused
    return record
