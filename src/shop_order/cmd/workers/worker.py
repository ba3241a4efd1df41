"""What runs in a worker: the application on its parent's ports, until the parent says stop or is gone.

Started by the parent only: `python -m shop_order.cmd.workers.worker NUMBER GRPC_PORT TALK LOG LISTENER`,
the last three being open file descriptors.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from shop_order.cmd.app import App, Seat
from shop_order.cmd.opening import refusal, run_loop
from shop_order.cmd.serve import settle_memory
from shop_order.cmd.workers.talk import ToParent, name_of
from shop_order.configs import Loaded
from shop_order.configs.handover import from_text
from shop_order.pkg.log import LogConfig, Logging, bind_fields, get_logger, set_level, start_logging
from shop_order.pkg.metrics import share

log = get_logger("worker")
REFUSED = 2
PR_SET_PDEATHSIG = 1


class Work:
    """A worker's life."""

    def __init__(self, number: int, seat: Seat, parent: ToParent, log_to: int) -> None:
        self._number = number
        self._seat = seat
        self._parent = parent
        self._log_to = log_to
        self._app: App | None = None
        self._settings = ""
        self._told_settings = asyncio.Event()
        self._stop = asyncio.Event()
        self._alone = asyncio.Event()  # the other workers have ended
        self._told: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._parent.say, "asked")
        loop.add_signal_handler(signal.SIGHUP, _is_for_the_parent)
        self._parent.listen(loop.call_soon_threadsafe, self._heard)
        await self._told_settings.wait()
        loaded = Loaded(from_text(self._settings), {})
        logging = self._open_log(loaded)
        try:
            bind_fields(worker=self._number)
            return await self._serve(loaded)
        finally:
            logging.close()

    async def _serve(self, loaded: Loaded) -> int:
        try:
            self._app = app = App(loaded, seat=self._seat)
            await app.start()
        except Exception as error:
            if (line := refusal(error)) is None:
                log.exception("not_started")
            self._parent.say("refused", line or repr(error))
            return REFUSED
        self._parent.say("ready")
        settle_memory()
        await self._stop.wait()
        await asyncio.gather(*self._told)
        await app.finish(self._others_ended)
        return 0

    def _open_log(self, loaded: Loaded) -> Logging:
        """Every line goes to the parent, which writes the one log of the instance."""
        queue = loaded.settings.limit.log_queue
        config = LogConfig(level=loaded.settings.log.level, queue=queue)
        return start_logging(config, os.fdopen(self._log_to, "wb"))

    def _heard(self, word: str, value: Any) -> None:
        match word:
            case "settings":
                self._settings = value
                self._told_settings.set()
                if self._app is not None:
                    self._app.core.loaded = Loaded(from_text(value), {})
                    set_level(self._app.core.settings.log.level)
            case "ping":
                self._seat.missing = tuple(value)
                self._parent.say("missing", self._app.missing() if self._app else [])
            case "duty" if self._app is not None:
                self._begin(self._app.take_duty())
            case "leave" if self._app is not None:
                self._begin(self._app.leave())
            case "stop":
                self._stop.set()
            case "last":
                self._alone.set()

    def _begin(self, told: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._do(told))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _do(self, told: Coroutine[Any, Any, None]) -> None:
        try:
            await told
        except Exception:
            log.exception("worker_failed")  # another will be started, and told the same
            self._stop.set()

    async def _others_ended(self) -> None:
        assert self._app is not None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._alone.wait(), self._app.core.settings.server.stop_timeout_s)


def _is_for_the_parent() -> None:
    """HUP sent to all of us: the parent reloads, and says what is new."""


def die_with_parent() -> None:
    """Have the kernel end this process with its parent, also while it is stopped or hangs."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def _work(number: int, grpc_port: int, talk: int, log_to: int, listener: int) -> int:
    share(os.environ["PROMETHEUS_MULTIPROC_DIR"], name_of(number))
    seat = Seat(socket.socket(fileno=listener), grpc_port)
    return await Work(number, seat, ToParent(socket.socket(fileno=talk)), log_to).run()


def main() -> None:
    """The process."""
    die_with_parent()
    raise SystemExit(run_loop(_work(*map(int, sys.argv[1:6]))))


if __name__ == "__main__":
    main()
