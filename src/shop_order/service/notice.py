"""Payment notices: size limits, and the notices of our own gateway over gRPC (decision callbacks)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from shop_order.domain.errors import AmountInexact, InvalidArgument, SignatureInvalid
from shop_order.pkg.money import fen_of_float32, float32_of_fen, yuan_of_fen

MAX_BODY = 64 * 1024  # bytes of a provider's notice, over HTTP and gRPC
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
MAX_MESSAGE = 128 * 1024  # with body and headers
MAX_VALUE = 512  # characters of a field of a gateway notice
PAID_WORDS = frozenset({"", "SUCCESS", "TRADE_SUCCESS", "TRADE_FINISHED"})


def check_size(body: bytes, headers: Mapping[str, str]) -> None:
    """Check the size of a notice before it is decoded. Raises InvalidArgument."""
    if len(body) > MAX_BODY:
        raise InvalidArgument("raw_body", "too_many_bytes", max=MAX_BODY)
    if len(headers) > MAX_HEADERS or sum(map(len, chain(headers, headers.values()))) > MAX_HEADER_BYTES:
        raise InvalidArgument("headers", "too_many_headers", max=MAX_HEADERS, max_bytes=MAX_HEADER_BYTES)


@dataclass(frozen=True, slots=True)
class GatewayNotice:
    """A notice and its signed fields; build it with `notify_payment` or `pay_callback`."""

    order_sn: str
    payment_sn: str
    trade_no: str
    payment_type: int
    amount_fen: int
    trade_status: str
    signed: Mapping[str, str]
    sign: str

    @property
    def means_paid(self) -> bool:
        """Whether it reports a payment."""
        return self.trade_status in PAID_WORDS


def notify_payment(
    *,
    order_sn: str,
    payment_sn: str,
    trade_no: str,
    payment_type: int,
    amount: float,
    amount_fen: int,
    sign: str,
) -> GatewayNotice:
    """`NotifyPayment` of 9.1: `amount` (yuan) is signed unless `amount_fen` is set.

    Raises AmountInexact if the float is not a whole number of fen, is above 131,072.00 yuan, or disagrees
    with `amount_fen`.
    """
    if amount_fen < 0:
        raise InvalidArgument("amount_fen", "too_small", min=0)
    if amount_fen:
        check_agrees(amount, amount_fen)
    fen = amount_fen or fen_of(amount)
    money = {"amount_fen": str(fen)} if amount_fen else {"amount": yuan_of_fen(fen)}
    signed = {
        "order_sn": order_sn,
        "payment_sn": payment_sn,
        "payment_type": str(payment_type),
        "trade_no": trade_no,
    }
    return GatewayNotice(order_sn, payment_sn, trade_no, payment_type, fen, "", signed | money, sign)


def pay_callback(fields: Mapping[str, str], *, sign: str, amount: float) -> GatewayNotice:
    """`OrderPayCallback` without a raw body: `fields` are its set fields as text, except sign and amount.

    Raises InvalidArgument without `amount_fen`, AmountInexact if `amount` disagrees with it.
    """
    if int(fields.get("amount_fen", "0")) <= 0:
        raise InvalidArgument("amount_fen", "required")
    fen = int(fields["amount_fen"])
    check_agrees(amount, fen)
    return GatewayNotice(
        fields.get("order_sn", ""),
        fields.get("payment_sn", ""),
        fields.get("trade_no", ""),
        int(fields.get("payment_type", "0")),
        fen,
        fields.get("trade_status", ""),
        fields,
        sign,
    )


def check_agrees(amount: float, fen: int) -> None:
    """Check that the unsigned float agrees with the signed amount in fen. Raises AmountInexact."""
    if amount and amount != float32_of_fen(fen):
        raise AmountInexact


def fen_of(amount: float) -> int:
    """Convert a float32 of yuan to fen. Raises AmountInexact."""
    try:
        return fen_of_float32(amount)
    except ValueError as inexact:
        raise AmountInexact from inexact


class GatewaySecret:
    """The HMAC keys shared with our payment gateway; several during rotation."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets)

    def sign(self, signed: Mapping[str, str]) -> str:
        """Lower-case hex HMAC-SHA256 over `key=value` sorted by key, joined by `&`."""
        return self._mac(self._secrets[0], signed)

    def check(self, notice: GatewayNotice) -> int:
        """Verify the signature and the required fields; return the amount in fen.

        Raises SignatureInvalid, InvalidArgument.
        """
        for field, value in notice.signed.items():
            if len(value) > MAX_VALUE:
                raise InvalidArgument(field, "too_long", max=MAX_VALUE)
            # `&trade_status=…` inside another field's value would be signed, but not read as a field.
            if "&" in value:
                raise InvalidArgument(field, "contains_ampersand")
        sign = notice.sign.encode()
        if not any(hmac.compare_digest(self._mac(s, notice.signed).encode(), sign) for s in self._secrets):
            raise SignatureInvalid("notice")
        for field in ("order_sn", "payment_sn", "payment_type", "amount_fen"):
            if not getattr(notice, field):
                raise InvalidArgument(field, "required")
        return notice.amount_fen

    @staticmethod
    def _mac(secret: bytes, signed: Mapping[str, str]) -> str:
        text = "&".join(f"{key}={signed[key]}" for key in sorted(signed))
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
