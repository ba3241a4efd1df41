"""Delivery of events straight into the consumers' inboxes: the engine `embedded://`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_order.domain.event.order_events import Event
from shop_order.gateway.calls import failure
from shop_order.pkg.grpc.client import Neighbour

if TYPE_CHECKING:
    from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxAsyncStub

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class GrpcInboxes:
    """Hands messages to every inbox of some neighbours."""

    def __init__(self, inboxes: Sequence[tuple[grpc.aio.Channel, Neighbour]]) -> None:
        self._inboxes = [(EventInboxStub(channel), neighbour) for channel, neighbour in inboxes]

    async def hand_over(self, cloud_events: Sequence[bytes]) -> set[str]:
        """Ids that every inbox accepted. Raises DependencyDown, DeadlineExceeded, Overloaded."""
        batch = pb.EventBatch(cloud_events=cloud_events)
        answers = await asyncio.gather(*(_deliver(stub, each, batch) for stub, each in self._inboxes))
        return set.intersection(*(set(answer.accepted_ids) for answer in answers))


async def _deliver(stub: EventInboxAsyncStub, neighbour: Neighbour, batch: pb.EventBatch) -> pb.DeliverResult:
    try:
        return await neighbour.call(stub.Deliver, batch, origins=())
    except grpc.aio.AioRpcError as error:
        raise failure("event_inbox", error, neighbour.address) from error


def cloud_event(event: Event) -> bytes:
    """CloudEvents 1.0 JSON; `data` is the very payload that was hashed.

    Whose request made the event is told beside it, by the extension attributes `traceparent` and `requestid`.
    """
    at = (_EPOCH + event.created_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = (
        f'{{"specversion":"1.0","id":"{event.id}","source":"/order-service","type":"{event.type}",'
        f'"subject":"{event.order_sn}","time":"{at}","datacontenttype":"application/json",'
    )
    if event.traceparent:
        head += f'"traceparent":"{event.traceparent}",'
    if event.request_id:
        head += f'"requestid":{json.dumps(event.request_id)},'  # of the caller's choice: it may hold quotes
    return head.encode() + b'"data":' + event.payload + b"}"
