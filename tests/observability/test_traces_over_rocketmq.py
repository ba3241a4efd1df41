"""The trace of a purchase goes through the relay's process and the broker, to those who read there."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.faults.test_broker_gone import CANCELLED, Town
from tests.observability.collector import Collector
from tests.plugins.engines import available
from tests.shop import ADDRESS

CALLER = "b7ad6b7169203331"


@pytest.mark.parametrize("url", available("rocketmq"))
async def test_one_trace_from_the_caller_over_the_broker_to_both_consumers(
    url: str, collector: Collector, tmp_path: Path
) -> None:
    trace = secrets.token_hex(16)
    environ = {"ORDER__PAY_TIMEOUT_S": "3", "ORDER__SCAN_INTERVAL_S": "600"}
    async with Town(tmp_path, url, TRACE__URL=collector.url, **environ) as town:
        body = {"items": [{"goods_id": 110, "nums": 1}], "address": ADDRESS}
        headers = {"traceparent": f"00-{trace}-{CALLER}-01", "X-Request-ID": "r-42"}
        answer = await town.http.post("/api/v1/orders", json=body, headers={**town.bearer(), **headers})
        order_sn = answer.json()["data"]["order_sn"]

        async def cancelled() -> bool:
            return bool((await town.order(order_sn))["status"] == CANCELLED)

        await town.until(cancelled, 30)
        await town.all_arrived()
        # Two groups read the end of the order, one of them its beginning.
        await collector.until(lambda: names(collector, trace).count("process order.cancelled") == 2)
    found = names(collector, trace)
    assert found.count("send order-events") == 2
    assert found.count("process order.created") == 1
    assert found.count("process order.timeout") == 1
    spans = collector.of(trace)
    ids = {span.id for span in spans}
    assert {span.parent for span in spans} <= ids | {CALLER}
    sent = {span.id: span for span in spans if span.name == "send order-events"}
    assert {span.attributes["messaging.system"] for span in sent.values()} == {"rocketmq"}
    ended = [span for span in spans if span.name.startswith("process order.c")]
    assert {span.parent for span in ended} == set(sent)
    # What the delayed message led to is told under the id of the request that placed the order.
    assert {span.attributes["shop.request_id"] for span in ended} == {"r-42"}


def names(collector: Collector, trace: str) -> list[str]:
    return [span.name for span in collector.of(trace)]
