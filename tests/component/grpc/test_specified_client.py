"""A client generated from the specification's own text of 9.1 works unchanged."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from tests.component.grpc.stubs import SN, World, bearer

TEXT = Path(__file__).parents[2] / "baseline" / "spec_9_1.proto"


@pytest.fixture
def messages(tmp_path: Path) -> dict[str, Any]:
    """The messages of the specification's text, in a pool of their own: ours has the grown ones."""
    well_known = Path(str(protoc.__file__)).parent / "_proto"
    compiled = tmp_path / "spec.binpb"
    arguments = ["protoc", f"-I{TEXT.parent}", f"-I{well_known}", "--include_imports"]
    assert protoc.main([*arguments, f"--descriptor_set_out={compiled}", TEXT.name]) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.Add(file)
    return dict(message_factory.GetMessageClassesForFiles([TEXT.name], pool))


async def test_it_orders_and_looks(world: World, messages: dict[str, Any]) -> None:
    new = messages["order.CreateOrderRequest"](
        user_id=7,
        items=[{"product_id": 3, "quantity": 2}],
        address={"name": "张三", "phone": "13800138000", "detail": "文三路 100 号"},
        remark="放门口",
    )
    assert "idempotency_key" not in new.DESCRIPTOR.fields_by_name
    info = await world.call("/order.OrderService/CreateOrder", new, messages["order.OrderInfo"], bearer())
    assert (info.order_sn, info.status, round(info.total_amount, 2)) == (SN, 1, 39.98)
    look = messages["order.GetOrderRequest"](id=info.id, user_id=7)
    again = await world.call("/order.OrderService/GetOrder", look, messages["order.OrderInfo"], bearer())
    assert (again.id, again.address.name, again.items[0].product_name) == (11, "张三", "青瓷杯")


async def test_its_errors_are_plain_status_codes(world: World, messages: dict[str, Any]) -> None:
    look = messages["order.GetOrderRequest"](id=12)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call("/order.OrderService/GetOrder", look, messages["order.OrderInfo"], bearer())
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
