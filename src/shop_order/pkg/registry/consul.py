"""Consul over its HTTP API (specification 6.2)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from shop_order.pkg.address import join_host_port
from shop_order.pkg.registry import Instance, RegistryUnavailable

PORT = 8500
INTERVAL, TIMEOUT, DEREGISTER = "10s", "5s", "90s"
LOCKS = "order-service/locks/"
RESPONSE_S = 3.0
WAIT_S = 30
FIRST_RETRY_S = 0.5
MAX_RETRY_S = 5.0
MIN_TTL_S = 10.0  # Consul's minimum
LOCK_DELAY = "15s"  # Consul's default: how long the lock of a dead session stays unavailable


class Consul:
    """See `Registry`; `consul://host:port`, or `consul://:token@host:port`."""

    def __init__(self, url: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        split = urlsplit(url)
        token = {"X-Consul-Token": unquote(split.password)} if split.password else {}
        self._monotonic_s = monotonic_s
        self._address = join_host_port(split.hostname or "", split.port or PORT)
        self._http = httpx.AsyncClient(
            base_url=f"http://{self._address}/v1", headers=token, timeout=RESPONSE_S, trust_env=False
        )

    async def register(self, instance: Instance) -> None:
        check = {
            "GRPC": f"{join_host_port(instance.host, instance.port)}/{instance.health}",
            "GRPCUseTLS": instance.tls,
            # The agent is local and connects by address: the certificate is for the names that callers use.
            "TLSSkipVerify": instance.tls,
            "Interval": INTERVAL,
            "Timeout": TIMEOUT,
            "DeregisterCriticalServiceAfter": DEREGISTER,
        }
        registration = {
            "ID": instance.id,
            "Name": instance.name,
            "Tags": list(instance.tags),
            "Address": instance.host,
            "Port": instance.port,
            "Check": check,
        }
        await self.request("PUT", "/agent/service/register", json=registration)

    async def knows(self, instance: Instance) -> bool:
        response = await self.request("GET", f"/agent/service/{quote(instance.id)}", accept=404)
        return response.status_code == 200

    async def deregister(self, instance: Instance) -> None:
        await self.request("PUT", f"/agent/service/deregister/{quote(instance.id)}", accept=404)

    async def watch(self, name: str) -> AsyncIterator[Sequence[str]]:
        index, known, may_be_empty, retry_s = 0, None, False, FIRST_RETRY_S
        while True:
            query = {"passing": "1", "index": str(index), "wait": f"{WAIT_S}s"}
            try:
                response = await self.request(
                    "GET", f"/health/service/{quote(name)}", params=query, wait_s=WAIT_S
                )
                new_index, found = int(response.headers["X-Consul-Index"]), _addresses(response.json())
            except (RegistryUnavailable, KeyError, TypeError, ValueError):
                index = 0  # start over: the next response may come from a restarted Consul
                may_be_empty = known is not None
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, MAX_RETRY_S)
                continue
            retry_s = FIRST_RETRY_S
            may_be_empty = (may_be_empty or new_index < index) and not found
            index = max(new_index, 1) if new_index >= index else 0  # a query with index 0 would not block
            # A Consul that lost its data lists no instances until they register again: not a change.
            if found != known and not may_be_empty:
                known = found
                yield found

    async def lock(self, name: str, ttl_s: float) -> ConsulLock | None:
        lock = ConsulLock(self, f"{LOCKS}{name}", max(ttl_s, MIN_TTL_S), self._monotonic_s)
        return lock if await lock.acquire() else None

    async def get(self, key: str) -> bytes | None:
        response = await self.request("GET", f"/kv/{quote(key)}", accept=404)
        if response.status_code == 404:
            return None
        return base64.b64decode(response.json()[0]["Value"] or "")

    async def values_below(self, prefix: str) -> Mapping[str, bytes]:
        response = await self.request("GET", f"/kv/{quote(prefix)}", params={"recurse": "true"}, accept=404)
        rows = response.json() if response.status_code == 200 else ()
        return {row["Key"]: base64.b64decode(row["Value"] or "") for row in rows}

    async def aclose(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        json: Any = None,
        wait_s: float = 0.0,
        accept: int = 200,
    ) -> httpx.Response:
        """Return the response if its status is 200 or `accept`. Raises RegistryUnavailable."""
        limit = httpx.Timeout(RESPONSE_S, read=RESPONSE_S + wait_s * 1.1)
        try:
            response = await self._http.request(method, path, params=params, json=json, timeout=limit)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"Consul at {self._address} can't be reached: {str(error) or repr(error)}"
            ) from error
        if response.status_code not in (200, accept):
            raise RegistryUnavailable(
                f"Consul at {self._address} refused {path}: {response.status_code}"
                f" {response.text.strip()[:200]}"
            )
        return response


class ConsulLock:
    """A key held by a session, which a task renews. See `RegistryLock`."""

    def __init__(self, consul: Consul, key: str, ttl_s: float, monotonic_s: Callable[[], float]) -> None:
        self._consul = consul
        self._key, self._path = key, f"/kv/{quote(key)}"
        self._ttl_s = ttl_s
        self._monotonic_s = monotonic_s
        self._session = ""
        self._until_s = float("-inf")
        self._renewing: asyncio.Task[None] | None = None
        self.fence = 0

    async def acquire(self) -> bool:
        """Try to acquire the lock; return whether it is ours. Raises RegistryUnavailable."""
        row = await self._consul.request("GET", self._path, accept=404)
        if row.status_code == 200 and row.json()[0].get("Session"):
            return False  # avoid creating a session
        sent_s = self._monotonic_s()
        wanted = {
            "Name": self._key,
            "TTL": f"{self._ttl_s:g}s",
            "Behavior": "release",
            "LockDelay": LOCK_DELAY,
        }
        self._session = str((await self._consul.request("PUT", "/session/create", json=wanted)).json()["ID"])
        acquired = False
        try:
            response = await self._consul.request("PUT", self._path, params={"acquire": self._session})
            if response.json() is True:
                row = (await self._consul.request("GET", self._path)).json()[0]
                # If the session has expired meanwhile, the number is another holder's.
                acquired = row.get("Session") == self._session
                self.fence = int(row["LockIndex"])
        finally:
            if not acquired:
                with suppress(RegistryUnavailable):
                    await self._consul.request("PUT", f"/session/destroy/{self._session}", accept=404)
        if acquired:
            self._until_s = sent_s + self._ttl_s
            self._renewing = asyncio.create_task(self._renew())
        return acquired

    def held(self) -> bool:
        return self._monotonic_s() < self._until_s

    async def put(self, key: str, value: bytes) -> bool:
        check = {"Verb": "check-session", "Key": self._key, "Session": self._session}
        put = {"Verb": "set", "Key": key, "Value": base64.b64encode(value).decode()}
        response = await self._consul.request("PUT", "/txn", json=[{"KV": check}, {"KV": put}], accept=409)
        return response.status_code == 200

    async def release(self) -> None:
        self._until_s = float("-inf")
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._consul.request("PUT", self._path, params={"release": self._session})
        await self._consul.request("PUT", f"/session/destroy/{self._session}", accept=404)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            sent_s = self._monotonic_s()
            if sent_s >= self._until_s:
                return  # it may have expired: a late renewal must not extend it
            try:
                response = await self._consul.request("PUT", f"/session/renew/{self._session}", accept=404)
            except RegistryUnavailable:
                continue
            if response.status_code == 404:
                self._until_s = float("-inf")
                return
            self._until_s = sent_s + self._ttl_s


def _addresses(rows: Any) -> tuple[str, ...]:
    services = [(row["Service"]["Address"] or row["Node"]["Address"], row["Service"]["Port"]) for row in rows]
    return tuple(sorted({join_host_port(str(host), port) for host, port in services}))
