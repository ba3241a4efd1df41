"""Idempotency keys: calls with one key share one execution; between processes the store decides."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from shop_order.domain.errors import InvalidArgument, KeyReused
from shop_order.domain.ports import Clock, Key, KeyRecord, Orders
from shop_order.domain.valueobject.text import plain_text
from shop_order.pkg.signing import SUBMIT_TOKEN_PREFIX, BadToken, SubmitTokens

T = TypeVar("T")
MAX_KEY_LENGTH = 255
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
# How long to wait for another process that works on the same key; after that, the store's unique key decides.
WAITS_S = (0.01, 0.02, 0.05, *(0.1,) * 30)


def command_hash(command: Sequence[object]) -> bytes:
    """The hash of a normalized command, independent of the protocol."""
    return hashlib.sha256(_COMPACT.encode(command).encode()).digest()


def checked_key(key: str) -> str:
    """Return the key if it is valid. Raises InvalidArgument."""
    plain_text("idempotency_key", key, max_length=MAX_KEY_LENGTH)
    if key != key.strip():
        raise InvalidArgument("idempotency_key", "surrounding_spaces")
    return key


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The result of a use case; `replayed` if it is that of an earlier call with the same key."""

    result: T
    replayed: bool = False


class KeysInProgress(Protocol):
    """The keys that any process is working on."""

    async def enter(self, scope: str, key: str) -> str | None:
        """Return a ticket, empty if unknown; None while another process works on it. Raises KeyReused."""

    async def leave(self, scope: str, key: str, ticket: str) -> None:
        """End the work under this ticket."""


@dataclass(eq=False)
class Idempotency:
    """Runs a command with an idempotency key once.

    `shared` saves work if there are several processes; correctness does not depend on it. Without `tokens`,
    keys that look like submit tokens are refused.
    """

    orders: Orders
    real_clock: Clock
    shared: KeysInProgress | None = None
    tokens: SubmitTokens | None = None
    _running: dict[tuple[str, str], tuple[bytes, asyncio.Task[Any]]] = field(default_factory=dict, init=False)

    async def once(
        self,
        scope: str,
        key: str,
        command: Sequence[object],
        run: Callable[[Key | None], Awaitable[T]],
        replay: Callable[[KeyRecord], Awaitable[T]],
    ) -> Outcome[T]:
        """`run` the command, or `replay` the result of its key; without a key, just run it.

        The command completes even if its caller leaves, so that a second call finds the result.
        `scope` is the user and the use case. Raises KeyReused, InvalidArgument, and what `run` raises.
        """
        if not key:
            return Outcome(await run(None))
        checked_key(key)
        if key.startswith(SUBMIT_TOKEN_PREFIX):
            self._check_token(key, int(scope.partition(":")[0]))
        wanted = Key(scope, key, command_hash(command), self.real_clock())
        if running := self._running.get((scope, key)):
            return await self._join(wanted, *running)
        task = asyncio.create_task(self._execute(wanted, run, replay))
        self._running[scope, key] = (wanted.command_hash, task)
        task.add_done_callback(lambda done: self._finished(scope, key, done))
        return await asyncio.shield(task)

    def _check_token(self, token: str, user: int) -> None:
        """Raise InvalidArgument unless this is a valid submit token of the user."""
        try:
            if self.tokens is None:
                raise BadToken("submit tokens are not configured")
            self.tokens.verify(token, user, self.real_clock() / 1000)
        except BadToken as bad:
            raise InvalidArgument("idempotency_key", "expired_token") from bad

    async def drain(self) -> None:
        """Wait for the running commands, before the service stops."""
        if running := [task for _, task in self._running.values()]:
            await asyncio.wait(running)

    def _finished(self, scope: str, key: str, done: asyncio.Task[Any]) -> None:
        self._running.pop((scope, key), None)
        if not done.cancelled():
            done.exception()  # retrieved, in case the caller left

    async def _join(self, wanted: Key, command_hash: bytes, task: asyncio.Task[Outcome[T]]) -> Outcome[T]:
        if command_hash != wanted.command_hash:
            raise KeyReused
        outcome = await asyncio.shield(task)
        return Outcome(outcome.result, replayed=True)

    async def _execute(
        self,
        wanted: Key,
        run: Callable[[Key | None], Awaitable[T]],
        replay: Callable[[KeyRecord], Awaitable[T]],
    ) -> Outcome[T]:
        ticket, record = await self._acquire(wanted)
        try:
            if record is None:
                return Outcome(await run(wanted))
        finally:
            if ticket and self.shared:
                await self.shared.leave(wanted.scope, wanted.key, ticket)
        return Outcome(await replay(same_command(wanted, record)), replayed=True)

    async def _acquire(self, wanted: Key) -> tuple[str, KeyRecord | None]:
        """The ticket and the key's result, once no other process works on it, or after a timeout."""
        scope, key, ticket = wanted.scope, wanted.key, None
        for pause_s in WAITS_S:
            ticket = await self.shared.enter(scope, key) if self.shared else ""
            record = await self.orders.key(scope, key, self.real_clock())
            if record or ticket is not None:
                return ticket or "", record
            await asyncio.sleep(pause_s)
        return "", None


def same_command(wanted: Key, record: KeyRecord) -> KeyRecord:
    """Return the record if it is of the same command. Raises KeyReused."""
    if record.command_hash != wanted.command_hash:
        raise KeyReused
    return record
