"""Traces where several instances serve: each sends its own spans."""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx
import pytest

from tests.faults.processes import SANDBOX
from tests.instances.town import INSTANCES, NEEDED, Engines, SharedTown, offered
from tests.observability.collector import Collector
from tests.shop import ADDRESS

CALLER = "b7ad6b7169203331"
pytestmark = pytest.mark.engine(*NEEDED)


@pytest.mark.parametrize("engines", offered()[:1], ids=lambda _: "shared")
async def test_every_instance_sends_the_spans_of_what_it_answered(
    engines: Engines, collector: Collector, tmp_path: Path
) -> None:
    traces: list[str] = []
    async with SharedTown(tmp_path, engines, TRACE__URL=collector.url) as town:
        await town.start(SANDBOX, *INSTANCES)
        for url in town.urls.values():
            traces.append(trace := secrets.token_hex(16))
            body = {"items": [{"goods_id": 10_001, "nums": 1}], "address": ADDRESS}
            headers = {
                "authorization": f"Bearer {town.token()}",
                "traceparent": f"00-{trace}-{CALLER}-01",
            }
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
                assert (await http.post("/api/v1/orders", json=body, headers=headers)).status_code == 200
        await collector.until(lambda: sent(collector) >= set(traces), 30)
    assert len(collector.instances) == len(INSTANCES)
    for trace in traces:
        spans = collector.of(trace)
        assert {span.parent for span in spans} <= {CALLER} | {span.id for span in spans}
        assert {"POST /api/v1/orders", "orders.add", "send order-events"} <= {span.name for span in spans}


def sent(collector: Collector) -> set[str]:
    """Traces that are whole."""
    ends = {"POST /api/v1/orders", "send order-events"}
    return {s.trace for s in collector.spans if ends <= {one.name for one in collector.of(s.trace)}}
