"""Dividing money: no fen is lost or doubled, whatever the order of the parts."""

from __future__ import annotations

from collections.abc import Sequence


def split(amount_fen: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount in proportion to the weights; the parts sum to it. All zero if the weights are."""
    total, parts, done_weight, done_fen = sum(weights), [], 0, 0
    for weight in weights:
        done_weight += weight
        upto_fen = amount_fen * done_weight // total if total else 0
        parts.append(upto_fen - done_fen)
        done_fen = upto_fen
    return parts


def share_of_pieces(line_fen: int, nums: int, *, taken: int, taken_fen: int, more: int) -> int:
    """The share of `more` pieces of a line of `nums`, after shares of `taken_fen` for `taken` pieces.

    The shares of all pieces sum to `line_fen`: the last ones take what is left of it.
    """
    upto_fen = line_fen * (taken + more) // nums
    return max(upto_fen - taken_fen, 0)
