"""`shop-order archive`: move old finished orders to the history tables, while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import load_settings, refuse, with_core

if TYPE_CHECKING:
    from shop_order.cmd.run.job_locks import JobLocks
    from shop_order.cmd.wiring.core import Core

JOB = "archive"
REPORT_EVERY = 10_000


def archive(
    older_than: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=36_500,
            help="Minimum days since an order's last change (default: ORDER__ARCHIVE_AFTER_DAYS).",
        ),
    ] = None,
) -> None:
    """Move old finished orders to the history tables; they can still be found by number.

    It can be stopped or killed at any time: the next run continues.
    """
    from shop_order.cmd.run.job_locks import exclusive_job, job_locks

    settings = load_settings(dev_wiring=True).settings
    days = older_than or settings.order.archive_after_days
    if not days:
        refuse("automatic archiving is off: pass --older-than DAYS, or set ORDER__ARCHIVE_AFTER_DAYS")

    async def run(core: Core) -> int:
        locks = job_locks(core)
        try:
            with exclusive_job(settings, JOB):
                return await archive_all(core, locks, days)
        finally:
            await locks.close()

    with_core(run)


async def archive_all(core: Core, locks: JobLocks, days: int) -> int:
    """Archive page by page unless another process does; return the exit code."""
    from shop_order.cmd.run.job_locks import wait_for_lock

    read = archived = reported = 0
    while True:
        if not await wait_for_lock(core, locks, JOB):
            typer.echo(f"another process is archiving; {archived} orders were archived before", err=True)
            return 1
        page = await core.archive.run_once(days)
        read, archived = read + page.examined, archived + page.archived
        if page.is_last:
            break
        if archived - reported >= REPORT_EVERY:
            reported = archived
            typer.echo(f"{archived} orders archived so far", err=True)
    typer.echo(f"{archived} orders archived, {read - archived} of that age are not settled or have changed")
    return 0
