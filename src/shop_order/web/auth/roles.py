"""Authorization (contract, chapter 5): one table for all gRPC methods and REST routes.

A method or route without a row is refused; a test covers all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from functools import lru_cache

from shop_order.domain.errors import Forbidden, Unauthenticated
from shop_order.domain.valueobject.parties import Actor, Role


class Who(Flag):
    """Groups of callers; a row of the table is a combination of them."""

    ANYONE = auto()  # no token: the method is public or checks a signature
    USER = auto()
    ACTING_SERVICE = auto()  # a service with act_for
    SERVICE = auto()  # a service, whether it acts for a user or not
    ADMIN = auto()
    LOOPBACK = auto()  # from this machine, without a token


BUYER = Who.USER | Who.ACTING_SERVICE
READERS = BUYER | Who.ADMIN
OPERATOR = Who.ADMIN
NEIGHBOUR = Who.SERVICE
LOCAL = Who.LOOPBACK | Who.ADMIN

_ORDER = "/order.OrderService/"
_SHOP = "/shop.order.Order/"

ROLES: Mapping[str, Who] = {
    # specification 9.1 and its additions
    _ORDER + "CreateOrder": BUYER,
    _ORDER + "GetOrder": READERS,
    _ORDER + "GetOrderByOrderSn": READERS,
    _ORDER + "ListOrders": READERS,
    _ORDER + "CancelOrder": READERS,
    _ORDER + "PayOrder": BUYER,
    _ORDER + "GetPaymentInfo": READERS,
    _ORDER + "NotifyPayment": Who.ANYONE,
    _ORDER + "CheckOrderStatus": READERS,
    _ORDER + "WatchOrderStatus": READERS,
    _ORDER + "ShipOrder": OPERATOR,
    _ORDER + "ConfirmReceipt": BUYER,
    _ORDER + "RequestRefund": BUYER,
    _ORDER + "DecideRefund": OPERATOR,
    _ORDER + "GetRefund": READERS,
    _ORDER + "ListRefunds": READERS,
    _ORDER + "WithdrawRefund": BUYER,
    _ORDER + "SendReturnParcel": BUYER,
    _ORDER + "ReceiveReturn": OPERATOR,
    _ORDER + "ResendRefund": OPERATOR,
    _ORDER + "SettleRefund": OPERATOR,
    # specification 3
    _SHOP + "AddShoppingCart": BUYER,
    _SHOP + "UpdateShoppingCart": BUYER,
    _SHOP + "DeleteShoppingCart": BUYER,
    _SHOP + "GetShoppingCart": BUYER,
    _SHOP + "UpdateCartItemCheck": BUYER,
    _SHOP + "CreateOrder": BUYER,
    _SHOP + "OrderList": READERS,
    _SHOP + "OrderDetail": READERS,
    _SHOP + "UpdateOrderStatus": READERS,
    _SHOP + "PayOrder": BUYER,
    _SHOP + "OrderPayCallback": Who.ANYONE,
    # neighbours and operation
    "/shop.neighbours.ReservationCheck/CheckReservations": NEIGHBOUR,
    "/shop.neighbours.EventInbox/Deliver": NEIGHBOUR,
    "/grpc.health.v1.Health/Check": Who.ANYONE,
    "/grpc.health.v1.Health/Watch": Who.ANYONE,
    "/grpc.health.v1.Health/List": Who.ANYONE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": LOCAL,
    # REST
    "GET /api/v1/cart": BUYER,
    "POST /api/v1/cart/items": BUYER,
    "PATCH /api/v1/cart/items/{goods_id}": BUYER,
    "DELETE /api/v1/cart/items/{goods_id}": BUYER,
    "PUT /api/v1/cart/checked": BUYER,
    "POST /api/v1/orders/token": BUYER,
    "POST /api/v1/orders": BUYER,
    "GET /api/v1/orders": READERS,
    "GET /api/v1/orders/{order_sn}": READERS,
    "GET /api/v1/orders/{order_sn}/status": READERS,
    "GET /api/v1/orders/{order_sn}/payment": READERS,
    "POST /api/v1/orders/{order_sn}/pay": BUYER,
    "POST /api/v1/orders/{order_sn}/cancel": READERS,
    "POST /api/v1/orders/{order_sn}/confirm": BUYER,
    "POST /api/v1/orders/{order_sn}/refunds": BUYER,
    "GET /api/v1/refunds": BUYER,
    "GET /api/v1/refunds/{refund_sn}": READERS,
    "POST /api/v1/refunds/{refund_sn}/withdraw": BUYER,
    "POST /api/v1/refunds/{refund_sn}/parcel": BUYER,
    "GET /api/v1/cashier/{order_sn}": Who.ANYONE,
    "POST /api/v1/cashier/{order_sn}": Who.ANYONE,
    "POST /api/v1/payments/notify/*": Who.ANYONE,  # one route for each payment channel
    "POST /api/v1/admin/orders/{order_sn}/ship": OPERATOR,
    "POST /api/v1/admin/orders/{order_sn}/cancel": OPERATOR,
    "GET /api/v1/admin/orders/{order_sn}/logs": OPERATOR,
    "GET /api/v1/admin/refunds": OPERATOR,
    "POST /api/v1/admin/refunds/{refund_sn}/approve": OPERATOR,
    "POST /api/v1/admin/refunds/{refund_sn}/reject": OPERATOR,
    "POST /api/v1/admin/refunds/{refund_sn}/received": OPERATOR,
    "POST /api/v1/admin/refunds/{refund_sn}/resend": OPERATOR,
    "POST /api/v1/admin/refunds/{refund_sn}/settle": OPERATOR,
    "GET /api/v1/admin/stats/orders": OPERATOR,
    "GET /api/v1/admin/stats/settlement": OPERATOR,
    "POST /api/v1/admin/clock": OPERATOR,
    "GET /api/v1/docs": Who.ANYONE,
    "GET /api/v1/redoc": Who.ANYONE,
    "GET /api/v1/docs/assets/{name}": Who.ANYONE,
    "GET /api/v1/openapi.json": Who.ANYONE,
    "GET /api/v1/openapi.yaml": Who.ANYONE,
    "GET /api/v1/openapi.md": Who.ANYONE,
    "GET /": Who.ANYONE,
    "GET /healthz": Who.ANYONE,
    "GET /readyz": Who.ANYONE,
    "GET /metrics": LOCAL,
}


def role_of(route: str) -> Who | None:
    """The row of a REST route, such as `GET /api/v1/orders`."""
    return ROLES.get(route) or ROLES.get(f"{route.rpartition('/')[0]}/*")


def needs_token(row: Who | None) -> bool:
    """Whether the caller must be authenticated; a missing row is refused afterwards."""
    return row is None or not (Who.ANYONE | Who.LOOPBACK) & row


def authorize(row: Who | None, actor: Actor | None, *, loopback: bool = False) -> None:
    """Check that the row permits the actor.

    Raises Unauthenticated (a token is needed), Forbidden (role not permitted, or no row).
    """
    if row is not None and (Who.ANYONE in row or (loopback and Who.LOOPBACK in row)):
        return
    if actor is None:
        raise Unauthenticated
    if row is None or not _permits(row, actor.role, actor.user_id > 0):
        raise Forbidden


@lru_cache(maxsize=256)  # flag operations are slow, and every call is authorized
def _permits(row: Who, role: Role, for_a_user: bool) -> bool:
    groups = {
        Role.USER: Who.USER,
        Role.ADMIN: Who.ADMIN,
        Role.SERVICE: Who.SERVICE | Who.ACTING_SERVICE if for_a_user else Who.SERVICE,
    }
    # SYSTEM is not a caller and belongs to no group.
    return bool(groups.get(role, Who(0)) & row)
