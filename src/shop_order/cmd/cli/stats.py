"""`shop-order stats`: statistics of the order log, and its rebuild from the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import with_core
from shop_order.pkg.money import yuan_of_fen

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core
    from shop_order.service.upkeep.statistics import OrderTotals

stats_app = typer.Typer(no_args_is_help=True, help="The order log and its statistics.")


@stats_app.command("show")
def show(
    start: Annotated[str, typer.Option(help="The first day, such as 2026-11-01.")] = "",
    end: Annotated[str, typer.Option(help="The last day; by default today.")] = "",
) -> None:
    """Print orders and amounts by day, channel and status; by default of the last 30 days.

    Paid is all money received, including late and duplicate payments, as in `doctor`; net is paid minus
    refunded.
    """

    async def report(core: Core) -> int:
        from shop_order.domain.status import OrderStatus

        found = await core.statistics.report(start, end)
        typer.echo(f"orders placed from {found.first_day} to {found.last_day}, in yuan")
        typer.echo("paid: all money received, also late or twice; net: paid minus refunded")
        typer.echo(line("", None))
        for day, sums in found.by_day.items():
            typer.echo(line(day, sums))
        for channel, sums in found.by_channel.items():
            typer.echo(line(channel or "no channel", sums))
        for status, sums in found.by_status.items():
            typer.echo(line(OrderStatus(status).name.lower(), sums))
        typer.echo(line("total", found.total))
        if found.waiting or not found.is_complete:
            state = "fed" if found.is_complete else "being filled, by the running service or `stats rebuild`"
            typer.echo(f"the log is {state}: {found.waiting} events wait", err=True)
        return 0

    with_core(report)


@stats_app.command("rebuild")
def rebuild() -> None:
    """Delete the order log and rebuild it from the history; the service may run meanwhile."""

    async def run(core: Core) -> int:
        typer.echo(f"{await core.order_log.rebuild()} orders were rebuilt")
        return 0

    with_core(run)


def line(name: str, sums: OrderTotals | None) -> str:
    """Return a row of the table; the header without sums."""
    if sums is None:
        return f"{name:12} {'orders':>8} {'amount':>14} {'paid':>14} {'refunded':>14} {'net':>14}"
    amounts = (sums.amount_fen, sums.paid_fen, sums.refunded_fen, sums.net_fen)
    return f"{name:12} {sums.orders:>8} " + " ".join(f"{yuan_of_fen(fen):>14}" for fen in amounts)
