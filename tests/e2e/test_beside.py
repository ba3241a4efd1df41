"""Commands beside `make run` on other ports and on IPv6: they find it, and name what they called."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.e2e.pasting import block_after, paste
from tests.e2e.started import Started, run
from tests.e2e.test_demo import demo_environ


async def test_commands_find_the_neighbours_of_a_demo_on_ipv6(tmp_path: Path) -> None:
    environ = demo_environ(tmp_path) | {"SHOP_ORDER_SERVER__HOST": "::1", "SHOP_SANDBOX_HOST": "[::1]"}
    wiring = tmp_path / "data" / "dev" / "wiring.yaml"
    async with Started(tmp_path, "shop-sandbox", "demo", environ=environ) as demo:
        greeting = await demo.says("order.OrderService/CreateOrder")
        assert "127.0.0.1" not in greeting
        placed = json.loads(await paste(block_after(greeting, "curl -sS"), tmp_path))
        assert placed["data"]["pay_url"].startswith("http://[::1]:")
        found = await run(tmp_path, "shop-order", "doctor", environ={})
        assert (found.code, found.err) == (0, "")
        assert "1 orders, 1 leases" in found.out
        own = {"SHOP_ORDER_NEIGHBOURS__INVENTORY": "[::1]:9"}
        away = await run(tmp_path, "shop-order", "doctor", environ=own)
        assert away.code == 2
        assert "[::1]:9" in away.err, "the environment wins, and the address is named"
        production = await run(
            tmp_path, "shop-order", "doctor", environ={"SHOP_ORDER_APP__ENV": "production"}
        )
        assert production.code == 2
        assert "PAY__ALIPAY__GATEWAY" not in production.err, "production believes no simulator"
        assert wiring.stat().st_mode & 0o777 == 0o600
        assert await demo.stop(signal.SIGINT) == 0
    assert not wiring.exists()
    stopped = await run(tmp_path, "shop-order", "doctor", environ={})
    assert stopped.code == 2
    assert "127.0.0.1:50061" in stopped.err


async def test_what_a_killed_demo_left_is_not_believed(tmp_path: Path) -> None:
    environ = demo_environ(tmp_path)
    async with Started(tmp_path, "shop-sandbox", "demo", environ=environ) as demo:
        await demo.says("order.OrderService/CreateOrder")
        os.kill(demo.process.pid, signal.SIGKILL)
        await demo.process.wait()
    assert (tmp_path / "data" / "dev" / "wiring.yaml").exists()
    away = await run(
        tmp_path, "shop-order", "reconcile", "--channel", "alipay", "--date", "2026-11-21", environ={}
    )
    assert away.code == 2
    assert "http://127.0.0.1:8090/alipay/gateway.do" in away.err
