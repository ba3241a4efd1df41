"""The request can never succeed as it is, nobody may make it, or what it is about does not exist."""

from __future__ import annotations

from shop_order.domain.errors.base import Kind, OrderServiceError


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
