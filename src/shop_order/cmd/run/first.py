"""What `shop-order` does before it imports anything: signals are heeded, and files are its own alone.

A process that is number 1 of a container ignores every signal that nobody heeds; imports take seconds.
"""

from __future__ import annotations

import atexit
import os
import pwd
import signal
import sys
from collections.abc import Sequence
from types import FrameType

OURS_ALONE = 0o077  # no bits for group and others on what this process and its libraries make
SERVING = frozenset({"serve", "relay"})  # told to stop, they did what they were asked
STOPS = (signal.SIGTERM, signal.SIGINT)
BY_SIGNAL = 128  # a command that was cut short ends with this and the signal's number, as in a shell
HANG_UPS: list[int] = []  # HUPs that came before anybody could reload
CUT_SHORT: list[int] = []  # what ends a command at once until its imports are done


def begin() -> None:
    """Done twice it is done once."""
    os.umask(OURS_ALONE)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a container's uid: drivers ask for the user's name when they are imported
        os.environ.setdefault("LOGNAME", str(os.getuid()))
    if SERVING.intersection(sys.argv[1:2]):
        heed(0)
        signal.signal(signal.SIGHUP, lambda number, frame: HANG_UPS.append(number))
    elif os.getpid() == 1:
        heed(None)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job in the background ignores it
        heed(None, (signal.SIGINT,))
        CUT_SHORT.append(signal.SIGINT)


def imported() -> None:
    """A command that ends by itself undoes what it began, now that an INT can't meet an import any more."""
    if CUT_SHORT:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def heed(code: int | None, numbers: Sequence[signal.Signals] = STOPS) -> None:
    """From now on TERM and INT, or `numbers`, end this process at once, with this exit code; None: with the
    signal's.

    Nothing was accepted yet, or everything is finished: there is nothing to undo that a kill would not undo.
    """

    def end(number: int, frame: FrameType | None) -> None:
        # SystemExit may be swallowed by an import, or told with a traceback; this is neither.
        os._exit(BY_SIGNAL + number if code is None else code)

    for number in numbers:
        signal.signal(number, end)


def rest() -> None:
    """From the last thread's end on they are ignored: Python takes its handlers back before it ends."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in STOPS])
