"""The driver's clients; the only module that imports the driver."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from shop_order.pkg.redis import RedisAddress
from shop_order.pkg.redis.connection import Command, CommandFailed, NoScript
from shop_order.pkg.url import EngineTls

FAILURES = (RedisError, RedisClusterException, OSError, EOFError)
MAX_CONNECTIONS = 16
ALIVE, ALIVE_MS = "order-service:1:alive", 1000  # written to probe whether writes are accepted


class RedisClient:
    """See `connection.Client`."""

    def __init__(self, redis: Redis | RedisCluster) -> None:
        self._redis = redis

    async def run(self, commands: Sequence[Command]) -> Sequence[Any]:
        pipeline: Any = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except FAILURES as failed:
            raise CommandFailed(repr(failed)) from failed
        return [result_of(result) for result in results]

    async def ping(self) -> None:
        try:
            if isinstance(self._redis, Redis):
                await self._redis.ping()
                # A replica, or a server out of memory, answers pings but refuses writes.
                await self._redis.set(ALIVE, 1, px=ALIVE_MS)
            else:
                await self._redis.ping(target_nodes=RedisCluster.PRIMARIES)
        except FAILURES as failed:
            raise CommandFailed(repr(failed)) from failed

    async def close(self) -> None:
        with suppress(*FAILURES):
            await self._redis.aclose()


def result_of(result: Any) -> Any:
    """Convert the driver's errors to ours."""
    if isinstance(result, NoScriptError):
        return NoScript()
    return CommandFailed(repr(result)) if isinstance(result, Exception) else result


def connect(address: RedisAddress, timeout_s: float) -> RedisClient:
    """Return an unconnected client without retries: callers can't wait."""
    connection: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        **_tls(address.tls),
    }
    login: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "retry": Retry(NoBackoff(), 0),
        **connection,
    }
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return RedisClient(RedisCluster(startup_nodes=nodes, max_connections=MAX_CONNECTIONS, **login))
    if address.kind == "sentinel":
        sentinels: Any = cast(Any, Sentinel)(address.hosts, sentinel_kwargs=connection)
        return RedisClient(sentinels.master_for(address.master, db=address.db, **login))
    host, port = address.hosts[0]
    return RedisClient(Redis(host=host, port=port, db=address.db, max_connections=MAX_CONNECTIONS, **login))


def _tls(tls: EngineTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    return {
        "ssl": True,
        "ssl_ca_certs": tls.ca or None,
        "ssl_certfile": tls.cert or None,
        "ssl_keyfile": tls.key or None,
        "ssl_check_hostname": tls.check_name,
        "ssl_cert_reqs": "required",
    }
