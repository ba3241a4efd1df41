"""Bills: published at 10:00 on the next day, fetched from an address valid for 30 s, altered for tests."""

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Generic, TypeVar
from zlib import crc32

from shop_sandbox.payments.formats import day_start_ms

PUBLISH_HOUR = 10
DOWNLOAD_TTL_MS = 30_000
MAX_DOWNLOADS = 100
MAX_PLANTED = 1_000
FEE = 0.006
CHANGES = (
    "out, missing, again, trade_no, amount and fen, fee and fen, stranger, stranger_refund, or seed: one each"
)


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a bill: a trade, or a refund of one if `request_no` is set. `fee_fen` None: as usual."""

    trade_no: str
    out_trade_no: str
    subject: str
    created_ms: int
    happened_ms: int
    amount_fen: int
    request_no: str = ""
    fee_fen: int | None = None

    @property
    def number(self) -> str:
        """The number by which a test names this line."""
        return self.request_no or self.out_trade_no

    @property
    def signed_fen(self) -> int:
        """The amount; negative for a refund."""
        return -self.amount_fen if self.request_no else self.amount_fen

    @property
    def fee(self) -> int:
        """The provider's fee in fen; a refund gives it back, and it is negative."""
        return round(self.signed_fen * FEE) if self.fee_fen is None else self.fee_fen


Line = TypeVar("Line", bound=BillLine)


class TooManyDownloads(Exception):
    """No further address can be given out now."""


class PublishedBills(Generic[Line]):
    """Which bills are out, what was planted in them, and the addresses that were given out."""

    def __init__(
        self,
        clock_ms: Callable[[], int],
        stranger: Callable[[int, int, str], Line],
        trade_no: Callable[[int, int], str],
    ) -> None:
        """`stranger` makes an unknown line of a day, amount and request number; `trade_no` another number."""
        self._clock_ms = clock_ms
        self._stranger = stranger
        self._trade_no = trade_no
        self._published_early: set[date] = set()
        self._planted: dict[date, list[Mapping[str, Any]]] = {}
        self._downloads: dict[str, tuple[str, int]] = {}

    def is_out(self, day: date) -> bool:
        """Whether the bill of a day is published."""
        published_ms = day_start_ms(day + timedelta(days=1)) + PUBLISH_HOUR * 3_600_000
        return day in self._published_early or self._clock_ms() >= published_ms

    def give_out(self, name: str) -> str:
        """A token for a file, valid for 30 s. Raises TooManyDownloads."""
        now_ms = self._clock_ms()
        self._downloads = {token: one for token, one in self._downloads.items() if one[1] >= now_ms}
        if len(self._downloads) >= MAX_DOWNLOADS:
            raise TooManyDownloads
        token = secrets.token_urlsafe(24)
        self._downloads[token] = (name, now_ms + DOWNLOAD_TTL_MS)
        return token

    def name_of(self, token: str) -> str:
        """The file of a token; "" once it has expired."""
        name, until_ms = self._downloads.get(token, ("", 0))
        return name if self._clock_ms() < until_ms else ""

    def plant(self, day: date, change: Mapping[str, Any]) -> None:
        """Change the bill of a day, for a test. Raises ValueError.

        `{"out": true}` publishes it now. `missing`, `again`, `trade_no`, and `amount` or `fee` with `fen`
        name a line to leave out, repeat or alter; `stranger` and `stranger_refund` add an unknown line of so
        many fen; `seed` picks by chance: one line is missing, one has another amount, one another fee, and
        one is a stranger.
        """
        if change == {"out": True}:
            self._published_early.add(day)
            return
        planted = self._planted.setdefault(day, [])
        self._with_change([], change, 0)
        if len(planted) >= MAX_PLANTED:
            raise ValueError("too many")
        planted.append(change)

    def changed(self, day: date, lines: Sequence[Line]) -> list[Line]:
        """The lines with what was planted."""
        found = list(lines)
        for change in self._planted.get(day, ()):
            found = self._with_change(found, change, day_start_ms(day))
        return found

    def _with_change(self, lines: list[Line], change: Mapping[str, Any], start_ms: int) -> list[Line]:
        match change:
            case {"missing": str(number)}:
                return [one for one in lines if one.number != number]
            case {"again": str(number)}:
                return [*lines, *(one for one in lines if one.number == number)]
            case {"trade_no": str(number)}:
                other = self._trade_no(start_ms, crc32(number.encode()))
                return _with(lines, number, trade_no=other)
            case {"amount": str(number), "fen": int(fen)} if fen > 0:
                return _with(lines, number, amount_fen=fen)
            case {"fee": str(number), "fen": int(fen)}:
                return _with(lines, number, fee_fen=fen)
            case {"stranger": int(fen)} if fen > 0:
                return [*lines, self._stranger(start_ms, fen, "")]
            case {"stranger_refund": int(fen)} if fen > 0:
                return [*lines, self._stranger(start_ms, fen, f"STRANGERR{fen}")]
            case {"seed": int(seed)}:
                return self._by_chance(lines, seed, start_ms)
        raise ValueError(CHANGES)

    def _by_chance(self, lines: list[Line], seed: int, start_ms: int) -> list[Line]:
        chance = random.Random(seed)  # noqa: S311 - a seeded choice, no secret
        picked = chance.sample(range(len(lines)), min(3, len(lines)))
        for index, kind in zip(picked, ("amount", "fee", "missing"), strict=False):
            one = lines[index]
            if kind == "missing":
                lines = [other for at, other in enumerate(lines) if at != index]
            elif kind == "amount":
                lines[index] = replace(one, amount_fen=one.amount_fen + chance.randint(1, 99))
            else:
                lines[index] = replace(one, fee_fen=one.fee + chance.randint(1, 9))
        return [*lines, self._stranger(start_ms, chance.randint(1, 99_999), "")]


def _with(lines: Sequence[Line], number: str, **changes: Any) -> list[Line]:
    return [replace(one, **changes) if one.number == number else one for one in lines]
