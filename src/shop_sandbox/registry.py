"""Registers the sandbox's services with Consul by name, as in production."""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Self

import httpx

from shop_sandbox.address import host_port

logger = logging.getLogger("shop_sandbox")
POLL_INTERVAL_S = 3.0
TIMEOUT_S = 3.0
# The names used in NEIGHBOURS__*, and the gRPC service whose health Consul checks.
NAMES = {
    "goods-service": "shop.neighbours.Goods",
    "inventory-service": "shop.neighbours.Inventory",
    "user-service": "shop.neighbours.Users",
    "event-inbox": "shop.neighbours.EventInbox",
}


class Registration:
    """`async with Registration(consul, host, port):` stays registered, even after Consul lost its data."""

    def __init__(self, consul: str, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._http = httpx.AsyncClient(
            base_url=f"http://{consul}/v1/agent", timeout=TIMEOUT_S, trust_env=False
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="registration")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(httpx.HTTPError):  # its health check will remove it
            for name in NAMES:
                await self._http.put(f"/service/deregister/{self._id(name)}")
        await self._http.aclose()

    def _id(self, name: str) -> str:
        return f"{name}-{self._host}-{self._port}"

    async def _keep(self) -> None:
        while True:
            try:
                known = (await self._http.get("/services")).raise_for_status().json()
                for name in NAMES:
                    if self._id(name) not in known:
                        await self._register(name)
            except (httpx.HTTPError, ValueError) as error:
                logger.warning("Consul is unreachable: %r", error)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _register(self, name: str) -> None:
        check = {
            "GRPC": f"{host_port(self._host, self._port)}/{NAMES[name]}",
            "Interval": "2s",
            "Timeout": "2s",
            "DeregisterCriticalServiceAfter": "90s",
        }
        where = {"Address": self._host, "Port": self._port}
        body = {"ID": self._id(name), "Name": name, **where, "Check": check}
        (await self._http.put("/service/register", json=body)).raise_for_status()
