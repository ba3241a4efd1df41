"""One link to Redis for the whole process, pipelined, with a circuit breaker.

redis-py retries and checks connections, but does not gather the commands of concurrent callers in pipelines;
its circuit breaker (multidb) is for several databases, and needs pybreaker.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from shop_order.pkg.batching import Batcher

PROBE_FIRST_S, PROBE_MAX_S = 0.05, 1.0
STEADY_S = 5.0  # a server that was up for less is probed less often: it answers pings, and fails commands
Command = tuple[Any, ...]


class CommandFailed(Exception):
    """No answer, or a useless one: memory is full, a read-only replica, missing rights."""


class NoScript(Exception):
    """The server does not have the script yet."""


class Client(Protocol):
    """What a link needs of a server, or of many."""

    async def run(self, commands: Sequence[Command]) -> Sequence[Any]:
        """One answer, CommandFailed or NoScript a command, in order. Raises CommandFailed."""

    async def ping(self) -> None:
        """Every server that we write to answers. Raises CommandFailed."""

    async def close(self) -> None:
        """Disconnect."""


class RedisUnavailable(Exception):
    """Redis did not answer in time, or the circuit is open; the command may have taken effect."""


class Script:
    """A Lua script; keys of one call share a {tag}."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Commands that arrive while a pipeline is in flight leave together with the next one.

    The first failure opens the circuit: from then on every call fails at once, and one probe in the
    background finds out when Redis is back. `on_recovery` registers what must be written before it closes.
    `timeout_s` is read again for every pipeline; `connect` makes a client whose sockets wait that long.
    """

    def __init__(
        self,
        connect: Callable[[float], Client],
        *,
        timeout_s: Callable[[], float] = lambda: 0.1,
        max_batch: int = 128,
        queue: int = 4096,
        on_change: Callable[[bool, str], None] = lambda up, why: None,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.up = False
        self._connect = connect
        self._timeout_s = timeout_s
        self._waits_s = timeout_s()
        self._client = connect(self._waits_s)
        self._outgoing: set[asyncio.Task[None]] = set()  # clients with another timeout
        self._on_change = on_change
        self._on_recovery: list[Callable[[], Awaitable[bool]]] = []
        self._probe: asyncio.Task[None] | None = None
        self._closed = False
        self._pause_s = PROBE_FIRST_S
        self._up_since_s = float("-inf")
        self._batches: Batcher[Command, Any] = Batcher(
            self._run,
            max_batch=max_batch,
            queue=queue,
            full=lambda: RedisUnavailable("the queue is full"),
            observe=observe,
        )

    def on_recovery(self, do: Callable[[], Awaitable[bool]]) -> None:
        """Before the circuit closes, call `do` until it returns False; RedisUnavailable keeps it open."""
        self._on_recovery.append(do)

    async def open(self) -> None:
        """Try once; without an answer, begin with an open circuit and keep trying."""
        if not await self._came_back():
            self._lost("no answer at the start")

    async def close(self) -> None:
        """Stop probing and disconnect."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe
        await self._batches.join()
        await asyncio.gather(self._client.close(), *self._outgoing)

    async def command(self, *command: Any) -> Any:
        """The command's answer. Raises RedisUnavailable."""
        if not self.up:
            raise RedisUnavailable("down")
        return await self._submit(command)

    async def script(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """The script's answer. Raises RedisUnavailable."""
        if not self.up:
            raise RedisUnavailable("down")
        return await self.script_now(script, keys, *arguments)

    async def script_now(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """The same even while the circuit is open, for `on_recovery`. Raises RedisUnavailable."""
        try:
            return await self._submit(("EVALSHA", script.sha, len(keys), *keys, *arguments))
        except NoScript:
            return await self._submit(("EVAL", script.text, len(keys), *keys, *arguments))

    async def _submit(self, command: Command) -> Any:
        try:
            return await self._batches.submit(command)
        except RedisUnavailable:
            self._lost("the queue is full")
            raise
        except CommandFailed as failed:
            self._lost(f"{command[0]}: {failed}")
            raise RedisUnavailable(str(failed)) from failed

    async def _run(self, commands: Sequence[Command]) -> Sequence[Any]:
        try:
            client = self._current()
            async with asyncio.timeout(self._waits_s):
                return await client.run(commands)
        except TimeoutError:
            raise CommandFailed(f"nothing within {self._waits_s} s") from None

    def _current(self) -> Client:
        """The client; a new one after the timeout changed, since sockets keep theirs."""
        if (timeout_s := self._timeout_s()) != self._waits_s:
            outgoing = asyncio.create_task(self._client.close(), name="redis-outgoing")
            self._outgoing.add(outgoing)
            outgoing.add_done_callback(self._outgoing.discard)
            self._client, self._waits_s = self._connect(timeout_s), timeout_s
        return self._client

    def _lost(self, why: str) -> None:
        if self._probe is not None or self._closed:
            return
        self.up = False
        if time.monotonic() - self._up_since_s > STEADY_S:
            self._pause_s = PROBE_FIRST_S
        self._on_change(False, why)
        self._probe = asyncio.create_task(self._probing(), name="redis-probe")

    async def _probing(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PROBE_MAX_S)
            if await self._came_back():
                self._probe = None
                return

    async def _came_back(self) -> bool:
        try:
            client = self._current()
            async with asyncio.timeout(self._waits_s):
                await client.ping()
            # More may be missed while one of these waits; one without anything to do does not wait.
            while any([await do() for do in self._on_recovery]):
                continue
        except (CommandFailed, TimeoutError, RedisUnavailable):
            return False
        self.up, self._up_since_s = True, time.monotonic()
        self._on_change(True, "")
        return True
