"""HTTP/2 by hand, for what no gRPC client does: calls without a message, more streams than were allowed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(value: str) -> bytes:
    assert len(value) < 127
    return bytes([len(value)]) + value.encode()


def head(path: str) -> bytes:
    """The headers of a gRPC call, as HPACK without a table."""
    plain = (("te", "trailers"),)
    return (
        b"\x83\x86"  # POST, http
        + b"\x04"
        + _text(path)
        + b"\x01"
        + _text("test")
        + b"\x0f\x10"
        + _text("application/grpc")
        + b"".join(b"\x00" + _text(name) + _text(value) for name, value in plain)
    )


def message(body: bytes) -> bytes:
    """A gRPC message."""
    return b"\0" + struct.pack(">I", len(body)) + body


class Raw:
    """One connection; `ended` are its streams that the server ended, `refused` those it reset."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._next = 1
        self.ended: set[int] = set()
        self.refused: set[int] = set()
        self.max_streams = 0
        self.closed = asyncio.Event()
        self.changed = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Begin HTTP/2."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
        return cls(reader, writer)

    async def call(self, path: str, body: bytes | None = None) -> int:
        """Begin a call, without a message if there is no body; its stream."""
        stream, self._next = self._next, self._next + 2
        self._writer.write(frame(HEADERS, END_HEADERS, stream, head(path)))
        if body is not None:
            self._writer.write(frame(DATA, END_STREAM, stream, message(body)))
        await self._writer.drain()
        return stream

    @property
    def open(self) -> int:
        """Calls that the server has neither ended nor refused."""
        return 0 if self.closed.is_set() else self._next // 2 - len(self.ended | self.refused)

    async def until_ended(self, streams: int, within_s: float) -> None:
        """Wait until so many streams were ended. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while len(self.ended | self.refused) < streams and not self.closed.is_set():
                self.changed.clear()
                await self.changed.wait()

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()

    async def _read(self) -> None:
        try:
            while True:
                start = await self._reader.readexactly(9)
                size, (stream,) = int.from_bytes(start[:3], "big"), struct.unpack(">I", start[5:])
                self._take(start[3], start[4], stream, await self._reader.readexactly(size))
                self.changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
            self.changed.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at : at + 6])
                if name == 3:
                    self.max_streams = value
            self._writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._writer.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM and stream not in self.ended:
            self.refused.add(stream)
        elif kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)


@asynccontextmanager
async def crowd(
    port: int, path: str, *, connections: int, calls: int, body: bytes | None = None
) -> AsyncIterator[Sequence[Raw]]:
    """So many connections with so many calls each, until the block ends; what they are told is read."""
    opened: list[Raw] = []
    try:
        for _ in range(connections):
            try:
                raw = await Raw.connect(port)
                opened.append(raw)
                for _ in range(calls):
                    await raw.call(path, body)
            except ConnectionError:
                pass  # what the server ended it may end
            await asyncio.sleep(0)
        yield opened
    finally:
        for raw in opened:
            await raw.close()
