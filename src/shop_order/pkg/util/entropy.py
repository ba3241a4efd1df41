"""Random numbers of the operating system, fetched in blocks.

Each fetch hands Python's lock over, and in a busy server getting it back costs more than the numbers.
"""

import os
from collections.abc import Callable

_BLOCK = 4096


class Entropy:
    """A CSPRNG's bytes; each is given out once. Not to be shared with a forked process, nor by threads."""

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._block = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """So many random bytes, at most 4096."""
        if self._at + count > len(self._block):
            self._block, self._at = self._source(_BLOCK), 0
        self._at += count
        return self._block[self._at - count : self._at]

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1, each equally likely."""
        bits = limit.bit_length()
        size = (bits + 7) // 8
        while True:
            drawn = int.from_bytes(self.take(size), "big") >> (8 * size - bits)
            if drawn < limit:
                return drawn
