"""A buyer that knows the published texts only: run as `buyer.py ADDRESS TOKEN SECRET TEXT_OF_9_1 TEXT_OF_3`.

It generates its own code from both texts, talks to the service, and prints what it saw as JSON.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc


def generated(text: Path, folder: Path) -> tuple[Any, Any]:
    """Messages and stubs made from one .proto file."""
    well_known = Path(str(protoc.__file__)).parent / "_proto"
    arguments = [
        f"-I{text.parent}",
        f"-I{well_known}",
        f"--python_out={folder}",
        f"--grpc_python_out={folder}",
    ]
    assert protoc.main(["protoc", *arguments, str(text)]) == 0
    return importlib.import_module(f"{text.stem}_pb2"), importlib.import_module(f"{text.stem}_pb2_grpc")


class Buyer:
    """Calls with a token, and notes the codes of refusals."""

    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def call(self, method: Any, request: Any) -> Any:
        """The answer."""
        return method(request, metadata=self._metadata, timeout=10)

    def refused(self, method: Any, request: Any, *, known: bool = True) -> str:
        """The name of the status code."""
        try:
            method(request, metadata=self._metadata if known else (), timeout=10)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def specified(buyer: Buyer, pb: Any, stub: Any, secret: str) -> dict[str, Any]:
    """Every method of specification 9.1."""
    address = pb.AddressInfo(name="张三", phone="13800138000", province="浙江省", detail="文三路 100 号")

    def create(nums: int) -> Any:
        items = [pb.OrderItemRequest(product_id=101, quantity=nums)]
        request = pb.CreateOrderRequest(user_id=7, items=items, address=address, remark="放门口")
        return buyer.call(stub.CreateOrder, request)

    order = create(2)
    payment = buyer.call(
        stub.PayOrder, pb.PayOrderRequest(order_sn=order.order_sn, user_id=7, payment_type=1)
    )
    signed = (
        f"amount={payment.amount:.2f}&order_sn={order.order_sn}&payment_sn={payment.payment_sn}"
        "&payment_type=1&trade_no=T1"
    )
    notice = pb.NotifyPaymentRequest(
        order_sn=order.order_sn,
        payment_sn=payment.payment_sn,
        trade_no="T1",
        amount=payment.amount,
        payment_type=1,
        sign=hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest(),
    )
    forged = pb.NotifyPaymentRequest(order_sn=order.order_sn, payment_sn=payment.payment_sn, sign="00")
    refused = buyer.refused(stub.NotifyPayment, forged, known=False)
    stub.NotifyPayment(notice, timeout=10)
    other = create(1)
    buyer.call(stub.CancelOrder, pb.CancelOrderRequest(order_sn=other.order_sn, user_id=7, reason="不要了"))
    by_id = buyer.call(stub.GetOrder, pb.GetOrderRequest(id=order.id, user_id=7))
    by_sn = pb.GetOrderByOrderSnRequest(order_sn=order.order_sn, user_id=7)
    listed = buyer.call(stub.ListOrders, pb.ListOrdersRequest(user_id=7, page=1, page_size=10))
    info = buyer.call(stub.GetPaymentInfo, pb.GetPaymentInfoRequest(order_sn=order.order_sn, user_id=7))
    status = buyer.call(stub.CheckOrderStatus, pb.CheckOrderStatusRequest(order_sn=other.order_sn))
    return {
        "order_sn": order.order_sn,
        "total": f"{order.total_amount:.2f}",
        "item": [order.items[0].product_name, order.items[0].quantity],
        "created": order.created_at.seconds > 0,
        "forged": refused,
        "paid": [by_id.status, by_id.paid_at.seconds > 0, info.status, f"{info.amount:.2f}"],
        "same": buyer.call(stub.GetOrderByOrderSn, by_sn).id == by_id.id == order.id,
        "listed": [listed.total, [one.order_sn for one in listed.orders] == [other.order_sn, order.order_sn]],
        "cancelled": status.status,
        "unknown": buyer.refused(stub.GetOrder, pb.GetOrderRequest(id=1, user_id=7)),
        "stranger": buyer.refused(stub.GetOrder, pb.GetOrderRequest(id=order.id), known=False),
    }


def chapter_three(buyer: Buyer, pb: Any, stub: Any) -> dict[str, Any]:
    """From the cart to an order, as chapter 3 has it."""
    buyer.call(stub.AddShoppingCart, pb.CartItemRequest(goods_id=101, nums=1))
    buyer.call(stub.AddShoppingCart, pb.CartItemRequest(goods_id=109, nums=2))
    buyer.call(stub.UpdateCartItemCheck, pb.CartItemRequest(goods_id=109, checked=False))
    cart = buyer.call(stub.GetShoppingCart, pb.UserInfo(id=7))
    order = buyer.call(
        stub.CreateOrder, pb.OrderRequest(name="张三", mobile="13800138000", address="文三路 100 号")
    )
    detail = buyer.call(stub.OrderDetail, pb.OrderRequest(order_sn=order.order_sn))
    return {
        "cart": [cart.total, str(cart.checked_total_fen)],
        "order_sn": order.order_sn,
        "total_fen": str(order.total_fen),
        "goods": [str(one.goods_id) for one in detail.goods],
        "logs": [one.new_status for one in detail.logs],
        "left": [str(one.goods_id) for one in buyer.call(stub.GetShoppingCart, pb.UserInfo()).data],
        "empty": buyer.refused(
            stub.CreateOrder, pb.OrderRequest(name="a", mobile="13800138000", address="b")
        ),
    }


def main() -> None:
    """Generate, talk, print."""
    address, token, secret, nine_one, three = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        nine_pb, nine_grpc = generated(Path(nine_one), Path(folder))
        three_pb, three_grpc = generated(Path(three), Path(folder))
    assert "shop_order" not in sys.modules, "a foreign client has nothing of ours"
    buyer = Buyer(token)
    with grpc.insecure_channel(address) as channel:
        saw = {
            "specified": specified(buyer, nine_pb, nine_grpc.OrderServiceStub(channel), secret),
            "chapter_three": chapter_three(buyer, three_pb, three_grpc.OrderStub(channel)),
        }
    print(json.dumps(saw, ensure_ascii=False))


if __name__ == "__main__":
    main()
