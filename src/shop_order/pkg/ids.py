"""Order, payment and refund numbers, snowflake ids, and their random numbers."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

_GMT8 = timezone(timedelta(hours=8))
_DIGITS = re.compile(r"[0-9]{27}", re.ASCII)
_RANDOM_RANGE = 10**14

# Luhn: the value of a doubled digit, by its ASCII code.
_DOUBLED = bytes((2 * d if d < 5 else 2 * d - 9) if 0 <= (d := code - 48) <= 9 else 0 for code in range(256))
_ZEROS = 13 * ord("0")


class OrderNumbers:
    """Creates unguessable numbers."""

    def __init__(self, now_ms: Callable[[], int], random: Callable[[int], int]) -> None:
        """`random(n)` returns a CSPRNG's integer below n, such as secrets.randbelow."""
        self._now_ms = now_ms
        self._random = random
        self._second = -1
        self._prefix = ""

    def order_sn(self) -> str:
        """Return 27 digits."""
        second = self._now_ms() // 1000
        if second != self._second:
            self._prefix = datetime.fromtimestamp(second, _GMT8).strftime("%y%m%d%H%M%S")
            self._second = second
        body = f"{self._prefix}{self._random(_RANDOM_RANGE):014d}"
        return body + _check_digit(body)

    def payment_sn(self) -> str:
        """Return P and 27 digits."""
        return "P" + self.order_sn()

    def refund_sn(self) -> str:
        """Return R and 27 digits."""
        return "R" + self.order_sn()


def is_order_sn(text: str) -> bool:
    """Whether length, date and check digit are those of an order number."""
    if _DIGITS.fullmatch(text) is None or _check_digit(text[:26]) != text[26]:
        return False
    year, month, day, hour, minute, second = (int(text[i : i + 2]) for i in range(0, 12, 2))
    try:
        datetime(2000 + year, month, day, hour, minute, second, tzinfo=_GMT8)
    except ValueError:
        return False
    return True


def is_refund_sn(text: str) -> bool:
    """Whether it is R and a valid number."""
    return text[:1] == "R" and is_order_sn(text[1:])


def _check_digit(body: str) -> str:
    digits = body.encode()
    total = sum(digits[0::2]) - _ZEROS + sum(digits[1::2].translate(_DOUBLED))
    return str(-total % 10)


EPOCH_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
MAX_WORKER = (1 << 10) - 1
_MAX_SEQUENCE = (1 << 12) - 1
_MAX_MS = (1 << 41) - 1


class Snowflakes:
    """Creates increasing, unique ids, even if the clock is set back; thread-safe."""

    def __init__(self, now_ms: Callable[[], int], worker: int, after: int = 0) -> None:
        """Start above the id `after`, so that a restart with a clock set back repeats none."""
        if not 0 <= worker <= MAX_WORKER:
            raise ValueError(f"worker must be 0 to {MAX_WORKER}, not {worker}")
        self._now_ms = now_ms
        self._worker = worker << 12
        self._lock = threading.Lock()
        self._last_ms = after >> 22
        self._sequence = _MAX_SEQUENCE if after else -1

    def next_id(self) -> int:
        """Return a new id, greater than all before. Raises OverflowError after the year 2094."""
        with self._lock:
            ms = self._now_ms() - EPOCH_MS
            if ms > self._last_ms:
                self._last_ms, self._sequence = ms, 0
            elif self._sequence < _MAX_SEQUENCE:
                self._sequence += 1
            else:
                # Borrow the next millisecond, rather than wait for the clock.
                self._last_ms, self._sequence = self._last_ms + 1, 0
            if self._last_ms > _MAX_MS:
                raise OverflowError("the 41 bits of milliseconds are used up")
            return self._last_ms << 22 | self._worker | self._sequence


def last_id_before(ms: int) -> int:
    """Return the largest id possible before this time in epoch milliseconds."""
    return ((ms - EPOCH_MS) << 22) - 1


class Entropy:
    """Random bytes of the operating system, fetched in blocks. Not thread-safe.

    Each fetch releases the GIL, and reacquiring it in a busy server costs more than the numbers.
    """

    BLOCK_BYTES = 4096

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._block = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return `count` random bytes, at most 4096."""
        if self._at + count > len(self._block):
            self._block, self._at = self._source(self.BLOCK_BYTES), 0
        self._at += count
        return self._block[self._at - count : self._at]

    def salt(self) -> str:
        """Return 16 random bytes in hex."""
        return self.take(16).hex()

    def below(self, limit: int) -> int:
        """Return a uniformly distributed integer from 0 to `limit` - 1."""
        bits = limit.bit_length()
        size = (bits + 7) // 8
        while True:
            drawn = int.from_bytes(self.take(size), "big") >> (8 * size - bits)
            if drawn < limit:
                return drawn
