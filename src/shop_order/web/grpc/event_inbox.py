"""`shop.neighbours.EventInbox`: the wallet's answers, where no broker delivers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.errors import AmountMismatch, InvalidArgument, Kind, OrderServiceError, UnreadableRow
from shop_order.service.wallet import WalletAnswers
from shop_order.web.context import RequestContext
from shop_order.web.dto.wallet_events import answer_of
from shop_order.web.grpc.chain import Methods, decoding

SERVICE = "shop.neighbours.EventInbox"
MAX_EVENTS = 500  # in one batch
AT_ONCE = 16
PASSING = (Kind.UNAVAILABLE, Kind.DEADLINE, Kind.EXHAUSTED, Kind.CONFLICT)
"""Kinds of errors that the same event may not meet again."""


class EventInboxHandlers:
    """Takes events one by one: one that is refused, or can't be stored now, does not block the others."""

    def __init__(self, answers: WalletAnswers, log: Callable[..., None]) -> None:
        self._answers = answers
        self._log = log

    def methods(self) -> Methods:
        """Every method of the service by its name."""
        return Methods(SERVICE, unary={"Deliver": decoding(pb.EventBatch, self.deliver)})

    async def deliver(self, request: pb.EventBatch, context: RequestContext) -> pb.DeliverResult:
        """The ids of the events whose effects are stored.

        Raises Forbidden (not a wallet), InvalidArgument (too many events), and the error of our side if no
        event was taken because of one.
        """
        self._answers.check_caller(context.caller)
        if len(request.cloud_events) > MAX_EVENTS:
            raise InvalidArgument("cloud_events", "too_many", max=MAX_EVENTS)
        at_once = asyncio.Semaphore(AT_ONCE)

        async def take(body: bytes) -> str | Exception:
            async with at_once:
                return await self._take(body)

        results = await asyncio.gather(*(take(body) for body in request.cloud_events))
        accepted = [one for one in results if isinstance(one, str)]
        passing = [one for one in results if isinstance(one, OrderServiceError) and one.kind in PASSING]
        if passing and not accepted:
            raise passing[0]
        return pb.DeliverResult(accepted_ids=accepted)

    async def _take(self, body: bytes) -> str | Exception:
        """The id, or why the event was not taken."""
        try:
            event_id, answer = answer_of(body)
            await self._answers.take(answer)
        except (OrderServiceError, UnreadableRow) as refused:
            if not isinstance(refused, AmountMismatch):  # it has alerted
                self._log("wallet_answer_refused", error=repr(refused))
            return refused
        return event_id
