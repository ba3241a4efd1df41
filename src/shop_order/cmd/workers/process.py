"""One worker as its parent sees it: a process, what it says, and what it logs."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import suppress

from shop_order.cmd.workers.talk import MOST_LINE, line_of, read
from shop_order.pkg.log.logger import LEVELS, outlet

MODULE = "shop_order.cmd.workers.worker"
LAST_LINES_S = 2.0


class Worker:
    """Started; `said` tells what it says until it ends."""

    def __init__(
        self,
        number: int,
        process: Process,
        talk: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        lines: Lines,
    ) -> None:
        self.number = number
        self.ready = False
        self.refused = ""
        self.silent = False
        self.unanswered = 0  # questions
        self.missing: tuple[str, ...] = ()
        self._process = process
        self._reader, self._writer = talk
        self._lines = lines

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def say(self, word: str, value: object = None) -> None:
        """Tell it."""
        if not self._writer.is_closing():
            self._writer.write(line_of(word, value))

    async def said(self) -> AsyncIterator[tuple[str, object]]:
        """What it says, until it ends; what stops in the middle of a line is ended."""
        try:
            async for line in self._reader:
                yield read(line)
        except OSError:
            return
        except ValueError:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> str:
        """Wait for its end and its last lines; how it ended, empty if it was asked to."""
        code = await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lines.ended.wait(), LAST_LINES_S)
        self._writer.close()
        if not code:
            return ""
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Lines(asyncio.Protocol):
    """Hands on what a worker logs line by line, so that no line is cut by another worker's."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Some bytes of a line, or of many."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            outlet.sink.put(line + b"\n", LEVELS["info"])

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker has ended."""
        if self._rest:
            outlet.sink.put(self._rest + b"\n", LEVELS["info"])
        self.ended.set()


async def spawn(number: int, listener: socket.socket, grpc_port: int) -> Worker:
    """A process of its own that knows its number, the ports and its parent. Raises OSError."""
    ours, theirs = socket.socketpair()
    log_out, log_in = os.pipe()
    handed = (theirs.fileno(), log_in, listener.fileno())
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            MODULE,
            *map(str, (number, grpc_port, *handed)),
            stdin=DEVNULL,
            pass_fds=handed,
            # A key pressed for the parent is not for it: the parent says when to stop.
            start_new_session=True,
        )
    except OSError:
        os.close(log_out)
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(log_in)
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_LINE)
    _, lines = await asyncio.get_running_loop().connect_read_pipe(Lines, os.fdopen(log_out, "rb", 0))
    return Worker(number, process, (reader, writer), lines)
