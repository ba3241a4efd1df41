"""Starting and stopping as an operator does it: exit codes, one clear line, nothing accepted is lost."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
import yaml

from shop_order.api.client import (
    AddressInfo,
    CreateOrderRequest,
    OrderApiError,
    OrderItemRequest,
    Retry,
    Unavailable,
    new_order_client,
)
from tests.e2e.started import Started, run
from tests.faults.processes import SANDBOX, SERVICE, Processes
from tests.shop import ADDRESS, Shop

KEYS = ["time", "level", "logger", "caller", "msg"]
TEA = CreateOrderRequest([OrderItemRequest(101, 1)], AddressInfo(**ADDRESS))
CALLERS = 16


def one_line(text: str) -> str:
    """The only line of a refusal."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("shop-order: ")
    return lines[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERVER__HTTP_POTR", "1", "did you mean SERVER__HTTP_PORT?"),
        ("ORDER__PAY_TIMEOUT_S", "soon", "ORDER__PAY_TIMEOUT_S: "),
        ("DB__URL", "mysql://127.0.0.1:3306/shop", "must be mysql://user:password@host:port/db"),
        ("CACHE__URL", "redis+cluster://127.0.0.1:6379/3", "a cluster has no database"),
        ("SERVER__WORKERS", "2", "SERVER__WORKERS: one process is one instance"),
        ("APP__ENV", "production", "production needs SERVER__PUBLIC_URL, AUTH__LINK_KEYS"),
        ("AUDIT__ROOT_KEY_FILE", "/proc/nowhere", "AUDIT__ROOT_KEY_FILE: /proc/nowhere"),
        ("AUDIT__ROOT_KEY_FILE", "/proc/version", "needs 1 to 64 PEM blocks"),
        ("DB__URL", "sqlite:////proc/nowhere/order.db", "/proc/nowhere"),
        ("DATA_DIR", "/proc/nowhere", "/proc/nowhere"),
    ],
)
async def test_a_start_that_cannot_be_is_refused_with_one_line(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    environ = {**Shop(tmp_path).environ, f"SHOP_ORDER_{name}": value}
    refused = await run(tmp_path, "shop-order", "serve", environ=environ)
    assert refused.code == 2
    assert said in one_line(refused.err)


async def test_one_worker_is_accepted_with_a_warning(town: Processes) -> None:
    town._environ[SERVICE]["SHOP_ORDER_SERVER__WORKERS"] = "1"
    await town.start(SERVICE)
    (line,) = (json.loads(text) for text in town.said(SERVICE).splitlines() if "settings_unused" in text)
    assert (line["level"], line["unused"]) == ("warn", ["SERVER__WORKERS"])


@pytest.mark.parametrize("damage", ["no database", "no file"])
@pytest.mark.parametrize("command", [("serve",), ("migrate",)])
async def test_a_database_that_can_not_be_used_is_told_in_one_line(
    tmp_path: Path, command: tuple[str, ...], damage: str
) -> None:
    file, environ = tmp_path / "damaged.db", Shop(tmp_path).environ
    if damage == "no file":
        file.mkdir()
    else:
        file.write_bytes(b"this is text " * 1000)
    environ = {**environ, "SHOP_ORDER_DB__URL": f"sqlite:///{file}"}
    refused = await run(tmp_path, "shop-order", *command, environ=environ)
    assert refused.code == 2
    assert "can't be used" in one_line(refused.err)


@pytest.mark.parametrize("front", ["grpc", "http"])
async def test_a_taken_port_is_named(tmp_path: Path, front: str) -> None:
    shop = Shop(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", shop.ports[front]))
        other.listen()
        refused = await run(tmp_path, "shop-order", "serve", environ=shop.environ)
    assert refused.code == 2
    assert f"127.0.0.1:{shop.ports[front]}" in one_line(refused.err)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Processes]:
    """The service and the neighbours, not started."""
    processes = Processes(tmp_path)
    yield processes
    processes.end()


async def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path, town: Processes) -> None:
    await town.start(SERVICE)
    refused = await run(tmp_path, "shop-order", "serve", environ=Shop(tmp_path).environ)
    assert refused.code == 2
    assert "another process serves" in one_line(refused.err)


async def test_without_its_neighbours_it_serves_what_it_can(town: Processes) -> None:
    await town.start(SERVICE)
    headers = {"Authorization": f"Bearer {town.token()}"}
    async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False) as http:
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert {"goods", "inventory"} <= set(ready.json()["missing"])
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        placed = await http.post("/api/v1/orders", json=body)
        assert (placed.status_code, placed.json()["error"]) == (503, "DEPENDENCY_DOWN")
        assert (await http.get("/api/v1/orders")).json()["data"]["total"] == 0
    async with new_order_client(town.grpc_address, token=town.token(), retry=Retry(attempts=1)) as orders:
        with pytest.raises(Unavailable):
            await orders.create_order(TEA)
        assert list((await orders.list_orders()).orders) == []


async def test_a_stop_loses_no_order_that_was_answered(town: Processes) -> None:
    await town.start(SANDBOX, SERVICE)
    answered: list[str] = []
    refusals: list[grpc.StatusCode] = []
    rest_refusals: list[int] = []
    busy = asyncio.Event()

    async def buy_until_refused(user: int) -> None:
        async with new_order_client(
            town.grpc_address, token=town.token(user), retry=Retry(attempts=1), timeout_s=20
        ) as orders:
            while True:
                try:
                    answered.append((await orders.create_order(TEA)).order_sn)
                except OrderApiError as refused:
                    refusals.append(refused.code)
                    return
                if len(answered) >= 5 * CALLERS:
                    busy.set()

    async def buy_over_rest_until_refused(user: int) -> None:
        headers = {"Authorization": f"Bearer {town.token(user)}"}
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        async with httpx.AsyncClient(base_url=town.url, headers=headers, trust_env=False, timeout=20) as http:
            while True:
                try:
                    answer = await http.post("/api/v1/orders", json=body)
                except httpx.TransportError:  # not accepted: the connection was closed, or refused
                    return
                if answer.status_code != 200:
                    rest_refusals.append(answer.status_code)
                    return
                answered.append(answer.json()["data"]["order_sn"])

    callers = [asyncio.create_task(buy_until_refused(100 + user)) for user in range(CALLERS)]
    callers += [asyncio.create_task(buy_over_rest_until_refused(200 + user)) for user in range(4)]
    await asyncio.wait_for(busy.wait(), 30)
    process = town.process(SERVICE)
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(*callers)
    assert await asyncio.to_thread(process.wait, 30) == 0

    stored = {str(row[0]) for row in town.rows("SELECT order_sn FROM order_info")}
    assert set(answered) <= stored
    assert set(refusals) == {grpc.StatusCode.UNAVAILABLE}
    assert set(rest_refusals) <= {503}
    assert "Traceback" not in town.said(SERVICE)


async def test_settings_are_reloaded_remembered_compared_and_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "limit.yaml").write_text("limit: {unpaid_orders: 5}\n")
    town = Processes(tmp_path, CONFIG__URL=f"file:{folder}", LOG__LEVEL="info")
    town.without("SHOP_ORDER_LIMIT__UNPAID_ORDERS")
    try:
        await town.start(SANDBOX, SERVICE)
        assert await orders_until_too_many(town, user=7) == 5

        (folder / "limit.yaml").write_text("limit: {unpaid_orders: 2}\n")
        await reloaded(town, '"applied":["LIMIT__UNPAID_ORDERS"]')
        assert await orders_until_too_many(town, user=8) == 2

        (folder / "limit.yaml").write_text("limit: {unpaid_orders: many}\n")
        await reloaded(town, "reload_refused")
        assert await orders_until_too_many(town, user=9) == 2

        (folder / "limit.yaml").write_text("limit: {unpaid_orders: 2}\n")
        code, history = await town.says("config", "history")
        assert (code, [line.split()[0] for line in history.splitlines()]) == (0, ["2", "1"])
        code, difference = await town.says("config", "diff", "1", "2")
        assert code == 0
        assert "-  unpaid_orders: 5" in difference and "+  unpaid_orders: 2" in difference
        code, _ = await town.says("config", "rollback", "1")
        assert code == 0
        await reloaded(town, '"applied":["LIMIT__UNPAID_ORDERS"]')
        assert await orders_until_too_many(town, user=10) == 5
    finally:
        town.end()


async def reloaded(town: Processes, said: str) -> None:
    """HUP, and wait until the service has said so once more."""
    before = town.said(SERVICE).count(said)
    town.process(SERVICE).send_signal(signal.SIGHUP)
    for _ in range(200):
        if town.said(SERVICE).count(said) > before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(town.said(SERVICE)[-2000:])


async def orders_until_too_many(town: Processes, user: int) -> int:
    """How many unpaid orders a user may have."""
    async with new_order_client(town.grpc_address, token=town.token(user)) as orders:
        for number in range(10):
            try:
                await orders.create_order(TEA)
            except OrderApiError as refused:
                assert refused.reason == "TOO_MANY_UNPAID"
                return number
    raise AssertionError("no limit")


async def test_every_line_of_the_log_has_the_keys_of_the_specification(tmp_path: Path) -> None:
    town = Processes(tmp_path, LOG__LEVEL="info")
    await town.start(SERVICE)
    async with httpx.AsyncClient(base_url=town.url, trust_env=False) as http:
        await http.get("/api/v1/orders", headers={"X-Request-ID": "look-for-me"})
    town.process(SERVICE).send_signal(signal.SIGTERM)
    await asyncio.to_thread(town.process(SERVICE).wait, 30)
    text = (town.folder / "service.json").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line for line in lines if list(line)[: len(KEYS)] != KEYS] == []
    assert [line for line in lines if line.get("request_id") == "look-for-me"]
    assert [line["msg"] for line in lines if line["logger"] == "app"] == ["started", "stopped"]


async def test_the_token_command_prints_a_token_that_the_service_takes_and_nothing_else(
    tmp_path: Path, town: Processes
) -> None:
    await town.start(SERVICE)
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path / "order")}
    buyer = await run(tmp_path, "shop-order", "token", "--user", "7", environ=environ)
    admin = await run(tmp_path, "shop-order", "token", "--user", "1", "--role", "admin", environ=environ)
    assert (buyer.code, buyer.err, buyer.out.count("\n")) == (0, "", 1)
    async with httpx.AsyncClient(base_url=town.url, trust_env=False) as http:
        for ran, status in ((buyer, 403), (admin, 200)):
            headers = {"Authorization": f"Bearer {ran.out.strip()}"}
            answer = await http.post("/api/v1/admin/clock", json={"advance_s": 1}, headers=headers)
            assert answer.status_code == status
    nobody = await run(tmp_path, "shop-order", "token", environ=environ)
    assert (nobody.code, nobody.out) == (2, "")
    assert "--user" in one_line(nobody.err)


async def test_the_rest_document_is_printed_in_three_formats(tmp_path: Path) -> None:
    printed = {
        name: await run(tmp_path, "shop-order", "openapi", "--format", name, environ={})
        for name in ("json", "yaml", "md")
    }
    assert json.loads(printed["json"].out) == yaml.safe_load(printed["yaml"].out)
    assert json.loads(printed["json"].out)["openapi"].startswith("3.1")
    assert "/api/v1/orders" in printed["md"].out


async def test_migrate_makes_the_tables_again_and_again_and_takes_them_away(tmp_path: Path) -> None:
    environ = {"SHOP_ORDER_DATA_DIR": str(tmp_path / "data")}
    for revision, *sure in (("head",), ("head",), ("base", "--yes-drop-data")):
        words = ("migrate", "--revision", revision, *sure)
        ran = await run(tmp_path, "shop-order", *words, environ=environ)
        assert (ran.code, ran.out) == (0, "")
        assert f"is at {revision}" in ran.err
    nowhere = {**environ, "SHOP_ORDER_DB__URL": "sqlite:////proc/nowhere/order.db"}
    refused = await run(tmp_path, "shop-order", "migrate", environ=nowhere)
    assert refused.code == 2
    assert "/proc/nowhere" in one_line(refused.err)


async def test_interrupting_the_sandbox_alone_ends_it_quietly(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    environ = {
        "SHOP_SANDBOX_GRPC_PORT": str(shop.ports["sandbox_grpc"]),
        "SHOP_SANDBOX_HTTP_PORT": str(shop.ports["sandbox_http"]),
        "SHOP_SANDBOX_DATA_DIR": str(tmp_path / "sandbox"),
        "SHOP_SANDBOX_KEYS_DIR": str(tmp_path / "dev"),
    }
    async with Started(tmp_path, "shop-sandbox", "serve", environ=environ) as sandbox:
        await sandbox.says("neighbours on")
        assert await sandbox.stop(signal.SIGINT) == 0
    assert "Traceback" not in sandbox.said()
