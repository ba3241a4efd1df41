"""Who may call what (contract, chapter 5): one table for every gRPC method and every REST route.

A method or route without a row is refused; a test walks all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from functools import lru_cache

from shop_order.domain.errors import Forbidden, Unauthenticated
from shop_order.domain.valueobject.actor import Actor, Role


class Who(Flag):
    """Groups of callers; a row of the table combines them."""

    ANYONE = auto()  # no token: the method has its own proof, or is public
    USER = auto()
    ACTING_SERVICE = auto()  # a service with act_for
    SERVICE = auto()  # a service, whether it acts for a user or not
    ADMIN = auto()
    LOOPBACK = auto()  # without a token, but only from this machine


BUYER = Who.USER | Who.ACTING_SERVICE
LOOKING = BUYER | Who.ADMIN
OPERATOR = Who.ADMIN
NEIGHBOUR = Who.SERVICE
LOCAL = Who.LOOPBACK | Who.ADMIN

_ORDER = "/order.OrderService/"
_SHOP = "/shop.order.Order/"

ROLES: Mapping[str, Who] = {
    # specification 9.1 and its additions
    _ORDER + "CreateOrder": BUYER,
    _ORDER + "GetOrder": LOOKING,
    _ORDER + "GetOrderByOrderSn": LOOKING,
    _ORDER + "ListOrders": LOOKING,
    _ORDER + "CancelOrder": LOOKING,
    _ORDER + "PayOrder": BUYER,
    _ORDER + "GetPaymentInfo": LOOKING,
    _ORDER + "NotifyPayment": Who.ANYONE,
    _ORDER + "CheckOrderStatus": LOOKING,
    _ORDER + "WatchOrderStatus": LOOKING,
    _ORDER + "ShipOrder": OPERATOR,
    _ORDER + "ConfirmReceipt": BUYER,
    _ORDER + "RequestRefund": BUYER,
    _ORDER + "DecideRefund": OPERATOR,
    _ORDER + "GetRefund": LOOKING,
    # specification 3
    _SHOP + "AddShoppingCart": BUYER,
    _SHOP + "UpdateShoppingCart": BUYER,
    _SHOP + "DeleteShoppingCart": BUYER,
    _SHOP + "GetShoppingCart": BUYER,
    _SHOP + "UpdateCartItemCheck": BUYER,
    _SHOP + "CreateOrder": BUYER,
    _SHOP + "OrderList": LOOKING,
    _SHOP + "OrderDetail": LOOKING,
    _SHOP + "UpdateOrderStatus": LOOKING,
    _SHOP + "PayOrder": BUYER,
    _SHOP + "OrderPayCallback": Who.ANYONE,
    # neighbours and operation
    "/shop.neighbours.ReservationCheck/CheckReservations": NEIGHBOUR,
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
    "GET /api/v1/orders": LOOKING,
    "GET /api/v1/orders/{order_sn}": LOOKING,
    "GET /api/v1/orders/{order_sn}/status": LOOKING,
    "GET /api/v1/orders/{order_sn}/payment": LOOKING,
    "POST /api/v1/orders/{order_sn}/pay": BUYER,
    "POST /api/v1/orders/{order_sn}/cancel": LOOKING,
    "POST /api/v1/orders/{order_sn}/confirm": BUYER,
    "GET /api/v1/cashier/{order_sn}": Who.ANYONE,
    "POST /api/v1/cashier/{order_sn}": Who.ANYONE,
    "POST /api/v1/payments/notify/*": Who.ANYONE,  # one route for each payment channel
    "POST /api/v1/admin/orders/{order_sn}/ship": OPERATOR,
    "GET /api/v1/admin/orders/{order_sn}/logs": OPERATOR,
    "GET /api/v1/admin/stats/orders": OPERATOR,
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
    """Whether the caller must be authenticated; a missing row is refused after that."""
    return row is None or not (Who.ANYONE | Who.LOOPBACK) & row


def authorize(row: Who | None, actor: Actor | None, *, loopback: bool = False) -> None:
    """Let the actor pass if the row names them.

    Raises Unauthenticated (a token is needed), Forbidden (this role may not, or there is no row).
    """
    if row is not None and (Who.ANYONE in row or (loopback and Who.LOOPBACK in row)):
        return
    if actor is None:
        raise Unauthenticated
    if row is None or not _names(row, actor.role, actor.user_id > 0):
        raise Forbidden


@lru_cache(maxsize=256)  # operations on flags are slow, and every call is authorized
def _names(row: Who, role: Role, for_a_user: bool) -> bool:
    groups = {
        Role.USER: Who.USER,
        Role.ADMIN: Who.ADMIN,
        Role.SERVICE: Who.SERVICE | Who.ACTING_SERVICE if for_a_user else Who.SERVICE,
    }
    # SYSTEM is no caller: it belongs to no group.
    return bool(groups.get(role, Who(0)) & row)
