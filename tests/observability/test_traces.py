"""Traces as a collector gets them: one from the caller over our calls to the readers of our events."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import format_span_id, format_trace_id

from shop_order.api.client import new_order_client, new_sync_order_client
from shop_order.api.client.tracing import current_trace
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.cmd.wiring.tracing import processing
from shop_order.pkg.log import LogConfig, Logging, current_request_id
from shop_order.pkg.message import Delivery, EmbeddedPublisher, Message
from tests.observability.collector import Collector, Seen
from tests.shop import ADDRESS, Shop

OURS, THEIRS = "order-service", "shop-sandbox"
CALLER = "b7ad6b7169203331"
PLACE = "/api/v1/orders"


def new_trace() -> str:
    return secrets.token_hex(16)


def parent(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CALLER}-{flags}"}


async def place(shop: Shop, headers: Mapping[str, str], *, goods: int = 101) -> Any:
    body = {"items": [{"goods_id": goods, "nums": 1}], "address": ADDRESS}
    return await shop.http.post(PLACE, json=body, headers={**shop.bearer(), **headers})


def named(spans: list[Seen], service: str) -> set[str]:
    return {span.name for span in spans if span.service == service}


def only(spans: list[Seen], name: str, service: str = OURS) -> Seen:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


def assert_whole(spans: list[Seen], root: str) -> None:
    """Every span hangs below the caller's: no part of the trace is lost."""
    ids = {span.id for span in spans}
    assert {span.parent for span in spans} <= ids | {CALLER}
    assert [span.name for span in spans if span.parent == CALLER] == [root]


NEIGHBOURS = {
    "shop.neighbours.Goods/BatchGetGoods",
    "shop.neighbours.Inventory/Reserve",
}


async def test_a_rest_call_is_one_trace_down_to_the_readers_of_its_event(
    traced: Shop, collector: Collector
) -> None:
    trace = new_trace()
    answer = await place(traced, {**parent(trace), "X-Request-ID": "r-42"})
    order_sn = answer.json()["data"]["order_sn"]
    await collector.until(lambda: "process order.created" in named(collector.of(trace), THEIRS))
    await collector.until(lambda: {f"POST {PLACE}", "send order-events"} <= named(collector.of(trace), OURS))
    spans = collector.of(trace)
    assert_whole(spans, f"POST {PLACE}")
    assert named(spans, OURS) >= {"goods.get_many", "stock.reserve", "orders.add", *NEIGHBOURS}
    assert named(spans, THEIRS) == {*NEIGHBOURS, "process order.created"}
    for name in NEIGHBOURS:
        assert only(spans, name, THEIRS).parent == only(spans, name).id
    sent = only(spans, "send order-events")
    assert (sent.kind, sent.parent) == ("PRODUCER", only(spans, "orders.add").id)
    came = only(spans, "process order.created", THEIRS)
    assert (came.kind, came.parent) == ("CONSUMER", sent.id)
    assert came.attributes["shop.request_id"] == "r-42"
    request = only(spans, f"POST {PLACE}")
    assert (request.kind, request.failed) == ("SERVER", False)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["shop.order_sn"] == order_sn
    assert request.attributes["shop.request_id"] == "r-42"


async def test_a_grpc_call_is_one_trace_too(traced: Shop, collector: Collector) -> None:
    trace = new_trace()
    assert traced.channel is not None
    request = pb.CreateOrderRequest(
        items=[pb.OrderItemRequest(product_id=101, quantity=1)], address=pb.AddressInfo(**ADDRESS)
    )
    metadata = traced.metadata(traceparent=parent(trace)["traceparent"], tracestate="vendor=1")
    await OrderServiceStub(traced.channel).CreateOrder(request, metadata=metadata)
    await collector.until(lambda: "process order.created" in named(collector.of(trace), THEIRS))
    await collector.until(lambda: "order.OrderService/CreateOrder" in named(collector.of(trace), OURS))
    spans = collector.of(trace)
    assert_whole(spans, "order.OrderService/CreateOrder")
    assert named(spans, OURS) > NEIGHBOURS
    call = only(spans, "order.OrderService/CreateOrder")
    assert call.attributes["rpc.grpc.status_code"] == 0
    assert not call.failed


async def test_our_own_clients_continue_the_trace_of_who_uses_them(
    traced: Shop, collector: Collector
) -> None:
    order_sn = (await traced.place())["order_sn"]
    provider = TracerProvider()
    client = new_order_client(traced.grpc_address, token=traced.token(), trace=current_trace)
    with provider.get_tracer("a shop window").start_as_current_span("shown") as shown:
        await client.get_order_by_order_sn(order_sn)
        sync = new_sync_order_client(traced.grpc_address, token=traced.token(), trace=current_trace)
        await asyncio.to_thread(sync.get_order_by_order_sn, order_sn)
        sync.close()
    await client.close()
    trace = format_trace_id(shown.get_span_context().trace_id)
    await collector.until(lambda: len([s for s in collector.of(trace) if s.kind == "SERVER"]) == 2)
    assert {span.parent for span in collector.of(trace) if span.kind == "SERVER"} == {
        format_span_id(shown.get_span_context().span_id)
    }


async def test_a_payment_s_notice_begins_a_trace_that_reaches_the_stock(
    traced: Shop, collector: Collector
) -> None:
    await traced.paid()
    await collector.until(lambda: "process order.paid" in named(collector.spans, THEIRS))
    came = next(span for span in collector.spans if span.name == "process order.paid")
    await collector.until(
        lambda: "POST /api/v1/payments/notify/alipay" in named(collector.of(came.trace), OURS)
    )
    root = only(collector.of(came.trace), "POST /api/v1/payments/notify/alipay")
    assert root.parent == ""


async def test_calls_that_travel_together_are_linked_to_every_request(
    traced: Shop, collector: Collector
) -> None:
    traces = [new_trace() for _ in range(12)]
    await asyncio.gather(*(place(traced, parent(trace)) for trace in traces))

    def looked_up() -> set[str]:
        calls = [s for s in collector.spans if s.kind == "CLIENT" and s.name.endswith("BatchGetGoods")]
        return {call.trace for call in calls} | {trace for call in calls for trace, _ in call.links}

    await collector.until(lambda: looked_up() >= set(traces))
    calls = [s for s in collector.spans if s.kind == "CLIENT" and s.name.endswith("BatchGetGoods")]
    assert len(calls) < len(traces)


async def test_runs_of_jobs_that_had_something_to_do_are_traces_of_their_own(
    traced: Shop, collector: Collector
) -> None:
    await place(traced, {})
    await traced.advance(1800)
    await collector.until(lambda: "job timeout" in named(collector.spans, OURS))
    (run,) = [span for span in collector.spans if span.name == "job timeout"]
    assert (run.parent, run.attributes["shop.done"]) == ("", 1)
    jobs = [span for span in collector.spans if span.name.startswith("job ")]
    assert all(span.attributes["shop.done"] > 0 for span in jobs), "most runs find nothing, and are no spans"


async def test_a_refusal_is_no_failure_of_ours(traced: Shop, collector: Collector) -> None:
    trace = new_trace()
    answer = await traced.http.get("/api/v1/orders/" + "1" * 27, headers={**traced.bearer(), **parent(trace)})
    assert answer.status_code == 404
    await collector.until(lambda: collector.of(trace))
    request = only(collector.of(trace), "GET /api/v1/orders/{order_sn}")
    assert (request.failed, request.attributes["http.response.status_code"]) == (False, 404)


async def test_spans_tell_nothing_of_a_person(traced: Shop, collector: Collector) -> None:
    await traced.paid()
    await collector.until(lambda: "process order.paid" in named(collector.spans, THEIRS))
    await collector.until(lambda: f"POST {PLACE}" in named(collector.spans, OURS))
    told = json.dumps([span.attributes for span in collector.spans], ensure_ascii=False)
    assert not [text for text in (*ADDRESS.values(), "Bearer", "eyJ") if text in told]
    assert collector.resources[OURS]["deployment.environment.name"] == "test"


async def test_log_lines_name_the_trace_and_the_request(traced: Shop) -> None:
    trace, lines = new_trace(), io.BytesIO()
    logging = Logging(LogConfig(), lines)
    try:
        await place(traced, {**parent(trace), "X-Request-ID": "r-7"})
    finally:
        logging.close()
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    request = next(line for line in told if line["msg"] == "request")
    assert (request["trace_id"], request["request_id"]) == (trace, "r-7")


@pytest.mark.parametrize(
    ("sent", "kept"), [("r-42", True), ("", False), ("x" * 129, False), ("é", False), ("a b", False)]
)
def test_what_a_message_leads_to_is_told_under_its_request_s_id(sent: str, kept: bool) -> None:
    before = current_request_id()
    with processing(None, Delivery("S", "order.timeout", b"S", {"x-request-id": sent}, 1)):
        assert (current_request_id() == sent) is kept
        assert 0 < len(current_request_id()) <= 128
    assert current_request_id() == before


# ---- whose traces ----


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Events by their type, as they left the service."""
    left: dict[str, Any] = {}
    publish = EmbeddedPublisher.publish

    async def keep(self: EmbeddedPublisher, messages: Sequence[Message]) -> set[str]:
        left.update((message.tag, json.loads(message.body)) for message in messages)
        return await publish(self, messages)

    monkeypatch.setattr(EmbeddedPublisher, "publish", keep)
    return left


async def test_what_a_caller_does_not_record_is_not_recorded_but_carried_on(
    traced: Shop, collector: Collector, bodies: dict[str, Any]
) -> None:
    unwanted, wanted = new_trace(), new_trace()
    await place(traced, {**parent(unwanted, "00"), "X-Request-ID": 'a"b\\'})
    await traced.until(lambda: arrived(bodies))
    event = bodies.pop("order.created")
    assert event["traceparent"].startswith(f"00-{unwanted}-")
    assert int(event["traceparent"][-2:], 16) & 1 == 0
    assert event["requestid"] == 'a"b\\'
    await place(traced, parent(wanted))
    await collector.until(lambda: "process order.created" in named(collector.of(wanted), THEIRS))
    assert collector.of(unwanted) == []


async def arrived(bodies: Mapping[str, Any]) -> bool:
    return "order.created" in bodies


async def test_a_service_that_decides_itself_records_what_its_caller_did_not(
    collector: Collector, tmp_path: Path
) -> None:
    trace = new_trace()
    async with Shop(tmp_path, TRACE__URL=collector.url, TRACE__SAMPLER="traceidratio") as shop:
        await place(shop, parent(trace, "00"))
    assert_whole([span for span in collector.of(trace) if span.service == OURS], f"POST {PLACE}")


async def test_a_ratio_of_nothing_records_only_what_a_caller_asked_for(
    collector: Collector, tmp_path: Path
) -> None:
    trace = new_trace()
    async with Shop(tmp_path, TRACE__URL=collector.url, TRACE__RATIO="0") as shop:
        await place(shop, {})
        await place(shop, parent(trace))
    assert {span.trace for span in collector.spans if span.service == OURS} == {trace}


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "00-" + "0" * 32 + f"-{CALLER}-01",
        "ff-" + "a" * 32 + f"-{CALLER}-01",
        "00-" + "A" * 32 + f"-{CALLER}-01",
        "00-" + "a" * 32 + f"-{CALLER}-01-more",
        "x" * 5000,
    ],
)
async def test_what_is_no_trace_context_begins_a_trace(
    traced: Shop, collector: Collector, nonsense: str
) -> None:
    answer = await traced.http.get("/api/v1/cart", headers={**traced.bearer(), "traceparent": nonsense})
    assert answer.status_code == 200
    await collector.until(lambda: "GET /api/v1/cart" in named(collector.spans, OURS))
    request = only(collector.spans, "GET /api/v1/cart")
    assert request.parent == ""
    assert request.trace not in ("a" * 32, "0" * 32)


# ---- a collector that is away, and none at all ----


async def test_a_collector_that_is_away_costs_no_order(tmp_path: Path) -> None:
    async with Shop(tmp_path, TRACE__URL="otlp://127.0.0.1:1") as shop:
        assert (await place(shop, {})).status_code == 200

        async def counted() -> bool:
            metrics = (await shop.http.get("/metrics")).text
            return 'shop_order_trace_spans_total{outcome="lost"}' in metrics

        await shop.until(counted, 20)
        assert (await place(shop, {})).status_code == 200
        began_s = time.monotonic()
        await shop.stop_service()
        assert time.monotonic() - began_s < 6


async def test_off_nothing_is_loaded_and_nothing_is_carried(shop: Shop, bodies: dict[str, Any]) -> None:
    assert shop.core.tracing is None
    await place(shop, {**parent(new_trace()), "X-Request-ID": "r-1"})
    await shop.until(lambda: arrived(bodies))
    assert "traceparent" not in bodies["order.created"]
    assert bodies["order.created"]["requestid"] == "r-1"
    command = [sys.executable, "-c", LOADED]
    said = await asyncio.to_thread(subprocess.check_output, command, text=True, env=shop.environ)
    assert said.split() == ["loaded:"]


LOADED = """
import os, sys
from shop_order.cmd.run.app import App
from shop_order.configs import load
App(load(os.environ))
heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "shop_order.pkg.tracing.otlp")
print("loaded:", *[name for name in sys.modules if name.startswith(heavy)])
"""
