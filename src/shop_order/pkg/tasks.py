"""Ends background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

AGAIN_S = 6.0  # longer than a cancelled task takes to release what it holds


async def stop(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks until all have ended, whatever their outcome.

    One cancellation may not suffice: drivers (MySQL, Redis, Nacos) use `asyncio.wait_for`, which loses one
    that comes together with the response, before Python 3.12.
    """
    running = {*tasks}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # else asyncio logs their exceptions
