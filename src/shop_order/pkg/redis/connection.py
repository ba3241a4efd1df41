"""The process's connection to Redis: pipelined, with a circuit breaker.

redis-py retries and checks connections, but does not pipeline the commands of concurrent callers;
its circuit breaker (multidb) is for several databases, and needs pybreaker.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from shop_order.pkg import tasks
from shop_order.pkg.batching import Batcher

PROBE_FIRST_S, PROBE_MAX_S = 0.05, 1.0
STEADY_S = 5.0  # a connection that was up for less is probed less often: its server fails commands
MAX_BATCH = 128  # commands
Command = tuple[Any, ...]


class CommandFailed(Exception):
    """No response, or an error: out of memory, read-only replica, missing permission."""


class NoScript(Exception):
    """The server does not know the script yet."""


class Client(Protocol):
    """The driver, for one server or many."""

    async def run(self, commands: Sequence[Command]) -> Sequence[Any]:
        """Return a response, CommandFailed or NoScript per command, in order. Raises CommandFailed."""

    async def ping(self) -> None:
        """Check that every primary answers. Raises CommandFailed."""

    async def close(self) -> None:
        """Disconnect."""


class RedisUnavailable(Exception):
    """Redis did not answer in time, or the circuit is open. The command may have taken effect."""


class Script:
    """A Lua script; the keys of a call share a {tag}."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisConnection:
    """Sends the commands that arrive during a pipeline together in the next one.

    The first failure opens the circuit: every call fails at once, until a background probe succeeds.
    `timeout_s` is called for every pipeline; `connect` creates a client with this socket timeout.
    """

    def __init__(
        self,
        connect: Callable[[float], Client],
        *,
        timeout_s: Callable[[], float] = lambda: 0.1,
        queue: int = 4096,
        on_change: Callable[[bool, str], None] = lambda up, why: None,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.up = False
        self._connect = connect
        self._timeout_s = timeout_s
        self._current_timeout_s = timeout_s()
        self._client = connect(self._current_timeout_s)
        self._retired: set[asyncio.Task[None]] = set()  # closing clients with a former timeout
        self._on_change = on_change
        self._on_recovery: list[Callable[[], Awaitable[bool]]] = []
        self._probe: asyncio.Task[None] | None = None
        self._closed = False
        self._pause_s = PROBE_FIRST_S
        self._up_since_s = float("-inf")
        self._batches: Batcher[Command, Any] = Batcher(
            self._run,
            max_batch=MAX_BATCH,
            queue=queue,
            full=lambda: RedisUnavailable("the queue is full"),
            observe=observe,
        )

    def on_recovery(self, do: Callable[[], Awaitable[bool]]) -> None:
        """Before the circuit closes, call `do` until it returns False; it stays open on RedisUnavailable."""
        self._on_recovery.append(do)

    async def open(self) -> None:
        """Try once; if that fails, start with an open circuit and keep probing."""
        if not await self._recovered():
            self._open_circuit("no response at the start")

    async def close(self) -> None:
        """Stop probing and disconnect."""
        self._closed = True
        if self._probe is not None:
            await tasks.stop([self._probe])
        await self._batches.join()
        await asyncio.gather(self._client.close(), *self._retired)

    async def command(self, *command: Any) -> Any:
        """Return the command's response. Raises RedisUnavailable."""
        if not self.up:
            raise RedisUnavailable("down")
        return await self._submit(command)

    async def script(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Return the script's response. Raises RedisUnavailable."""
        if not self.up:
            raise RedisUnavailable("down")
        return await self.script_now(script, keys, *arguments)

    async def script_now(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Like `script`, even while the circuit is open: for `on_recovery`."""
        try:
            return await self._submit(("EVALSHA", script.sha, len(keys), *keys, *arguments))
        except NoScript:
            return await self._submit(("EVAL", script.text, len(keys), *keys, *arguments))

    async def _submit(self, command: Command) -> Any:
        try:
            return await self._batches.submit(command)
        except RedisUnavailable:
            self._open_circuit("the queue is full")
            raise
        except CommandFailed as failed:
            self._open_circuit(f"{command[0]}: {failed}")
            raise RedisUnavailable(str(failed)) from failed

    async def _run(self, commands: Sequence[Command]) -> Sequence[Any]:
        try:
            client = self._current()
            async with asyncio.timeout(self._current_timeout_s):
                return await client.run(commands)
        except TimeoutError:
            raise CommandFailed(f"no response within {self._current_timeout_s} s") from None

    def _current(self) -> Client:
        """Return the client; a new one after the timeout changed."""
        if (timeout_s := self._timeout_s()) != self._current_timeout_s:
            retired = asyncio.create_task(self._client.close(), name="redis-retired")
            self._retired.add(retired)
            retired.add_done_callback(self._retired.discard)
            self._client, self._current_timeout_s = self._connect(timeout_s), timeout_s
        return self._client

    def _open_circuit(self, why: str) -> None:
        if self._probe is not None or self._closed:
            return
        self.up = False
        if time.monotonic() - self._up_since_s > STEADY_S:
            self._pause_s = PROBE_FIRST_S
        self._on_change(False, why)
        self._probe = asyncio.create_task(self._probe_until_up(), name="redis-probe")

    async def _probe_until_up(self) -> None:
        while True:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, PROBE_MAX_S)
            if await self._recovered():
                self._probe = None
                return

    async def _recovered(self) -> bool:
        try:
            client = self._current()
            async with asyncio.timeout(self._current_timeout_s):
                await client.ping()
            # While one callback waits, another may miss more writes, so all must return False in a row.
            while any([await do() for do in self._on_recovery]):
                continue
        except (CommandFailed, TimeoutError, RedisUnavailable):
            return False
        self.up, self._up_since_s = True, time.monotonic()
        self._on_change(True, "")
        return True
