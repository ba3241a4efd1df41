"""The daily root as an operator meets it: sealed by itself, verified by a command, watched by a metric."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from shop_order.cmd.wiring import core
from shop_order.domain.history_root import Root
from tests.e2e.started import Ran, run
from tests.shop import Shop

TWO_DAYS_MS = 49 * 3_600_000
CUT_OFF = """
DROP TRIGGER order_event_no_delete;
DELETE FROM order_event WHERE version > 1;
UPDATE order_info SET version = 1, status = 1, cancel_code = '', cancel_reason = '', due_ms = expire_ms,
    updated_at = created_at;
CREATE TRIGGER order_event_no_delete BEFORE DELETE ON order_event
BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
"""


FORGED = """
DROP TRIGGER history_root_no_update;
UPDATE history_root SET signature = root;
CREATE TRIGGER history_root_no_update BEFORE UPDATE ON history_root
BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
"""


def tamper(shop: Shop, script: str) -> None:
    """As who has the file can."""
    with closing(sqlite3.connect(shop.folder / "order" / "order.db")) as connection:
        connection.executescript(script)


async def verify(shop: Shop, *words: str) -> Ran:
    """`audit verify`, as an operator starts it."""
    return await run(shop.folder, "shop-order", "audit", "verify", *words, environ=shop.environ)


async def test_an_order_whose_end_was_cut_off_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lag_ms = [TWO_DAYS_MS]
    monkeypatch.setattr(core, "real_ms", lambda: time.time_ns() // 1_000_000 - lag_ms[0])
    async with Shop(tmp_path) as shop:
        order_sn = (await shop.place())["order_sn"]
        await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", headers=shop.bearer())
        await shop.stop_service()
        lag_ms[0] = 0
        await shop.start_service()

        async def sealed() -> list[Root]:
            return [one for one in await shop.core.store.roots.page("", 9) if one.sealed.events]

        (root,) = await shop.until(sealed)

        async def watched() -> bool:
            metrics = (await shop.http.get("/metrics")).text
            found = re.search(r"^shop_order_roots_behind_seconds ([\d.e+]+)$", metrics, re.MULTILINE)
            return found is not None and 0 < float(found[1]) < 74 * 3600

        await shop.until(watched)
        whole = await verify(shop)
        assert (whole.code, "1 chains verified, 0 broken" in whole.out) == (0, True), whole
        await shop.stop_service()
        tamper(shop, CUT_OFF)
        alone = await verify(shop, "--order", order_sn)
        assert (alone.code, alone.out) == (0, "1 chains verified, 0 broken\n"), "the chain can't tell"
        found = await verify(shop)
        assert found.code == 1
        says = f"history: day {root.sealed.day} has 1 of its 2 sealed events: the others were removed"
        assert says in found.out


async def test_the_doctor_tells_of_a_root_that_is_not_ours(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        root = await shop.until(shop.core.store.roots.last)
        tamper(shop, FORGED)
        file = tmp_path / "doctor.prom"
        words = ("doctor", "--metrics", str(file))
        doctor = await run(shop.folder, "shop-order", *words, environ=shop.environ)
        assert doctor.code == 1
        assert f"history: day {root.sealed.day} has a root with a forged signature" in doctor.out
        assert ", 1 findings" in doctor.out
        assert 'shop_order_doctor_findings{area="history"} 1.0' in file.read_text()
