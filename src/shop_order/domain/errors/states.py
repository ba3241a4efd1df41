"""A right request at the wrong moment, or one that another change has overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shop_order.domain.errors.base import Kind, OrderServiceError


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
