"""A channel over all instances of a service, round robin; no call is lost when they change.

grpc's own balancing takes addresses from DNS or a fixed list: Python has no resolver API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

FIRST_RESPONSE_S = 5.0
# Answers of a stopping instance; cancellation by our caller raises another error.
_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_UNREACHABLE = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


class BalancedChannel(grpc.aio.Channel):
    """A channel for unary calls to the addresses that `use` sets.

    Calls must be idempotent, as all calls to neighbours are: one that failed at an instance is retried
    once on another.
    """

    def __init__(self, name: str, open_channel: Callable[[str], grpc.aio.Channel], *, grace_s: float) -> None:
        """`grace_s` is how long calls to a removed instance may continue."""
        self._name = name
        self._open_channel = open_channel
        self._grace_s = grace_s
        self._members: dict[str, grpc.aio.Channel] = {}
        self._next = 0
        self._known = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def use(self, addresses: Sequence[str]) -> None:
        """Set the instances, keeping existing connections."""
        for address in set(self._members) - set(addresses):
            task = asyncio.create_task(self._members.pop(address).close(self._grace_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for address in addresses:
            if address not in self._members:
                channel = self._members[address] = self._open_channel(address)
                channel.get_state(try_to_connect=True)
        self._known.set()

    async def candidates(self, timeout_s: float) -> tuple[grpc.aio.Channel, ...]:
        """Return the instances to try: the next one first, unreachable ones last."""
        if not self._known.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._known.wait()
            except TimeoutError:
                raise self._unavailable("the registry has not responded yet") from None
        channels = [*self._members.values()]
        if not channels:
            raise self._unavailable("no healthy instance")
        self._next = start = (self._next + 1) % len(channels)
        # Asking for the state also reconnects idle and broken channels.
        unreachable = {c for c in channels if c.get_state(try_to_connect=True) in _UNREACHABLE}
        return tuple(sorted(channels[start:] + channels[:start], key=unreachable.__contains__))

    def _unavailable(self, why: str) -> grpc.aio.AioRpcError:
        empty = grpc.aio.Metadata()
        return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, empty, empty, f"{self._name}: {why}")

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """Return a method that chooses an instance for each call."""
        return _Method(self, method, request_serializer, response_deserializer)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY if any instance is; TRANSIENT_FAILURE if none can be reached, or there is none."""
        states = [channel.get_state(try_to_connect) for channel in self._members.values()]
        if not states:
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE
        for state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.CONNECTING):
            if state in states:
                return state
        return grpc.ChannelConnectivity.IDLE if any(s not in _UNREACHABLE for s in states) else states[0]

    async def close(self, grace: float | None = None) -> None:
        """Close every connection."""
        members, self._members = [*self._members.values()], {}
        await asyncio.gather(*(channel.close(grace) for channel in members), *self._closing)

    def _unsupported(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("only unary_unary, get_state and close are supported")

    unary_stream = stream_unary = stream_stream = channel_ready = wait_for_state_change = _unsupported
    __aenter__ = __aexit__ = _unsupported


class _Method:
    """Behaves like a grpc.aio.UnaryUnaryMultiCallable whose calls are awaited."""

    def __init__(self, balanced: BalancedChannel, method: str, serializer: Any, deserializer: Any) -> None:
        self._balanced = balanced
        self._method = method
        self._codec = {"request_serializer": serializer, "response_deserializer": deserializer}
        self._calls: dict[grpc.aio.Channel, Any] = {}

    async def __call__(self, request: Any, *, timeout: float | None = None, **options: Any) -> Any:
        clock = asyncio.get_running_loop().time
        deadline_s = None if timeout is None else clock() + timeout

        def remaining_s() -> float | None:  # one deadline for both attempts
            return None if deadline_s is None else max(deadline_s - clock(), 0.0)

        first, *others = await self._balanced.candidates(timeout or FIRST_RESPONSE_S)
        try:
            return await self._method_of(first)(request, timeout=remaining_s(), **options)
        except grpc.aio.AioRpcError as failed:
            if failed.code() not in _RETRYABLE or not others:
                raise
        except grpc.aio.UsageError:
            if not others:  # the channel was closed between choosing and calling
                raise
        return await self._method_of(others[0])(request, timeout=remaining_s(), **options)

    def _method_of(self, channel: grpc.aio.Channel) -> Any:
        call = self._calls.get(channel)
        if call is None:
            if len(self._calls) > 64:  # channels of removed instances
                self._calls.clear()
            call = self._calls[channel] = channel.unary_unary(self._method, **self._codec)
        return call
