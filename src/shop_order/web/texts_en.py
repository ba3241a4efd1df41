"""English texts of errors, by code and problem. texts_zh must have the same keys."""

from __future__ import annotations

from collections.abc import Mapping

from shop_order.domain.problems import Problem

JOIN = "; "  # between fact and advice
LIST = ", "
FIELD = "{field} {problem}"

# Code or code.problem -> fact, advice.
ERRORS: Mapping[str, tuple[str, str]] = {
    "INVALID_ARGUMENT": ("a field of the request is not valid", "correct the field that details.field names"),
    "EMPTY_ORDER": ("there is nothing to order", "send items, or check lines of the cart"),
    "KEY_REUSED": ("this idempotency key was used with another request", "use a new key"),
    "PAGE_TOO_DEEP": ("pages end at {limit} rows", "use next_cursor instead"),
    "AMOUNT_INEXACT": ("amount is not a whole number of fen", "send amount_fen"),
    "UNSUPPORTED_MEDIA_TYPE": (
        "the content type is not supported",
        "send application/json in UTF-8, uncompressed",
    ),
    "UNAUTHENTICATED": ("a valid token is required", "sign in again"),
    "SIGNATURE_INVALID": ("the signature is not valid", "sign again with the right key"),
    "SIGNATURE_INVALID.notice": (
        "the signature of the notice is not valid",
        "check the key and the signed text",
    ),
    "SIGNATURE_INVALID.cashier_link": (
        "this payment link is not valid or has expired",
        "open it again from the order",
    ),
    "FORBIDDEN": ("this role is not allowed to do this", "use an account with the right role"),
    "FORBIDDEN.buyer_only": ("only the buyer can confirm receipt", "ask the buyer"),
    "FORBIDDEN.user_only": (
        "only a user, or a service acting for a user, can do this",
        "use a user's token or act_for",
    ),
    "NOT_YOURSELF": ("user_id is not the caller", "omit it, or send your own"),
    "ORDER_NOT_FOUND": ("the order does not exist", "check its number"),
    "PAYMENT_NOT_FOUND": ("this order has no payment yet", "start one first"),
    "CART_LINE_NOT_FOUND": ("the cart has no such line", "refresh the cart"),
    "ADDRESS_NOT_FOUND": ("the address does not exist", "choose another address"),
    "ILLEGAL_TRANSITION": ("the order's status does not allow this", "refresh and check its status"),
    "ILLEGAL_TRANSITION.already_completed": ("this order is already completed", "nothing is left to ship"),
    "ILLEGAL_TRANSITION.already_paid": ("this order is already paid", "nothing is left to pay"),
    "ILLEGAL_TRANSITION.already_shipped": (
        "this order is already shipped with another parcel",
        "refresh and check the parcel number",
    ),
    "ILLEGAL_TRANSITION.cancelled": ("this order is cancelled", "place a new order"),
    "ILLEGAL_TRANSITION.not_paid": ("this order is not paid yet", "wait for the payment"),
    "ILLEGAL_TRANSITION.not_shipped": (
        "this order is not shipped yet",
        "confirm receipt when the parcel has arrived",
    ),
    "ILLEGAL_TRANSITION.other_state": ("{state} can't become {wanted}", "refresh and check the status"),
    "ILLEGAL_TRANSITION.set_by_payment": (
        "an order can't be set to {wanted} by hand",
        "only a payment can do that",
    ),
    "ILLEGAL_TRANSITION.too_late_to_cancel": (
        "this order is {state} and can't be cancelled",
        "request a refund instead",
    ),
    "GOODS_UNAVAILABLE": (
        "goods {goods_ids} do not exist or are off sale",
        "remove them and try again",
    ),
    "OUT_OF_STOCK": ("not enough stock of goods {goods_ids}", "order fewer, or remove them"),
    "PRICE_CHANGED": (
        "the total changed from {expected_fen} to {actual_fen} fen, of which freight is {freight_fen} fen",
        "confirm the new total and try again",
    ),
    "QUOTE_UNKNOWN": ("the quote is unknown or has expired", "get a new one"),
    "COUPON_UNKNOWN": ("coupon {coupon_id} does not exist", "choose another, or none"),
    "CHANNEL_UNAVAILABLE": ("{channel} is not available", "choose another way to pay"),
    "CHANNEL_UNAVAILABLE.bill": ("there is no bill of {channel} to compare with", "choose another channel"),
    "CHANNEL_UNAVAILABLE.too_many_attempts": (
        "this order has too many payment attempts",
        "continue with the open one, or place a new order",
    ),
    "CHANNEL_UNAVAILABLE.trade_type": (
        "{channel} is not available with this trade type",
        "choose another trade type",
    ),
    "AMOUNT_NOT_PAYABLE": (
        "{channel} takes {smallest_amount} to {largest_amount} yuan in one payment",
        "choose another way to pay",
    ),
    "TOO_MANY_UNPAID": ("you have {limit} unpaid orders, which is the limit", "pay or cancel one first"),
    "USE_REFUND": ("a paid order can't be cancelled", "request a refund instead"),
    "PAY_WINDOW_CLOSED": ("too little time is left to pay this order", "place a new order"),
    "REFUND_OPEN": ("a refund of this order is in progress", "wait until it is settled"),
    "AMOUNT_MISMATCH": (
        "the notice does not match our payment: {what}",
        "check the notice, and query the payment",
    ),
    "STATE_CHANGED": ("the order's status is now: {state}", "refresh and retry"),
    "CART_CHANGED": ("the cart changed during checkout", "refresh the cart and retry"),
    "PLACING_GIVEN_UP": ("placing the order took too long, so nothing was stored", "try again"),
    "TOO_MUCH_CONTENTION": ("too many changes at the same time", "try again"),
    "RATE_LIMITED": ("too many requests", "retry later"),
    "OVERLOADED": ("the service is overloaded", "try again in a moment"),
    "BODY_TOO_LARGE": ("the message is too large", "send less at once"),
    "HEADERS_TOO_LARGE": ("the headers are too large", "send fewer or shorter ones"),
    "DEPENDENCY_DOWN": ("{dependency} is not available", "try again"),
    "DEADLINE_EXCEEDED": ("the request took too long", "retry with the same idempotency key"),
    "UNIMPLEMENTED": ("this is not available in this version", "wait for a later version"),
    "NOT_FOUND": ("there is no such path", "check the URL"),
    "METHOD_NOT_ALLOWED": ("this path does not support this method", "use a method from the Allow header"),
    "INTERNAL": ("internal error", "try again; if it persists, report the request id"),
}

# Problems of a field; each continues the name of the field.
PROBLEMS: Mapping[Problem, str] = {
    "cart_full": "can't be added: the cart already has {max} lines",
    "contains_ampersand": "must not contain &",
    "control_characters": "must not contain control characters",
    "differs_from_metadata": "differs from the metadata of the same name",
    "duplicate": "must be given only once",
    "duplicate_key": "must not contain a key twice",
    "expired_token": "is a submit token that has expired or belongs to another user; get a new one",
    "foreign_cursor": "must be the next_cursor of this list",
    "goods_id_or_id": "or id must be a positive integer",
    "invalid": "is not valid",
    "invalid_http": "is not valid HTTP",
    "invalid_json": "is not valid JSON",
    "invisible_characters": "must not contain invisible or direction-changing characters",
    "malformed": "is not a valid message of this method",
    "must_be_empty": "must be empty",
    "not_a_boolean": "must be true or false",
    "not_a_date": "must be YYYY-MM-DD",
    "not_a_form": "is not a valid form",
    "not_a_phone": "must be a mainland mobile number, or + and 6 to 15 digits",
    "not_a_string": "must be a string",
    "not_a_time": "must be a time with an offset, such as 2026-11-21T08:00:00+08:00",
    "not_a_url": "is not a valid web address",
    "not_allowed_url": "is not on the list of allowed addresses",
    "not_an_array": "must be an array",
    "not_an_id": "must be a positive integer",
    "not_an_integer": "must be an integer",
    "not_an_object": "must be an object",
    "not_an_order_sn": "is not a valid order number",
    "not_one_of": "must be one of: {allowed}",
    "not_supported": "is not supported yet; leave it empty",
    "one_of_two": "or {other} is required, but not both",
    "other_line": "does not match the line of goods_id",
    "out_of_range": "must be between {min} and {max}",
    "range_too_long": "must be less than {max} days before end",
    "required": "is required",
    "sent_twice": "must be sent only once, without commas",
    "surrounding_spaces": "must not start or end with spaces",
    "too_early": "must not be before {other}",
    "too_large": "must be at most {max}",
    "too_late": "must not be after {other}",
    "too_long": "must be at most {max} characters long",
    "too_many": "must have at most {max} entries",
    "too_many_bytes": "must be at most {max} bytes long",
    "too_many_headers": "must be at most {max}, with at most {max_bytes} bytes in total",
    "too_many_of_one_goods": "exceed {max} of goods {goods_id}",
    "too_many_parameters": "must have at most {max} parameters",
    "too_small": "must be at least {min}",
    "total_too_large": "exceed the maximum total of an order; order fewer",
    "unknown_charset": "is unknown, or not the encoding of the notice",
    "unknown_field": "is not a known parameter or field",
    "unreadable": "can't be read",
    "year_out_of_range": "must be in the years 1970 to 9999",
}

STATUSES: Mapping[str, str] = {
    "PENDING": "pending payment",
    "PAID": "paid",
    "SHIPPED": "shipped",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
}
DEPENDENCIES: Mapping[str, str] = {
    "alipay": "Alipay",
    "event_inbox": "an event inbox",
    "goods_service": "the goods service",
    "inventory_service": "the inventory service",
    "message_broker": "the message broker",
    "order_database": "the order database",
    "order_log": "the order log",
    "payment_provider": "the payment provider",
    "token_keys": "the token key service",
    "user_service": "the user service",
    "worker_id": "a free worker id",
}
CHANNELS: Mapping[str, str] = {"alipay": "Alipay", "wechat": "WeChat Pay", "balance": "balance payment"}
