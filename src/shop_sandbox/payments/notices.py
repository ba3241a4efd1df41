"""Notices: stored first, then sent and resent until the merchant accepts them.

The provider's schedule is multiplied by `scale`. A notice keeps its notify_id over all attempts, each of
which is signed separately. A restart resumes the schedule.
"""

import asyncio
import contextlib
import logging
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from shop_sandbox.database import Database
from shop_sandbox.payments.calls import is_local_url
from shop_sandbox.payments.tasks import background

TIMEOUT_S = 5.0
CLAIM_MS = 10_000  # longer than an attempt: the loop takes over a claimed notice only after a crash
BATCH = 16
IDLE_S = 1.0
MAX_ANSWER_BYTES = 4_096
MAX_LISTED = 50

SCHEMA = """
CREATE TABLE IF NOT EXISTS notice (
  id INTEGER PRIMARY KEY,
  notify_id TEXT NOT NULL UNIQUE,
  out_trade_no TEXT NOT NULL,
  kind TEXT NOT NULL,
  url TEXT NOT NULL,
  fields TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_ms INTEGER,
  sent_ms INTEGER NOT NULL DEFAULT 0,
  status INTEGER NOT NULL DEFAULT 0,
  answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS notice_due ON notice (next_ms) WHERE next_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS notice_trade ON notice (out_trade_no);
"""
_COLUMNS = "id, notify_id, out_trade_no, kind, url, fields, attempts, next_ms, sent_ms, status, answer"

logger = logging.getLogger("shop_sandbox.notices")


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice and its last attempt; `status` 0 means no HTTP answer, and `answer` then says why."""

    id: int
    notify_id: str
    out_trade_no: str
    kind: str  # paid, refund, closed, forged
    url: str
    fields: str
    attempts: int
    next_ms: int | None
    sent_ms: int
    status: int
    answer: str


class Wire(Protocol):
    """How one provider writes its notices."""

    @property
    def name(self) -> str:
        """The provider's, for the names of tasks."""

    @property
    def retry_after_s(self) -> Sequence[int]:
        """The waits between the attempts."""

    def number(self, now_ms: int) -> str:
        """A notify_id that nobody has yet."""

    def stored(self, content: Mapping[str, Any]) -> str:
        """What is kept of a notice until it is accepted."""

    def request(self, notice: Notice, now_ms: int, forgery: str) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers of one attempt; `forgery` names what is wrong with it."""

    def accepted(self, status: int, answer: str) -> bool:
        """Whether this is the merchant's thanks, after which the provider is silent."""


class Notices:
    """Stores and sends a provider's notices."""

    def __init__(
        self,
        database: Database,
        wire: Wire,
        clock_ms: Callable[[], int],
        scale: float,
        ca_file: Path | None = None,
    ) -> None:
        self._database = database
        self._wire = wire
        self._clock_ms = clock_ms
        self._scale = scale
        self._ca_file = ca_file
        self._wake = asyncio.Event()
        self._sending: set[int] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send due notices while the block runs."""
        # No proxy and no redirects: notices stay on this machine.
        trusted = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else True
        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=TIMEOUT_S, verify=trusted
        ) as client:
            self._client = client
            async with background(self._run(), f"{self._wire.name}-notices"):
                yield

    async def send(self, out_trade_no: str, kind: str, url: str, content: Mapping[str, Any]) -> Notice:
        """Store a notice, make the first attempt and return its result; the loop makes the others."""
        return await self._attempt(await self._store(out_trade_no, kind, url, content, CLAIM_MS))

    async def post(self, out_trade_no: str, kind: str, url: str, content: Mapping[str, Any]) -> None:
        """Store a notice for the loop to send."""
        await self._store(out_trade_no, kind, url, content, 0)
        self._wake.set()

    async def send_forged(
        self, out_trade_no: str, url: str, content: Mapping[str, Any], *, forgery: str, kind: str = "forged"
    ) -> Notice:
        """Send a forged notice once, without retries."""
        notice = await self._store(out_trade_no, kind, url, content, None)
        return await self._attempt(notice, forgery=forgery)

    async def resend(self, notice: Notice) -> Notice:
        """Make one more attempt, with the same notify_id."""
        return await self._attempt(notice)

    async def newest(self, out_trade_no: str) -> list[Notice]:
        """The newest 50 notices of a trade, oldest first."""
        select = f"SELECT {_COLUMNS} FROM notice WHERE out_trade_no = ? ORDER BY id DESC LIMIT ?"
        rows = await self._database.run(
            lambda connection: connection.execute(select, (out_trade_no, MAX_LISTED)).fetchall()
        )
        return [Notice(*row) for row in reversed(rows)]

    def as_json(self, notice: Notice) -> dict[str, object]:
        """A notice without its content, for the simulator's answers."""
        shown = asdict(notice)
        del shown["fields"], shown["id"]
        return {**shown, "accepted": self._wire.accepted(notice.status, notice.answer)}

    async def _store(
        self, out_trade_no: str, kind: str, url: str, content: Mapping[str, Any], delay_ms: int | None
    ) -> Notice:
        if not is_local_url(url):
            raise ValueError(f"no loopback address: {url}")
        now_ms = self._clock_ms()
        values = (
            self._wire.number(now_ms),
            out_trade_no,
            kind,
            url,
            self._wire.stored(content),
            None if delay_ms is None else now_ms + delay_ms,
        )

        def insert(connection: sqlite3.Connection) -> Notice:
            added = connection.execute(
                "INSERT INTO notice (notify_id, out_trade_no, kind, url, fields, next_ms)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            return _read(connection, added.lastrowid or 0)

        return await self._database.run(insert)

    async def _attempt(self, notice: Notice, *, forgery: str = "") -> Notice:
        self._sending.add(notice.id)
        try:
            status, answer = await self._deliver(notice, forgery)
            return await self._record(notice, status, answer)
        finally:
            self._sending.discard(notice.id)

    async def _deliver(self, notice: Notice, forgery: str) -> tuple[int, str]:
        if not is_local_url(notice.url):
            return 0, "no loopback address"
        body, headers = self._wire.request(notice, self._clock_ms(), forgery)
        try:
            async with self._client.stream("POST", notice.url, content=body, headers=headers) as reply:
                answer = b""
                async for part in reply.aiter_bytes():
                    answer += part
                    if len(answer) > MAX_ANSWER_BYTES:
                        break
                return reply.status_code, answer[:MAX_ANSWER_BYTES].decode(errors="replace")
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__}: {error}"

    async def _record(self, notice: Notice, status: int, answer: str) -> Notice:
        now_ms = self._clock_ms()
        accepted, retry_after_s = self._wire.accepted(status, answer), self._wire.retry_after_s

        def write(connection: sqlite3.Connection) -> Notice:
            attempts, next_ms = connection.execute(
                "SELECT attempts + 1, next_ms FROM notice WHERE id = ?", (notice.id,)
            ).fetchone()
            if accepted or attempts > len(retry_after_s):
                next_ms = None
            elif next_ms is not None:  # NULL: finished or forged; a manual resend starts no new series
                next_ms = now_ms + int(retry_after_s[attempts - 1] * 1_000 * self._scale)
            connection.execute(
                "UPDATE notice SET attempts = ?, next_ms = ?, sent_ms = ?, status = ?, answer = ?"
                " WHERE id = ?",
                (attempts, next_ms, now_ms, status, answer, notice.id),
            )
            return _read(connection, notice.id)

        written = await self._database.run(write)
        self._wake.set()
        return written

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                due, wait_s = await self._due()
                if due:
                    await asyncio.gather(*(self._attempt(notice) for notice in due))
                    continue
            except Exception:
                logger.exception("sending notices failed")
                wait_s = IDLE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _due(self) -> tuple[list[Notice], float]:
        now_ms = self._clock_ms()
        select = f"SELECT {_COLUMNS} FROM notice WHERE next_ms IS NOT NULL ORDER BY next_ms LIMIT ?"
        rows = await self._database.run(lambda one: one.execute(select, (BATCH,)).fetchall())
        waiting = [notice for row in rows if (notice := Notice(*row)).id not in self._sending]
        due = [notice for notice in waiting if (notice.next_ms or 0) <= now_ms]
        soonest_ms = min((notice.next_ms or 0 for notice in waiting), default=now_ms + 1_000)
        return due, min(max(soonest_ms - now_ms, 1) / 1_000, IDLE_S)


def _read(connection: sqlite3.Connection, notice_id: int) -> Notice:
    return Notice(*connection.execute(f"SELECT {_COLUMNS} FROM notice WHERE id = ?", (notice_id,)).fetchone())
