"""`shop-order settlement`: what each provider pays out by day, as CSV or JSON for the accounts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import FOUND, refuse, with_core
from shop_order.cmd.cli.reconcile import channel_of, day_of
from shop_order.pkg.csv_text import csv_text
from shop_order.pkg.money import yuan_of_fen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shop_order.cmd.wiring.core import Core
    from shop_order.domain.settled_day import SettledSums
    from shop_order.service.upkeep.settled_days import SettlementReport

COLUMNS = (
    "day", "channel", "state", "payments", "gross", "refunds", "refunded", "fees", "discounts", "net",
    "our_gross", "our_refunded", "differences",
)  # fmt: skip


def settlement(
    first: Annotated[str, typer.Option("--from", help="The first day in China, such as 2026-11-01.")],
    last: Annotated[str, typer.Option("--to", help="The last day.")],
    channel: Annotated[str, typer.Option(help="Only this channel, such as alipay.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with amounts in fen.")] = False,
) -> None:
    """Print gross, fees, refunds and net by day and channel, from the bills that were reconciled.

    Payments by balance are left out: they have no bill, and `doctor` compares the wallet's ledger.
    CSV with amounts in yuan, a row for each day, then a row `total` for each channel. Exit code 1: some bill
    is missing, or differs from our payments.
    """
    which = channel_of(channel) if channel else None
    begin, end = day_of(first, "--from"), day_of(last, "--to")

    async def export(core: Core) -> int:
        found = await core.settled_days.report(begin.isoformat(), end.isoformat(), which)
        if channel and not found.days:
            refuse(f"--channel {channel}: it is not configured, or provides no bills")
        typer.echo(as_json_text(found) if as_json else csv_text(table(found)), nl=as_json)
        return 0 if found.is_complete else FOUND

    with_core(export)


def table(found: SettlementReport) -> list[Sequence[str | int]]:
    """Return the rows of the CSV."""
    from shop_order.domain.settled_day import DayState

    rows: list[Sequence[str | int]] = [COLUMNS]
    rows += [(str(one.day), one.channel, one.state, *cells(one.sums)) for one in found.days]
    unsure = {one.channel for one in found.days if one.state is not DayState.RECONCILED}
    for channel, sums in found.by_channel.items():
        rows.append(("total", channel, "incomplete" if channel in unsure else "complete", *cells(sums)))
    return rows


def cells(sums: SettledSums) -> tuple[str | int, ...]:
    """Return the figures of a row."""
    return (
        sums.payments, yuan_of_fen(sums.gross_fen), sums.refunds, yuan_of_fen(sums.refunded_fen),
        yuan_of_fen(sums.fee_fen), yuan_of_fen(sums.discount_fen), yuan_of_fen(sums.net_fen),
        yuan_of_fen(sums.our_gross_fen), yuan_of_fen(sums.our_refunded_fen), sums.differences,
    )  # fmt: skip


def as_json_text(found: SettlementReport) -> str:
    """Return the report as JSON; amounts in fen."""
    days = [
        {"day": str(one.day), "channel": one.channel, "state": one.state, **figures(one.sums)}
        for one in found.days
    ]
    totals = [{"channel": channel, **figures(sums)} for channel, sums in found.by_channel.items()]
    span = {"from": str(found.first_day), "to": str(found.last_day), "complete": found.is_complete}
    return json.dumps({**span, "days": days, "by_channel": totals})


def figures(sums: SettledSums) -> dict[str, int]:
    """Return the figures by name."""
    return asdict(sums) | {"net_fen": sums.net_fen}
