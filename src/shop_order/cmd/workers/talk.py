"""What a parent and a worker say to each other: a word and a value, as lines of JSON over a pair of sockets.

From the parent: `settings` (the whole, first and whenever it changed), `ping` (with what the others miss),
`duty` (do what one worker does for all), `leave`, `stop`, `last` (the others have ended).
From a worker: `ready`, `refused` (with the line that says why), `missing` (its answer to `ping`), `asked` (it
got a signal to stop: it alone, or all of us).
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

ORPHANED = 3  # the exit code of a worker whose parent is gone
MOST_LINE = 1 << 20  # bytes; the settings are some ten thousand

Heard = Callable[[str, Any], None]


def name_of(number: int) -> str:
    """What a worker is called where its counts are kept."""
    return f"worker-{number}"


def line_of(word: str, value: object = None) -> bytes:
    """One line."""
    return orjson.dumps([word, value], None, orjson.OPT_APPEND_NEWLINE)


def read(line: bytes) -> tuple[str, Any]:
    """The word and the value of a line."""
    word, value = orjson.loads(line)
    return word, value


class ToParent:
    """A worker's end. It listens in a thread: whatever the loop does, it does not outlive its parent."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def listen(self, schedule: Callable[..., object], heard: Heard) -> None:
        """Have `heard` called for every line, by `schedule`."""
        threading.Thread(target=self._listen, args=(schedule, heard), name="parent", daemon=True).start()

    def say(self, word: str, value: object = None) -> None:
        """Tell the parent; it listens as long as it lives, and asks before it is told much."""
        with suppress(OSError):
            self._end.sendall(line_of(word, value))

    def _listen(self, schedule: Callable[..., object], heard: Heard) -> None:
        with suppress(OSError), self._end.makefile("rb") as lines:
            for line in lines:
                with suppress(RuntimeError):  # the loop has ended, and this process soon will
                    schedule(heard, *read(line))
        os._exit(ORPHANED)
