"""The sandbox at Consul: each of its services under a name, as neighbours are found in production."""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Self

import httpx

from shop_sandbox.address import joined

logger = logging.getLogger("shop_sandbox")
LOOK_EVERY_S = 3.0
TIMEOUT_S = 3.0
# What the order service is told in NEIGHBOURS__*, and the gRPC service whose health is asked.
NAMES = {
    "goods-service": "shop.neighbours.Goods",
    "inventory-service": "shop.neighbours.Inventory",
    "user-service": "shop.neighbours.Users",
    "event-inbox": "shop.neighbours.EventInbox",
}


class Registration:
    """`async with Registration(consul, host, port):` is registered, also after Consul lost its memory."""

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
        with contextlib.suppress(httpx.HTTPError):  # its health check notices
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
            except (httpx.HTTPError, ValueError) as away:
                logger.warning("Consul can't be asked: %r", away)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _register(self, name: str) -> None:
        check = {
            "GRPC": f"{joined(self._host, self._port)}/{NAMES[name]}",
            "Interval": "2s",
            "Timeout": "2s",
            "DeregisterCriticalServiceAfter": "90s",
        }
        where = {"Address": self._host, "Port": self._port}
        body = {"ID": self._id(name), "Name": name, **where, "Check": check}
        (await self._http.put("/service/register", json=body)).raise_for_status()
