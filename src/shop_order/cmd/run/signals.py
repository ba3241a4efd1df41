"""Signals while an event loop runs: TERM and INT stop, also during a start; HUP reloads."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from shop_order.cmd.run.startup import PENDING_RELOADS, STOPS, exit_on_signal, ignore_at_exit


class Signals:
    """Handles signals from its creation on; before that, `startup` does."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._reload: Callable[[], None] | None = None
        self._reload_asked = bool(PENDING_RELOADS)
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hup)

    def reload_by(self, reload: Callable[[], None]) -> None:
        """Call `reload` on HUP, and now if one was received already."""
        self._reload = reload
        if self._reload_asked:
            reload()

    async def unless_stopped(self, work: Coroutine[Any, Any, object]) -> bool:
        """Run `work`, cancelled by a stop; return whether it completed. Raises what `work` raises."""
        doing = asyncio.create_task(work)
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
                return True
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
            return False
        finally:
            stopping.cancel()

    def finish(self, code: int = 0) -> int:
        """Let signals end the process, which only waits for its threads; return `code`."""
        loop = asyncio.get_running_loop()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # so that there is always a handler
        for number in STOPS:
            loop.remove_signal_handler(number)  # else closing the loop would restore the default handler
        exit_on_signal(code)
        ignore_at_exit()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return code

    def _on_hup(self) -> None:
        self._reload_asked = True
        if self._reload is not None:
            self._reload()
