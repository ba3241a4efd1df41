"""Order, payment and refund numbers: yyMMddHHmmss (GMT+8), 14 random digits, a check digit."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

_GMT8 = timezone(timedelta(hours=8))
_DIGITS = re.compile(r"[0-9]{27}", re.ASCII)
_RANDOM_RANGE = 10**14

# Luhn: what a doubled digit counts, by its ASCII code.
_DOUBLED = bytes((2 * d if d < 5 else 2 * d - 9) if 0 <= (d := code - 48) <= 9 else 0 for code in range(256))
_ZEROS = 13 * ord("0")


class OrderNumbers:
    """Draws numbers that can't be guessed from each other."""

    def __init__(self, now_ms: Callable[[], int], random: Callable[[int], int]) -> None:
        """`random(n)` is a CSPRNG's whole number below n, such as secrets.randbelow."""
        self._now_ms = now_ms
        self._random = random
        self._second = -1
        self._prefix = ""

    def order_sn(self) -> str:
        """27 digits."""
        second = self._now_ms() // 1000
        if second != self._second:
            self._prefix = datetime.fromtimestamp(second, _GMT8).strftime("%y%m%d%H%M%S")
            self._second = second
        body = f"{self._prefix}{self._random(_RANDOM_RANGE):014d}"
        return body + _check_digit(body)

    def payment_sn(self) -> str:
        """P and 27 digits."""
        return "P" + self.order_sn()

    def refund_sn(self) -> str:
        """R and 27 digits."""
        return "R" + self.order_sn()


def is_order_sn(text: str) -> bool:
    """Whether shape, date and check digit are those of an order number."""
    if _DIGITS.fullmatch(text) is None or _check_digit(text[:26]) != text[26]:
        return False
    year, month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(0, 12, 2))
    try:
        datetime(2000 + year, month, day, hour, minute, second, tzinfo=_GMT8)
    except ValueError:
        return False
    return True


def is_payment_sn(text: str) -> bool:
    """Whether the text is P and a well-formed number."""
    return text[:1] == "P" and is_order_sn(text[1:])


def is_refund_sn(text: str) -> bool:
    """Whether the text is R and a well-formed number."""
    return text[:1] == "R" and is_order_sn(text[1:])


def _check_digit(body: str) -> str:
    digits = body.encode()
    total = sum(digits[0::2]) - _ZEROS + sum(digits[1::2].translate(_DOUBLED))
    return str(-total % 10)
