"""The user service's address book."""

from __future__ import annotations

import grpc
import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import UsersStub
from shop_order.domain.errors import AddressNotFound, inside
from shop_order.domain.valueobject.address import PostalAddress
from shop_order.gateway.calls import failure
from shop_order.pkg.grpc.client import Neighbour


class GrpcAddresses:
    """See `domain.ports.Addresses`."""

    def __init__(self, channel: grpc.aio.Channel, neighbour: Neighbour) -> None:
        self._stub = UsersStub(channel)
        self._neighbour = neighbour

    async def get(self, user: int, address_id: int) -> PostalAddress:
        request = pb.AddressRequest(user_id=user, address_id=address_id)
        try:
            a = await self._neighbour.call(self._stub.GetAddress, request)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise AddressNotFound from error
            raise failure("user_service", error, self._neighbour.address) from error
        # Cleaned in silence, it would differ from the buyer's book; and their own request has no such field:
        # the entry must be corrected.
        with inside("address_id"):
            return PostalAddress(a.name, a.phone, a.detail, a.province, a.city, a.district)
