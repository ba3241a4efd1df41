"""A process that was paused so long that its worker id is another's must not make ids with it."""

from __future__ import annotations

import time

from tests.shop import ADDRESS, Shop

BODY = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}


async def test_no_id_is_made_with_a_worker_id_that_ran_out(shop: Shop) -> None:
    await shop.core.ids.renew(shop.core.store)  # behind the one that every start begins with
    shop.core.ids._expires_s = time.monotonic() - 1
    refused = await shop.http.post("/api/v1/orders", json=BODY, headers=shop.bearer())
    assert (refused.status_code, refused.json()["error"]) == (503, "DEPENDENCY_DOWN")
    await shop.core.ids.renew(shop.core.store)
    assert await shop.place()
    await shop.check_doctor()
