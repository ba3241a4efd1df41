"""What `shop-sandbox` does before it imports anything: signals are heeded, and files are its own alone.

As `shop_order.cmd.first`, which the sandbox may not import.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType

OURS_ALONE = 0o077
SERVING = frozenset({"serve", "demo"})  # told to stop, they did what they were asked
STOPS = (signal.SIGTERM, signal.SIGINT)
BY_SIGNAL = 128


def main() -> None:
    """The console script."""
    begin()
    from shop_sandbox.main import main as command

    command()


def begin() -> None:
    """Done twice it is done once."""
    os.umask(OURS_ALONE)
    heed(0 if SERVING.intersection(sys.argv[1:2]) else None)


def heed(code: int | None) -> None:
    """From now on TERM and INT end this process at once, with this exit code; None: with the signal's."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(BY_SIGNAL + number if code is None else code)

    for number in STOPS:
        signal.signal(number, end)


def rest() -> None:
    """From the last thread's end on they are ignored: Python takes its handlers back before it ends."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in STOPS])
