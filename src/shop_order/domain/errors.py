"""Every refusal a caller can be given: one class for each reason, with parameters instead of a text.

`web/messages.py` says them in the caller's language, `web/status.py` maps their kinds to both protocols
(contract, chapter 10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import ClassVar, Literal

from shop_order.domain.problems import Dependency, Problem, transition_problem


class Kind(StrEnum):
    """The families of errors; each has one gRPC code and one usual HTTP status."""

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
    """A refusal the caller can act on.

    `code` is the leaf's name in UPPER_SNAKE, `problem` the case of it where it has several, `details` what it
    is about: numbers as numbers, lists joined by commas. `retry_after_s` is set where a retry makes sense.
    `http_status` None means the kind's usual one. `where` is what was called, for our own log and commands:
    no caller is told an address of ours.
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
        """For operators: code, details and `where`."""
        about = [f"{name}={value}" for name, value in self.details.items()]
        return " ".join([self.code, *about, *([f"({self.where})"] if self.where else [])])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self).partition(' ')[2]})"


# ---- the request can never succeed as it is, or nobody may make it ----


class InvalidArgument(OrderServiceError, kind=Kind.INVALID):
    """A field is malformed; `field` is its full path, such as `items[2].nums`."""

    problem: Problem

    def __init__(self, field: str, problem: Problem, /, **parameters: str | int) -> None:
        super().__init__(problem, field=field, **parameters)
        self.field = field

    def under(self, parent: str) -> InvalidArgument:
        """The same problem inside of `parent`: `phone` becomes `address.phone`."""
        parameters = {k: v for k, v in self.details.items() if k not in ("field", "problem")}
        return InvalidArgument(f"{parent}.{self.field}", self.problem, **parameters)


class inside:
    """`with inside("address"):` gives the fields of what is refused there their full path."""

    def __init__(self, parent: str) -> None:
        self._parent = parent

    def __enter__(self) -> None: ...

    def __exit__(self, type: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, InvalidArgument):
            raise error.under(self._parent) from None


class EmptyOrder(OrderServiceError, kind=Kind.INVALID):
    """There is nothing to buy."""


class KeyReused(OrderServiceError, kind=Kind.INVALID, http_status=422):
    """The idempotency key was used for another command."""


class PageTooDeep(OrderServiceError, kind=Kind.INVALID):
    """Pages end at `limit` rows."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class AmountInexact(OrderServiceError, kind=Kind.INVALID):
    """A float amount that does not name a whole number of fen."""


class UnsupportedMediaType(OrderServiceError, kind=Kind.INVALID, http_status=415):
    """The body is of a type that is not accepted here."""


class Unauthenticated(OrderServiceError, kind=Kind.UNAUTHENTICATED):
    """No identity, or one that can't be trusted."""


class SignatureInvalid(OrderServiceError, kind=Kind.UNAUTHENTICATED):
    """The signature of a notice or of a cashier link does not verify, or has expired."""

    def __init__(self, of: Literal["notice", "cashier_link"]) -> None:
        super().__init__(of)


class Forbidden(OrderServiceError, kind=Kind.FORBIDDEN):
    """The caller's role may not do this; `problem` says who may, where that is not the table of roles."""

    def __init__(self, problem: Literal["", "buyer_only", "user_only"] = "") -> None:
        super().__init__(problem)


class NotYourself(OrderServiceError, kind=Kind.FORBIDDEN):
    """`user_id` names somebody other than the caller."""


# ---- it does not exist ----


class OrderNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """No such order, or it is somebody else's."""


class PaymentNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The order has no payment attempt."""


class CartLineNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The cart has no such line."""


class AddressNotFound(OrderServiceError, kind=Kind.NOT_FOUND):
    """The address id is not one of the user's."""


# ---- a right request at the wrong moment ----


class IllegalTransition(OrderServiceError, kind=Kind.PRECONDITION):
    """The state machine does not allow this move; `problem` says it in the buyer's words."""

    def __init__(self, now: str, to: str) -> None:
        super().__init__(transition_problem(now, to), state=now, wanted=to)


class GoodsUnavailable(OrderServiceError, kind=Kind.PRECONDITION):
    """Some goods do not exist, or are off sale; `goods_ids` names them."""

    def __init__(self, goods_ids: Iterable[int]) -> None:
        super().__init__(goods_ids=_joined(goods_ids))


class OutOfStock(OrderServiceError, kind=Kind.PRECONDITION):
    """Some goods are short; `goods_ids` names them."""

    def __init__(self, goods_ids: Iterable[int]) -> None:
        super().__init__(goods_ids=_joined(goods_ids))


class PriceChanged(OrderServiceError, kind=Kind.PRECONDITION):
    """The total is not the expected one; `details` has both, the freight in it, and today's prices."""

    def __init__(
        self, expected_fen: int, actual_fen: int, lines: Mapping[int, int], *, freight_fen: int
    ) -> None:
        super().__init__(
            expected_fen=expected_fen,
            actual_fen=actual_fen,
            freight_fen=freight_fen,
            price_fen_by_goods=_joined(f"{goods}={price_fen}" for goods, price_fen in lines.items()),
        )


class QuoteUnknown(OrderServiceError, kind=Kind.PRECONDITION):
    """The quote token is unknown or expired."""


class CouponUnknown(OrderServiceError, kind=Kind.PRECONDITION):
    """The coupon does not exist."""

    def __init__(self, coupon_id: str) -> None:
        super().__init__(coupon_id=coupon_id)


class ChannelUnavailable(OrderServiceError, kind=Kind.PRECONDITION):
    """The payment channel, its trade type or its bill is not available, or there were too many attempts."""

    def __init__(
        self, channel: str, problem: Literal["", "bill", "too_many_attempts", "trade_type"] = ""
    ) -> None:
        super().__init__(problem, channel=channel)


class AmountNotPayable(OrderServiceError, kind=Kind.PRECONDITION):
    """The channel takes no such amount in one payment; `details` has its bounds."""

    def __init__(self, channel: str, *, smallest_fen: int, largest_fen: int) -> None:
        super().__init__(
            channel=channel,
            smallest_amount=f"{smallest_fen // 100}.{smallest_fen % 100:02d}",
            largest_amount=f"{largest_fen // 100}.{largest_fen % 100:02d}",
            smallest_fen=smallest_fen,
            largest_fen=largest_fen,
        )


class TooManyUnpaid(OrderServiceError, kind=Kind.PRECONDITION):
    """The user has as many unpaid orders as allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)


class UseRefund(OrderServiceError, kind=Kind.PRECONDITION):
    """A paid order is not cancelled but refunded."""


class PayWindowClosed(OrderServiceError, kind=Kind.PRECONDITION):
    """Too little time is left to pay."""


class RefundOpen(OrderServiceError, kind=Kind.PRECONDITION):
    """A refund is open, so nothing ships or completes."""


class AmountMismatch(OrderServiceError, kind=Kind.PRECONDITION):
    """A correctly signed notice whose `what` (amount, order, payment, …) is not ours."""

    def __init__(self, what: str) -> None:
        super().__init__(what=what)


# ---- another change came first ----


class StateChanged(OrderServiceError, kind=Kind.CONFLICT):
    """The state the caller expected is no longer so."""

    def __init__(self, now: str) -> None:
        super().__init__(state=now)


class CartChanged(OrderServiceError, kind=Kind.CONFLICT):
    """The cart changed while it was being checked out."""


class PlacingGivenUp(OrderServiceError, kind=Kind.CONFLICT):
    """Placing the order took so long that its stock was released; nothing was stored."""


class TooMuchContention(OrderServiceError, kind=Kind.CONFLICT):
    """A write lost its compare-and-set three times."""


# ---- too much, too large, too late, or something we need is away ----


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
    """The head of the request, or its trailers, is larger than allowed."""


class DependencyDown(OrderServiceError, kind=Kind.UNAVAILABLE):
    """A service we need does not answer; nothing happened, or it will be undone by itself."""

    retry_after_s = 1.0

    def __init__(self, dependency: Dependency, where: str = "") -> None:
        super().__init__(dependency=dependency)
        self.where = where


class DeadlineExceeded(OrderServiceError, kind=Kind.DEADLINE):
    """The time allowed ran out; the result is unknown to the caller: ask again with the same key."""

    def __init__(self, where: str = "") -> None:
        super().__init__()
        self.where = where


class Unimplemented(OrderServiceError, kind=Kind.UNIMPLEMENTED):
    """The method is not built yet."""


class UnreadableRow(ValueError):
    """A row that is not what we write: somebody altered it, or a newer version wrote it. No caller's fault.

    `number` is its order's, attempt's or refund's.
    """

    def __init__(self, number: object, why: object) -> None:
        super().__init__(f"{number}: {why!r}")
        self.number = str(number)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))
