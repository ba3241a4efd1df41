"""uvicorn's HTTP connection, with bounds on what is read before the application, and on unread answers.

httptools bounds nothing: a header may fill the memory, and is copied again with every packet. uvicorn's other
parser, h11, is pure Python, and bounds only heads.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

REFUSED = "refused"
"""The key in an ASGI scope under which stands why the request could not be read: 400 or 431."""
_PIECE = 8 * 1024  # what is given to the parser at once: so much is read before anybody counts
# Callers must not write log lines of their choice: what can't be read is in the request log.
_LOGGER = logging.getLogger("uvicorn.error.connection")
_LOGGER.setLevel(logging.ERROR)
_LITTLE = 2 * 1024  # bytes that are not looked at one by one
_CHUNK_LINE = 24  # a chunk's size and line ends, beside which there may be extensions
_AT_ONCE = struct.pack("ii", 1, 0)  # on, for no seconds
_SMALLEST_LINE = 4  # `: ` and a line's end


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take; the head is the request line and headers, and trailers count like it."""

    head_bytes: int = 16 * 1024
    head_lines: int = 100
    idle_s: float = 30.0  # without a request, after an answer
    head_s: float = 10.0  # from a connection's or a head's first byte until the head ends
    pipelined: int = 32  # requests that wait for the answer before theirs
    leftover_bytes: int = 16 * 1024 * 1024  # of a body whose request was answered already
    leftover_s: float = 10.0
    unread_s: float = 25.0  # twice without progress: the other side has stopped reading
    connections: int = 4096


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Exceeding a bound is 431, or ends the connection where no answer is possible."""

    bounds: ClassVar[Bounds] = Bounds()
    owing: ClassVar[dict[BoundedProtocol, None]] = {}
    """Connections of this server whose request is not complete, the oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOGGER
        self._over = 0  # the status of a refusal; from then on nothing is read
        self._in_head = True  # waiting for a head, or in it; otherwise in a body
        self._begun = False  # a head has begun
        self._spent = 0  # bytes since the last boundary that are no body
        self._trailers = 0
        self._leftover = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._unwritten = 0
        self._answered: RequestResponseCycle | None = None  # the one of several that is being answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection, which must send its first byte soon."""
        super().connection_made(transport)
        self.owing[self] = None
        self._end_in(self.bounds.head_s)
        if len(self.connections) > self.bounds.connections:
            # Not the new one, or thousands of silent connections would lock everyone out.
            longest = next(iter(self.owing))
            del self.owing[longest]
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self.owing.pop(self, None)
        self._go_on()
        self._written()
        if self._answered is not None:  # uvicorn tells the latest one, who may not have begun
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        """Count bytes before they are parsed."""
        for start in range(0, len(data), _PIECE):
            if self._over or self.transport.is_closing():
                self._throw_away(len(data) - start)
                return
            piece = data if len(data) <= _PIECE else data[start : start + _PIECE]
            self._spent += len(piece)
            self._parse(piece)
            if self._spent > self.bounds.head_bytes and not self._over:
                self._refuse(431)
            self._spent = max(self._spent, 0)  # what small chunks did not use up is not saved for later
        if self._in_head and (self._begun or self._spent) and not self._over and self._deadline is None:
            self._end_in(self.bounds.head_s)

    def _parse(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as asked:
            if self.parser.get_method() == b"CONNECT":
                self._refuse(400)
            else:
                self._stay(piece[asked.args[0] :])
        except httptools.HttpParserError:  # what the parser refuses, or one of our bounds below it
            self._refuse(self._over or 400)

    def _stay(self, after: bytes) -> None:
        """Read on in HTTP/1.1, as a server does that has no other protocol (RFC 9110, 7.8).

        The parser takes what follows for the other protocol, and then a body for the next request.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % line for line in self.headers if line[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"\r\n".join((*lines, b"\r\n")) + after)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of the trailers, which nobody reads: a header must not change afterwards."""
        if self._in_head:
            super().on_header(name, value)
        else:
            self._trailers += 1
            if self._trailers > self.bounds.head_lines:
                self._stop(431)

    def on_headers_complete(self) -> None:
        """The head is whole; whether it is within bounds is not asked where little was sent."""
        if self.parser.should_upgrade():
            return  # it comes again, without the upgrade
        bounds, size = self.bounds, self._spent
        if size > _LITTLE:
            size = len(self.url) + sum(len(n) + len(v) + _SMALLEST_LINE for n, v in self.headers)
            if size > bounds.head_bytes:
                self._stop(431)
        if len(self.headers) > bounds.head_lines or len(self.pipeline) >= bounds.pipelined:
            self._stop(431)
        super().on_headers_complete()  # which refuses some addresses: until then it is a head
        if self._deadline is not None:
            self._go_on()
        self._in_head = self._begun = False
        self._spent -= size
        self._leftover = 0

    def on_chunk_header(self) -> None:
        """A chunk's size was read."""
        self._spent -= _CHUNK_LINE

    def on_body(self, body: bytes) -> None:
        """A part of the body, which the application bounds, until it has answered."""
        self._spent -= len(body)
        if self.cycle.response_complete:
            self._leftover += len(body)
            if self._leftover > self.bounds.leftover_bytes:
                self._stop(431)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next byte belongs to a new head."""
        if self.parser.should_upgrade():
            return
        if self._spent > self.bounds.head_bytes:
            self._stop(431)
        self._in_head = True
        self._spent = self._trailers = 0
        self.owing.pop(self, None)
        if self._deadline is not None:
            self._go_on()
        super().on_message_complete()
        self.headers = []
        if self.cycle.response_complete and not self.transport.is_closing():
            # It was answered before its body had ended, and with each packet uvicorn forgets its own timer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer was given to the transport."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._surely_close()
        elif not self._in_head:
            self._end_in(self.bounds.leftover_s)
        elif not self._is_busy():
            self.owing[self] = None

    def timeout_keep_alive_handler(self) -> None:
        """No further request came in time."""
        super().timeout_keep_alive_handler()
        self._surely_close()

    def pause_writing(self) -> None:
        """The other side reads more slowly than we write."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The other side reads again."""
        self._written()
        super().resume_writing()

    def _watch_reader(self) -> None:
        if self._stall is None:
            self._unwritten = self._left()
            self._stall = self.loop.call_later(self.bounds.unread_s, self._look_at_reader, False)

    def _look_at_reader(self, stalled: bool) -> None:
        left = self._left()
        if left >= self._unwritten and stalled:
            # A reset: else the kernel would keep for minutes what it was given.
            reader = self.transport.get_extra_info("socket")
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()
            return
        stalled = left >= self._unwritten
        self._unwritten = left
        self._stall = self.loop.call_later(self.bounds.unread_s, self._look_at_reader, stalled)

    def _left(self) -> int:
        """Bytes that the other side has not taken, also the megabytes that the kernel may hold of them."""
        held = bytearray(4)
        with suppress(OSError):  # where there is no such question
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
        return self.transport.get_write_buffer_size() + int.from_bytes(held, sys.byteorder)

    def _written(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _surely_close(self) -> None:
        """Closing waits until the rest of an answer is read, but not forever."""
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def _stop(self, status: int) -> None:
        """End the parsing from inside one of its callbacks; `send_400_response` comes next."""
        self._over = status
        raise _OverBoundsError

    def _refuse(self, status: int) -> None:
        """Answer through the application, as for all errors, and read nothing more."""
        self._over = status
        self._go_on()
        busy = self._is_busy()
        if self.pipeline or (busy and (self._in_head or self.cycle.response_started)):
            self._close()  # an earlier request is being answered: a refusal would be taken for its answer
            return
        if busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif not self._in_head:
            self._close()  # this request was answered
            return
        headers = (self.headers or [])[: self.bounds.head_lines] if self._in_head else self.scope["headers"]
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope |= {"method": "GET", "path": "", "raw_path": b"", "query_string": b"", "headers": headers}
        scope[REFUSED] = status
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=_Refusing(self.transport, self._linger),  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        self._start_asgi_task(self.cycle, self.app)

    def _is_busy(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _throw_away(self, count: int) -> None:
        self._leftover += count
        if self._leftover > self.bounds.leftover_bytes:
            self.transport.abort()

    def _linger(self) -> None:
        # Closing while something unread arrives is a reset, which would take the answer from its reader.
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
            self._end_in(self.bounds.leftover_s)

    def _close(self) -> None:
        self.transport.close()
        self._surely_close()

    def _end_in(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _go_on(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._is_busy():
            self._end_in(self.bounds.head_s)  # an earlier request is being answered, in its own time
        else:
            self._close()


class _Refusing:
    """A transport whose closing waits until the other side has read the answer."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class _OverBoundsError(Exception):
    """A bound was exceeded; httptools wraps it in an error of its own."""
