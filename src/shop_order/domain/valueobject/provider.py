"""Bounds of what a provider tells: what is outside of them is an error or an attack, and changes nothing."""

from __future__ import annotations

from shop_order.domain.errors import AmountMismatch

MOST_FEN = 10**10  # 100 million yuan: more is taken by no channel at a time
MOST_TRADE_NO = 64  # characters
FIRST_MS = 946_656_000_000  # 2000-01-01, in China
END_MS = 4_133_952_000_000  # 2101-01-01


def trade_number(text: str) -> str:
    """The provider's own number of a trade, as it is: visible ASCII. Raises AmountMismatch."""
    if not (0 < len(text) <= MOST_TRADE_NO and text.isascii() and text.isprintable() and " " not in text):
        raise AmountMismatch("trade_no")
    return text


def provider_fen(what: str, fen: int) -> int:
    """An amount of fen, as it is; 0 where nothing was moved. Raises AmountMismatch."""
    if not 0 <= fen <= MOST_FEN:
        raise AmountMismatch(what)
    return fen


def provider_ms(what: str, ms: int) -> int:
    """A moment of this century in epoch ms, as it is. Raises AmountMismatch."""
    if not FIRST_MS <= ms < END_MS:
        raise AmountMismatch(what)
    return ms
