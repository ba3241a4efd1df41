"""`shop-order`: argv, signals, exit codes."""

from __future__ import annotations

from shop_order.cmd import first

if __name__ == "__main__":
    first.begin()  # before the imports: a stop is heeded from here on

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from shop_order.cmd.archive import archive
from shop_order.cmd.backup import backup
from shop_order.cmd.config import config_app
from shop_order.cmd.openapi import openapi
from shop_order.cmd.reconcile import reconcile
from shop_order.cmd.stats import stats_app
from shop_order.configs import ConfigError, Loaded, load
from shop_order.pkg.url import mask_urls

if TYPE_CHECKING:
    from shop_order.cmd.core import Core
    from shop_order.service.root_audit import BrokenDay

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Shop's order service.")
app.add_typer(config_app, name="config")
audit_app = typer.Typer(no_args_is_help=True, help="The history.")
app.add_typer(audit_app, name="audit")
app.add_typer(stats_app, name="stats")
app.command()(openapi)
app.command()(archive)
app.command()(backup)
app.command()(reconcile)


def show_version(asked: bool) -> None:
    """Print it, and end."""
    if asked:
        from shop_order.pkg.version import version

        typer.echo(f"shop-order {version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What every command takes."""


REFUSED = 2  # the start was refused: one line says why
FOUND = 1  # a check found something


def main() -> None:
    """The command line."""
    first.begin()
    first.imported()
    # Read when gRPC is imported: its own complaint, as of a taken port, would stand beside our one line.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app()


@app.command()
def serve() -> None:
    """Serve gRPC and REST until TERM or INT; HUP reloads the configuration."""
    found = usable(loaded())  # before the imports, which a refused setting need not wait for
    from shop_order.cmd.serve import serve_until_stopped

    run(lambda: serve_until_stopped(found))


@app.command()
def relay() -> None:
    """Publish the outbox until TERM or INT; HUP reloads. With embedded delivery this runs inside `serve`."""
    found = usable(loaded())
    if found.settings.message.url.startswith("embedded:"):
        refuse("MESSAGE__URL is embedded: the relay runs inside `shop-order serve`; nothing to do here")
    from shop_order.cmd.relay import relay_until_stopped

    run(lambda: relay_until_stopped(found))


@app.command()
def migrate(
    revision: Annotated[
        str, typer.Option(help="head, an earlier revision, or base to drop every table.")
    ] = "head",
    yes_drop_data: Annotated[
        bool, typer.Option("--yes-drop-data", help="Go down, and lose what stands in later tables.")
    ] = False,
) -> None:
    """Bring the order database's schema up to date, and the broker's topics."""
    from shop_order.repository.schema import DataWouldBeLost
    from shop_order.repository.schema import migrate as bring

    settings = loaded().settings
    url, production = settings.db.url, settings.app.env == "production"
    try:
        bring(url, revision, keep_data=production or not yes_drop_data)
    except DataWouldBeLost:
        refuse(
            f"--revision {revision} would drop tables with their data: "
            + ("production never does; restore a backup instead" if production else "say --yes-drop-data too")
        )
    except ValueError as unknown:
        refuse(f"--revision {unknown}")
    except OSError as failed:
        refuse(str(failed))
    typer.echo(f"the order database is at {revision}", err=True)
    if settings.message.url.startswith("rocketmq:") and revision != "base":
        _migrate_topics(settings.message.url)


def _migrate_topics(url: str) -> None:
    from shop_order.cmd.topics import make_topics
    from shop_order.pkg.message import BrokerAway
    from shop_order.pkg.message.rocketmq.admin import Refused

    try:
        left = asyncio.run(make_topics(url))
    except (BrokerAway, Refused) as failed:
        refuse(f"MESSAGE__URL: {failed}")
    if left:
        typer.echo("MESSAGE__URL names no name server (?namesrv=host:9876); let its keeper run:", err=True)
        typer.echo("\n".join(left))
    else:
        typer.echo("the broker has the topics and groups", err=True)


@app.command()
def token(
    user: Annotated[int | None, typer.Option(help="The user's id.")] = None,
    role: Annotated[str, typer.Option(help="user, admin or service.")] = "user",
    name: Annotated[str | None, typer.Option(help="The service's name, with --role service.")] = None,
    act_for: Annotated[int | None, typer.Option(help="The user a service acts for.")] = None,
) -> None:
    """Print a JWT for development, signed with the key in the data directory; nothing else."""
    from shop_order.cmd.tokens import mint

    try:
        minted = mint(loaded().settings, user=user, role=role, name=name, act_for=act_for)
    except ValueError as bad:
        refuse(str(bad))
    typer.echo(minted)


@audit_app.command("verify")
def verify(order: Annotated[str | None, typer.Option(help="Only this order.")] = None) -> None:
    """Walk the hash chains, and the daily roots over them; exit code 1 and the first broken link of each
    chain that is broken, and each day that is not as it was sealed."""

    async def walk(core: Core) -> int:
        from shop_order.domain.errors import OrderNotFound

        try:
            walked, broken = await core.audit.verify(order)
        except OrderNotFound:
            refuse(f"--order {order}: " + not_there(order or ""))
        for fault in broken:
            typer.echo(f"order {fault.order_sn}: version {fault.version} {fault.what}")
        typer.echo(f"{walked} chains walked, {len(broken)} broken")
        days = [] if order is not None else await broken_days(core)
        return FOUND if broken or days else 0

    inspect(walk)


def not_there(order_sn: str) -> str:
    """Why there is no such order."""
    from shop_order.pkg.ids import is_order_sn

    return (
        "there is no such order"
        if is_order_sn(order_sn)
        else "is no order number: 27 digits, the last checks"
    )


@app.command()
def doctor(
    metrics: Annotated[
        Path | None, typer.Option(help="Also write the findings here, for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Check that money, stock, history and figures agree; exit code 1 if not.

    Paid is all money that arrived, also too late or twice, as `stats show` counts it.
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
            f" {report.refunded_fen} fen given back, {report.in_flight} on their way,"
            f" {len(report.findings) + len(days)} findings"
        )
        if report.orders and not report.compared:
            typer.echo("the figures were not compared: the order log is away, or being filled", err=True)
        if metrics is not None:
            areas = Counter([*(finding.area for finding in report.findings), *("history" for _ in days)])
            write_examined(metrics, report.orders, areas)
        return 0 if report.clean and not days else FOUND

    inspect(examine)


async def broken_days(core: Core) -> Sequence[BrokenDay]:
    """Say which days are not as they were sealed."""
    found = await core.root_audit.verify()
    if found.unasked:
        typer.echo(f"not compared with the roots that the registry was told: {found.unasked}", err=True)
    for one in found.broken:
        typer.echo(f"history: day {one.day} {one.what}")
    typer.echo(f"{found.days} days sealed" + (f", the last {found.last_day}" if found.last_day else ""))
    return found.broken


def inspect(look: Callable[[Core], Coroutine[Any, Any, int]]) -> None:
    """Look at the database beside a running server, without serving it."""

    async def look_and_close() -> int:
        from shop_order.cmd.app import dev_token
        from shop_order.cmd.core import Core

        found = loaded(beside=True)
        core = Core(found, token=dev_token(found.settings))
        try:
            await core.open(serve=False)
            return await look(core)
        finally:
            await core.close()

    run(look_and_close)


def run(start: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run to the exit code; what refuses a start becomes one line and exit code 2."""
    from shop_order.cmd.opening import refusal, run_loop

    try:
        raise SystemExit(run_loop(start()))
    except Exception as error:
        if (line := refusal(error)) is None:
            raise
        refuse(line)


def loaded(*, beside: bool = False) -> Loaded:
    """The settings of this environment, or one line and exit code 2; `beside` a running `make run` or not."""
    try:
        return load(os.environ, beside=beside)
    except ConfigError as bad:
        refuse(str(bad))


def usable(found: Loaded) -> Loaded:
    """The settings again, or one line and exit code 2 if files that they name can't be used.

    Outside production a payment channel is then unavailable, and the log says why.
    """
    from shop_order.cmd.usable import unusable_channels, unusable_files

    wrong = unusable_files(found.settings)
    if found.settings.app.env == "production":
        wrong += [text for texts in unusable_channels(found.settings).values() for text in texts]
    if wrong:
        refuse("; ".join(wrong))
    return found


def refuse(line: str) -> NoReturn:
    """One line on standard error, and exit code 2."""
    sys.stderr.write(f"shop-order: {mask_urls(' '.join(line.split()))}\n")
    raise SystemExit(REFUSED)


if __name__ == "__main__":
    main()
