"""A full disk: who can take no order is not ready, says so as unavailable, and is ready again by itself."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shop_order.api.client import (
    AddressInfo,
    CreateOrderRequest,
    OrderItemRequest,
    Retry,
    Unavailable,
    new_order_client,
)
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import ADDRESS

WITHIN_S = 30.0
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
TEA = CreateOrderRequest([OrderItemRequest(101, 1)], AddressInfo(**ADDRESS))
BODY = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Processes]:
    """The service and the neighbours; the log begins at info."""
    processes = Processes(tmp_path, LOG__LEVEL="info")
    await processes.start(SANDBOX, SERVICE)
    yield processes
    processes.end()


def no_file_may_grow(town: Processes) -> None:
    """As if the disk were full: a write past the first byte of any file fails, whoever we are."""
    resource.prlimit(town.process(SERVICE).pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def there_is_room(town: Processes) -> None:
    """Again."""
    resource.prlimit(town.process(SERVICE).pid, resource.RLIMIT_FSIZE, NO_LIMIT)


async def until(true: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for it."""
    end = time.monotonic() + WITHIN_S
    while not (value := await true()):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    return value


async def health(town: Processes) -> int:
    """What gRPC's health service says of the whole."""
    async with grpc.aio.insecure_channel(town.grpc_address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        status: int = (await check(health_pb2.HealthCheckRequest())).status
        return status


async def test_who_can_not_write_is_not_ready_until_it_can(town: Processes) -> None:
    headers = {"Authorization": f"Bearer {town.token()}"}
    statuses = health_pb2.HealthCheckResponse
    async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=20) as http:
        placed = await http.post("/api/v1/orders", json=BODY)
        assert placed.status_code == 200
        order_sn = placed.json()["data"]["order_sn"]
        no_file_may_grow(town)

        async def ready() -> httpx.Response:
            return await http.get("/readyz")

        async def unavailable() -> bool:
            return (await ready()).status_code == 503

        await until(unavailable)  # nobody bought anything
        assert (await ready()).json() == {"status": "unavailable", "missing": ["database"]}
        await until(lambda: _is(health(town), statuses.NOT_SERVING))
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get(f"/api/v1/orders/{order_sn}")).status_code == 200  # it can still be read
        refused = await http.post("/api/v1/orders", json=BODY)
        assert (refused.status_code, refused.json()["error"]) == (503, "DEPENDENCY_DOWN")
        async with new_order_client(town.grpc_address, token=town.token(), retry=Retry(attempts=1)) as client:
            with pytest.raises(Unavailable):
                await client.create_order(TEA)

        there_is_room(town)
        await until(lambda: _is(_code(ready()), 200))
        assert (await ready()).json()["status"] == "ready"
        await until(lambda: _is(health(town), statuses.SERVING))
        assert (await http.post("/api/v1/orders", json=BODY)).status_code == 200
    await town.stop(SERVICE)
    assert "Traceback" not in town.said(SERVICE)
    lines = [json.loads(line) for line in (town.folder / "service.json").read_text().splitlines()]
    told = {line["msg"]: line for line in lines}
    assert told["database_takes_writes_again"]["code"].startswith("SQLITE_IOERR")
    assert told["log lines were dropped"]["dropped"] > 0
    assert lines[-1]["msg"] == "stopped"


async def _is(asked: Awaitable[object], value: object) -> bool:
    return await asked == value


async def _code(asked: Awaitable[httpx.Response]) -> int:
    return (await asked).status_code


async def test_a_log_that_can_not_be_written_is_missing_and_says_so(town: Processes) -> None:
    """The database has room, only the log's disk is full."""
    async with httpx.AsyncClient(base_url=town.url, trust_env=False, timeout=20) as http:
        assert (await http.get("/readyz")).json()["status"] == "ready"
        limit = 64 * 1024 * 1024
        log = town.folder / "service.json"
        with log.open("ab") as file:
            file.truncate(limit)  # the database's files are far smaller
        resource.prlimit(town.process(SERVICE).pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        async def missing() -> list[str]:
            await http.get("/api/v1/orders")  # a line
            found: list[str] = (await http.get("/readyz")).json()["missing"]
            return found

        await until(lambda: _is(missing(), ["log"]))
        assert (await http.get("/readyz")).status_code == 200
        there_is_room(town)
        await until(lambda: _is(missing(), []))
