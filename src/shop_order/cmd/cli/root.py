"""`shop-order` and its commands."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from shop_order.cmd.cli.archive import archive
from shop_order.cmd.cli.backup import backup
from shop_order.cmd.cli.checks import audit_app, doctor
from shop_order.cmd.cli.command import load_settings, refuse, require_usable, run
from shop_order.cmd.cli.config import config_app
from shop_order.cmd.cli.reconcile import reconcile
from shop_order.cmd.cli.settlement import settlement
from shop_order.cmd.cli.stats import stats_app
from shop_order.cmd.cli.token import openapi, token

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The Shop's order service.")


def show_version(requested: bool) -> None:
    """Print the version and exit."""
    if requested:
        from shop_order import version

        typer.echo(f"shop-order {version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


@app.command()
def serve() -> None:
    """Serve gRPC and REST until TERM or INT; HUP reloads the configuration."""
    found = require_usable(load_settings())  # before slow imports
    from shop_order.cmd.run.serve import serve_until_stopped

    run(lambda: serve_until_stopped(found))


@app.command()
def relay() -> None:
    """Publish the outbox until TERM or INT; HUP reloads. With embedded delivery this runs inside `serve`."""
    found = require_usable(load_settings())
    if found.settings.message.url.startswith("embedded:"):
        refuse("MESSAGE__URL is embedded: the relay runs inside `shop-order serve`; nothing to do")
    from shop_order.cmd.run.relay import relay_until_stopped

    run(lambda: relay_until_stopped(found))


@app.command()
def migrate(
    revision: Annotated[
        str, typer.Option(help="head, an earlier revision, or base to drop every table.")
    ] = "head",
    yes_drop_data: Annotated[
        bool, typer.Option("--yes-drop-data", help="Downgrade, and lose the data of later tables.")
    ] = False,
) -> None:
    """Bring the schema of the order database and the topics of the broker up to date."""
    from shop_order.repository.schema import DataWouldBeLost
    from shop_order.repository.schema import migrate as migrate_schema

    settings = load_settings().settings
    url, production = settings.db.url, settings.app.env == "production"
    try:
        migrate_schema(url, revision, keep_data=production or not yes_drop_data)
    except DataWouldBeLost:
        refuse(
            f"--revision {revision} would drop tables with their data: "
            + ("production never does; restore a backup instead" if production else "add --yes-drop-data")
        )
    except ValueError as unknown:
        refuse(f"--revision {unknown}")
    except OSError as failed:
        refuse(str(failed))
    typer.echo(f"the order database is at {revision}", err=True)
    if settings.message.url.startswith("rocketmq:") and revision != "base":
        _migrate_topics(settings.message.url)


def _migrate_topics(url: str) -> None:
    from shop_order.pkg.message import GROUPS, TOPICS, BrokerUnavailable
    from shop_order.pkg.message.rocketmq import parse
    from shop_order.pkg.message.rocketmq.admin import Admin, Refused, commands

    address = parse(url)
    if not address.namesrv:
        typer.echo("MESSAGE__URL has no name server (?namesrv=host:9876); its operator must run:", err=True)
        typer.echo("\n".join(commands(address, TOPICS, GROUPS)))
        return
    try:
        asyncio.run(Admin(address.namesrv).make(address, TOPICS, GROUPS))
    except (BrokerUnavailable, Refused) as failed:
        refuse(f"MESSAGE__URL: {failed}")
    typer.echo("the broker has the topics and groups", err=True)


for command in (doctor, reconcile, settlement, archive, backup, token, openapi):
    app.command()(command)
for name, group in {"config": config_app, "audit": audit_app, "stats": stats_app}.items():
    app.add_typer(group, name=name)
