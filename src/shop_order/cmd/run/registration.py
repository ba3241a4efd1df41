"""Registers this instance while it serves."""

from __future__ import annotations

import asyncio

from shop_order.pkg.log import get_logger
from shop_order.pkg.registry import Instance, Registry, RegistryUnavailable

log = get_logger("registry")
CHECK_EVERY_S = 3.0
SERVICE = "order-service"
TAGS = ("order", "payment", "grpc")
HEALTH = "health"


class Registration:
    """Keeps an instance registered, even after the registry lost its data."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._instance: Instance | None = None
        self._task: asyncio.Task[None] | None = None
        self.unreachable = False

    def start(self, host: str, port: int, *, tls: bool) -> None:
        """Register (specification 6.2) and stay registered."""
        self._instance = Instance(SERVICE, host, port, TAGS, HEALTH, tls)
        self._task = asyncio.create_task(self._keep(self._instance))

    async def stop(self) -> None:
        """Deregister; if the registry is unreachable, its health check will notice."""
        if self._task is None or self._instance is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            await self._registry.deregister(self._instance)
        except RegistryUnavailable as error:
            log.warning("not_deregistered", id=self._instance.id, error=str(error))

    async def _keep(self, instance: Instance) -> None:
        registered = False  # an entry of this address may be left from a killed instance
        while True:
            try:
                if not (registered and await self._registry.knows(instance)):
                    await self._registry.register(instance)
                    registered = True
                    log.info("registered", id=instance.id)
                self._update(unreachable=False)
            except RegistryUnavailable as error:
                self._update(unreachable=True, why=str(error))
            except Exception as failed:  # noqa: BLE001 - a background loop
                self._update(unreachable=True, why=repr(failed))
            await asyncio.sleep(CHECK_EVERY_S)

    def _update(self, *, unreachable: bool, why: str = "") -> None:
        if unreachable and not self.unreachable:
            log.warning("registry_away", error=why)
        self.unreachable = unreachable
