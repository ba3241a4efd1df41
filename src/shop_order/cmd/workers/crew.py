"""The workers of an instance: so many run at any time, one of them on duty, and all hear the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic

from shop_order.cmd.opening import StartRefused
from shop_order.cmd.workers.process import Worker
from shop_order.pkg.log import get_logger

log = get_logger("workers")
ASK_EVERY_S = 1.0
MOST_UNANSWERED = 30  # questions: who is silent so long hangs, and is killed
MOST_AT_START = 120  # while it does not serve yet: a busy machine imports slowly
ALL_TOLD_S = 0.5  # a service manager signals all of us at once; then the parent says when to stop
STEADY_S = 20.0  # who served so long is started again at once
PAUSE_S = (0.5, 10.0)  # before one that did not is started again: first, longest
OVERTIME_S = 10.0  # beside the grace for running calls: what a stop may take before it is forced


class Crew:
    """Keeps `count` workers running from `start` to `stop`."""

    def __init__(
        self,
        count: int,
        *,
        spawn: Callable[[int], Awaitable[Worker]],
        settings: Callable[[], str],
        missing: Callable[[], Sequence[str]],
        ended: Callable[[int, str], None],
    ) -> None:
        """`missing` is what their parent does without; `ended` is told of who ended unasked, and how."""
        self._count = count
        self._spawn = spawn
        self._settings = settings
        self._missing = missing
        self._ended = ended
        self._workers: dict[int, Worker] = {}
        self._on_duty: Worker | None = None
        self._slots: dict[int, asyncio.Task[None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start all and wait until they serve. Raises StartRefused if one of them can't."""
        self._asking = asyncio.create_task(self._ask())
        self._slots = {n: asyncio.create_task(self._keep(n)) for n in range(1, self._count + 1)}
        await self._serving

    def tell_settings(self) -> None:
        """The settings changed."""
        for worker in self._workers.values():
            worker.say("settings", self._settings())

    def leave(self) -> None:
        """Have them say that nobody should call us any more; nobody is started again from now on."""
        self._leaving.set()
        for worker in self._workers.values():
            worker.say("leave")

    async def stop(self, grace_s: float) -> bool:
        """Have them finish what they accepted, the one on duty last; whether none had to be killed."""
        self.leave()
        ends = monotonic() + grace_s + OVERTIME_S
        for worker in self._workers.values():
            if worker.ready:
                worker.say("stop")
            else:
                worker.kill()  # it has accepted nothing yet
        last = self._on_duty.number if self._on_duty else 0
        others = {task for number, task in self._slots.items() if number != last}
        if others:
            await asyncio.wait(others, timeout=grace_s + OVERTIME_S)
        if self._on_duty is not None:
            self._on_duty.say("last")
        if self._slots:
            # Until now it may have answered callers, and has still to publish what the others committed.
            await asyncio.wait(self._slots.values(), timeout=max(ends - monotonic(), OVERTIME_S))
        late = [*self._workers.values()]
        for worker in late:
            log.error("worker_killed", number=worker.number, pid=worker.pid)
            worker.kill()
        await asyncio.gather(*self._slots.values(), return_exceptions=True)
        if self._asking is not None:
            self._asking.cancel()
        return not late

    # ---- one place ----

    async def _keep(self, number: int) -> None:
        failures = 0
        while not self._leaving.is_set():
            began = monotonic()
            how = await self._live(number)
            if self._leaving.is_set():
                return
            failures = 0 if monotonic() - began > STEADY_S else failures + 1
            first, longest = PAUSE_S
            pause_s = min(first * 2 ** min(failures - 1, 10), longest) if failures else 0.0
            log.error("worker_ended", number=number, how=how, again_in_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause_s)

    async def _live(self, number: int) -> str:
        """One worker from its start to its end; how it ended."""
        try:
            worker = await self._spawn(number)
        except OSError as failed:
            return self._account(number, "refused", f"could not be started: {failed}")
        self._workers[number] = worker
        log.info("worker_started", number=number, pid=worker.pid)
        if self._leaving.is_set():
            worker.kill()
        worker.say("settings", self._settings())
        async for word, value in worker.said():
            self._hear(worker, word, value)
        how = await worker.ended()
        del self._workers[number]
        if self._on_duty is worker:
            self._on_duty = None
            self._choose()
        if worker.refused:
            return self._account(number, "refused", worker.refused)
        if worker.silent:
            return self._account(number, "silent", f"killed: {worker.unanswered} questions unanswered")
        return self._account(number, "died" if how else "left", how or "left")

    def _account(self, number: int, kind: str, how: str) -> str:
        if not self._leaving.is_set():
            self._ended(number, kind)
        if not self._serving.done():
            self._serving.set_exception(StartRefused(how if kind == "refused" else f"a worker ended: {how}"))
        return how

    def _hear(self, worker: Worker, word: str, value: object) -> None:
        match word, value:
            case "ready", _:
                worker.ready = True
                log.info("worker_ready", number=worker.number, pid=worker.pid)
                if self._leaving.is_set():
                    worker.say("leave")
                self._choose()
                if self._ready() == self._count and not self._serving.done():
                    self._serving.set_result(None)
            case "refused", str(line):
                worker.refused = line
            case "asked", _:
                asyncio.get_running_loop().call_later(ALL_TOLD_S, self._let_go, worker)
            case "missing", list(missing):
                worker.unanswered = 0
                worker.missing = tuple(missing)

    def _let_go(self, worker: Worker) -> None:
        """It was asked to stop: another will follow it, unless its parent was asked too."""
        if not self._leaving.is_set():
            worker.say("stop")
            worker.say("last")

    # ---- all of them ----

    def _choose(self) -> None:
        """Somebody is on duty, if anybody serves."""
        if self._on_duty is None and not self._leaving.is_set():
            self._on_duty = next((one for one in self._workers.values() if one.ready), None)
            if self._on_duty is not None:
                log.info("worker_on_duty", number=self._on_duty.number)
                self._on_duty.say("duty")

    def _ready(self) -> int:
        return sum(worker.ready for worker in self._workers.values())

    async def _ask(self) -> None:
        while True:
            for worker in [*self._workers.values()]:
                most = MOST_UNANSWERED if worker.ready else MOST_AT_START
                if worker.unanswered >= most and not worker.silent:
                    worker.silent = True
                    worker.kill()
                worker.unanswered += 1
                worker.say("ping", self._missing_beside(worker))
            await asyncio.sleep(ASK_EVERY_S)

    def _missing_beside(self, worker: Worker) -> list[str]:
        missing = [*self._missing()]
        for other in self._workers.values():
            if other is not worker:
                missing += other.missing
        if self._ready() < self._count:
            missing.append("workers")
        return [*dict.fromkeys(missing)]
