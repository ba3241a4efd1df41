"""Who pays, as gRPC tells it: the caller's own address, or the one that a service passes on."""

from __future__ import annotations

import pytest

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop_order_pb2 import OrderPayRequest
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.ports import Payer
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.web.context import RequestContext
from shop_order.web.grpc.order_service import payer_of

BUYER, SERVICE = Actor(Role.USER, 7), Actor(Role.SERVICE, 7, "user-operation")
OWN, NAMED = "198.51.100.1", "203.0.113.9"


def called_by(actor: Actor) -> RequestContext:
    return RequestContext("r", actor=actor, client_ip=lambda: OWN)


@pytest.mark.parametrize("message", [pb.PayOrderRequest, OrderPayRequest])
def test_only_a_service_names_the_buyers_address(message: type[pb.PayOrderRequest | OrderPayRequest]) -> None:
    request = message(openid="o7", client_ip=NAMED)
    assert payer_of(request, called_by(BUYER)) == Payer("o7", OWN)
    assert payer_of(request, called_by(SERVICE)) == Payer("o7", NAMED)
    assert payer_of(message(), called_by(SERVICE)) == Payer(), "its own address is not the buyer's"


@pytest.mark.parametrize(
    "client_ip", ["a.shop", "fe80::1%eth0", "1.2.3", "203.0.113.9:80", "1" * 5000, "\u0661.2.3.4"]
)
def test_what_is_no_address_is_refused(client_ip: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        payer_of(pb.PayOrderRequest(client_ip=client_ip), called_by(SERVICE))
    assert refused.value.details["field"] == "client_ip"
