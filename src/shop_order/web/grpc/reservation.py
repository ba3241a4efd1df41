"""`shop.neighbours.ReservationCheck`: what became of the orders whose stock leases expired."""

from __future__ import annotations

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.service.reservation import ReservationService
from shop_order.web.context import RequestContext
from shop_order.web.grpc.chain import decoding
from shop_order.web.grpc.registry import Methods

SERVICE = "shop.neighbours.ReservationCheck"


class ReservationHandlers:
    """Answers for leases that ran out (architecture, chapter 7)."""

    def __init__(self, reservations: ReservationService) -> None:
        self._reservations = reservations

    def methods(self) -> Methods:
        """Every method of the service by its name."""
        return Methods(SERVICE, unary={"CheckReservations": decoding(pb.OrderSns, self.check_reservations)})

    async def check_reservations(self, request: pb.OrderSns, context: RequestContext) -> pb.Verdicts:
        """One verdict for each of our order numbers, in the order asked; other numbers are left out."""
        verdicts = await self._reservations.check(context.caller, request.order_sns)
        return pb.Verdicts(
            verdicts=[pb.Verdict(order_sn=v.order_sn, answer=v.answer, until_ms=v.until_ms) for v in verdicts]
        )
