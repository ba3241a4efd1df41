"""Writes lines so that one that could not be written whole is never joined to the next."""

from collections.abc import Callable


class WholeLines:
    """What stands before a raw file or pipe, which may take a part of what it is given."""

    def __init__(self, write: Callable[[memoryview], int | None], *, torn: bool = False) -> None:
        """`write` answers how many bytes it took; `torn` if what stands there does not end a line."""
        self._write = write
        self._torn = torn
        self.half = 0  # bytes of the half line that the last call left

    def write(self, batch: bytes) -> int:
        """Write whole lines; how many bytes. Raises OSError; then the next call begins a line of its own."""
        out = memoryview(b"\n" + batch if self._torn else batch)
        done = 0
        self.half = 0
        try:
            while done < len(out):
                if not (took := self._write(out[done:])):
                    raise BlockingIOError("it takes no more at present")
                done += took
        except OSError:
            if done:
                self.half = done - (bytes(out[:done]).rfind(b"\n") + 1)
                self._torn = self.half > 0
            raise
        self._torn = False
        return done

    def taken_back(self) -> None:
        """The half line is gone."""
        self.half = 0
        self._torn = False
