"""What we do at a registry while we serve: stay registered, and take turns with other instances."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from shop_order.configs import Settings
from shop_order.domain.lease import Fence, LeaseLost
from shop_order.pkg.log import get_logger
from shop_order.pkg.registry import Instance, Lease, Registry, RegistryAway

T = TypeVar("T")
log = get_logger("registry")
LOOK_EVERY_S = 3.0
TURN_S = 10.0
RENEW_S = 2.0  # often enough for a lease of the database
ASK_AGAIN_S = 10.0  # a registry that does not answer: a job must not wait for it at every step
SERVICE = "order-service"
TAGS = ("order", "payment", "grpc")
HEALTH = "health"


class Presence:
    """Keeps one instance registered, also after the registry lost its memory."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._instance: Instance | None = None
        self._task: asyncio.Task[None] | None = None
        self.away = False

    def begin_as(self, settings: Settings, port: int) -> None:
        """Begin with the address that the settings give us, if they name a registry."""
        server = settings.server
        if not settings.registry.url.startswith("none:"):
            self.begin(server.advertise_host or server.host, port, tls=bool(server.tls_cert))

    def begin(self, host: str, port: int, *, tls: bool) -> None:
        """Register as specification 6.2 has it, and stay registered."""
        self._instance = Instance(SERVICE, host, port, TAGS, HEALTH, tls)
        self._task = asyncio.create_task(self._keep(self._instance))

    async def end(self) -> None:
        """Leave the registry; should it be away, its health check notices."""
        if self._task is None or self._instance is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            await self._registry.deregister(self._instance)
        except RegistryAway as away:
            log.warning("not_deregistered", id=self._instance.id, error=str(away))

    async def _keep(self, instance: Instance) -> None:
        told = False  # what it knows of this address may be another's who was here before us, and died
        while True:
            try:
                if not (told and await self._registry.knows(instance)):
                    await self._registry.register(instance)
                    told = True
                    log.info("registered", id=instance.id)
                self._now(away=False)
            except RegistryAway as away:
                self._now(away=True, why=str(away))
            except Exception as failed:  # noqa: BLE001 - a background loop
                self._now(away=True, why=repr(failed))
            await asyncio.sleep(LOOK_EVERY_S)

    def _now(self, *, away: bool, why: str = "") -> None:
        if away and not self.away:
            log.warning("registry_away", error=why)
        self.away = away


async def while_ours(
    ours: Callable[[], Awaitable[bool]], fence: Fence, work: Coroutine[Any, Any, T], every_s: float = RENEW_S
) -> T:
    """Do long work, and renew what entitles us to it meanwhile. Raises LeaseLost once that is another's."""
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            if not await ours():
                raise LeaseLost(fence)
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Turns:
    """Who runs a job that one instance is enough for.

    It saves work and nothing else: the database's lease decides, and every step of these jobs is a
    compare-and-set, so a holder that was paused and goes on too late changes nothing. Hence a registry that
    is away stops no job. Who does not have the database's lease must leave its turn to who has.
    """

    def __init__(self, registry: Registry, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._monotonic_s = monotonic_s
        self._ask_at_s = float("-inf")
        self._leases: dict[str, Lease] = {}

    async def ours(self, job: str) -> bool:
        """Whether this instance is to run the job now."""
        lease = self._leases.get(job)
        if (lease is not None and lease.held()) or self._monotonic_s() < self._ask_at_s:
            return True
        try:
            if lease is not None:
                await lease.give_back()  # or what we had of it would keep us out until it ends
                del self._leases[job]
            lease = await self._registry.lock(job, TURN_S)
        except RegistryAway:
            self._ask_at_s = self._monotonic_s() + ASK_AGAIN_S
            return True
        if lease is not None:
            self._leases[job] = lease
        return lease is not None

    def lease(self, job: str) -> Lease | None:
        """The registry's lock under which it is ours; None while the registry is away."""
        return self._leases.get(job)

    async def leave(self, job: str) -> None:
        """Let others do this job."""
        if lease := self._leases.pop(job, None):
            with suppress(RegistryAway):  # then it ends by itself
                await lease.give_back()

    async def end(self) -> None:
        """Let others go on at once."""
        await asyncio.gather(*map(self.leave, tuple(self._leases)))
