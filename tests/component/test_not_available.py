"""What is not available names its address in our log, and to no caller."""

from __future__ import annotations

import json
from pathlib import Path

import grpc.aio
import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from tests.shop import ADDRESS, Shop


async def test_callers_learn_no_address_of_ours_and_the_log_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, object]] = []

    class Log:
        def info(self, event: str, **fields: object) -> None:
            lines.append({"msg": event, **fields})

        warning = error = exception = info

    monkeypatch.setattr("shop_order.cmd.wiring.servers.get_logger", lambda _: Log())
    async with Shop(tmp_path, NEIGHBOURS__GOODS="127.0.0.1:9") as shop:
        body = {"items": [{"goods_id": 101, "nums": 1}], "address": ADDRESS}
        answer = await shop.http.post("/api/v1/orders", json=body, headers=shop.bearer())
        assert (answer.status_code, answer.json()["error"]) == (503, "DEPENDENCY_DOWN")
        assert ":9" not in json.dumps(answer.json()["details"]) + answer.json()["message"]
        assert shop.channel is not None
        request = pb.CreateOrderRequest(items=[pb.OrderItemRequest(product_id=101, quantity=1)])
        request.address.CopyFrom(pb.AddressInfo(**ADDRESS))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await OrderServiceStub(shop.channel).CreateOrder(request, metadata=shop.metadata())
        told = f"{refused.value.details()} {refused.value.trailing_metadata()}"
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "127.0.0.1" not in told
    errors = [
        str(line["error"]) for line in lines if line["msg"] in ("request", "grpc request") and "error" in line
    ]
    assert len(errors) == 2
    assert all("dependency=goods_service (127.0.0.1:9)" in error for error in errors)
