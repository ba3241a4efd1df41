"""What `shop-order` does before it imports anything: it handles signals and keeps its files private.

Process 1 of a container ignores every signal without a handler, and imports take seconds.
"""

from __future__ import annotations

import atexit
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from types import FrameType

PRIVATE_UMASK = 0o077  # no access for group and others to what this process and its libraries create
SERVING = frozenset({"serve", "relay"})  # a stop is how they end: exit code 0
STOPS = (signal.SIGTERM, signal.SIGINT)
BY_SIGNAL = 128  # an interrupted command exits with this plus the signal's number, as in a shell
HANG_UPS: list[int] = []  # HUPs that came before a reload was possible
CUT_SHORT: list[int] = []  # signals that end a command at once until its imports are done


def begin() -> None:
    """Idempotent."""
    os.umask(PRIVATE_UMASK)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container's uid: drivers ask for the user's name when they are imported
        os.environ.setdefault("LOGNAME", str(os.getuid()))
    if SERVING.intersection(sys.argv[1:2]):
        heed(0)
        signal.signal(signal.SIGHUP, lambda number, frame: HANG_UPS.append(number))
    elif os.getpid() == 1:
        heed(None)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        heed(None, (signal.SIGINT,))
        CUT_SHORT.append(signal.SIGINT)


def imported() -> None:
    """The imports are done: from now on INT raises KeyboardInterrupt, so that a command can clean up."""
    if CUT_SHORT:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def heed(code: int | None, numbers: Sequence[signal.Signals] = STOPS) -> None:
    """End this process at once on TERM and INT, or on `numbers`, with this exit code; None: the signal's.

    For when nothing was accepted yet, or everything is finished: there is nothing to clean up.
    """

    def end(number: int, frame: FrameType | None) -> None:
        # An import may swallow SystemExit, or print a traceback for it.
        os._exit(BY_SIGNAL + number if code is None else code)

    for number in numbers:
        signal.signal(number, end)


def rest() -> None:
    """Ignore them while the interpreter shuts down, when Python has removed its handlers."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in STOPS])
