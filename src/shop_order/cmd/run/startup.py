"""Runs before the other imports: handles signals and sets the umask.

Process 1 of a container ignores every signal without a handler, and the imports take seconds.
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
SERVING = frozenset({"serve", "relay"})  # a stop is their normal end: exit code 0
STOPS = (signal.SIGTERM, signal.SIGINT)
BY_SIGNAL = 128  # an interrupted command exits with this plus the signal's number, as in a shell
PENDING_RELOADS: list[int] = []  # HUP signals received before a reload was possible
IMMEDIATE: list[int] = []  # signals that end a command at once until its imports are done


def prepare() -> None:
    """Set the umask and the first signal handlers; idempotent."""
    os.umask(PRIVATE_UMASK)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a uid without a name, as in containers: drivers ask for it when imported
        os.environ.setdefault("LOGNAME", str(os.getuid()))
    if SERVING.intersection(sys.argv[1:2]):
        exit_on_signal(0)
        signal.signal(signal.SIGHUP, lambda number, frame: PENDING_RELOADS.append(number))
    elif os.getpid() == 1:
        exit_on_signal(None)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        exit_on_signal(None, (signal.SIGINT,))
        IMMEDIATE.append(signal.SIGINT)


def imports_done() -> None:
    """From now on INT raises KeyboardInterrupt, so that a command can clean up."""
    if IMMEDIATE:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def exit_on_signal(code: int | None, numbers: Sequence[signal.Signals] = STOPS) -> None:
    """Exit at once on these signals with this exit code (None: the signal's).

    Used while there is nothing to clean up: before the first request, or after the last.
    """

    def end(number: int, frame: FrameType | None) -> None:
        # An import might catch SystemExit, or print a traceback for it.
        os._exit(BY_SIGNAL + number if code is None else code)

    for number in numbers:
        signal.signal(number, end)


def ignore_at_exit() -> None:
    """Ignore TERM and INT while the interpreter shuts down, when Python has removed its handlers."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in STOPS])
