"""The points of death: each step of a payment, a notice, a refund and a balance payment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Case = tuple[str, str, str]  # channel, story, point


def around(*steps: str) -> list[str]:
    """Right before each step, and right after it."""
    return [f"{when} {step}" for step in steps for when in ("before", "after")]


PAY = [*around("commit payment.opened")]
NOTICE = [
    *around("commit order.paid", "publish order.paid"),
    "after stock confirm",  # the stock is sold, and the inbox does not know it
]
SENDING = around("commit refund.sent", "commit refund.succeeded", "publish refund.succeeded")
AT_A_PROVIDER = ["before provider refund", "after provider refund"]  # the money moved, nobody was told
OF_A_REFUND = ["before notice refund", "after notice refund"]  # only WeChat sends such notices
REFUND = [
    *around("commit refund.requested", "commit refund.approved"),
    *SENDING,
    "after stock return_stock",
]
RETURN = [
    *around("commit refund.parcel_sent", "commit refund.returned"),
    *around("publish refund.returned", "publish refund.succeeded"),
    "after stock return_stock",
]
CANCEL = [*around("commit refund.approved", "commit order.cancelled", "publish order.cancelled")]
DEBIT = [
    *around("publish payment.opened"),
    "before wallet wallet.debit_requested",
    "in wallet wallet.debit_requested",
    "after wallet wallet.debit_requested",
    *around("answer wallet.debited", "take wallet.debited"),
]
CREDIT = [
    *around("publish refund.sent"),
    "before wallet wallet.refund_requested",
    "in wallet wallet.refund_requested",
    "after wallet wallet.refund_requested",
    *around("answer wallet.refunded", "take wallet.refunded"),
]


def cases() -> Iterator[Case]:
    """All of them."""
    for channel in ("alipay", "wechat"):
        at = f"call {channel}"
        back = [*AT_A_PROVIDER, *(OF_A_REFUND if channel == "wechat" else [])]
        stories: dict[str, Sequence[str]] = {
            "pay": [*PAY, *around(f"{at}.open"), *NOTICE, "before notice paid", "after notice paid"],
            "refund": [*REFUND, *around(f"{at}.refund"), *back],
            "return": RETURN,
            "cancel": [*CANCEL, *around(f"{at}.refund"), *back],
        }
        for story, points in stories.items():
            yield from ((channel, story, point) for point in points)
    yield from (("balance", "pay", point) for point in [*PAY, *DEBIT, *NOTICE])
    yield from (("balance", "refund", point) for point in [*REFUND, *CREDIT])
    yield from (("balance", "return", point) for point in RETURN)
    yield from (("balance", "cancel", point) for point in [*CANCEL, *CREDIT])


CASES = list(cases())


def name_of(case: Case) -> str:
    """The id of a test."""
    return f"{case[0]} {case[1]}: {case[2]}"


def of_shared_engines() -> Iterator[Case]:
    """Those where a broker and a server make a difference: of the providers one is enough."""
    of_after_sales = {*RETURN, *CANCEL} - {*REFUND}
    for channel, story, point in CASES:
        if channel != "alipay" and (story in ("pay", "refund") or point in of_after_sales):
            yield channel, story, point


SHARED = list(of_shared_engines())
