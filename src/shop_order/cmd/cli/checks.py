"""`shop-order audit verify` and `shop-order doctor`: do history, money, stock and statistics agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import FOUND, pluralize, refuse, with_core

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core
    from shop_order.service.upkeep.audit import BrokenDay

audit_app = typer.Typer(no_args_is_help=True, help="The history.")


@audit_app.command("verify")
def verify(order: Annotated[str | None, typer.Option(help="Only this order.")] = None) -> None:
    """Verify the hash chains and the daily roots over them.

    Exit code 1 and a line for each broken chain, and for each day that differs from its seal.
    """

    async def check(core: Core) -> int:
        from shop_order.domain.errors import OrderNotFound
        from shop_order.pkg.ids import is_order_sn

        try:
            count, broken = await core.audit.verify(order)
        except OrderNotFound:  # only now: a forged number in the history is verified too
            why = "there is no such order"
            if not is_order_sn(order or ""):
                why = "is not a valid order number: 27 digits, the last is a check digit"
            refuse(f"--order {order}: {why}")
        for fault in broken:
            typer.echo(f"order {fault.order_sn}: version {fault.version} {fault.what}")
        typer.echo(f"{count} chains verified, {len(broken)} broken")
        days = [] if order is not None else await broken_days(core)
        return FOUND if broken or days else 0

    with_core(check)


def doctor(
    metrics: Annotated[
        Path | None, typer.Option(help="Also write the findings here, for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Check that money, stock, history and statistics agree; exit code 1 if not.

    Paid is all money received, including late and duplicate payments, as in `stats show`.
    """
    from shop_order.pkg.metrics import write_examined

    async def examine(core: Core) -> int:
        days = await broken_days(core)
        report = await core.doctor.examine()
        for finding in sorted(report.findings, key=lambda f: (f.order_sn, f.area)):
            of = f"order {finding.order_sn} " if finding.order_sn else ""
            typer.echo(f"{finding.area}: {of}{finding.what}")
        typer.echo(
            f"{report.orders} orders, {report.leases} leases, {report.paid_fen} fen paid,"
            f" {report.refunded_fen} fen refunded, {report.in_flight} in progress,"
            f" {len(report.findings) + len(days)} findings"
        )
        if report.orders and not report.compared:
            typer.echo("statistics were not compared: the order log is unavailable or being filled", err=True)
        if metrics is not None:
            areas = Counter([*(finding.area for finding in report.findings), *("history" for _ in days)])
            write_examined(metrics, report.orders, areas)
        return 0 if report.clean and not days else FOUND

    with_core(examine)


async def broken_days(core: Core) -> Sequence[BrokenDay]:
    """Print and return the days that differ from their seal."""
    found = await core.root_audit.verify()
    if found.not_compared:
        typer.echo(f"not compared with the roots in the registry: {found.not_compared}", err=True)
    for one in found.broken:
        typer.echo(f"history: day {one.day} {one.what}")
    last = f", the last {found.last_day}" if found.last_day else ""
    typer.echo(f"{pluralize(found.days, 'day')} sealed{last}")
    return found.broken
