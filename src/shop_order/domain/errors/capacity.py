"""Too much, too large, too late, or something we need is away."""

from __future__ import annotations

from shop_order.domain.errors.base import Kind, OrderServiceError


class RateLimited(OrderServiceError):
    """Too many requests."""

    kind = Kind.EXHAUSTED

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many requests; slow down")
        self.retry_after_s = retry_after_s


class Overloaded(OrderServiceError):
    """A bounded queue is full."""

    kind = Kind.EXHAUSTED
    retry_after_s = 1.0
    text = "overloaded; try again in a moment"


class BodyTooLarge(OrderServiceError):
    """The message is larger than allowed."""

    kind = Kind.EXHAUSTED
    http_status = 413
    text = "the message is too large"


class HeadersTooLarge(OrderServiceError):
    """The head of the request, or what follows its body, is larger than allowed."""

    kind = Kind.EXHAUSTED
    http_status = 431
    text = "the headers are too large"


class UnsupportedMediaType(OrderServiceError):
    """The body is of a kind that is not taken here."""

    kind = Kind.INVALID
    http_status = 415
    text = "the body must be application/json in UTF-8"


class DependencyDown(OrderServiceError):
    """A service we need does not answer; nothing happened, or it will be undone by itself."""

    kind = Kind.UNAVAILABLE
    retry_after_s = 1.0

    def __init__(self, name: str, where: str = "") -> None:
        super().__init__(f"{name} is not available; try again", dependency=name)
        self.where = where


class DeadlineExceeded(OrderServiceError):
    """The time allowed ran out; the result is unknown to the caller: ask again with the same key."""

    kind = Kind.DEADLINE
    text = "it took too long; ask again, with the same idempotency key"

    def __init__(self, where: str = "") -> None:
        super().__init__()
        self.where = where


class Unimplemented(OrderServiceError):
    """The method is not built yet."""

    kind = Kind.UNIMPLEMENTED
    text = "not available in this version"
