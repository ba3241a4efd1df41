"""uvicorn's HTTP connection, with bounds on what is read before the application, and on unread responses.

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
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

REFUSED = "refused"
"""The key in the ASGI scope of a request that could not be read; its value is the status: 400 or 431."""
_FEED_BYTES = 8 * 1024  # passed to the parser at once: bounds are checked after each
# Request logs name unreadable requests. uvicorn's warning of each would let callers fill the log.
_LOGGER = logging.getLogger("uvicorn.error.connection")
_LOGGER.setLevel(logging.ERROR)
_UNCHECKED_HEAD_BYTES = 2 * 1024  # the size of smaller heads is not computed
_CHUNK_OVERHEAD_BYTES = 24  # a chunk's size and line ends; the rest of its header is extensions
_HEADER_OVERHEAD_BYTES = 4  # `: ` and the line end
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER for 0 s


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a connection. The head is the request line and headers; the same bounds apply to trailers."""

    head_bytes: int = 16 * 1024
    head_lines: int = 100
    idle_s: float = 30.0  # between a response and the next request
    head_s: float = 10.0  # from the connection or a head's first byte to the head's end
    pipelined: int = 32  # requests that wait for earlier responses
    leftover_bytes: int = 16 * 1024 * 1024  # of a body that arrives after its request was answered
    leftover_s: float = 10.0
    unread_s: float = 25.0  # a client that reads nothing for twice as long is disconnected
    connections: int = 4096


class BoundedProtocol(HttpToolsProtocol):
    """A connection. Exceeding a bound gets 431; if no response is possible, the connection ends."""

    bounds: ClassVar[Bounds] = Bounds()
    pending_connections: ClassVar[dict[BoundedProtocol, None]] = {}
    """Connections of this server without a complete request, oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOGGER
        self._refusal_status = 0  # once set, nothing more is parsed
        self._in_head = True  # before or in a head; otherwise in a body
        self._head_started = False
        self._unaccounted_bytes = 0  # received, but not counted as a head, chunk header or body yet
        self._trailers = 0
        self._leftover = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self._active_cycle: RequestResponseCycle | None = None  # the request that is being answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.pending_connections[self] = None
        self._set_deadline(self.bounds.head_s)
        if len(self.connections) > self.bounds.connections:
            # Not the new one, or thousands of silent connections would lock everyone out.
            oldest = next(iter(self.pending_connections))
            del self.pending_connections[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.pending_connections.pop(self, None)
        self._cancel_deadline()
        self._stop_watching_reader()
        if self._active_cycle is not None:  # uvicorn notifies only the latest request, which may be queued
            self._active_cycle.disconnected = True
            self._active_cycle.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active_cycle = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _FEED_BYTES):
            if self._refusal_status or self.transport.is_closing():
                self._discard(len(data) - start)
                return
            piece = data if len(data) <= _FEED_BYTES else data[start : start + _FEED_BYTES]
            self._unaccounted_bytes += len(piece)
            self._feed(piece)
            if self._unaccounted_bytes > self.bounds.head_bytes and not self._refusal_status:
                self._refuse(431)
            # Small chunks, which cost less than their allowance, earn no credit for later ones.
            self._unaccounted_bytes = max(self._unaccounted_bytes, 0)
        head_started = self._in_head and (self._head_started or self._unaccounted_bytes)
        if head_started and not self._refusal_status and self._deadline is None:
            self._set_deadline(self.bounds.head_s)

    def _feed(self, piece: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self._refuse(400)
            else:
                self._ignore_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError:  # invalid, or stopped by one of our callbacks
            self._refuse(self._refusal_status or 400)

    def _ignore_upgrade(self, after_head: bytes) -> None:
        """Continue with HTTP/1.1, as a server without the other protocol should (RFC 9110, 7.8).

        The parser would treat the body as data of the other protocol, so a new one reads the head again.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % line for line in self.headers if line[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"\r\n".join((*lines, b"\r\n")) + after_head)

    def on_message_begin(self) -> None:
        self._head_started = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore trailers: they must not change the headers that the application has seen."""
        if self._in_head:
            super().on_header(name, value)
        else:
            self._trailers += 1
            if self._trailers > self.bounds.head_lines:
                self._abort_parsing(431)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the head is parsed again without the upgrade
        bounds, size = self.bounds, self._unaccounted_bytes
        if size > _UNCHECKED_HEAD_BYTES:
            size = len(self.url) + sum(len(n) + len(v) + _HEADER_OVERHEAD_BYTES for n, v in self.headers)
            if size > bounds.head_bytes:
                self._abort_parsing(431)
        if len(self.headers) > bounds.head_lines or len(self.pipeline) >= bounds.pipelined:
            self._abort_parsing(431)
        super().on_headers_complete()  # raises for an invalid URL, which must still be treated as a head
        self._cancel_deadline()
        self._in_head = self._head_started = False
        self._unaccounted_bytes -= size
        self._leftover = 0

    def on_chunk_header(self) -> None:
        self._unaccounted_bytes -= _CHUNK_OVERHEAD_BYTES

    def on_body(self, body: bytes) -> None:
        """Pass the body on: until it responds, the application bounds it."""
        self._unaccounted_bytes -= len(body)
        if self.cycle.response_complete:
            self._leftover += len(body)
            if self._leftover > self.bounds.leftover_bytes:
                self._abort_parsing(431)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self._unaccounted_bytes > self.bounds.head_bytes:
            self._abort_parsing(431)
        self._in_head = True
        self._unaccounted_bytes = self._trailers = 0
        self.pending_connections.pop(self, None)
        self._cancel_deadline()
        super().on_message_complete()
        self.headers = []
        if self.cycle.response_complete and not self.transport.is_closing():
            # The response preceded the end of the body, whose packets have cancelled uvicorn's timer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._close_if_unread()
        elif not self._in_head:
            self._set_deadline(self.bounds.leftover_s)
        elif not self._is_busy():
            self.pending_connections[self] = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._close_if_unread()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._stop_watching_reader()
        super().resume_writing()

    def _watch_reader(self) -> None:
        if self._reader_timer is None:
            self._unread_bytes = self._count_unread_bytes()
            self._reader_timer = self.loop.call_later(
                self.bounds.unread_s, self._check_reader_progress, False
            )

    def _check_reader_progress(self, was_stalled: bool) -> None:
        """Disconnect a client that has read nothing since two checks ago."""
        unread = self._count_unread_bytes()
        is_stalled = unread >= self._unread_bytes
        if is_stalled and was_stalled:
            # With a reset: otherwise the kernel would keep unsent bytes for minutes.
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()
            return
        self._unread_bytes = unread
        self._reader_timer = self.loop.call_later(
            self.bounds.unread_s, self._check_reader_progress, is_stalled
        )

    def _count_unread_bytes(self) -> int:
        """Count the bytes that the client has not acknowledged, in our buffer and the kernel's."""
        kernel_bytes = bytearray(4)
        with suppress(OSError):  # not available on this platform
            connection = self.transport.get_extra_info("socket")
            fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, kernel_bytes)
        return self.transport.get_write_buffer_size() + int.from_bytes(kernel_bytes, sys.byteorder)

    def _stop_watching_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _close_if_unread(self) -> None:
        """Close even if the client never reads the rest of a response, for which the transport waits."""
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def _abort_parsing(self, status: int) -> None:
        """Stop the parser from one of its callbacks; `_feed` then refuses the request."""
        self._refusal_status = status
        raise _BoundExceededError

    def _refuse(self, status: int) -> None:
        """Let the application respond, as for all errors, and parse nothing more."""
        self._refusal_status = status
        self._cancel_deadline()
        busy = self._is_busy()
        if self.pipeline or (busy and (self._in_head or self.cycle.response_started)):
            self._close()  # the client would take a refusal for the response to an earlier request
            return
        if busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif not self._in_head:
            self._close()  # the request has been answered
            return
        headers = (self.headers or [])[: self.bounds.head_lines] if self._in_head else self.scope["headers"]
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope |= {"method": "GET", "path": "", "raw_path": b"", "query_string": b"", "headers": headers}
        scope[REFUSED] = status
        transport = SimpleNamespace(
            write=self.transport.write, is_closing=self.transport.is_closing, close=self._half_close
        )
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=transport,  # type: ignore[arg-type]
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

    def _discard(self, count: int) -> None:
        self._leftover += count
        if self._leftover > self.bounds.leftover_bytes:
            self.transport.abort()

    def _half_close(self) -> None:
        """Stop writing; closing at once would send a reset, which may destroy the unread response."""
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
            self._set_deadline(self.bounds.leftover_s)

    def _close(self) -> None:
        self.transport.close()
        self._close_if_unread()

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, self._deadline_passed)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _deadline_passed(self) -> None:
        self._deadline = None
        if self._is_busy():
            self._set_deadline(self.bounds.head_s)  # an earlier request is still being answered
        else:
            self._close()


class _BoundExceededError(Exception):
    """A bound was exceeded; httptools wraps it in an error of its own."""
