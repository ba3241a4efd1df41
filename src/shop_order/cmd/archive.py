"""`shop-order archive`: settled orders of long ago go to the history tables, while the service runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shop_order.cmd.core import Core
    from shop_order.cmd.presence import Turns

JOB = "archive"
WAIT_S = 15.0  # longer than a lease lasts: its holder may have died
TELL_EVERY = 10_000


def archive(
    older_than: Annotated[
        int | None,
        typer.Option(
            min=1, max=36_500, help="Days since an order's last change; without it ORDER__ARCHIVE_AFTER_DAYS."
        ),
    ] = None,
) -> None:
    """Put finished orders of long ago into the history tables; they are still found by number.

    May be stopped or killed at any time: the next one goes on.
    """
    from shop_order.cmd.main import inspect, loaded, refuse
    from shop_order.cmd.relay import only_one

    settings = loaded(beside=True).settings
    days = older_than or settings.order.archive_after_days
    if not days:
        refuse("nothing is archived by itself: say --older-than DAYS, or set ORDER__ARCHIVE_AFTER_DAYS")

    async def walk(core: Core) -> int:
        from shop_order.cmd.presence import Turns

        turns = Turns(core.registry)
        try:
            with only_one(settings, JOB):
                return await walk_over(core, turns, days)
        finally:
            await turns.end()

    inspect(walk)


async def walk_over(core: Core, turns: Turns, days: int) -> int:
    """Archive page after page, as long as no other process does; the exit code."""
    looked = archived = told = 0
    while True:
        if not await ours(core, turns, JOB):
            typer.echo(f"another process archives now; {archived} orders were archived before", err=True)
            return 1
        walked = await core.archive.run_once(days)
        looked, archived = looked + walked.looked, archived + walked.archived
        if walked.last:
            break
        if archived - told >= TELL_EVERY:
            told = archived
            typer.echo(f"{archived} orders archived so far", err=True)
    typer.echo(f"{archived} orders archived, {looked - archived} as old are not settled or changed since")
    return 0


async def ours(core: Core, turns: Turns, job: str) -> bool:
    """Whether it is our turn; a process that has it may have died, so its end is waited for."""
    until = time.monotonic() + WAIT_S
    while not (await core.store.leases.hold(job) and await turns.ours(job)):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True
