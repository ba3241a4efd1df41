"""Converts amounts at the edges: inside the service they are int fen."""

import re
from ctypes import c_float

_YUAN = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,2}))?", re.ASCII)

# Below 2**17 yuan, adjacent float32 differ by less than one fen; above, different amounts share one.
MAX_FLOAT32_FEN = 131_072_00


class BadAmount(ValueError):
    """The text or number is not an amount of whole fen."""


def yuan_of_fen(fen: int) -> str:
    """Return the amount in yuan with two decimals: 1999 -> "19.99"."""
    sign = "-" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    return f"{sign}{yuan}.{rest:02d}"


def fen_of_yuan(text: str) -> int:
    """Return the exact fen of an amount in yuan: "19.99" -> 1999.

    Raises BadAmount for a sign, an exponent, NaN, blanks or more than two decimals.
    """
    match = _YUAN.fullmatch(text)
    if match is None:
        raise BadAmount("not an amount in yuan with at most two decimals")
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def float32_of_fen(fen: int) -> float:
    """Return the nearest float32 in yuan, for the float fields of the published messages."""
    return c_float(fen / 100).value


def fen_of_float32(yuan: float) -> int:
    """Return the fen of a float32 field in yuan.

    Raises BadAmount unless the value is the float32 of a whole number of fen and at most 131,072.00 yuan.
    """
    if not 0 <= yuan <= MAX_FLOAT32_FEN / 100:  # false for NaN too
        raise BadAmount("outside 0.00 to 131072.00 yuan, where a float holds every fen")
    fen = round(yuan * 100)
    if float32_of_fen(fen) != yuan:
        raise BadAmount("not the float of a whole number of fen")
    return fen
