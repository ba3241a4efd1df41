"""`shop-order reconcile`: compare a provider's bill of one day with our payments."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from shop_order.cmd.cli.command import FOUND, load_settings, pluralize, refuse, with_core
from shop_order.pkg.money import yuan_of_fen

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core
    from shop_order.domain.bill import Difference, Reconciliation, Totals
    from shop_order.domain.status import PaymentType
    from shop_order.service.upkeep.bill_progress import Progress

FIRST_YEAR = 2000  # no provider has an older bill
# What differs, and what the operator should do.
EXPLANATIONS = {
    "unknown_payment": (
        "the bill has {theirs} as trade {there}; it is unknown here",
        "look it up at the provider; refund it there if it belongs to no order",
    ),
    "not_paid_here": (
        "the bill has {theirs} as trade {there}; here it is {here}",
        "the provider is being queried: reconcile again in a minute; if it remains, check the alerts",
    ),
    "amount": (
        "the bill has {theirs}, we have {ours}",
        "compare both with the order; settle the difference with the buyer through the provider",
    ),
    "trade_no": (
        "the bill calls it trade {there}, we call it {here}",
        "the amounts agree; find out where the other number came from",
    ),
    "not_in_bill": (
        "we have {ours} as trade {here}; no bill has it",
        "look it up at the provider before shipping anything else for this order",
    ),
    "twice_in_bill": (
        "the bill lists it again, with {theirs} as trade {there}",
        "ask the provider whether it took the money twice; refund one there",
    ),
    "unknown_refund": (
        "the bill has a refund of {theirs} on trade {there}; it is unknown here",
        "it was made on the provider's site: enter it in your books, since the order lacks it",
    ),
    "not_refunded_here": (
        "the bill has a refund of {theirs}; here it is {here}",
        "the provider is being queried if we sent it: reconcile again in a minute; if it remains, find out"
        " who refunded it at the provider",
    ),
    "refund_failed_there": (
        "we have a refund of {ours}; the bill says that it failed",
        "ask the provider about this number: the buyer may still be waiting for the money",
    ),
    "refunded_by_hand_too": (
        "the bill has a refund of {theirs}; here it was settled by hand",
        "the buyer may have the money twice: compare with how it was settled",
    ),
    "currency": ("the bill has {there}, our amounts are in {here}", "look it up at the provider"),
    "refund_currency": (
        "the bill has a refund of {there}, our amounts are in {here}",
        "look it up at the provider",
    ),
    "refund_amount": ("the bill has a refund of {theirs}, we have {ours}", "compare both with the provider"),
    "refund_of_another": (
        "the bill has it as a refund of {there}, we as one of {here}",
        "the amounts agree; compare both orders with the provider",
    ),
    "refund_not_in_bill": (
        "we have a refund of {ours} on {here}; no bill has it",
        "ask the provider about this number: the buyer may still be waiting for the money",
    ),
    "refund_twice_in_bill": (
        "the bill lists the refund again, with {theirs}",
        "ask the provider whether it refunded the money twice",
    ),
}


def reconcile(
    channel: Annotated[str, typer.Option(help="The channel, such as alipay.")],
    day: Annotated[str, typer.Option("--date", help="The bill's day in China, such as 2026-11-21.")],
    file: Annotated[
        Path | None, typer.Option(help="The bill as downloaded from the provider's site: zip or csv.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare the provider's bill of a day with our payments, and store the result.

    Exit code 0: they agree. 1: they differ, and each difference is printed. 2: they could not be compared.
    """
    from shop_order.cmd.run.job_locks import exclusive_job
    from shop_order.cmd.run.preflight import channel_problems
    from shop_order.service.upkeep.reconcile import JOB as RECONCILE

    settings = load_settings(dev_wiring=True).settings
    which, when = channel_of(channel), day_of(day)

    async def compare(core: Core) -> int:
        from shop_order.domain.errors import UnreadableRow
        from shop_order.domain.ports import BillNotOut, BillUnusable

        source = core.channels[which].bills if which in core.channels else None
        if source is None:
            refuse(f"--channel {channel}: it is not configured, or provides no bills")
        if wrong := channel_problems(settings).get(which.code):
            refuse(f"--channel {channel}: {'; '.join(wrong)}")
        try:
            with opened(file) as content, exclusive_job(settings, RECONCILE):
                result = await run_exclusively(core, which, when, content)
        except BillNotOut as none:
            hours, minutes = divmod(source.out_ms // 60_000, 60)
            refuse(f"{none}: it is published by {hours}:{minutes:02d} the next day, if anything was paid")
        except (BillUnusable, UnreadableRow) as wrong:
            refuse(str(wrong))
        if result is None:
            refuse("another process is reconciling now; try again in a minute")
        typer.echo(as_json_text(result) if as_json else "\n".join(report(result)))
        return FOUND if result.differences else 0

    with_core(compare)


async def run_exclusively(
    core: Core, channel: PaymentType, day: date, file: IO[bytes] | None
) -> Reconciliation | None:
    """Return the result; None if another process is reconciling."""
    from shop_order.cmd.run.job_locks import hold, job_locks, wait_for_lock, while_locked
    from shop_order.domain.ports import LeaseLost
    from shop_order.service.upkeep.reconcile import JOB as RECONCILE

    locks = job_locks(core)
    try:
        if not await wait_for_lock(core, locks, RECONCILE):
            return None
        work = core.reconciliation.reconcile(channel, day, file, tell)
        fence = core.store.leases.fence(RECONCILE)
        return await while_locked(lambda: hold(core, locks, RECONCILE), fence, work)
    except LeaseLost:
        return None
    finally:
        await locks.close()


def channel_of(name: str) -> PaymentType:
    """Return the channel of this name, or exit."""
    from shop_order.gateway.payment import CHANNELS

    channels = {one.code: one for one in CHANNELS}
    return channels.get(name.lower()) or refuse(f"--channel {name}: must be one of {', '.join(channels)}")


def day_of(text: str, option: str = "--date") -> date:
    """Return the day, or exit."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text or day.year < FIRST_YEAR:  # refuse ISO's other formats
        refuse(f"{option} {text}: must be YYYY-MM-DD, such as 2026-11-21")
    return day


@contextmanager
def opened(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open the file, if there is one, or exit."""
    if path is None:
        yield None
        return
    try:
        file = path.open("rb")
    except OSError as failed:
        refuse(f"--file {path}: {failed.strerror}")
    with file:
        yield file


def tell(progress: Progress) -> None:
    """Print how far it is, where the result is not printed."""
    of = f" of {progress.total}" if progress.total else ""
    sys.stderr.write(f"{progress.step}: {progress.done}{of} lines, {progress.per_s} a second\n")


def report(result: Reconciliation) -> list[str]:
    """Return the result as lines of text."""
    lines = [
        f"{result.channel.code}, {result.day} (a day in China), in yuan",
        f"{'':10} {'payments':>8} {'amount':>16} {'refunds':>8} {'amount':>16}",
        row("the bill", result.theirs),
        row("here", result.ours),
    ]
    if result.settled:
        what = pluralize(result.settled, "item")
        lines.append(f"{what} that only the bill knew: asked about at the provider, now settled")
    if result.waiting:
        lines.append(f"{result.waiting} in the day's last minutes: to be compared with the next bill")
    fees, discounts = yuan_of_fen(result.fee_fen), yuan_of_fen(result.discount_fen)
    lines.append(f"fees {fees}, discounts at the provider {discounts}")
    if not result.differences:
        return [*lines, "they agree"]
    lines.insert(4, row("here more", result.ours.minus(result.theirs)))
    lines.append(pluralize(result.differences, "difference"))
    for one in result.shown:
        lines += difference_lines(one)
    if result.differences > len(result.shown):
        lines.append(f"and {result.differences - len(result.shown)} more")
    return lines


def row(name: str, sums: Totals) -> str:
    """Return a row of the table."""
    paid, refunded = yuan_of_fen(sums.paid_fen), yuan_of_fen(sums.refunded_fen)
    return f"{name:10} {sums.trades:>8} {paid:>16} {sums.refunds:>8} {refunded:>16}"


def difference_lines(one: Difference) -> list[str]:
    """Return the difference, and what to do."""
    what, to_do = EXPLANATIONS[one.kind]
    ours, theirs = yuan_of_fen(one.ours_fen), yuan_of_fen(one.theirs_fen)
    order = f" (order {one.order_sn})" if one.order_sn else ""
    text = what.format(ours=ours, theirs=theirs, here=one.here, there=one.there)
    return [f"{one.kind}: {one.number}{order}: {text}", f"    {to_do}"]


def as_json_text(result: Reconciliation) -> str:
    """Return the result as JSON; amounts in fen."""
    data = asdict(result) | {"channel": result.channel.code, "day": str(result.day)}
    return json.dumps(data, ensure_ascii=False)
