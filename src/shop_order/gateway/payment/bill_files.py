"""What the readers of providers' bills share: a bounded download, bounded CSV rows, and lines on disk.

A bill of a million lines needs no more memory than a small one: its file is on disk, and so are its lines.
"""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit, urlunsplit

from shop_order.domain.bill import BillLine
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import BillUnusable, LinesRead
from shop_order.pkg.money import BadAmount, fen_of_yuan
from shop_order.pkg.spool import DiskList

if TYPE_CHECKING:
    import httpx

MAX_PACKED = 256 * 1024 * 1024  # bytes of a file
MAX_UNPACKED = 2 * 1024 * 1024 * 1024
MAX_LINES = 5_000_000
MAX_NOTES = 100
MAX_ROW = 16_384  # characters of a row, which may span lines
MAX_NUMBER = 64  # characters
DOWNLOAD_S = 600.0
COLUMNS = 9  # of `BillLine.row`


def disk_lines(read: LinesRead) -> DiskList[BillLine]:
    """Return a list for the lines of a bill: append each line's `row()`."""
    return DiskList(BillLine.of_row, COLUMNS, read)


def checked_url(url: str, gateway: str, hosts: tuple[str, ...]) -> str:
    """Return the URL to fetch: over TLS from the provider's hosts, unchanged from the gateway's own host.

    `hosts` are the ends of their names. Raises BillUnusable for any other host.
    """
    try:
        target, own = urlsplit(url), urlsplit(gateway)
        if (target.scheme, target.netloc) == (own.scheme, own.netloc):
            return url
        if (
            target.scheme in ("http", "https")
            and (target.hostname or "").endswith(hosts)
            and target.port is None
        ):
            return urlunsplit(("https", target.hostname or "", target.path, target.query, ""))
    except ValueError as malformed:
        raise BillUnusable("the bill's URL is malformed") from malformed
    raise BillUnusable(f"the bill's URL has an unknown host: {target.netloc!r}")


@asynccontextmanager
async def downloaded(
    http: httpx.AsyncClient, url: str, headers: Mapping[str, str], max_bytes: int
) -> AsyncIterator[IO[bytes]]:
    """Download a file to disk, as it is sent, and return it at its beginning; no redirect is followed.

    Raises BillUnusable (larger than `max_bytes`), DependencyDown (with the host alone: the URL is a secret).
    """
    import httpx

    host = urlsplit(url).netloc
    with tempfile.TemporaryFile() as target:
        try:
            async with asyncio.timeout(DOWNLOAD_S), http.stream("GET", url, headers=headers) as answer:
                if answer.status_code != 200:
                    raise DependencyDown("payment_provider", f"{host}: HTTP {answer.status_code}")
                async for chunk in answer.aiter_raw():
                    target.write(chunk)
                    if target.tell() > max_bytes:
                        raise BillUnusable(f"the bill is larger than {max_bytes} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failed:
            raise DependencyDown("payment_provider", host) from failed
        target.seek(0)
        yield target


class Bounded(io.RawIOBase):
    """A packed file; `left` bounds the unpacked bytes of all files, since stated sizes can't be trusted."""

    def __init__(self, opened: IO[bytes], left: list[int]) -> None:
        self._opened = opened
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._opened.read(len(buffer))
        self._left[0] -= len(found)
        if self._left[0] < 0:
            raise BillUnusable(f"the bill unpacks to more than {MAX_UNPACKED} bytes")
        buffer[: len(found)] = found
        return len(found)


def rows(text: TextIO) -> Iterator[Sequence[str]]:
    """Yield the rows of a CSV file, each of a bounded length. Raises BillUnusable, csv.Error."""
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        while line := text.readline(MAX_ROW):
            length += len(line)
            if length >= MAX_ROW:
                raise BillUnusable(f"the bill has a row of more than {MAX_ROW} characters")
            yield line

    for row in csv.reader(lines()):
        length = 0
        yield row


def check_number(name: str, number: str, *, required: bool) -> None:
    """Refuse a number that no provider gives, since it is printed to terminals. Raises ValueError."""
    if len(number) > MAX_NUMBER or not number.isprintable() or (required and not number):
        raise ValueError(f"{name} {number[:MAX_NUMBER]!r}")


def signed_fen(yuan: str) -> int:
    """Return the fen of an amount in yuan. Raises ValueError."""
    try:
        fen = fen_of_yuan(yuan.removeprefix("-"))
    except BadAmount as bad:
        raise ValueError(f"{yuan!r} is not an amount") from bad
    return -fen if yuan.startswith("-") else fen
