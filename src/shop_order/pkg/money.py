"""Money at the edges: inside the service, amounts are int fen."""

import re
import struct

_YUAN = re.compile(r"(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,2}))?", re.ASCII)
_FLOAT32 = struct.Struct("<f")

# Below 2**17 yuan the gap between two float32 is under one fen; above it fen collide.
MAX_FLOAT32_FEN = 131_072_00


class BadAmount(ValueError):
    """The text or number is not an amount of whole fen."""


def yuan_of_fen(fen: int) -> str:
    """The amount as yuan with two decimals: 1999 -> "19.99"."""
    sign = "-" if fen < 0 else ""
    yuan, rest = divmod(abs(fen), 100)
    return f"{sign}{yuan}.{rest:02d}"


def fen_of_yuan(text: str) -> int:
    """The exact fen of a yuan text: "19.99" -> 1999.

    Raises BadAmount for a sign, an exponent, NaN, blanks or more than two decimals.
    """
    match = _YUAN.fullmatch(text)
    if match is None:
        raise BadAmount("not an amount in yuan with at most two decimals")
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def float32_of_fen(fen: int) -> float:
    """The float32 nearest to the amount in yuan, for the float fields of the published messages."""
    return _float32(fen / 100)


def fen_of_float32(yuan: float) -> int:
    """The fen a float32 field means.

    Raises BadAmount unless the value is the float32 of a whole number of fen and at most 131,072.00 yuan.
    """
    if not 0 <= yuan <= MAX_FLOAT32_FEN / 100:  # false for NaN too
        raise BadAmount("outside 0.00 to 131072.00 yuan, where a float holds every fen")
    fen = round(yuan * 100)
    if _float32(fen / 100) != yuan:
        raise BadAmount("not the float of a whole number of fen")
    return fen


def _float32(value: float) -> float:
    (nearest,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    return float(nearest)
