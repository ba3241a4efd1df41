"""`shop-order archive`: move old settled orders to the history tables, while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import loaded, refuse, with_core

if TYPE_CHECKING:
    from shop_order.cmd.run.job_locks import JobLocks
    from shop_order.cmd.wiring.core import Core

JOB = "archive"
TELL_EVERY = 10_000


def archive(
    older_than: Annotated[
        int | None,
        typer.Option(
            min=1, max=36_500, help="Days since an order's last change; without it ORDER__ARCHIVE_AFTER_DAYS."
        ),
    ] = None,
) -> None:
    """Move old finished orders to the history tables; they are still found by number.

    It may be stopped or killed at any time: the next run continues.
    """
    from shop_order.cmd.run.job_locks import JobLocks, exclusive_job

    settings = loaded(dev_wiring=True).settings
    days = older_than or settings.order.archive_after_days
    if not days:
        refuse("nothing is archived by itself: say --older-than DAYS, or set ORDER__ARCHIVE_AFTER_DAYS")

    async def walk(core: Core) -> int:
        turns = JobLocks(core.registry)
        try:
            with exclusive_job(settings, JOB):
                return await walk_over(core, turns, days)
        finally:
            await turns.end()

    with_core(walk)


async def walk_over(core: Core, turns: JobLocks, days: int) -> int:
    """Archive page after page unless another process does; the exit code."""
    from shop_order.cmd.run.job_locks import wait_for_lock

    looked = archived = told = 0
    while True:
        if not await wait_for_lock(core, turns, JOB):
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
