"""What every gateway does with a call's failure."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio

from shop_order.domain.errors import DeadlineExceeded, DependencyDown, OrderServiceError, Overloaded
from shop_order.pkg.log import current_request_id

MOST_IDS = 8


def failure(name: str, error: grpc.aio.AioRpcError) -> OrderServiceError:
    """What a failed call means to our own caller."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded()
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded()
    return DependencyDown(name)


def joined_ids(request_ids: Sequence[str]) -> str:
    """The request ids a batched call answers, so that a neighbour's log leads back to them."""
    return ",".join([id for id in request_ids if id][:MOST_IDS])


def request_id() -> str:
    """The id of the request being answered, empty in background work."""
    return current_request_id()
