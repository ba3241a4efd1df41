"""64-bit ids made by the client: 41 bits of milliseconds, 10 of worker, 12 of sequence."""

import threading
from collections.abc import Callable

EPOCH_MS = 1_735_689_600_000  # 2025-01-01T00:00:00Z
MAX_WORKER = (1 << 10) - 1
_MAX_SEQUENCE = (1 << 12) - 1
_MAX_MS = (1 << 41) - 1


class Snowflakes:
    """Ids that only grow and never repeat, also when the clock steps back; may be shared by threads."""

    def __init__(self, now_ms: Callable[[], int], worker: int, after: int = 0) -> None:
        """Start above the id `after`, if a restart should survive a clock that was set back."""
        if not 0 <= worker <= MAX_WORKER:
            raise ValueError(f"worker must be 0 to {MAX_WORKER}, not {worker}")
        self._now_ms = now_ms
        self._worker = worker << 12
        self._lock = threading.Lock()
        self._last_ms = after >> 22
        self._sequence = _MAX_SEQUENCE if after else -1

    def next_id(self) -> int:
        """A new id, above all before it. Raises OverflowError after the year 2094."""
        with self._lock:
            ms = self._now_ms() - EPOCH_MS
            if ms > self._last_ms:
                self._last_ms, self._sequence = ms, 0
            elif self._sequence < _MAX_SEQUENCE:
                self._sequence += 1
            else:
                # Borrowing the next millisecond neither waits for the clock nor repeats.
                self._last_ms, self._sequence = self._last_ms + 1, 0
            if self._last_ms > _MAX_MS:
                raise OverflowError("the 41 bits of milliseconds are used up")
            return self._last_ms << 22 | self._worker | self._sequence


def ms_of_id(snowflake: int) -> int:
    """Epoch milliseconds at which the id was made."""
    return (snowflake >> 22) + EPOCH_MS


def last_id_before(ms: int) -> int:
    """The largest id that can be made before this moment; epoch milliseconds."""
    return ((ms - EPOCH_MS) << 22) - 1
