"""Every method has a row, and the rows say what the contract's table says."""

import pytest

from shop_order.api.proto import order_pb2, shop_order_pb2
from shop_order.api.proto.shop import neighbours_pb2
from shop_order.domain.errors import Forbidden, Unauthenticated
from shop_order.domain.valueobject.parties import SYSTEM, Actor, Role
from shop_order.web.auth.roles import (
    BUYER,
    LOCAL,
    NEIGHBOUR,
    OPERATOR,
    READERS,
    ROLES,
    Who,
    authorize,
    needs_token,
)

USER = Actor(Role.USER, 7)
ADMIN = Actor(Role.ADMIN, 1)
SERVICE = Actor(Role.SERVICE, 0, "inventory")
ACTING = Actor(Role.SERVICE, 7, "user-operation")
CALLERS = {"user": USER, "admin": ADMIN, "service": SERVICE, "acting": ACTING}


def passes(row: Who | None, actor: Actor | None, **options: bool) -> bool:
    try:
        authorize(row, actor, **options)
    except (Forbidden, Unauthenticated):
        return False
    return True


def test_every_published_method_has_a_row() -> None:
    services = [
        order_pb2.DESCRIPTOR.services_by_name["OrderService"],
        shop_order_pb2.DESCRIPTOR.services_by_name["Order"],
        neighbours_pb2.DESCRIPTOR.services_by_name["ReservationCheck"],
        neighbours_pb2.DESCRIPTOR.services_by_name["EventInbox"],
    ]
    published = {f"/{s.full_name}/{m.name}" for s in services for m in s.methods}
    rows = {name for name in ROLES if name.startswith(("/order.", "/shop."))}
    assert published == rows


@pytest.mark.parametrize(
    ("row", "who"),
    [
        (BUYER, {"user", "acting"}),
        (READERS, {"user", "acting", "admin"}),
        (OPERATOR, {"admin"}),
        (NEIGHBOUR, {"service", "acting"}),
        (Who.ANYONE, {"user", "admin", "service", "acting"}),
        (LOCAL, {"admin"}),
        (None, set()),
    ],
)
def test_who_passes_a_row(row: Who | None, who: set[str]) -> None:
    assert {name for name, actor in CALLERS.items() if passes(row, actor)} == who


def test_nobody_passes_only_where_no_token_is_needed() -> None:
    assert passes(Who.ANYONE, None)
    assert passes(LOCAL, None, loopback=True)
    assert not passes(LOCAL, None)
    assert not passes(READERS, None, loopback=True)
    assert [needs_token(row) for row in (Who.ANYONE, LOCAL, BUYER, None)] == [False, False, True, True]


def test_nobody_comes_in_as_the_system() -> None:
    assert not any(passes(row, SYSTEM) for row in (BUYER, READERS, OPERATOR, NEIGHBOUR, None))


@pytest.mark.parametrize(
    ("method", "who"),
    [
        ("/order.OrderService/CreateOrder", {"user", "acting"}),
        ("/order.OrderService/ShipOrder", {"admin"}),
        ("/order.OrderService/DecideRefund", {"admin"}),
        ("/order.OrderService/CancelOrder", {"user", "acting", "admin"}),
        ("/shop.order.Order/AddShoppingCart", {"user", "acting"}),
        ("/shop.order.Order/UpdateOrderStatus", {"user", "acting", "admin"}),
        ("/shop.neighbours.ReservationCheck/CheckReservations", {"service", "acting"}),
        ("/shop.neighbours.EventInbox/Deliver", {"service", "acting"}),
        ("POST /api/v1/admin/orders/{order_sn}/ship", {"admin"}),
        ("GET /api/v1/admin/orders/{order_sn}/logs", {"admin"}),
        ("GET /api/v1/admin/stats/orders", {"admin"}),
        ("GET /api/v1/admin/stats/settlement", {"admin"}),
        ("POST /api/v1/admin/clock", {"admin"}),
        ("GET /metrics", {"admin"}),
    ],
)
def test_the_contracts_table(method: str, who: set[str]) -> None:
    assert {name for name, actor in CALLERS.items() if passes(ROLES[method], actor)} == who


def test_only_what_proves_itself_needs_no_token() -> None:
    open_rows = {name for name, row in ROLES.items() if Who.ANYONE in row}
    assert {name for name in open_rows if name.startswith(("/order.", "/shop."))} == {
        "/order.OrderService/NotifyPayment",
        "/shop.order.Order/OrderPayCallback",
    }
