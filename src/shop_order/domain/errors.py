"""Everything a caller can be told: one class a fact, its kind decides the status on the wire.

`web/status.py` maps kinds to gRPC and HTTP (contract, chapter 10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import ClassVar


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

    `code` is the leaf's name in UPPER_SNAKE, `details` what it is about (text to text),
    `retry_after_s` set where a retry makes sense. `http_status` None means the kind's usual one.
    `text` is the message of a leaf that always says the same. `where` is what was called, for our own log and
    commands: no caller is told an address of ours.
    """

    kind: ClassVar[Kind]
    http_status: ClassVar[int | None] = None
    retry_after_s: float | None = None
    text: ClassVar[str] = ""
    where: str = ""

    def __init__(self, message: str = "", **details: object) -> None:
        self.message = message or self.text
        super().__init__(self.message)
        self.details: Mapping[str, str] = {k: str(v) for k, v in details.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.told!r})"

    @property
    def told(self) -> str:
        """The message with `where`, for operators."""
        return f"{self.message} ({self.where})" if self.where else self.message

    @property
    def code(self) -> str:
        """The machine-readable name: `OutOfStock` is `OUT_OF_STOCK`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).upper()


class Unreadable(ValueError):
    """A row that is not what we write: somebody altered it, or a newer version wrote it. No caller's fault.

    `number` is its order's, attempt's or refund's.
    """

    def __init__(self, number: object, why: object) -> None:
        super().__init__(f"{number}: {why!r}")
        self.number = str(number)


# ---- INVALID: the request can never succeed as it is ----


class InvalidArgument(OrderServiceError):
    """A field is malformed; `field` names it."""

    kind = Kind.INVALID

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field)


class EmptyOrder(OrderServiceError):
    """There is nothing to buy."""

    kind = Kind.INVALID
    text = "nothing to order: no items, or no checked line in the cart"


class KeyReused(OrderServiceError):
    """The idempotency key was used for another command."""

    kind = Kind.INVALID
    http_status = 422
    text = "this idempotency key was used with another request; use a new key"


class PageTooDeep(OrderServiceError):
    """Pages end at 10,000 rows."""

    kind = Kind.INVALID
    text = "pages end at 10000 rows; go on with next_cursor"


class AmountInexact(OrderServiceError):
    """A float amount that does not name a whole number of fen."""

    kind = Kind.INVALID
    text = "amount is not an exact number of fen; send amount_fen"


# ---- identity ----


class Unauthenticated(OrderServiceError):
    """No identity, or one that can't be trusted."""

    kind = Kind.UNAUTHENTICATED
    text = "a valid token is required"


class SignatureInvalid(OrderServiceError):
    """A signature (provider's notice, gateway's notice, cashier link) does not verify or has expired."""

    kind = Kind.UNAUTHENTICATED

    def __init__(self, what: str) -> None:
        super().__init__(f"the signature of the {what} is not valid")


class Forbidden(OrderServiceError):
    """The caller's role may not do this."""

    kind = Kind.FORBIDDEN
    text = "not allowed for this role"


class NotYourself(OrderServiceError):
    """`user_id` names somebody else than the caller."""

    kind = Kind.FORBIDDEN
    text = "user_id is not the caller"


# ---- NOT_FOUND ----


class OrderNotFound(OrderServiceError):
    """No such order, or it is somebody else's."""

    kind = Kind.NOT_FOUND
    text = "no such order"


class PaymentNotFound(OrderServiceError):
    """The order has no payment attempt."""

    kind = Kind.NOT_FOUND
    text = "this order has no payment yet"


class GoodsNotFound(OrderServiceError):
    """The goods do not exist or are off sale."""

    kind = Kind.NOT_FOUND

    def __init__(self, goods: int) -> None:
        super().__init__(f"goods {goods} do not exist or are off sale", goods_ids=goods)


class CartLineNotFound(OrderServiceError):
    """The cart has no such line."""

    kind = Kind.NOT_FOUND
    text = "no such line in the cart"


class AddressNotFound(OrderServiceError):
    """The address id is not one of the user's."""

    kind = Kind.NOT_FOUND
    text = "no such address"


# ---- PRECONDITION: right request, wrong moment ----


class IllegalTransition(OrderServiceError):
    """The state machine does not allow this move."""

    kind = Kind.PRECONDITION

    def __init__(self, now: str, to: str) -> None:
        super().__init__(f"not possible: {now} to {to}", state=now, wanted=to)


class GoodsUnavailable(OrderServiceError):
    """Some goods were deleted or taken off sale."""

    kind = Kind.PRECONDITION

    def __init__(self, goods_ids: Iterable[int]) -> None:
        ids = ",".join(map(str, goods_ids))
        super().__init__(f"goods {ids} can't be ordered: deleted or off sale", goods_ids=ids)


class OutOfStock(OrderServiceError):
    """Some goods are short; `goods_ids` names them."""

    kind = Kind.PRECONDITION

    def __init__(self, goods_ids: Iterable[int]) -> None:
        ids = ",".join(map(str, goods_ids))
        super().__init__(f"not enough stock of goods {ids}", goods_ids=ids)


class PriceChanged(OrderServiceError):
    """What the caller expected to pay is no longer true; `details` has old and new, and the freight in it."""

    kind = Kind.PRECONDITION

    def __init__(
        self, expected_fen: int, actual_fen: int, lines: Mapping[int, int], *, freight_fen: int
    ) -> None:
        by_line = ",".join(f"{goods}={price_fen}" for goods, price_fen in lines.items())
        super().__init__(
            f"the price changed: expected {expected_fen} fen, now {actual_fen} fen"
            f" with {freight_fen} fen of freight",
            expected_fen=expected_fen,
            actual_fen=actual_fen,
            freight_fen=freight_fen,
            price_fen_by_goods=by_line,
        )


class QuoteUnknown(OrderServiceError):
    """The quote token is unknown or expired."""

    kind = Kind.PRECONDITION
    text = "unknown or expired quote; ask for a new one"


class CouponUnknown(OrderServiceError):
    """The coupon can't be used."""

    kind = Kind.PRECONDITION

    def __init__(self, coupon_id: str) -> None:
        super().__init__("this coupon does not exist", coupon_id=coupon_id)


class ChannelUnavailable(OrderServiceError):
    """The payment channel (or trade type) is not available."""

    kind = Kind.PRECONDITION

    def __init__(self, channel: str) -> None:
        super().__init__(f"payment by {channel} is not available; choose another channel", channel=channel)


class AmountNotPayable(OrderServiceError):
    """The channel takes no such amount in one payment; `details` has its bounds."""

    kind = Kind.PRECONDITION

    def __init__(self, channel: str, *, smallest_fen: int, largest_fen: int) -> None:
        bounds = {"smallest": smallest_fen, "largest": largest_fen}
        yuan = {f"{end}_amount": f"{fen // 100}.{fen % 100:02d}" for end, fen in bounds.items()}
        super().__init__(
            f"{channel} takes {yuan['smallest_amount']} to {yuan['largest_amount']} yuan in one payment",
            channel=channel,
            **yuan,
            **{f"{end}_fen": fen for end, fen in bounds.items()},
        )


class TooManyUnpaid(OrderServiceError):
    """The user has as many unpaid orders as allowed."""

    kind = Kind.PRECONDITION

    def __init__(self, limit: int) -> None:
        super().__init__(f"pay or cancel first: {limit} unpaid orders are the limit", limit=limit)


class UseRefund(OrderServiceError):
    """A paid order is not cancelled but refunded."""

    kind = Kind.PRECONDITION
    text = "a paid order can't be cancelled; request a refund"


class PayWindowClosed(OrderServiceError):
    """Too little time is left to pay."""

    kind = Kind.PRECONDITION
    text = "too little time is left to pay this order; place a new one"


class RefundOpen(OrderServiceError):
    """A refund is open, so nothing ships or completes."""

    kind = Kind.PRECONDITION
    text = "a refund of this order is open"


class AmountMismatch(OrderServiceError):
    """A correctly signed notice whose amount, order or payment is wrong."""

    kind = Kind.PRECONDITION

    def __init__(self, what: str) -> None:
        super().__init__(f"the notice does not agree with our payment: {what}", what=what)


# ---- CONFLICT ----


class StateChanged(OrderServiceError):
    """The state the caller expected is no longer so."""

    kind = Kind.CONFLICT

    def __init__(self, now: str) -> None:
        super().__init__(f"the order is {now} now; look again", state=now)


class CartChanged(OrderServiceError):
    """The cart changed while it was being checked out."""

    kind = Kind.CONFLICT
    text = "the cart changed during checkout; look at it and try again"


class PlacingGivenUp(OrderServiceError):
    """The order took so long that its stock was given back; nothing was stored."""

    kind = Kind.CONFLICT
    text = "placing the order took too long and was given up; try again"


class TooMuchContention(OrderServiceError):
    """A write lost its compare-and-set three times."""

    kind = Kind.CONFLICT
    text = "too many changes at once; try again"


# ---- EXHAUSTED, UNAVAILABLE, DEADLINE, UNIMPLEMENTED ----


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
