"""What every gateway does with a call's failure."""

from __future__ import annotations

import grpc
import grpc.aio

from shop_order.domain.errors import DeadlineExceeded, DependencyDown, OrderServiceError, Overloaded
from shop_order.domain.problems import Dependency


def failure(name: Dependency, error: grpc.aio.AioRpcError, address: str = "") -> OrderServiceError:
    """What a failed call to `address` means to our own caller."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{name} at {address}" if address else name)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded()
    return DependencyDown(name, address)
