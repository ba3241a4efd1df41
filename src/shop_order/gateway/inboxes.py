"""Delivery of events straight into the consumers' inboxes: the engine `embedded://`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import grpc.aio

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_order.domain.event.order_events import Event
from shop_order.gateway.calls import failure
from shop_order.pkg.grpc.client import Neighbour

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class GrpcInboxes:
    """Hands messages to every inbox of some neighbours."""

    def __init__(self, channels: Sequence[grpc.aio.Channel], neighbour: Neighbour) -> None:
        self._stubs = [EventInboxStub(channel) for channel in channels]
        self._neighbour = neighbour

    async def hand_over(self, cloud_events: Sequence[bytes]) -> set[str]:
        """Ids that every inbox accepted. Raises DependencyDown, DeadlineExceeded, Overloaded."""
        batch = pb.EventBatch(cloud_events=cloud_events)
        try:
            answers = await asyncio.gather(
                *(self._neighbour.call(s.Deliver, batch, origins=()) for s in self._stubs)
            )
        except grpc.aio.AioRpcError as error:
            raise failure("an event inbox", error) from error
        return set.intersection(*(set(answer.accepted_ids) for answer in answers))


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
