"""What `shop-sandbox` does before other imports: handle stop signals, and keep its files private.

The same as `shop_order.cmd.first`, which the sandbox may not import.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType

PRIVATE_UMASK = 0o077
SERVER_COMMANDS = frozenset({"serve", "demo"})  # a stop signal is their normal end: exit code 0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SIGNAL_EXIT_BASE = 128


def main() -> None:
    """The console script."""
    prepare_process()
    from shop_sandbox.main import main as command

    command()


def prepare_process() -> None:
    """Set the umask and the signal handlers. Idempotent."""
    os.umask(PRIVATE_UMASK)
    exit_on_stop_signals(0 if SERVER_COMMANDS.intersection(sys.argv[1:2]) else None)


def exit_on_stop_signals(code: int | None) -> None:
    """Let TERM and INT end this process at once with `code`; None: with the signal's exit code."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(SIGNAL_EXIT_BASE + number if code is None else code)

    for number in STOP_SIGNALS:
        signal.signal(number, end)


def ignore_stop_signals_at_exit() -> None:
    """Ignore stop signals once all threads have ended: Python restores default handlers before it exits."""
    atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS])
