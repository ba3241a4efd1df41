"""The server that carries the application: its port, its stop, its documents and pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shop_order.pkg.http.server import HttpServer
from tests.component.rest.front import PUBLIC_URL, Rest, token
from tests.world.shop import World


@pytest.fixture
async def server(rest: Rest) -> AsyncIterator[HttpServer]:
    it = HttpServer(rest.app, host="127.0.0.1", port=0)
    yield it
    await it.stop(1)


@pytest.fixture
async def browser(server: HttpServer) -> AsyncIterator[httpx.AsyncClient]:
    port = await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def test_a_taken_port_is_refused(server: HttpServer, rest: Rest) -> None:
    port = await server.start()
    with pytest.raises(OSError, match="in use"):
        await HttpServer(rest.app, host="127.0.0.1", port=port).start()


async def test_a_request_that_was_accepted_is_answered_before_the_stop(
    server: HttpServer, browser: httpx.AsyncClient, world: World, monkeypatch: Any
) -> None:
    entered, view = asyncio.Event(), world.carts.view

    async def slow(actor: Any) -> Any:
        entered.set()
        await asyncio.sleep(0.3)
        return await view(actor)

    monkeypatch.setattr(world.carts, "view", slow)
    headers = {"authorization": f"Bearer {token()}"}
    running = asyncio.create_task(browser.get("/api/v1/cart", headers=headers))
    await entered.wait()
    await server.stop(5)
    assert (await running).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await browser.get("/healthz")


@pytest.mark.parametrize("page", ["docs", "redoc"])
async def test_the_documents_load_from_ourselves_alone(browser: httpx.AsyncClient, page: str) -> None:
    answer = await browser.get(f"/api/v1/{page}")
    assert answer.status_code == 200
    assert "https://" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for address in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        asset = await browser.get(address)
        assert asset.status_code == 200
        assert "max-age" in asset.headers["cache-control"]


@pytest.mark.parametrize(
    ("format", "kind"), [("json", "application/json"), ("yaml", "application/yaml"), ("md", "text/markdown")]
)
async def test_the_document_is_served_in_three_formats(
    browser: httpx.AsyncClient, format: str, kind: str
) -> None:
    answer = await browser.get(f"/api/v1/openapi.{format}")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert "/api/v1/orders/{order_sn}/pay" in answer.text


async def test_no_file_but_the_pages_own_is_served(browser: httpx.AsyncClient) -> None:
    for path in ("../__init__.py", "%2e%2e/core.py", "nothing.js"):
        assert (await browser.get(f"/api/v1/docs/assets/{path}")).status_code == 404


async def test_a_buyer_walks_from_the_link_to_the_provider(browser: httpx.AsyncClient, rest: Rest) -> None:
    link = (await rest.placed())["pay_url"].removeprefix(PUBLIC_URL)
    page = await browser.get(link, headers={"accept": "text/html"})
    assert page.status_code == 200
    answer = await browser.post(link, data={"payment_type": "alipay"})
    assert answer.status_code == 303
