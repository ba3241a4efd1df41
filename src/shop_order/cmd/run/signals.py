"""Signals while an event loop runs: TERM and INT stop, also during a start; HUP reloads."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from shop_order.cmd.run.startup import HANG_UPS, STOPS, heed, rest


class Signals:
    """Handles them from its creation on; before that `first` does."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._reload: Callable[[], None] | None = None
        self._hung_up = bool(HANG_UPS)
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def reload_by(self, reload: Callable[[], None]) -> None:
        """Call this on HUP, and now if one came already."""
        self._reload = reload
        if self._hung_up:
            reload()

    async def unless_stopped(self, work: Coroutine[Any, Any, object]) -> bool:
        """Do a part of the start, or cancel it at a stop; whether it was done. Raises what `work` raises."""
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

    def over(self, code: int = 0) -> int:
        """All is finished: from now on a signal ends the process, which only waits for its threads."""
        loop = asyncio.get_running_loop()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # one handler or the other is always in place
        for number in STOPS:
            loop.remove_signal_handler(number)  # or closing the loop would restore the system's
        heed(code)
        rest()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return code

    def _hang_up(self) -> None:
        self._hung_up = True
        if self._reload is not None:
            self._reload()
