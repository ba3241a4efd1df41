"""The errors that callers can receive: one class per reason, with parameters instead of texts.

`web/messages.py` has their messages and their status in both protocols (docs/errors.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Literal

from shop_order.domain.problems import Dependency, Problem, transition_problem


class Kind(StrEnum):
    """Kinds of errors; each has a gRPC code and a default HTTP status."""

    INVALID = "INVALID"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    PRECONDITION = "PRECONDITION"
    CONFLICT = "CONFLICT"
    EXHAUSTED = "EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE = "DEADLINE"
    UNIMPLEMENTED = "UNIMPLEMENTED"


class OrderServiceError(Exception):
    """An error that the caller can act on.

    `code` is the class name in UPPER_SNAKE; `problem` tells cases of one code apart. `details` are its
    parameters: numbers as numbers, lists joined by commas. `retry_after_s` is set if a retry makes sense.
    `http_status` None means the default of its kind. `where` is the service or address that was called; it
    appears in logs and commands, never in responses.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]
    http_status: ClassVar[int | None] = None
    retry_after_s: float | None = None
    where: str = ""

    def __init_subclass__(cls, *, kind: Kind, http_status: int | None = None) -> None:
        super().__init_subclass__()
        cls.kind, cls.http_status = kind, http_status
        cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(self, problem: str = "", /, **parameters: str | int) -> None:
        super().__init__()
        self.problem = problem
        self.details: Mapping[str, str | int] = parameters | ({"problem": problem} if problem else {})

    def __str__(self) -> str:
        """Code, details and `where`, for operators."""
        details = [f"{name}={value}" for name, value in self.details.items()]
        return " ".join([self.code, *details, *([f"({self.where})"] if self.where else [])])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self).partition(' ')[2]})"


def in_yuan_too(**amounts_fen: int) -> dict[str, str | int]:
    """Details of amounts, for machines and for people: `left_fen=1999`, and `left_amount="19.99"`."""
    yuan = {name.removesuffix("_fen") + "_amount": Decimal(fen) / 100 for name, fen in amounts_fen.items()}
    return {name: f"{amount:.2f}" for name, amount in yuan.items()} | amounts_fen


# ---- invalid or forbidden requests ----


class InvalidArgument(OrderServiceError, kind=Kind.INVALID):
    """A field is invalid; `field` is its full path, such as `items[2].nums`."""

    problem: Problem

    def __init__(self, field: str, problem: Problem, /, **parameters: str | int) -> None:
        super().__init__(problem, field=field, **parameters)
        self.field = field

    def under(self, parent: str) -> InvalidArgument:
        """The same error with a longer path: `phone` becomes `address.phone`."""
        parameters = {k: v for k, v in self.details.items() if k not in ("field", "problem")}
        return InvalidArgument(f"{parent}.{self.field}", self.problem, **parameters)


class inside:
    """`with inside("address"):` prefixes the fields of InvalidArgument errors with `address.`."""

    def __init__(self, parent: str) -> None:
        self._parent = parent

    def __enter__(self) -> None: ...

    def __exit__(self, type: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, InvalidArgument):
            raise error.under(self._parent) from None


class EmptyOrder(OrderServiceError, kind=Kind.INVALID):
    """The order has no items."""


class KeyReused(OrderServiceError, kind=Kind.INVALID, http_status=422):
    """The idempotency key was used with another request."""


class PageTooDeep(OrderServiceError, kind=Kind.INVALID):
    """The page is beyond `limit` rows."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class AmountInexact(OrderServiceError, kind=Kind.INVALID):
    """A float amount is not a whole number of fen."""


class UnsupportedMediaType(OrderServiceError, kind=Kind.INVALID, http_status=415):
    """The content type of the body is not supported."""


class Unauthenticated(OrderServiceError, kind=Kind.UNAUTHENTICATED):
    """There is no token, or it is not valid."""


class SignatureInvalid(OrderServiceError, kind=Kind.UNAUTHENTICATED):
    """The signature of a notice or cashier link is invalid or has expired."""

    def __init__(self, of: Literal["notice", "cashier_link"]) -> None:
        super().__init__(of)


class Forbidden(OrderServiceError, kind=Kind.FORBIDDEN):
    """The caller's role is not permitted; `problem` names the rule if it is not the table of roles."""

    def __init__(self, problem: Literal["", "buyer_only", "user_only"] = "") -> None:
        super().__init__(problem)


class NotYourself(OrderServiceError, kind=Kind.FORBIDDEN):
    """`user_id` is not the caller."""


# ---- not found ----


class OrderNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The order does not exist, or belongs to another user."""


class PaymentNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The order has no payment attempt."""


class RefundNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The refund does not exist, or belongs to another user's order."""


class CartLineNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The cart has no such line."""


class AddressNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The user has no address with this id."""


# ---- not possible in the current state ----


class IllegalTransition(OrderServiceError, kind=Kind.PRECONDITION):
    """The order's status does not allow this transition; `problem` says why."""

    def __init__(self, now: str, to: str) -> None:
        super().__init__(transition_problem(now, to), state=now, wanted=to)


class GoodsUnavailable(OrderServiceError, kind=Kind.PRECONDITION):
    """Some goods do not exist or are no longer on sale; `goods_ids` lists them."""

    def __init__(self, goods_ids: Iterable[int]) -> None:
        super().__init__(goods_ids=_joined(goods_ids))


class OutOfStock(OrderServiceError, kind=Kind.PRECONDITION):
    """Some goods are out of stock; `goods_ids` lists them."""

    def __init__(self, goods_ids: Iterable[int]) -> None:
        super().__init__(goods_ids=_joined(goods_ids))


class PriceChanged(OrderServiceError, kind=Kind.PRECONDITION):
    """The total is not the expected one; `details` has both, the freight, and current prices."""

    def __init__(
        self, expected_fen: int, actual_fen: int, lines: Mapping[int, int], *, freight_fen: int
    ) -> None:
        super().__init__(
            **in_yuan_too(expected_fen=expected_fen, actual_fen=actual_fen, freight_fen=freight_fen),
            price_fen_by_goods=_joined(f"{goods}={price_fen}" for goods, price_fen in lines.items()),
        )


class QuoteUnknown(OrderServiceError, kind=Kind.PRECONDITION):
    """The quote token is unknown or expired."""


class CouponUnknown(OrderServiceError, kind=Kind.PRECONDITION):
    """The coupon does not exist."""

    def __init__(self, coupon_id: str) -> None:
        super().__init__(coupon_id=coupon_id)


class ChannelUnavailable(OrderServiceError, kind=Kind.PRECONDITION):
    """The channel, its trade type or its bill is unavailable, here or now, or there are too many attempts."""

    def __init__(
        self,
        channel: str,
        problem: Literal[
            "", "balance_too_low", "bill", "open_in_browser", "too_many_attempts", "trade_type"
        ] = "",
    ) -> None:
        super().__init__(problem, channel=channel)


class AmountNotPayable(OrderServiceError, kind=Kind.PRECONDITION):
    """The amount is outside the channel's limits, which are in `details`."""

    def __init__(self, channel: str, *, smallest_fen: int, largest_fen: int) -> None:
        super().__init__(channel=channel, **in_yuan_too(smallest_fen=smallest_fen, largest_fen=largest_fen))


class TooManyUnpaid(OrderServiceError, kind=Kind.PRECONDITION):
    """The user has reached the limit of unpaid orders."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class UseRefund(OrderServiceError, kind=Kind.PRECONDITION):
    """A paid order can't be cancelled; it has to be refunded."""


class PayWindowClosed(OrderServiceError, kind=Kind.PRECONDITION):
    """Too little time is left to pay the order."""


class RefundOpen(OrderServiceError, kind=Kind.PRECONDITION):
    """The order has an open refund, so it can't be shipped or completed."""


class AmountMismatch(OrderServiceError, kind=Kind.PRECONDITION):
    """A correctly signed notice does not match our payment in `what` (amount, order, payment, …)."""

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


# ---- concurrent changes ----


class StateChanged(OrderServiceError, kind=Kind.CONFLICT):
    """The order is not in the status that the caller expected."""

    def __init__(self, now: str) -> None:
        super().__init__(state=now)


class CartChanged(OrderServiceError, kind=Kind.CONFLICT):
    """The cart changed during checkout."""


class PlacingGivenUp(OrderServiceError, kind=Kind.CONFLICT):
    """Placing the order took too long, so its stock was released and nothing was stored."""


class TooMuchContention(OrderServiceError, kind=Kind.CONFLICT):
    """A write failed three times because of concurrent changes."""


# ---- limits, deadlines and unavailable dependencies ----


class RateLimited(OrderServiceError, kind=Kind.EXHAUSTED):
    """Too many requests."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class Overloaded(OrderServiceError, kind=Kind.EXHAUSTED):
    """A bounded queue is full."""

    retry_after_s = 1.0


class BodyTooLarge(OrderServiceError, kind=Kind.EXHAUSTED, http_status=413):
    """The message is larger than allowed."""


class HeadersTooLarge(OrderServiceError, kind=Kind.EXHAUSTED, http_status=431):
    """The headers or trailers of the request are larger than allowed."""


class DependencyDown(OrderServiceError, kind=Kind.UNAVAILABLE):
    """A dependency is unavailable; nothing happened, or it is undone automatically."""

    retry_after_s = 1.0

    def __init__(self, dependency: Dependency, where: str = "") -> None:
        super().__init__(dependency=dependency)
        self.where = where


class DeadlineExceeded(OrderServiceError, kind=Kind.DEADLINE):
    """The deadline passed and the outcome is unknown: retry with the same idempotency key."""

    def __init__(self, where: str = "") -> None:
        super().__init__()
        self.where = where


class Unimplemented(OrderServiceError, kind=Kind.UNIMPLEMENTED):
    """The method is not implemented yet."""


class UnreadableRow(ValueError):
    """A row that this version did not write: it was altered, or written by a newer version.

    `number` is that of its order, attempt or refund. Not caused by a caller.
    """

    def __init__(self, number: object, why: object) -> None:
        super().__init__(f"{number}: {why!r}")
        self.number = str(number)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))
